//! The rules by which the kernel carries a connection whose verdict is final (`docs/reference/nfqueue.md`).

use std::collections::HashMap;

use daylight_capture::nfqueue::{Bits, Options, Verdict};

use crate::net::{Net, SERVER_V4, SERVER_V6, has};
use crate::traffic::{Echo, transfer};

const MASK: u32 = 0x0f00_0000;
const PASS: Bits = Bits { value: 0x0100_0000, mask: MASK };
const DROP: Bits = Bits { value: 0x0200_0000, mask: MASK };

/// Somebody else's bits of the connection's mark, set before all.
const OTHERS: &str = "-t raw -A PREROUTING -j MARK --set-xmark 0x7/0x7";

/// The documented rules in one chain.
const ONE_CHAIN: &[&str] = &[
    "-t mangle -A FORWARD -j CONNMARK --set-xmark 0x7/0x7",
    "-A FORWARD -m mark ! --mark 0x0/0xf000000 -j CONNMARK --save-mark --nfmask 0xf000000 --ctmask 0xf000000",
    "-A FORWARD -m connmark --mark 0x1000000/0xf000000 -j RETURN",
    "-A FORWARD -m connmark --mark 0x2000000/0xf000000 -m comment --comment stopped -j DROP",
    "-A FORWARD -j NFQUEUE --queue-num 5 --queue-bypass",
];

/// The documented rules in two chains.
const TWO_CHAINS: &[&str] = &[
    "-t mangle -A FORWARD -j CONNMARK --set-xmark 0x7/0x7",
    "-t mangle -A FORWARD -m connmark --mark 0x0/0xf000000 -j NFQUEUE --queue-num 5 --queue-bypass",
    "-A FORWARD -m mark ! --mark 0x0/0xf000000 -j CONNMARK --save-mark --nfmask 0xf000000 --ctmask 0xf000000",
    "-A FORWARD -m connmark --mark 0x2000000/0xf000000 -m comment --comment stopped -j DROP",
];

/// Each with the verdict by which a packet gets to the rule that saves its mark.
const SETS: [(&[&str], Verdict); 2] = [(ONE_CHAIN, Verdict::REPEAT), (TWO_CHAINS, Verdict::ACCEPT)];

/// A router with these rules.
fn net_with(rules: &[&str]) -> Option<Net> {
    let net = Net::new()?;
    net.rule(OTHERS);
    rules.iter().for_each(|rule| net.rule(rule));
    Some(net)
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
    for (rules, last) in SETS {
        let Some(net) = net_with(rules) else { return };
        let mut seen = HashMap::new();
        let filter = net.filter(5, Options::default(), move |packet, verdict| {
            assert_eq!(packet.mark, 0x7, "an undecided packet, once");
            let packets = seen.entry(connection(packet.payload)).or_insert(0);
            *packets += 1;
            // And those which were on their way when the sixth was answered.
            if *packets >= 6 {
                *verdict = last.marked(PASS);
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
                assert_eq!(marks, [format!("mark={}", 0x0100_0007).as_str()], "{entries}");
            }
        } else {
            eprintln!("not checked: conntrack's table (Debian: conntrack)");
        }
        let counters = filter.stop();
        assert!(counters.packets >= 12, "{counters:?}");
        assert!(counters.bytes < len as u64 / 4, "{counters:?}");
        assert_eq!(counters.dropped, 0);
        assert_eq!(counters.repeated > 0, last == Verdict::REPEAT);
    }
}

#[test]
fn what_is_dropped_is_dropped_by_the_kernel_from_then_on() {
    for (rules, last) in SETS {
        let Some(net) = net_with(rules) else { return };
        for server in [SERVER_V4, SERVER_V6] {
            let filter = net.filter(5, Options::default(), move |packet, verdict| {
                if packet.payload.ends_with(b"forbidden") {
                    // Not dropped yet, so that it gets to the rules that note and drop it.
                    *verdict = last.marked(DROP);
                }
            });
            let (mut stopped, mut other) = (Echo::new(&net, server), Echo::new(&net, server));
            assert!(stopped.says("hello") && other.says("hello"));
            let hits = net.hits("stopped");
            assert!(!stopped.says("forbidden"));
            assert!(filter.stop().packets > 0);
            // With nobody at the queue, where everything undecided passes.
            assert!(!stopped.says("hello again"));
            assert!(other.says("forbidden, but nobody looks"));
            assert!(net.hits("stopped") > hits + 1);
            other.end();
            drop(stopped.client);
        }
    }
}
