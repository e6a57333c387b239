//! Keeps many flows alive on an interface, and scans, for a soak: `soak INTERFACE FLOWS SCANNED SECONDS`.
//!
//! Each of so many UDP flows has a packet every forty seconds, which is less than their time-out; beside them a SYN goes to
//! each of so many addresses, spread over the time. Only for interfaces that belong to a test.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use daylight_capture::raw_socket::{BATCH_FRAMES_MAX, Offload, RawFrame, RawSocket};

const ROUND_S: f64 = 40.0;

/// A frame with an IPv4 packet of this transport from and to these addresses and ports, with so many bytes after the ports.
fn frame(transport: u8, from: (u32, u16), to: (u32, u16), rest: &[u8]) -> RawFrame {
    let mut bytes = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 8, 0, 0x45, 0];
    bytes.extend((24 + rest.len() as u16).to_be_bytes());
    bytes.extend([0, 1, 0x40, 0, 64, transport, 0, 0]);
    bytes.extend(from.0.to_be_bytes());
    bytes.extend(to.0.to_be_bytes());
    bytes.extend(from.1.to_be_bytes());
    bytes.extend(to.1.to_be_bytes());
    bytes.extend(rest);
    RawFrame { offload: Offload::default(), bytes }
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(2).map(|text| text.parse().unwrap()).collect();
    let interface = std::env::args().nth(1).unwrap();
    let [flows, scanned, seconds] = numbers[..] else {
        panic!("usage: soak INTERFACE FLOWS SCANNED SECONDS")
    };
    let socket = RawSocket::open(&interface).unwrap();
    let (start, length) = (Instant::now(), Duration::from_secs(seconds));
    let (per_s, scan_per_s) = (flows as f64 / ROUND_S, scanned as f64 / seconds as f64);
    let (mut sent, mut swept) = (0u64, 0u64);
    while start.elapsed() < length {
        let elapsed = start.elapsed().as_secs_f64();
        let mut group = Vec::new();
        while sent < (elapsed * per_s) as u64 && group.len() < BATCH_FRAMES_MAX / 2 {
            let flow = (sent % flows) as u32;
            // 24 bytes after the ports: length, checksum, and a payload that is no protocol's.
            let rest =
                [&[0, 28, 0, 0], &flow.to_be_bytes().map(|byte| byte ^ 0x5a)[..], &[0xee; 16]].concat();
            group.push(frame(
                17,
                (0x0a00_0000 + flow / 16, 20_000 + (flow % 16) as u16),
                (0xc633_6407, 9999),
                &rest,
            ));
            sent += 1;
        }
        while swept < (elapsed * scan_per_s) as u64 && group.len() < BATCH_FRAMES_MAX {
            let syn = [0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
            group.push(frame(6, (0xcb00_7105, 44_444), (0x1000_0000 + swept as u32, 23), &syn));
            swept += 1;
        }
        if group.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let mut at = 0;
        while at < group.len() {
            at += socket.send(group[at..].iter()).unwrap();
        }
    }
    println!("sent {sent} packets of {flows} flows, and swept {swept} addresses");
}
