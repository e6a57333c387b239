//! Routes and rules by which nothing of this machine goes out but through the device, and by which the tunnel's own
//! connections do.
//!
//! They don't depend on the program: if it is killed its device goes, and with it the only route out; a route that says
//! `unreachable` is left behind, and a packet filter that rejects what programs send past the routes. All names
//! are fixed, so that [`restore`] needs to know nothing.

use std::io::Write;
use std::process::{Command, Stdio};
use std::{fs, io};

/// `SO_MARK` of the tunnel's own connections.
pub const MARK: u32 = 0xda11;
/// The routing table.
const TABLE: u32 = 0xda11;
/// The first of the rules' priorities; before the main table's, after the local one's.
const PRIORITY: u32 = 9100;
const RULES: u32 = 5;
/// The packet filter's table.
const FILTER: &str = "daylight_tun";
/// The device's addresses: of a range for tests of devices (RFC 2544), and a unique local one.
const ADDRESS_V4: &str = "198.18.0.1/32";
const ADDRESS_V6: &str = "fd00:da11::1/128 nodad";

/// The routes can't be set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// A program is missing, or can't be started.
    #[error("can't run {program}: {cause}: install the package {package}")]
    Start {
        /// Which.
        program: &'static str,
        /// Debian's package of it.
        package: &'static str,
        /// Why not.
        cause: io::Error,
    },
    /// A program refused.
    #[error("{program} says: {said} (carrying the whole machine takes root)")]
    Refused {
        /// Which.
        program: &'static str,
        /// Its words.
        said: String,
    },
}

/// Sends everything through a device but the tunnel's own connections, and, with `direct_lan`, those to local networks.
///
/// # Errors
/// If `ip` or `nft` is missing or refuses; then nothing is left behind.
pub(super) fn install(device: &str, direct_lan: bool) -> Result<(), LockError> {
    restore()?;
    let outcome = try_install(device, direct_lan);
    if outcome.is_err() {
        restore()?;
    }
    outcome
}

fn try_install(device: &str, direct_lan: bool) -> Result<(), LockError> {
    // First what forbids, then what allows: there is no moment in which something gets out.
    run("nft", &["-f", "-"], &filter(device, direct_lan))?;
    // Answers to the tunnel's own connections get their mark back (see the filter); strict checks of the return path should
    // look at it.
    let _ = fs::write("/proc/sys/net/ipv4/conf/all/src_valid_mark", "1");
    for (family, address) in families() {
        run("ip", &[family, "-batch", "-"], &routes(device, address, direct_lan))?;
    }
    Ok(())
}

/// Takes back everything that installing the lock did, whichever process did it.
///
/// # Errors
/// If `ip` or `nft` is missing.
pub fn restore() -> Result<(), LockError> {
    // Refusals are to be expected: mostly there is nothing to take back.
    let ignore = |outcome| match outcome {
        Err(LockError::Refused { .. }) => Ok(()),
        other => other,
    };
    for (family, _) in families() {
        let rules = (PRIORITY..PRIORITY + RULES).map(|priority| format!("rule del pref {priority}\n"));
        let undo: String = rules.chain([format!("route flush table {TABLE}\n")]).collect();
        ignore(run("ip", &[family, "-force", "-batch", "-"], &undo))?;
    }
    ignore(run("nft", &["delete", "table", "inet", FILTER], ""))
}

/// IPv6 may be switched off.
fn families() -> impl Iterator<Item = (&'static str, &'static str)> {
    let is_off =
        fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6").is_ok_and(|off| off.trim() == "1");
    let has_v6 = fs::exists("/proc/net/if_inet6").unwrap_or(false) && !is_off;
    [("-4", ADDRESS_V4)].into_iter().chain(has_v6.then_some(("-6", ADDRESS_V6)))
}

fn routes(device: &str, address: &str, direct_lan: bool) -> String {
    let lan = if direct_lan {
        format!("rule add pref {} lookup main suppress_prefixlength 0\n", PRIORITY + 3)
    } else {
        String::new()
    };
    format!(
        "addr add dev {device} {address}\n\
         link set {device} up\n\
         route add unreachable default metric 9999 table {TABLE}\n\
         route add default dev {device} metric 1 table {TABLE}\n\
         rule add pref {PRIORITY} fwmark {MARK} lookup main\n\
         rule add pref {} ipproto udp dport 53 lookup {TABLE}\n\
         rule add pref {} ipproto tcp dport 53 lookup {TABLE}\n\
         {lan}\
         rule add pref {} lookup {TABLE}\n",
        PRIORITY + 1,
        PRIORITY + 2,
        PRIORITY + 4,
    )
}

fn filter(device: &str, direct_lan: bool) -> String {
    // Questions for names go through the tunnel, wherever they are sent.
    let lan = if direct_lan {
        "ip daddr { 10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16, 224.0.0.0/4 } meta l4proto { tcp, udp } th dport != 53 accept
         ip daddr { 10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16, 224.0.0.0/4 } meta l4proto != { tcp, udp } accept
         ip6 daddr { fc00::/7, fe80::/10, ff00::/8 } meta l4proto { tcp, udp } th dport != 53 accept
         ip6 daddr { fc00::/7, fe80::/10, ff00::/8 } meta l4proto != { tcp, udp } accept"
    } else {
        ""
    };
    // DHCP and neighbour discovery keep the link itself alive.
    format!(
        "table inet {FILTER} {{
    chain output {{
        type filter hook output priority filter; policy accept;
        oifname {{ \"lo\", \"{device}\" }} accept
        meta mark {MARK} accept
        {lan}
        udp sport 68 udp dport 67 accept
        udp sport 546 udp dport 547 accept
        icmpv6 type {{ nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert }} accept
        meta l4proto tcp reject with tcp reset
        reject with icmpx type admin-prohibited
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        oifname \"{device}\" accept
        iifname \"{device}\" accept
        {lan}
        meta l4proto tcp reject with tcp reset
        reject with icmpx type admin-prohibited
    }}
    chain postrouting {{
        type filter hook postrouting priority mangle; policy accept;
        meta mark {MARK} ct mark set meta mark
    }}
    chain prerouting {{
        type filter hook prerouting priority mangle; policy accept;
        ct mark {MARK} meta mark set ct mark
    }}
}}
"
    )
}

fn run(program: &'static str, arguments: &[&str], input: &str) -> Result<(), LockError> {
    let package = if program == "ip" { "iproute2" } else { "nftables" };
    let start = |cause| LockError::Start { program, package, cause };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    // Many shells of ordinary users don't look there.
    let path = std::env::var("PATH").unwrap_or_default();
    let mut child = command.env("PATH", format!("{path}:/usr/sbin:/sbin")).spawn().map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // If it has ended already, its words say why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(start)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    Err(LockError::Refused { program, said })
}
