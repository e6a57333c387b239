//! Sends a capture's frames onto an interface, again and again, at a rate: `send INTERFACE CAPTURE PACKETS_PER_S SECONDS`.
//!
//! Everything is in memory before it begins. Each time round, the last two bytes of IPv4 source and destination are changed
//! alike for both directions of a flow, so that flows are new; other frames go as they are. Only for interfaces that belong
//! to a test.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

use std::time::{Duration, Instant};

use daylight_capture::raw_socket::{BATCH_FRAMES_MAX, Offload, RawFrame, RawSocket};

fn main() {
    let mut args = std::env::args().skip(1);
    let usage = "usage: send INTERFACE CAPTURE PACKETS_PER_S SECONDS";
    let (Some(interface), Some(capture)) = (args.next(), args.next()) else { panic!("{usage}") };
    let rate: f64 = args.next().and_then(|text| text.parse().ok()).expect(usage);
    let seconds: f64 = args.next().and_then(|text| text.parse().ok()).expect(usage);
    let mut source = daylight_capture::open(capture.as_ref()).unwrap();
    let mut frames: Vec<RawFrame> = Vec::new();
    while let Some(batch) = source.next_batch(1024).unwrap() {
        for frame in &batch.frames {
            let bytes = batch.frame_bytes(frame);
            // Longer ones do not fit through an interface of ordinary size.
            if bytes.len() <= 1514 {
                frames.push(RawFrame { offload: Offload::default(), bytes: bytes.to_vec() });
            }
        }
    }
    let socket = RawSocket::open(&interface).unwrap();
    let (start, length) = (Instant::now(), Duration::from_secs_f64(seconds));
    let (mut sent, mut bytes, mut at, mut round) = (0u64, 0u64, 0, 0u16);
    while start.elapsed() < length {
        let due = (start.elapsed().as_secs_f64() * rate) as u64;
        if sent >= due {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        let most = usize::try_from(due - sent).unwrap_or(BATCH_FRAMES_MAX).min(BATCH_FRAMES_MAX);
        let group = &frames[at..(at + most).min(frames.len())];
        let taken = socket.send(group.iter()).unwrap_or(0);
        bytes += group[..taken].iter().map(|frame| frame.bytes.len() as u64).sum::<u64>();
        sent += taken as u64;
        at += taken;
        if at == frames.len() {
            (at, round) = (0, round.wrapping_add(1));
            frames.iter_mut().for_each(|frame| renumber(&mut frame.bytes, round));
        }
    }
    let took = start.elapsed().as_secs_f64();
    println!(
        "sent {sent} packets, {bytes} bytes in {took:.2} s: {:.0} packets/s, {:.3} Gbit/s",
        sent as f64 / took,
        bytes as f64 * 8.0 / took / 1e9
    );
}

/// Gives an IPv4 packet's addresses another middle, the same for both directions.
fn renumber(frame: &mut [u8], round: u16) {
    if frame.get(12..14) == Some(&[8, 0]) && frame.len() >= 34 {
        for at in [28, 32] {
            frame[at - 1] = (round >> 8) as u8 ^ 0x40;
            frame[at] = round as u8;
        }
    }
}
