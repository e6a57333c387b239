//! The filter's own rules in the kernel: which packets come to it, and what becomes of connections it has decided on.
//!
//! The verdict on a connection is a number in some bits of its conntrack mark. A packet's way through the chain:
//! its connection has a verdict (it goes on, is dropped, or the kernel rejects it with a reset or an ICMP message), or it
//! is queued. The verdict comes back as the packet's mark with the order to repeat the hook, so that the same chain saves
//! it for the connection and acts on it.
//!
//! Rules go in and out by `iptables-restore` and `ip6tables-restore`, a family at a time and all or nothing. They are in chains of
//! the filter's own; in the kernel's chains there is one jump each.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::process::{Command, Stdio};

use crate::conntrack;

/// Why rules could not be put into the kernel, or taken out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The program is not there, or can't be started.
    #[error("{program} can't be started: {cause}; install the package iptables")]
    Start {
        /// Which.
        program: &'static str,
        /// Why.
        cause: std::io::Error,
    },
    /// It refused.
    #[error("{program}: {message}")]
    Refused {
        /// Which.
        program: &'static str,
        /// What it said.
        message: String,
    },
}

/// What a connection's mark says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Fate {
    /// Goes on without the filter.
    Allowed = 1,
    /// Its packets are dropped.
    Dropped = 2,
    /// Its packets are answered by a TCP reset, or an ICMP message.
    Rejected = 3,
}

/// Bits of a mark: four of them, which nothing else on the machine may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkBits {
    shift: u8,
}

impl Default for MarkBits {
    /// Bits 24 to 27.
    fn default() -> Self {
        Self { shift: 24 }
    }
}

impl MarkBits {
    /// The four bits from `lowest` (0 to 28) on; `None` if there are none so high.
    pub fn from_bit(lowest: u8) -> Option<Self> {
        (lowest <= 28).then_some(Self { shift: lowest })
    }

    /// All four.
    pub fn mask(self) -> u32 {
        0xf << self.shift
    }

    /// The bits for a fate.
    pub fn mark(self, fate: Fate) -> u32 {
        (fate as u32) << self.shift
    }

    /// On packets that the filter itself sends, so that connection tracking leaves them alone.
    pub fn notice(self) -> u32 {
        0xf << self.shift
    }
}

/// What rules there are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRules {
    /// Tells this filter's chains from another's: 1 to 16 letters, digits and `-`.
    pub name: String,
    /// The queues, of which each connection goes to one.
    pub queues: RangeInclusive<u16>,
    /// The bits of marks that are the filter's.
    pub mark: MarkBits,
    /// If the daemon is gone, packets go on (or are dropped).
    pub open_if_gone: bool,
    /// Also what the machine itself sends and receives, not only what it forwards.
    pub own_traffic: bool,
    /// False: every packet comes to the filter, also of connections it has decided on.
    pub offload: bool,
}

/// IPv4 and IPv6.
const PROGRAMS: [&str; 2] = ["iptables-restore", "ip6tables-restore"];

impl KernelRules {
    /// The rules' chain.
    fn chain(&self) -> String {
        format!("DAYLIGHT-{}", self.name)
    }

