//! debug
use super::NAMES;
use super::dns::query;
use crate::filtering::{policy, rule, with_filter};
use crate::namespace::{entered, run};
use crate::net::{Net, have};
use crate::raw::{Stream, Wire};
#[test]
fn debug() {
    if !have(&["nginx"]) || !entered("evasion::quic::debug") {
        return;
    }
    let mut net = Net::new();
    net.serve();
    let wires = [false, true].map(|v6| Wire::new(&net, v6));
    let rules = rule("names", "tls && hostname == \"blocked.example.org\"", "drop");
    with_filter(&net, &policy(&rules), |filter| {
        let packets = || filter.shared.counters.packets.load(std::sync::atomic::Ordering::Relaxed);
        for wire in &wires {
            let (_, hello) = crate::hello::hello(NAMES[0], 0);
            let stream = Stream::open(wire, 443);
            std::thread::sleep(std::time::Duration::from_millis(300));
            eprintln!("before {}", packets());
            let mut p = stream.segment(0, &hello);
            let n = p.len();
            p[n - 1] ^= 1;
            stream.transmit(&[p]);
            for _ in 0..5 {
                std::thread::sleep(std::time::Duration::from_millis(200));
                eprintln!("bad checksum {} {}", packets(), filter.stopped(NAMES[0]));
            }
        }
        let wire = &wires[1];
        let (_, hello) = crate::hello::hello(NAMES[0], 0);
        let mut stream = Stream::open(wire, 443);
        std::thread::sleep(std::time::Duration::from_millis(300));
        eprintln!("before {}", packets());
        let frags: Vec<_> = hello
            .chunks(100)
            .enumerate()
            .flat_map(|(i, p)| super::fragments::fragments(&stream.segment(i * 100, p), 8))
            .collect();
        stream.transmit(&frags);
        for _ in 0..4 {
            std::thread::sleep(std::time::Duration::from_millis(200));
            stream.poll();
            eprintln!("frags {} {} got {}", packets(), filter.stopped(NAMES[0]), stream.got.len());
        }
        eprintln!("{}", run("ip6tables -L -v -n; conntrack -L -f ipv6; nstat -az | grep -i reasm"));
        eprintln!("{}", String::from_utf8_lossy(&net.server.sh("nstat -az | grep -i reasm").stdout));
    });
    let _ = query("a");
}
