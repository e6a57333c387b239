//! Reassembly: in any order, overlapping, incomplete, over the limits.

use proptest::prelude::*;

use super::*;
use crate::decoder::build::*;
use crate::{Decoded, Packet};

/// A piece of an IPv4 packet with identification 0x1234: `data` at `offset`.
fn piece(protocol: u8, offset: u16, more: bool, data: &[u8]) -> Vec<u8> {
    let mut bytes = ipv4(protocol, data);
    let field = (offset / 8) | if more { 0x2000 } else { 0 };
    bytes[6..8].copy_from_slice(&field.to_be_bytes());
    bytes
}

fn piece_v6(next: u8, offset: u16, more: bool, data: &[u8]) -> Vec<u8> {
    let mut header = vec![next, 0];
    header.extend((offset | u16::from(more)).to_be_bytes());
    header.extend([0, 0, 0, 9]);
    ipv6(44, &join(&header, data))
}

fn push(defragmenter: &mut Defragmenter, bytes: &[u8], ts_ns: i64) -> Defragmented {
    assert_eq!(Decoder::new().decode(LinkType::RAW, bytes, ts_ns, bytes.len() as u32), Decoded::Fragment);
    defragmenter.push(&Decoder::new(), LinkType::RAW, bytes, ts_ns, bytes.len() as u32)
}

