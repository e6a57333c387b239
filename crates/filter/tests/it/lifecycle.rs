//! Filters that come and go, also by violence, while traffic goes on.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use daylight_filter::daemon::{self, Settings};
use daylight_filter::gate::{Ruling, Witness};
use daylight_filter::kernel;
use daylight_filter::worker::Shared;
use daylight_policy::Policy;

use crate::filtering::{ledger, policy, rule, with_filter};
use crate::namespace::{entered, run};
use crate::net::{Host, Net, SERVER, have, wait};
use crate::raw::{Stream, Wire};

/// Tells the test below that it is the filter, and by which policy.
const ROLE: &str = "DAYLIGHT_TEST_FILTER_POLICY";

struct Quiet;

impl Witness for Quiet {
    fn ruled(&mut self, _: &Policy, _: Ruling) {}
}

/// Not a test, but the process that others kill.
#[test]
fn is_the_filter() {
    let Some(path) = std::env::var_os(ROLE).map(PathBuf::from) else { return };
    let shared = Shared::new(daemon::load(&path).unwrap());
    let mut ledger = ledger(path.parent().unwrap());
    let mut settings = Settings::new(path, "killed");
    // Every packet goes through the process that is to be killed.
    settings.kernel.offload = false;
    daemon::run(&settings, &shared, &mut ledger, || Quiet, |_| {}).unwrap();
}

fn start(policy: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifecycle::is_the_filter"])
        .env(ROLE, policy)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// All rules of the machine, by whatever program they were made; without what changes by itself.
fn rules() -> String {
    let all = run("iptables-save; ip6tables-save; nft list ruleset 2>/dev/null; true");
    // Tables of iptables appear once something looks for them, empty.
    let telling =
        |line: &&str| line.starts_with("-A ") || line.contains("DAYLIGHT") || line.contains("dport 9");
    let quiet = |line: &str| {
        line.split(" - [").next().unwrap_or_default().split(" counter").next().unwrap_or_default().to_owned()
    };
    all.lines().filter(telling).map(quiet).collect::<Vec<_>>().join("\n")
}

/// Numbered datagrams that the server sends back.
struct Echo {
    over: Arc<AtomicBool>,
    /// No more are to be sent.
    enough: Arc<AtomicBool>,
    /// How many came back, and which.
    back: Arc<AtomicU64>,
    which: Arc<Mutex<BTreeSet<u64>>>,
    sent: Arc<AtomicU64>,
}

/// Between two datagrams.
const PACE: Duration = Duration::from_millis(2);

impl Echo {
    fn new(client: &Host, server: &Host, address: &str) -> Self {
        let target = (address.parse::<std::net::IpAddr>().unwrap(), 7000);
        let echo = server.within(|| UdpSocket::bind(target).unwrap());
        let any = if target.0.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = client.within(|| UdpSocket::bind(any).unwrap());
        socket.connect(target).unwrap();
        let this = Self {
            over: Arc::default(),
            enough: Arc::default(),
            back: Arc::default(),
            which: Arc::default(),
            sent: Arc::default(),
        };
        for socket in [&echo, &socket] {
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        }
        let over = Arc::clone(&this.over);
        std::thread::spawn(move || {
            let mut bytes = [0; 8];
            while !over.load(Ordering::Relaxed) {
                if let Ok((_, from)) = echo.recv_from(&mut bytes) {
                    let _ = echo.send_to(&bytes, from);
                }
            }
        });
        let (enough, sent, sender) =
            (Arc::clone(&this.enough), Arc::clone(&this.sent), socket.try_clone().unwrap());
        std::thread::spawn(move || {
            while !enough.load(Ordering::Relaxed) {
                let number = sent.load(Ordering::Relaxed);
                if sender.send(&number.to_be_bytes()).is_ok() {
                    sent.store(number + 1, Ordering::Relaxed);
                }
                std::thread::sleep(PACE);
            }
        });
        let (over, back, which) = (Arc::clone(&this.over), Arc::clone(&this.back), Arc::clone(&this.which));
        std::thread::spawn(move || {
            let mut bytes = [0; 8];
            while !over.load(Ordering::Relaxed) {
                if socket.recv(&mut bytes).is_ok() {
                    back.fetch_add(1, Ordering::Relaxed);
                    which.lock().unwrap().insert(u64::from_be_bytes(bytes));
                }
            }
        });
        this
    }

    /// How long from now until the next comes back.
    fn next(&self) -> Duration {
        let (before, start) = (self.back.load(Ordering::Relaxed), Instant::now());
        while self.back.load(Ordering::Relaxed) == before {
            assert!(start.elapsed() < Duration::from_secs(20), "nothing comes back");
            std::thread::sleep(Duration::from_micros(200));
        }
        start.elapsed()
    }

    /// The next to be sent, once the two know the way to one another: until then some are lost to nobody's fault.
    fn first(&self) -> u64 {
        self.next();
        self.next();
        self.sent.load(Ordering::Relaxed)
    }

    /// Sends no more, and gives how many from `first` on were sent, and how many of them did not come back, once all had
    /// the time to.
    fn lost(&self, first: u64) -> (u64, u64) {
        self.enough.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(100));
        let (sent, start) = (self.sent.load(Ordering::Relaxed) - first, Instant::now());
        let came = || self.which.lock().unwrap().range(first..).count() as u64;
        while came() < sent && start.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(PACE);
        }
        (sent, sent - came())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        self.over.store(true, Ordering::Relaxed);
    }
}

