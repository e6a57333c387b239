//! What holds for any packets.

use daylight_injection::{Analysis, Kind, Signatures, Verdict};
use daylight_packet::LinkType;
use daylight_packet::build::{self, Stamp, Tcp};
use proptest::prelude::*;

/// A segment between two of three hosts, with fields from small sets, so that connections come about.
fn segment() -> impl Strategy<Value = Vec<u8>> {
    let place = (0..3u8, 0..2u8, any::<bool>());
    let numbers = (0..4u32, 0..4u32, any::<u8>(), prop_oneof![Just(0u16), any::<u16>()]);
    let stamp = (any::<u8>(), 0..3u16, any::<bool>());
    let payload = proptest::collection::vec(any::<u8>(), 0..40);
    (place, numbers, stamp, payload).prop_map(
        |((host, port, back), (seq, ack, flags, window), stamp, payload)| {
            let near = "192.0.2.7".parse().unwrap();
            let far = format!("203.0.113.{host}").parse().unwrap();
            let ports = [50_000 + u16::from(port), 443];
            let (source, destination) = if back { (far, near) } else { (near, far) };
            build::tcp(&Tcp {
                source,
                destination,
                source_port: ports[usize::from(back)],
                destination_port: ports[usize::from(!back)],
                seq: seq.wrapping_mul(1460).wrapping_sub(1460),
                ack: ack.wrapping_mul(1460).wrapping_sub(1460),
                flags,
                window,
                ttl: stamp.0,
                ip_id: stamp.1,
                dont_fragment: stamp.2,
                payload: &payload,
            })
        },
    )
}

fn datagram() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), any::<u8>(), proptest::collection::vec(any::<u8>(), 0..80)).prop_map(
        |(back, ttl, payload)| {
            let ends = ["192.0.2.7", "9.9.9.9"].map(|end| end.parse().unwrap());
            let (from, ports) = if back { (1, [53, 5300]) } else { (0, [5300, 53]) };
            build::udp(ends[from], ends[1 - from], ports, &Stamp { ttl, ..Stamp::default() }, &payload)
        },
    )
}

fn packet() -> impl Strategy<Value = Vec<u8>> {
    let any_bytes = proptest::collection::vec(any::<u8>(), 0..120);
    prop_oneof![6 => segment(), 3 => datagram(), 1 => any_bytes]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Nothing panics; every finding holds together: numbers are those of packets that were given, in order, what is called
    /// injected has no harmless cause in common, and what is suspect has one.
    #[test]
    fn any_packets(packets in proptest::collection::vec((packet(), prop_oneof![30 => 0..2_000_000i64, 1 => any::<i64>()]), 0..60)) {
        let mut analysis = Analysis::new();
        let mut now = 0_i64;
        for (bytes, after) in &packets {
            now = after.saturating_add(now);
            analysis.add(LinkType::RAW, bytes, now, bytes.len() as u32);
        }
        let report = analysis.finish(&Signatures::own().unwrap());
        prop_assert_eq!(report.counters.frames, packets.len() as u64);
        for finding in &report.findings {
            prop_assert!(!finding.packets.is_empty());
            prop_assert!(finding.packets.is_sorted_by(|a, b| a.number < b.number));
            for packet in &finding.packets {
                let given = &packets[usize::try_from(packet.number).unwrap() - 1].0;
                prop_assert!(given.starts_with(&packet.bytes) && !packet.bytes.is_empty());
                let ordinary = matches!(packet.kind, Kind::Data | Kind::FinAck);
                prop_assert!(!ordinary || packet.tells.iter().any(|told| told.tell.doubts_data()));
                let strong = || packet.tells.iter().filter(|told| !told.tell.is_weak());
                prop_assert!(strong().next().is_some());
                let explains = |cause| strong().all(|told| told.benign.contains(cause));
                let explained = strong().next().unwrap().benign.iter().any(explains);
                prop_assert_eq!(explained, packet.verdict == Verdict::Suspect);
                for told in &packet.tells {
                    prop_assert!(told.witnesses.iter().all(|n| *n >= 1 && *n <= report.counters.frames));
                }
            }
            for one in &finding.signatures {
                prop_assert!(one.vendor.is_none() || one.features.len() >= 2);
            }
        }
    }
}
