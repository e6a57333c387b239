//! Walks over a capture and touches the first 64 bytes of each packet: what reading costs, without the rest.
//!
//! `walk FILE [read] [FRAMES_MAX] [decode]`

#![allow(clippy::print_stdout)]

use std::path::Path;

use daylight_packet::{Decoded, Decoder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let path = arguments.get(1).ok_or("usage: walk FILE [read] [FRAMES_MAX] [decode]")?;
    let memory_map = !arguments.iter().any(|argument| argument == "read");
    let decode = arguments.iter().any(|argument| argument == "decode");
    let frames_max = arguments.iter().skip(2).find_map(|argument| argument.parse().ok()).unwrap_or(1024);
    let mut source = daylight_capture::OpenOptions { memory_map }.open(Path::new(path))?;
    let decoder = Decoder::new();
    let (mut packets, mut mixed) = (0_u64, 0_u64);
    let mut kinds = [0_u64; 4];
    while let Some(batch) = source.next_batch(frames_max)? {
        packets += batch.frames.len() as u64;
        let data = batch.data.bytes();
        for frame in &batch.frames {
            let bytes = &data[frame.offset as usize..][..frame.cap_len as usize];
            if decode {
                match decoder.decode(frame.link, bytes, frame.ts_ns, frame.wire_len) {
                    Decoded::Packet(packet) => {
                        kinds[0] += 1;
                        mixed ^= packet.key.words()[1] ^ u64::from(packet.payload_len);
                    }
                    Decoded::Fragment => kinds[1] += 1,
                    Decoded::NotIp => kinds[2] += 1,
                    Decoded::Broken => kinds[3] += 1,
                }
            } else {
                for word in bytes.as_chunks::<8>().0.iter().take(8) {
                    mixed ^= u64::from_le_bytes(*word);
                }
            }
        }
    }
    println!("{packets} packets, end {:?}, kinds {kinds:?}, mixed {mixed:x}", source.end());
    Ok(())
}
