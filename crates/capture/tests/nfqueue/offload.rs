//! The rules by which the kernel carries a connection whose verdict is final (`docs/reference/nfqueue.md`).

use std::collections::HashMap;

use daylight_capture::nfqueue::{Bits, Options, Verdict};

use crate::net::{Net, SERVER_V4, SERVER_V6, has};
use crate::traffic::{Echo, transfer};

const PASS: Bits = Bits { value: 0x1000_0000, mask: 0x3000_0000 };
const DROP: Bits = Bits { value: 0x2000_0000, mask: 0x3000_0000 };

/// The documented rules. Somebody else's bits of the connection's mark are set before them.
fn rules(net: &Net) {
    for rule in [
        "-t mangle -A FORWARD -j CONNMARK --set-xmark 0x7/0x7",
        "-t mangle -A FORWARD -m connmark ! --mark 0x0/0x30000000 -j CONNMARK --restore-mark --nfmask 0x30000000 --ctmask 0x30000000",
        "-t mangle -A FORWARD -m connmark --mark 0x0/0x30000000 -j NFQUEUE --queue-num 5 --queue-bypass",
        "-A FORWARD -m mark ! --mark 0x0/0x30000000 -m connmark --mark 0x0/0x30000000 -j CONNMARK --save-mark --nfmask 0x30000000 --ctmask 0x30000000",
        "-A FORWARD -m mark --mark 0x20000000/0x30000000 -m comment --comment stopped -j DROP",
    ] {
        net.rule(rule);
    }
}

/// The connection a packet belongs to: its addresses and ports, in either direction.
fn connection(payload: &[u8]) -> Vec<u8> {
    let (addresses, ports) = if payload[0] >> 4 == 4 {
        (&payload[12..20], &payload[20..24])
    } else {
        (&payload[8..40], &payload[40..44])
    };
    let (a, b) = addresses.split_at(addresses.len() / 2);
    let (mut from, mut to) = ([a, &ports[..2]].concat(), [b, &ports[2..]].concat());
    if from > to {
        std::mem::swap(&mut from, &mut to);
    }
    [from, to].concat()
}

#[test]
fn what_passes_is_queued_no_more() {
    let Some(net) = Net::new() else { return };
    rules(&net);
    let mut seen = HashMap::new();
    let filter = net.filter(5, Options::default(), move |packet, verdict| {
        let packets = seen.entry(connection(packet.payload)).or_insert(0);
        *packets += 1;
        if *packets == 6 {
            *verdict = Verdict::ACCEPT.marked(PASS);
        }
    });
    let len = 16 << 20;
    transfer(&net, SERVER_V4, len);
    transfer(&net, SERVER_V6, len);
    if has("conntrack") {
        for family in ["ipv4", "ipv6"] {
            let entries = net.router(&format!("conntrack -L -f {family} -p tcp"));
            let marks: Vec<&str> =
                entries.split_whitespace().filter(|word| word.starts_with("mark=")).collect();
            // Ours and the other's bits.
            assert_eq!(marks, [format!("mark={}", 0x1000_0007).as_str()], "{entries}");
        }
    } else {
        eprintln!("not checked: conntrack's table (Debian: conntrack)");
    }
    let counters = filter.stop();
    assert!(counters.packets >= 12, "{counters:?}");
    // What was on its way when the sixth packet was answered still came.
    assert!(counters.bytes < len as u64 / 4, "{counters:?}");
    assert_eq!(counters.dropped, 0);
}

#[test]
fn what_is_dropped_is_dropped_by_the_kernel_from_then_on() {
    let Some(net) = Net::new() else { return };
    rules(&net);
    for server in [SERVER_V4, SERVER_V6] {
        let filter = net.filter(5, Options::default(), |packet, verdict| {
            if packet.payload.ends_with(b"forbidden") {
                // Accepted, so that it gets to the rules that note and drop it.
                *verdict = Verdict::ACCEPT.marked(DROP);
            }
        });
        let (mut stopped, mut other) = (Echo::new(&net, server), Echo::new(&net, server));
        assert!(stopped.says("hello") && other.says("hello"));
        let hits = net.hits("stopped");
        assert!(!stopped.says("forbidden"));
        let queued = filter.stop().packets;
        assert!(queued > 0);
        // With nobody at the queue, where everything unmarked passes.
        assert!(!stopped.says("hello again"));
        assert!(other.says("forbidden, but nobody looks"));
        assert!(net.hits("stopped") > hits + 1);
        other.end();
        drop(stopped.client);
    }
}
