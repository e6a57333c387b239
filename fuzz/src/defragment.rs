//! Fragments. Input: a byte that says how to read the rest: frames as they are, or fragments of datagrams whose every
//! byte is known, so that what comes out can be checked.

use daylight_packet::{
    Decoded, Decoder, DefragmentLimits, Defragmented, Defragmenter, LinkType, OverlapPolicy, Reassembled,
};

use crate::decode;
use crate::input::Input;

/// Fragments within fragments within fragments: no deeper than the engine goes.
const DEPTH_MAX: usize = 8;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mode = input.u8();
    let policy = if mode & 1 == 0 { OverlapPolicy::FirstWins } else { OverlapPolicy::LastWins };
    let small = mode & 2 != 0;
    let limits = if small {
        DefragmentLimits { bytes_max: 4096, datagrams_max: 4, timeout_ns: 1_000_000_000 }
    } else {
        DefragmentLimits::default()
    };
    let mut all = Defragmenter::new(limits, policy);
    if mode & 4 == 0 { known(&mut all, limits, input) } else { frames(&mut all, limits, input) }
    while let Some(packet) = all.drain() {
        check_packet(&packet);
    }
    assert_eq!((all.bytes_held(), all.datagrams_held()), (0, 0), "nothing is held once drained");
    let c = all.counters();
    assert!(c.reassembled + c.timed_out + c.evicted + c.unfinished <= c.fragments);
}

/// Any frames: (link, time, bytes not captured, length, frame).
fn frames(all: &mut Defragmenter, limits: DefragmentLimits, mut input: Input<'_>) {
    let decoder = Decoder::new();
    let (mut now_ns, mut pushed) = (0, 0);
    while !input.is_empty() {
        let link = decode::link(input.u16());
        now_ns += i64::from(input.u8()) * 100_000_000;
        let missing = input.u8();
        let len = usize::from(input.u8()) * 4;
        let frame = input.take(len);
        let mut result = all.push(&decoder, link, frame, now_ns, frame.len() as u32 + u32::from(missing));
        for _ in 0..DEPTH_MAX {
            pushed += u64::from(!matches!(result, Defragmented::NotAFragment));
            check_bounds(all, limits);
            let Defragmented::Complete(packet) = result else { break };
            check_packet(&packet);
            result = all.push_reassembled(&decoder, &packet);
        }
        while let Some(packet) = all.take_incomplete() {
            check_packet(&packet);
        }
    }
    assert_eq!(all.counters().fragments, pushed);
}

/// The byte at `at` of the datagram `id`'s payload.
fn byte(id: u8, at: usize) -> u8 {
    (at as u8).wrapping_mul(31) ^ ((at >> 8) as u8) ^ id.wrapping_mul(97)
}

/// Fragments of known datagrams: (version and identification, place and length in words of 8 bytes, time).
fn known(all: &mut Defragmenter, limits: DefragmentLimits, mut input: Input<'_>) {
    let decoder = Decoder::new();
    let mut now_ns = 0;
    while !input.is_empty() {
        let which = input.u8();
        let (is_v6, id) = (which & 0x80 != 0, which & 0x0f);
        let place = input.u16();
        let (offset, is_last) = (usize::from(place & 0x0fff) * 8, place & 0x8000 != 0);
        let words = usize::from(input.u8());
        let len = if is_last { words * 3 } else { words * 8 };
        now_ns += i64::from(input.u8() & 0x0f) * 50_000_000;
        let payload: Vec<u8> = (offset..offset + len).map(|at| byte(id, at)).collect();
        let frame = if is_v6 { v6(id, offset, is_last, &payload) } else { v4(id, offset, is_last, &payload) };
        let result = all.push(&decoder, LinkType::RAW, &frame, now_ns, frame.len() as u32);
        // A fragment at the start that is the last one too is none.
        assert_eq!(matches!(result, Defragmented::NotAFragment), offset == 0 && is_last);
        check_bounds(all, limits);
        if let Defragmented::Complete(packet) = &result {
            check_packet(packet);
            // IPv6: the fragment header is gone.
            check_content(packet, id, if is_v6 { 40 } else { 20 });
        }
        while let Some(packet) = all.take_incomplete() {
            check_packet(&packet);
        }
    }
}

/// Every byte is where it belongs, whatever the order, the repetitions and the overlaps were.
fn check_content(packet: &Reassembled, id: u8, header: usize) {
    let payload = packet.bytes().get(header..).unwrap_or_default();
    for (at, got) in payload.iter().enumerate() {
        assert_eq!(*got, byte(id, at), "byte {at} of {}", payload.len());
    }
}

fn v4(id: u8, offset: usize, is_last: bool, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend_from_slice(&((20 + payload.len()) as u16).to_be_bytes());
    packet.extend_from_slice(&[0, id]);
    packet.extend_from_slice(&((offset / 8) as u16 | if is_last { 0 } else { 0x2000 }).to_be_bytes());
    // 253 is for experiments: nothing is read of what it carries.
    packet.extend_from_slice(&[64, 253, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend_from_slice(payload);
    packet
}

fn v6(id: u8, offset: usize, is_last: bool, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
    packet.extend_from_slice(&[44, 64]);
    packet.extend_from_slice(&[[0xfd; 16], [0xfe; 16]].concat());
    packet.extend_from_slice(&[253, 0]);
    packet.extend_from_slice(&((offset as u16) | u16::from(!is_last)).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, id]);
    packet.extend_from_slice(payload);
    packet
}

fn check_bounds(all: &Defragmenter, limits: DefragmentLimits) {
    assert!(all.bytes_held() <= limits.bytes_max, "{} bytes", all.bytes_held());
    assert!(all.datagrams_held() <= limits.datagrams_max);
}

fn check_packet(packet: &Reassembled) {
    let decoder = Decoder::new();
    let decoded = packet.decode(&decoder);
    assert_eq!(decoded, decoder.decode_reassembled(packet));
    if let Decoded::Packet(decoded) = decoded {
        decode::check_packet(&decoded, packet.bytes());
        assert_eq!(decoded.ts_ns, packet.ts_ns());
    }
    packet.tunnels(&decoder);
}
