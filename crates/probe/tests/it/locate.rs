//! Three hops in namespaces, and a router that drops or resets a name. Needs root, iptables and iproute2.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command};

use daylight_probe::locate::locate;
use daylight_probe::settings::Settings;
use daylight_probe::tls::Roots;
use daylight_verdict::extras::{Trace, TraceStep};
use daylight_verdict::record::{Method, Position};
use nix::sched::{CloneFlags, setns};

const INSIDE: &str = "DAYLIGHT_TEST_NAMESPACE";

/// True within a namespace of this test's own. Outside it starts the test again inside one.
fn entered(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let possible = Command::new("unshare").args(["-n", "iptables-save"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        eprintln!("{test}: skipped: it needs root, and the packages iptables and util-linux");
        return false;
    }
    let status = Command::new("unshare")
        .arg("-n")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its namespace");
    false
}

#[track_caller]
fn sh(command: &str) {
    let output = Command::new("sh").args(["-ec", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A namespace that lives as long as this.
struct Host(Child);

impl Host {
    fn new() -> Self {
        let holder = Command::new("unshare").args(["-n", "sleep", "300"]).spawn().unwrap();
        let mine = std::fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = format!("/proc/{}/ns/net", holder.id());
        while std::fs::read_link(&theirs).is_ok_and(|theirs| theirs == mine) {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self(holder)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    #[track_caller]
    fn sh(&self, command: &str) {
        sh(&format!("nsenter -t {} -n sh -ec '{command}'", self.pid()));
    }

    fn enter(&self) {
        setns(File::open(format!("/proc/{}/ns/net", self.pid())).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// client 10.9.1.2 - 10.9.1.1 one 10.9.2.1 - 10.9.2.2 two 10.9.3.1 - 10.9.3.2 server. `two` does what is said.
fn trace(in_two: &str) -> Option<Trace> {
    let (client, one, two, server) = (Host::new(), Host::new(), Host::new(), Host::new());
    for (n, (left, right)) in [(&client, &one), (&one, &two), (&two, &server)].into_iter().enumerate() {
        sh(&format!("ip link add l{n} netns {} type veth peer name r{n} netns {}", left.pid(), right.pid()));
    }
    let addresses = [
        (&client, "l0", "10.9.1.2"),
        (&one, "r0", "10.9.1.1"),
        (&one, "l1", "10.9.2.1"),
        (&two, "r1", "10.9.2.2"),
        (&two, "l2", "10.9.3.1"),
        (&server, "r2", "10.9.3.2"),
    ];
    for (host, interface, address) in addresses {
        host.sh(&format!(
            "ip addr add {address}/24 dev {interface}; ip link set {interface} up; ip link set lo up"
        ));
    }
    client.sh("ip route add default via 10.9.1.1");
    server.sh("ip route add default via 10.9.3.1");
    one.sh("sysctl -qw net.ipv4.ip_forward=1; ip route add 10.9.3.0/24 via 10.9.2.2");
    two.sh("sysctl -qw net.ipv4.ip_forward=1; ip route add 10.9.1.0/24 via 10.9.2.1");
    two.sh(in_two);

    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let server = &server;
        // It says what begins like a ServerHello to whatever comes; and ends when the test's process does.
        std::thread::spawn({
            let pid = server.pid();
            move || {
                setns(File::open(format!("/proc/{pid}/ns/net")).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                let listener = TcpListener::bind("10.9.3.2:443").unwrap();
                ready.send(()).unwrap();
                for stream in listener.incoming() {
                    std::thread::spawn(move || {
                        let mut stream = stream.unwrap();
                        if stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {
                            let _ = stream.write_all(&[22, 3, 3, 0, 2, 1, 1]);
                        }
                    });
                }
            }
        });
        is_ready.recv().unwrap();
        let client = &client;
        let measuring = scope.spawn(move || {
            client.enter();
            let mut settings = Settings::ordinary();
            settings.control.host = "control.test".to_owned();
            let target = "https://blocked.test/".parse().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let addresses: [std::net::IpAddr; 1] = ["10.9.3.2".parse().unwrap()];
            runtime.block_on(locate(&target, &addresses, &settings, &Roots::of([]))).into_iter().next()
        });
        measuring.join().unwrap()
    })
}

const NAMED: &str = "-p tcp -m string --algo bm --string blocked.test";

#[test]
fn a_router_that_drops_a_name() {
    if !entered("locate::a_router_that_drops_a_name") {
        return;
    }
    let trace = trace(&format!("iptables -t mangle -A PREROUTING {NAMED} -j DROP")).unwrap();
    assert_eq!(
        (trace.hop, trace.of_hops, trace.position),
        (Some(2), Some(3), Some(Position::InPath)),
        "{trace:?}"
    );
    assert_eq!((trace.step, trace.method), (TraceStep::Tls, Method::ErrorQueue));
    // Those past the server are asked too, for injectors that copy the TTL.
    let hops = &trace.hops[..3];
    let routers: Vec<_> = hops.iter().map(|hop| hop.address.as_deref()).collect();
    assert_eq!(routers, [Some("10.9.1.1"), Some("10.9.2.2"), None]);
    let control: Vec<_> = hops.iter().map(|hop| hop.control.as_deref().unwrap()).collect();
    assert_eq!(control, ["ttl-exceeded", "ttl-exceeded", "answer"]);
    assert_eq!(trace.agreeing, (3, 3));
}

#[test]
fn a_name_that_nobody_minds() {
    if !entered("locate::a_name_that_nobody_minds") {
        return;
    }
    assert_eq!(trace("true"), None);
}

/// Netfilter refuses a packet after it has looked at its TTL: the reset comes where the next hop would be.
#[test]
fn a_router_that_resets_a_name() {
    if !entered("locate::a_router_that_resets_a_name") {
        return;
    }
    let trace = trace(&format!("iptables -A FORWARD {NAMED} -j REJECT --reject-with tcp-reset")).unwrap();
    assert_eq!((trace.hop, trace.of_hops), (Some(3), Some(3)), "{trace:?}");
    assert_eq!(trace.hops[2].target.as_deref(), Some("reset"));
}