/// How often a filter is started and killed.
const CYCLES: usize = 100;

#[test]
fn killed_a_hundred_times() {
    if !have(&["nft"]) || !entered("lifecycle::killed_a_hundred_times") {
        return;
    }
    let net = Net::new();
    let path = net.folder.path().join("policy.toml");
    std::fs::write(&path, policy(&rule("a rule", "tls && hostname == \"blocked.example.org\"", "drop")))
        .unwrap();
    // What others have put there.
    run(
        "iptables -A FORWARD -p tcp --dport 9 -j DROP; ip6tables -t raw -A PREROUTING -p udp --dport 9 -j ACCEPT",
    );
    run(
        "nft add table inet others; nft add chain inet others c; nft add rule inet others c tcp dport 9 drop",
    );
    let before = rules();
    assert!(before.contains("dport 9"));
    let echo = SERVER.map(|address| Echo::new(&net.client, &net.server, address));
    let mut gaps: Vec<Duration> = Vec::new();
    for cycle in 0..CYCLES {
        let mut filter = start(&path);
        wait(|| filter.try_wait().unwrap().is_some() || run("ip6tables-save -t filter").contains("NFQUEUE"));
        echo.iter().for_each(|echo| _ = echo.next());
        // SIGKILL: it can't do anything about it.
        filter.kill().unwrap();
        gaps.push(echo.iter().map(Echo::next).max().unwrap());
        filter.wait().unwrap();
        assert!(rules().contains("DAYLIGHT-killed"), "it was there in cycle {cycle}");
        assert!(kernel::remove("killed").unwrap());
        assert_eq!(rules(), before, "cycle {cycle}");
    }
    gaps.sort();
    println!("gap at a kill: median {:?}, longest {:?}", gaps[CYCLES / 2], gaps[CYCLES - 1]);
    assert!(gaps[CYCLES - 1] < Duration::from_secs(2));
    assert!(run("cat /proc/net/netfilter/nfnetlink_queue").is_empty());
}

/// Marks of connections, as conntrack(8) lists them.
fn marks() -> Vec<String> {
    let all = run("conntrack -L 2>/dev/null; conntrack -L -f ipv6 2>/dev/null");
    let marks = all.split_whitespace().filter(|word| word.starts_with("mark=") && *word != "mark=0");
    marks.map(str::to_owned).collect()
}

/// Verdicts go with the filter that gave them; what others have marked stays.
#[test]
fn no_verdict_is_left_on_a_connection() {
    if !have(&["conntrack"]) || !entered("lifecycle::no_verdict_is_left_on_a_connection") {
        return;
    }
    let net = Net::new();
    run("iptables -t mangle -A PREROUTING -p udp --dport 7000 -j CONNMARK --set-mark 0x5/0xff");
    let drop = policy(&rule("a port", "dst_port == 7001", "drop"));
    let echo = SERVER.map(|address| Echo::new(&net.client, &net.server, address));
    with_filter(&net, &drop, |_| {
        wait(|| marks().len() >= 2 && marks().contains(&format!("mark={}", 0x100_0005)));
        echo.iter().for_each(|echo| _ = echo.next());
    });
    let mut left = marks();
    left.sort();
    left.dedup();
    assert_eq!(left, ["mark=5"]);
    echo.iter().for_each(|echo| _ = echo.next());
}

