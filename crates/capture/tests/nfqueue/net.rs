//! Three network namespaces, client – router – server, with their addresses, routes and neighbours set by hand, so
//! that nothing but the test's own packets passes the router. Everything goes when the value does.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use daylight_capture::nfqueue::{Counters, Options, Packet, Queue, Verdict};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub(crate) const SERVER_V4: &str = "192.0.2.2";
pub(crate) const SERVER_V6: &str = "2001:db8:2::2";

#[derive(Clone, Copy)]
pub(crate) enum Host {
    Client,
    Router,
    Server,
}

pub(crate) struct Net {
    prefix: String,
}

static BUILT: AtomicU32 = AtomicU32::new(0);

impl Net {
    /// Builds it, or says why the test is skipped.
    pub(crate) fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: network namespaces take root");
            return None;
        }
        for program in ["ip", "iptables", "ip6tables"] {
            if !has(program) {
                eprintln!("skipped: {program} is missing (Debian: iproute2, iptables)");
                return None;
            }
        }
        let net = Self {
            prefix: format!("dl-nfq-{}-{}", std::process::id(), BUILT.fetch_add(1, Ordering::Relaxed)),
        };
        for host in [Host::Client, Host::Router, Host::Server] {
            run(Command::new("ip").args(["netns", "add", &net.name(host)]), None);
        }
        let (client, server) = (net.name(Host::Client), net.name(Host::Server));
        net.ip(
            Host::Router,
            &format!(
                "link add west address 02:00:00:00:01:01 type veth peer name net0 address 02:00:00:00:01:02 netns {client}
                 link add east address 02:00:00:00:02:01 type veth peer name net0 address 02:00:00:00:02:02 netns {server}
                 addr add 198.51.100.1/24 dev west
                 addr add 192.0.2.1/24 dev east
                 addr add 2001:db8:1::1/64 dev west nodad
                 addr add 2001:db8:2::1/64 dev east nodad
                 link set west up
                 link set east up
                 neigh add 198.51.100.2 lladdr 02:00:00:00:01:02 dev west nud permanent
                 neigh add 192.0.2.2 lladdr 02:00:00:00:02:02 dev east nud permanent
                 neigh add 2001:db8:1::2 lladdr 02:00:00:00:01:02 dev west nud permanent
                 neigh add 2001:db8:2::2 lladdr 02:00:00:00:02:02 dev east nud permanent"
            ),
        );
        for (host, n, v4) in [(Host::Client, 1, "198.51.100"), (Host::Server, 2, "192.0.2")] {
            net.ip(
                host,
                &format!(
                    "addr add {v4}.2/24 dev net0
                     addr add 2001:db8:{n}::2/64 dev net0 nodad
                     link set net0 up
                     link set lo up
                     neigh add {v4}.1 lladdr 02:00:00:00:0{n}:01 dev net0 nud permanent
                     neigh add 2001:db8:{n}::1 lladdr 02:00:00:00:0{n}:01 dev net0 nud permanent
                     route add default via {v4}.1
                     route add default via 2001:db8:{n}::1"
                ),
            );
        }
        net.within(Host::Router, || {
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        });
        Some(net)
    }

    fn name(&self, host: Host) -> String {
        let end = match host {
            Host::Client => "c",
            Host::Router => "r",
            Host::Server => "s",
        };
        format!("{}-{end}", self.prefix)
    }

    fn ip(&self, host: Host, batch: &str) {
        run(Command::new("ip").args(["-n", &self.name(host), "-batch", "-"]), Some(batch));
    }

    /// Adds a rule of IPv4 and of IPv6 on the router.
    pub(crate) fn rule(&self, rule: &str) {
        for program in ["iptables", "ip6tables"] {
            self.router(&format!("{program} {rule}"));
        }
    }

    /// Runs a command on the router.
    pub(crate) fn router(&self, command: &str) -> String {
        let mut ip = Command::new("ip");
        ip.args(["netns", "exec", &self.name(Host::Router)]).args(command.split_whitespace());
        run(&mut ip, None)
    }

    /// How many packets the router's rules with `comment` have seen, over both versions of IP.
    pub(crate) fn hits(&self, comment: &str) -> u64 {
        let listing = self.router("iptables-save -c") + &self.router("ip6tables-save -c");
        let with = |line: &&str| line.contains(&format!("--comment {comment} "));
        listing
            .lines()
            .filter(with)
            .map(|line| line.trim_start_matches('[').split(':').next().unwrap().parse::<u64>().unwrap())
            .sum()
    }

    /// Runs `work` on a thread in a host's namespace.
    pub(crate) fn start<T: Send + 'static>(
        &self,
        host: Host,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let path = format!("/run/netns/{}", self.name(host));
        thread::spawn(move || {
            let namespace = std::fs::File::open(path).unwrap();
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(LinkNameSpaceType::Network))
                .unwrap();
            work()
        })
    }

    /// As `start`, and waits for it.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        host: Host,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.start(host, work).join().unwrap()
    }

    /// Opens a queue on the router.
    pub(crate) fn queue(&self, number: u32, options: Options) -> Queue {
        self.within(Host::Router, move || Queue::open(number, options)).unwrap()
    }

    /// Opens a queue on the router and lets `decide` answer its packets until it is stopped.
    pub(crate) fn filter(
        &self,
        number: u32,
        options: Options,
        mut decide: impl FnMut(Packet<'_>, &mut Verdict) + Send + 'static,
    ) -> Filter {
        let mut queue = self.queue(number, options);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let mut batch = queue.receive(Some(Duration::from_millis(20))).unwrap();
                batch.iter_mut().for_each(|(packet, verdict)| decide(packet, verdict));
            }
            queue.send().unwrap();
            queue.counters()
        });
        Filter { stop, thread }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for host in [Host::Client, Host::Router, Host::Server] {
            let _ = Command::new("ip").args(["netns", "del", &self.name(host)]).status();
        }
    }
}

/// A queue that a thread answers.
pub(crate) struct Filter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Counters>,
}

impl Filter {
    /// Stops it and says what it did.
    pub(crate) fn stop(self) -> Counters {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Whether a program is installed.
pub(crate) fn has(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn run(command: &mut Command, input: Option<&str>) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    if let Some(input) = input {
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