#[track_caller]
fn complete(defragmented: Defragmented) -> Reassembled {
    match defragmented {
        Defragmented::Complete(packet) => *packet,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn packet_of(packet: &Reassembled) -> Packet {
    match (Decoder { verify_checksums: true }).decode_reassembled(packet) {
        Decoded::Packet(packet) => packet,
        other => panic!("{other:?}"),
    }
}

fn payload_of(packet: &Reassembled) -> Vec<u8> {
    let decoded = packet_of(packet);
    packet.bytes()[decoded.payload_offset as usize..][..decoded.payload_len as usize].to_vec()
}

/// A UDP datagram of 40 bytes and its payload.
fn datagram() -> (Vec<u8>, Vec<u8>) {
    let payload: Vec<u8> = (0..32).collect();
    (udp(1000, 2000, &payload), payload)
}

#[test]
fn two_pieces_in_either_order() {
    let (data, payload) = datagram();
    for reversed in [false, true] {
        let mut pieces = [piece(17, 0, true, &data[..24]), piece(17, 24, false, &data[24..])];
        if reversed {
            pieces.reverse();
        }
        let mut defragmenter = Defragmenter::default();
        assert!(matches!(push(&mut defragmenter, &pieces[0], 1), Defragmented::Held));
        let whole = complete(push(&mut defragmenter, &pieces[1], 2));
        let packet = packet_of(&whole);
        assert_eq!((packet.key.ports, packet.ts_ns, packet.frame_len), ([1000, 2000], 2, 44 + 36));
        assert_eq!(packet.issues, Issues::REASSEMBLED, "the checksum is right too");
        assert_eq!(payload_of(&whole), payload);
        assert_eq!((defragmenter.bytes_held(), defragmenter.datagrams_held()), (0, 0));
        let counters = DefragmentCounters { fragments: 2, reassembled: 1, ..Default::default() };
        assert_eq!(defragmenter.counters(), counters);
    }
}

#[test]
fn ipv6_with_headers_before_the_fragment_header() {
    let (data, payload) = datagram();
    let with_options = |fragment: Vec<u8>| {
        let mut bytes = ipv6(60, &join(&[44, 0, 1, 4, 0, 0, 0, 0], &fragment[40..]));
        bytes[7] = 9;
        bytes
    };
    let mut defragmenter = Defragmenter::default();
    push(&mut defragmenter, &with_options(piece_v6(17, 16, false, &data[16..])), 1);
    let whole = complete(push(&mut defragmenter, &with_options(piece_v6(17, 0, true, &data[..16])), 2));
    assert_eq!(payload_of(&whole), payload);
    assert_eq!(packet_of(&whole).ttl, 9);
    assert_eq!(packet_of(&whole).ip_len, 40 + 8 + 40);
}

#[test]
fn context_of_the_fragments_is_kept_and_told_apart() {
    let (data, _) = datagram();
    let tagged = |id: u8, piece: Vec<u8>| ethernet(0x8100, &[&[0, id, 8, 0][..], &piece].concat());
    let in_tunnel = |piece: Vec<u8>| ipv4_between([9; 4], [8; 4], 4, &piece);
    let mut defragmenter = Defragmenter::default();
    let mut push = |id, piece| {
        let frame = tagged(id, in_tunnel(piece));
        defragmenter.push(&Decoder::new(), LinkType::ETHERNET, &frame, 0, frame.len() as u32)
    };
    assert!(matches!(push(5, piece(17, 0, true, &data[..24])), Defragmented::Held));
    assert!(matches!(push(6, piece(17, 24, false, &data[24..])), Defragmented::Held));
    let whole = complete(push(5, piece(17, 24, false, &data[24..])));
    let packet = packet_of(&whole);
    assert_eq!(packet.key.vlan, 5);
    let direct = tagged(5, in_tunnel(ipv4(17, &data)));
    let Decoded::Packet(direct) = Decoder::new().decode(LinkType::ETHERNET, &direct, 0, 0) else { panic!() };
    assert_eq!(packet.key, direct.key);
    assert_eq!(whole.tunnels(&Decoder::new()).to_string(), "vlan:5/4in4");
}

#[test]
fn fragments_within_fragments() {
    let (data, payload) = datagram();
    let mut defragmenter = Defragmenter::default();
    let mut last = None;
    for (offset, more, range) in [(0, true, 0..24), (24, false, 24..40)] {
        let inner = piece(17, offset, more, &data[range]);
        let mut held = push(&mut defragmenter, &piece(4, 0, true, &inner[..24]), 0);
        assert!(matches!(held, Defragmented::Held));
        held = push(&mut defragmenter, &piece(4, 24, false, &inner[24..]), 0);
        let outer = complete(held);
        assert_eq!(Decoder::new().decode_reassembled(&outer), Decoded::Fragment);
        last = Some(defragmenter.push_reassembled(&Decoder::new(), &outer));
    }
    let whole = complete(last.unwrap());
    assert_eq!(payload_of(&whole), payload);
    assert_eq!(whole.tunnels(&Decoder::new()).to_string(), "4in4");
    assert_eq!(packet_of(&whole).issues, Issues::REASSEMBLED);
}

#[test]
fn overlaps_follow_the_policy() {
    let (data, payload) = datagram();
    let other = vec![0xee; 16];
    for (policy, overlaps) in [(OverlapPolicy::FirstWins, 1), (OverlapPolicy::LastWins, 1)] {
        let mut defragmenter = Defragmenter::new(DefragmentLimits::default(), policy);
        push(&mut defragmenter, &piece(17, 0, true, &data[..24]), 0);
        push(&mut defragmenter, &piece(17, 16, true, &other), 0);
        let whole = complete(push(&mut defragmenter, &piece(17, 32, false, &data[32..]), 0));
        let mut expected = payload.clone();
        let replaced = if policy == OverlapPolicy::FirstWins { 16..24 } else { 8..24 };
        expected[replaced].fill(0xee);
        assert_eq!(payload_of(&whole), expected, "{policy:?}");
        assert!(packet_of(&whole).issues.has(Issues::FRAGMENT_OVERLAP));
        assert_eq!(defragmenter.counters().overlaps, overlaps);
    }
}

#[test]
fn duplicates_are_no_overlaps() {
    let (data, payload) = datagram();
    let mut defragmenter = Defragmenter::default();
    push(&mut defragmenter, &piece(17, 0, true, &data[..24]), 0);
    push(&mut defragmenter, &piece(17, 8, true, &data[8..16]), 0);
    push(&mut defragmenter, &piece(17, 0, true, &data[..24]), 0);
    let whole = complete(push(&mut defragmenter, &piece(17, 24, false, &data[24..]), 0));
    assert_eq!(payload_of(&whole), payload);
    assert_eq!(packet_of(&whole).issues, Issues::REASSEMBLED);
    assert_eq!((defragmenter.counters().duplicates, defragmenter.counters().overlaps), (2, 0));
}

#[test]
fn teardrop_and_contradicting_ends() {
    let (data, _) = datagram();
    let mut defragmenter = Defragmenter::default();
    // The second lies within the first, and ends before it.
    push(&mut defragmenter, &piece(17, 0, true, &data[..40]), 0);
    let whole = complete(push(&mut defragmenter, &piece(17, 24, false, &[9; 4]), 0));
    assert_eq!(packet_of(&whole).ip_len, 20 + 28);
    assert!(packet_of(&whole).issues.has(Issues::FRAGMENT_OVERLAP));
    // Something beyond the end.
    push(&mut defragmenter, &piece(17, 24, false, &data[24..]), 0);
    assert!(matches!(push(&mut defragmenter, &piece(17, 80, true, &[1; 8]), 0), Defragmented::Held));
    let whole = complete(push(&mut defragmenter, &piece(17, 0, true, &data[..24]), 0));
    assert_eq!(packet_of(&whole).ip_len, 60);
    assert_eq!(defragmenter.counters().overlaps, 2);
    assert_eq!(defragmenter.bytes_held(), 0);
}

#[test]
fn malformed_fragments() {
    let mut defragmenter = Defragmenter::default();
    assert!(matches!(push(&mut defragmenter, &piece(17, 8, true, &[]), 0), Defragmented::Dropped));
    assert!(matches!(push(&mut defragmenter, &piece(17, 8, true, &[1; 7]), 0), Defragmented::Dropped));
    // Beyond 65535: the "ping of death".
    assert!(matches!(push(&mut defragmenter, &piece(1, 65528, false, &[1; 40]), 0), Defragmented::Dropped));
    assert_eq!(defragmenter.counters().malformed, 3);
    assert_eq!((defragmenter.datagrams_held(), defragmenter.bytes_held()), (0, 0));
    let whole = inner();
    let kept = defragmenter.push(&Decoder::new(), LinkType::RAW, &whole, 0, whole.len() as u32);
    assert!(matches!(kept, Defragmented::NotAFragment));
}

#[test]
fn tiny_fragments() {
    let segment = tcp(40000, 443, b"hello");
    let mut defragmenter = Defragmenter::default();
    let mut last = None;
    for (index, chunk) in segment.chunks(8).enumerate() {
        let more = (index + 1) * 8 < segment.len();
        last = Some(push(&mut defragmenter, &piece(6, index as u16 * 8, more, chunk), 0));
    }
    assert_eq!(payload_of(&complete(last.unwrap())), b"hello");
}

#[test]
fn cut_by_the_snap_length() {
    let (data, payload) = datagram();
    let mut defragmenter = Defragmenter::default();
    let first = piece(17, 0, true, &data[..24]);
    let kept = defragmenter.push(&Decoder::new(), LinkType::RAW, &first[..40], 0, first.len() as u32);
    assert!(matches!(kept, Defragmented::Held));
    let whole = complete(push(&mut defragmenter, &piece(17, 24, false, &data[24..]), 0));
    let packet = packet_of(&whole);
    assert_eq!((packet.payload_len, packet.payload_wire_len), (12, 32));
    assert_eq!(packet.issues, Issues::REASSEMBLED.with(Issues::SNAPPED));
    assert_eq!(payload_of(&whole), payload[..12]);
}

#[test]
fn what_never_completes_can_be_had() {
    let (data, payload) = datagram();
    let mut defragmenter = Defragmenter::default();
    push(&mut defragmenter, &piece(17, 0, true, &data[..24]), 0);
    push(&mut defragmenter, &piece(6, 8, true, &data[..24]), 1);
    assert!(defragmenter.take_incomplete().is_none());
    push(&mut defragmenter, &piece(1, 0, true, &data[..24]), 30_000_000_001);
    let cut = defragmenter.take_incomplete().unwrap();
    let packet = packet_of(&cut);
    assert_eq!((packet.key.ports, packet.payload_len), ([1000, 2000], 16));
    assert_eq!(payload_of(&cut), payload[..16]);
    assert!(defragmenter.take_incomplete().is_none());
    assert_eq!(defragmenter.counters().timed_out, 1);
    // The one without its first fragment gives nothing; the last is still there.
    assert_eq!(packet_of(&defragmenter.drain().unwrap()).key.protocol, 1);
    assert!(defragmenter.drain().is_none());
    assert_eq!(defragmenter.counters().unfinished, 2);
    assert_eq!((defragmenter.datagrams_held(), defragmenter.bytes_held()), (0, 0));
}

#[test]
fn limits_hold() {
    let limits = DefragmentLimits { bytes_max: 20_000, datagrams_max: 10, timeout_ns: 30_000_000_000 };
    let mut defragmenter = Defragmenter::new(limits, OverlapPolicy::FirstWins);
    for index in 0..1000_u16 {
        let mut bytes = piece(17, 0, true, &[7; 800]);
        bytes[4..6].copy_from_slice(&index.to_be_bytes());
        push(&mut defragmenter, &bytes, i64::from(index));
        assert!(defragmenter.datagrams_held() <= 10 && defragmenter.bytes_held() <= 20_000);
    }
    assert_eq!(defragmenter.counters().evicted, 990);
    let mut waiting = 0;
    while defragmenter.take_incomplete().is_some() {
        waiting += 1;
    }
    assert_eq!(waiting, 64);
    // One datagram in many pieces is bounded too.
    let mut defragmenter = Defragmenter::new(limits, OverlapPolicy::FirstWins);
    for index in 0..8000_u16 {
        push(&mut defragmenter, &piece(17, index / 2 * 16, true, &[7; 8]), 0);
        assert!(defragmenter.bytes_held() <= 20_000);
    }
}

/// What a receiver that keeps a byte map would have.
fn model(pieces: &[(u16, bool, Vec<u8>)], policy: OverlapPolicy) -> Vec<Option<u8>> {
    let mut map = vec![None; 1024];
    for (offset, _, data) in pieces {
        for (index, byte) in data.iter().enumerate() {
            let place = &mut map[usize::from(*offset) + index];
            if place.is_none() || policy == OverlapPolicy::LastWins {
                *place = Some(*byte);
            }
        }
    }
    map
}

proptest! {
    /// A packet cut anywhere, in any order, comes out as it was.
    #[test]
    fn any_cut_in_any_order(
        payload in prop::collection::vec(any::<u8>(), 0..600),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
        order in any::<u64>(),
        v6: bool,
    ) {
        let data = udp(1000, 2000, &payload);
        let blocks = data.len().div_ceil(8);
        prop_assume!(blocks > 1);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| (cut.index(blocks - 1) + 1) * 8).collect();
        ends.push(data.len());
        ends.sort_unstable();
        ends.dedup();
        let mut start = 0;
        let mut pieces: Vec<Vec<u8>> = ends.iter().map(|&end| {
            let (more, part) = (end < data.len(), &data[start..end]);
            let made = if v6 { piece_v6(17, start as u16, more, part) } else { piece(17, start as u16, more, part) };
            start = end;
            made
        }).collect();
        let mut random = order | 1;
        for index in (1..pieces.len()).rev() {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            pieces.swap(index, (random >> 33) as usize % (index + 1));
        }
        let mut defragmenter = Defragmenter::default();
        let last = pieces.pop().unwrap();
        for bytes in &pieces {
            prop_assert!(matches!(push(&mut defragmenter, bytes, 0), Defragmented::Held));
        }
        let whole = complete(push(&mut defragmenter, &last, 0));
        let expected = if v6 { ipv6(17, &data) } else { ipv4(17, &data) };
        prop_assert_eq!(whole.bytes(), &expected[..]);
        prop_assert_eq!(payload_of(&whole), payload);
        prop_assert_eq!(defragmenter.bytes_held(), 0);
    }

    /// Overlapping pieces resolve byte by byte as the policy says, and the accounting comes out at zero.
    #[test]
    fn overlaps_agree_with_a_byte_map(
        pieces in prop::collection::vec((0_u16..40, 1_usize..12, any::<u8>()), 1..30),
        last_wins: bool,
    ) {
        let policy = if last_wins { OverlapPolicy::LastWins } else { OverlapPolicy::FirstWins };
        let pieces: Vec<_> = pieces.into_iter()
            .map(|(block, blocks, fill)| (block * 8, true, vec![fill; blocks * 8])).collect();
        let mut defragmenter = Defragmenter::new(DefragmentLimits::default(), policy);
        for (offset, more, data) in &pieces {
            push(&mut defragmenter, &piece(253, *offset, *more, data), 0);
        }
        let expected: Vec<u8> = model(&pieces, policy).into_iter().map_while(|byte| byte).collect();
        let got = defragmenter.drain();
        prop_assert_eq!(got.as_ref().map(payload_of).unwrap_or_default(), expected);
        prop_assert_eq!((defragmenter.bytes_held(), defragmenter.datagrams_held()), (0, 0));
    }

    #[test]
    fn any_fragments(
        frames in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..60),
        last_wins: bool,
    ) {
        let policy = if last_wins { OverlapPolicy::LastWins } else { OverlapPolicy::FirstWins };
        let limits = DefragmentLimits { bytes_max: 5000, datagrams_max: 4, timeout_ns: 30 };
        let mut defragmenter = Defragmenter::new(limits, policy);
        for (index, (field, data, v6)) in frames.iter().enumerate() {
            let bytes = if *v6 {
                piece_v6(17, field & 0xfff8, field & 1 == 1, data)
            } else {
                let mut bytes = ipv4(17, data);
                bytes[6..8].copy_from_slice(&field.to_be_bytes());
                bytes
            };
            let wire_len = bytes.len() as u32 + u32::from(field % 3);
            if let Defragmented::Complete(whole) =
                defragmenter.push(&Decoder::new(), LinkType::RAW, &bytes, index as i64, wire_len)
            {
                whole.decode(&Decoder::new());
            }
            assert!(defragmenter.bytes_held() <= 5000 && defragmenter.datagrams_held() <= 4);
        }
        while let Some(cut) = defragmenter.drain() {
            cut.decode(&Decoder::new());
        }
        prop_assert_eq!(defragmenter.bytes_held(), 0);
    }
}