/// What stands in the chain's rule for the queue: packets that came to it.
fn queued() -> u64 {
    let listing = run("iptables -L DAYLIGHT-test -v -x -n; ip6tables -L DAYLIGHT-test -v -x -n");
    let rules = listing.lines().filter(|line| line.contains("NFQUEUE"));
    rules.map(|line| line.split_whitespace().next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn decided_flows_are_the_kernels() {
    if !entered("lifecycle::decided_flows_are_the_kernels") {
        return;
    }
    let net = Net::new();
    let stop = |port: u16| policy(&rule("a port", &format!("dst_port == {port}"), "drop"));
    let echo = SERVER.map(|address| Echo::new(&net.client, &net.server, address));
    with_filter(&net, &stop(7001), |filter| {
        echo.iter().for_each(|echo| _ = echo.next());
        let looked_at = filter.shared.counters.packets.load(Ordering::Relaxed);
        let came = queued();
        let before = echo.each_ref().map(|echo| echo.back.load(Ordering::Relaxed));
        wait(|| {
            echo.iter().zip(before).all(|(echo, before)| echo.back.load(Ordering::Relaxed) > before + 200)
        });
        // Of those hundreds, nothing comes.
        assert!(queued() - came < 20, "{} came", queued() - came);
        assert!(filter.shared.counters.packets.load(Ordering::Relaxed) - looked_at < 20);
    });
}

/// A connection that was dropped stays so when another policy comes that would not drop it; its successor gets through.
#[test]
fn what_is_dropped_stays_dropped() {
    if !have(&["nginx", "openssl", "dnsmasq", "ss", "ping"])
        || !entered("lifecycle::what_is_dropped_stays_dropped")
    {
        return;
    }
    let mut net = Net::new();
    net.serve();
    let wires = [false, true].map(|v6| Wire::new(&net, v6));
    let request = b"GET /index.html HTTP/1.1\r\nHost: blocked.example.org\r\n\r\n";
    let stop = |name: &str| policy(&rule("a name", &format!("http && hostname == \"{name}\""), "drop"));
    with_filter(&net, &stop("blocked.example.org"), |filter| {
        let mut streams = wires.each_ref().map(|wire| Stream::open(wire, 80));
        for stream in &mut streams {
            stream.send(0, request);
            stream.settle();
        }
        wait(|| filter.stopped("blocked.example.org") == 2);
        filter.reload(&stop("other.example.org"));
        for (stream, wire) in streams.iter_mut().zip(&wires) {
            for _ in 0..3 {
                stream.send(0, request);
                stream.settle();
            }
            assert!(stream.got.is_empty(), "an answer over {}", wire.to);
            let mut next = Stream::open(wire, 80);
            next.send(0, request);
            assert!(next.wait(|stream| !stream.got.is_empty()), "no answer over {}", wire.to);
        }
        assert_eq!(filter.stopped("blocked.example.org"), 2);
    });
}

#[test]
fn another_policy_loses_nothing() {
    if !entered("lifecycle::another_policy_loses_nothing") {
        return;
    }
    let net = Net::new();
    let text = |i: usize| policy(&rule(&format!("rule {i}"), &format!("dst_port == {}", 8000 + i), "drop"));
    let unqueued = |settings: &mut Settings| settings.kernel.offload = false;
    crate::filtering::with_settings(&net, &text(0), unqueued, |filter| {
        let echo = SERVER.map(|address| Echo::new(&net.client, &net.server, address));
        let first = echo.each_ref().map(Echo::first);
        for i in 1..=50 {
            filter.reload(&text(i));
        }
        for (echo, first) in echo.iter().zip(first) {
            let (sent, lost) = echo.lost(first);
            assert!(sent > 100, "{sent}");
            assert_eq!(lost, 0, "of {sent}");
        }
        assert_eq!(filter.shared.counters.dropped.load(Ordering::Relaxed), 0);
    });
}