    /// The kernel's chains that jump to it.
    fn hooks(&self) -> &'static [&'static str] {
        if self.own_traffic { &["FORWARD", "INPUT", "OUTPUT"] } else { &["FORWARD"] }
    }

    /// What `iptables-restore --noflush` is given, for IPv4 or IPv6.
    pub fn install_script(&self, v6: bool) -> String {
        let chain = self.chain();
        let mask = self.mark.mask();
        let marked = |fate: Fate| format!("--mark {:#x}/{mask:#x}", self.mark.mark(fate));
        let mut script = format!("*raw\n:{chain} - [0:0]\n");
        // A notice goes out under somebody else's address: it is no connection of this machine's. A reset ends the connection
        // that it names, also for connection tracking: a new one on the same ports inherits nothing.
        let notice = format!("-m mark --mark {:#x}/{mask:#x}", self.mark.notice());
        let _ = writeln!(script, "-A {chain} -p tcp --tcp-flags RST RST {notice} -j RETURN");
        let _ = writeln!(script, "-A {chain} {notice} -j CT --notrack");
        let _ = writeln!(script, "-I OUTPUT 1 -j {chain}\nCOMMIT\n*filter\n:{chain} - [0:0]");
        let mut rule = |rule: &str| _ = writeln!(script, "-A {chain} {rule}");
        if self.own_traffic {
            // What the machine forwards may have others' marks.
            rule(&format!("{notice} -j RETURN"));
        }
        // An error message belongs, for connection tracking, to the connection that it is about: a verdict on the message
        // would be saved as that connection's.
        let icmp = if v6 { "ipv6-icmp" } else { "icmp" };
        let error = format!("-p {icmp} -m conntrack --ctstate RELATED -j RETURN");
        let message = if v6 { "icmp6-adm-prohibited" } else { "icmp-admin-prohibited" };
        if self.offload {
            // A new connection on the ports of one that was allowed and aborted has its entry, but not its verdict.
            let clear = format!("-j CONNMARK --set-xmark 0x0/{mask:#x}");
            rule(&format!(
                "-p tcp --syn -m mark --mark 0x0/{mask:#x} -m connmark {} {clear}",
                marked(Fate::Allowed)
            ));
            let save = format!("-j CONNMARK --save-mark --nfmask {mask:#x} --ctmask {mask:#x}");
            rule(&format!("-m mark ! --mark 0x0/{mask:#x} {save}"));
            rule(&format!("-m connmark {} -j RETURN", marked(Fate::Allowed)));
            rule(&format!("-m connmark {} -j DROP", marked(Fate::Dropped)));
            let rejected = format!("-m connmark {}", marked(Fate::Rejected));
            rule(&format!("-p tcp {rejected} -j REJECT --reject-with tcp-reset"));
            rule(&format!("{rejected} -j REJECT --reject-with {message}"));
            rule(&error);
        }
        // Packets of which connection tracking makes nothing (a wrong checksum, a sequence number out of the window) have no
        // connection to save a verdict for: without these they would be queued again and again.
        let of_packet = |fate| format!("-m mark {}", marked(fate));
        rule(&format!("{} -j RETURN", of_packet(Fate::Allowed)));
        rule(&format!("{} -j DROP", of_packet(Fate::Dropped)));
        rule(&format!("-p tcp {} -j REJECT --reject-with tcp-reset", of_packet(Fate::Rejected)));
        rule(&format!("{} -j REJECT --reject-with {message}", of_packet(Fate::Rejected)));
        let (first, last) = (self.queues.start(), self.queues.end());
        let queues = if first == last {
            format!("--queue-num {first}")
        } else {
            format!("--queue-balance {first}:{last}")
        };
        let bypass = if self.open_if_gone { " --queue-bypass" } else { "" };
        rule(&format!("-j NFQUEUE {queues}{bypass}"));
        for hook in self.hooks() {
            let _ = writeln!(script, "-I {hook} 1 -j {chain}");
        }
        script.push_str("COMMIT\n");
        script
    }

    /// Puts the rules into the kernel; what a crash left of the same name goes first.
    ///
    /// # Errors
    /// If that fails for one family; then nothing is left of the other.
    pub fn install(&self) -> Result<(), KernelError> {
        remove(&self.name)?;
        for (v6, program) in [false, true].into_iter().zip(PROGRAMS) {
            if let Err(error) = restore(program, &self.install_script(v6)) {
                let _ = remove(&self.name);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Takes everything of a filter of this name out of the kernel, whatever is left of it; true if there was something. Its
/// verdicts are taken off the connections as well, if the kernel lets that be done and no other filter uses the same bits.
///
/// # Errors
/// If the kernel refuses.
pub fn remove(name: &str) -> Result<bool, KernelError> {
    let (mut found, mut masks, mut others) = (false, BTreeSet::new(), BTreeSet::new());
    for (save, restore_by) in [("iptables-save", PROGRAMS[0]), ("ip6tables-save", PROGRAMS[1])] {
        for table in ["raw", "filter"] {
            let rules = run(save, &["-t", table], "")?;
            let chain = format!("DAYLIGHT-{name}");
            for (of, mask) in rules.lines().filter_map(saves) {
                if of == chain {
                    masks.insert(mask)
                } else {
                    others.insert(mask)
                };
            }
            let script = removal(&rules, table, &chain);
            if !script.is_empty() {
                restore(restore_by, &script)?;
                found = true;
            }
        }
    }
    for mask in masks.difference(&others) {
        // Marks that stay do nothing by themselves.
        let _ = conntrack::clear_marks(*mask);
    }
    Ok(found)
}

/// The chain, and the bits of connections' marks, of a rule of a filter's that saves verdicts.
fn saves(rule: &str) -> Option<(&str, u32)> {
    let chain = rule.strip_prefix("-A ")?.split(' ').next().filter(|chain| chain.starts_with("DAYLIGHT-"))?;
    let mask = rule.split_once("--ctmask 0x")?.1.split(' ').next()?;
    Some((chain, u32::from_str_radix(mask, 16).ok()?))
}

/// What takes `chain`, and every jump to it, out of a table of which these are the rules.
fn removal(rules: &str, table: &str, chain: &str) -> String {
    let mut script = String::new();
    let jump = format!("-j {chain}");
    for line in rules.lines() {
        let rule = line.strip_prefix("-A ").filter(|rule| rule.ends_with(&jump));
        if let Some(rule) = rule.filter(|rule| !rule.starts_with(&format!("{chain} "))) {
            let _ = writeln!(script, "-D {rule}");
        }
    }
    if rules.lines().any(|line| line.starts_with(&format!(":{chain} "))) {
        let _ = writeln!(script, "-F {chain}\n-X {chain}");
    }
    if script.is_empty() { script } else { format!("*{table}\n{script}COMMIT\n") }
}

fn restore(program: &'static str, script: &str) -> Result<(), KernelError> {
    // Another program may hold the lock for a moment.
    run(program, &["--noflush", "--wait", "5"], script).map(drop)
}

fn run(program: &'static str, args: &[&str], input: &str) -> Result<String, KernelError> {
    let start = |cause| KernelError::Start { program, cause };
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // If it ended early, its own message says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(start)?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        return Err(KernelError::Refused { program, message });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> KernelRules {
        KernelRules {
            name: "test".into(),
            queues: 4..=5,
            mark: MarkBits::default(),
            open_if_gone: true,
            own_traffic: false,
            offload: true,
        }
    }

    #[test]
    fn a_decided_connection_is_not_queued() {
        let script = rules().install_script(false);
        let queue = script.find("NFQUEUE --queue-balance 4:5 --queue-bypass").unwrap();
        for before in [
            "-m connmark --mark 0x1000000/0xf000000 -j RETURN",
            "-m connmark --mark 0x2000000/0xf000000 -j DROP",
            "-p tcp -m connmark --mark 0x3000000/0xf000000 -j REJECT --reject-with tcp-reset",
        ] {
            assert!(script.find(before).unwrap() < queue, "{before}");
        }
        assert!(!rules().install_script(true).contains("icmp-admin"));
    }

    #[test]
    fn the_bits_of_a_filter_are_known_by_its_rules() {
        let script = rules().install_script(false);
        let found: Vec<_> = script.lines().filter_map(saves).collect();
        assert_eq!(found, [("DAYLIGHT-test", MarkBits::default().mask())]);
        assert_eq!(saves("-A FORWARD -j CONNMARK --save-mark --nfmask 0x1 --ctmask 0x1"), None);
    }

    #[test]
    fn only_its_own_is_removed() {
        let saved = "# comment\n*filter\n:INPUT ACCEPT [0:0]\n:DAYLIGHT-test - [0:0]\n:DAYLIGHT-test2 - [0:0]\n\
             -A FORWARD -j DAYLIGHT-test2\n-A FORWARD -i a -j DAYLIGHT-test\n-A DAYLIGHT-test -j ACCEPT\nCOMMIT\n";
        let script = removal(saved, "filter", "DAYLIGHT-test");
        assert_eq!(
            script,
            "*filter\n-D FORWARD -i a -j DAYLIGHT-test\n-F DAYLIGHT-test\n-X DAYLIGHT-test\nCOMMIT\n"
        );
        assert_eq!(removal(saved, "filter", "DAYLIGHT-other"), "");
    }
}
