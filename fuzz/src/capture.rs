//! Capture files: pcap, pcapng, under gzip and zstd. Input: the file.

use daylight_capture::{PcapngWriter, open_bytes};
use daylight_packet::{Frame, LinkType, SourceEnd};

/// What is unpacked beyond this is not looked at: some hundred bytes can unpack to very many.
const BYTES_MAX: usize = 1 << 20;
const FRAMES_MAX: usize = 20_000;

/// A frame and its bytes.
type Got = (Frame, Vec<u8>);

/// Frames in batches of `frames_max`, and why they ended (if they ended within the bounds).
fn read(file: &[u8], frames_max: usize) -> Option<(Vec<Got>, Option<SourceEnd>)> {
    let mut source = open_bytes(file.to_vec()).ok()?;
    let (mut all, mut total) = (Vec::new(), 0);
    while let Ok(Some(batch)) = source.next_batch(frames_max) {
        assert!((1..=frames_max).contains(&batch.frames.len()));
        for frame in &batch.frames {
            let bytes = batch.frame_bytes(frame);
            assert_eq!(bytes.len(), frame.cap_len as usize, "the frame lies within its batch");
            assert!(frame.wire_len >= frame.cap_len);
            total += bytes.len();
            all.push((Frame { offset: 0, ..*frame }, bytes.to_vec()));
        }
        if total > BYTES_MAX || all.len() > FRAMES_MAX {
            return Some((all, None));
        }
    }
    assert!(matches!(source.next_batch(frames_max), Ok(None) | Err(_)), "an end is an end");
    let end = source.end();
    if let SourceEnd::Damaged { reason, .. } = &end {
        assert!(!reason.is_empty());
    }
    Some((all, Some(end)))
}

pub(crate) fn run(data: &[u8]) {
    let Some((frames, end)) = read(data, 1000) else { return };
    if end.is_none() {
        return;
    }
    for frames_max in [1, 7] {
        let again = read(data, frames_max);
        assert!(again == Some((frames.clone(), end.clone())), "batches of {frames_max} make a difference");
    }
    written_again(&frames);
}

/// What was read can be written, and reads as what it was.
fn written_again(frames: &[Got]) {
    let mut links: Vec<LinkType> = Vec::new();
    // A time that pcapng can't tell, and a longer frame than any reader takes, are refused by the writer.
    let mut kept = Vec::new();
    let Ok(mut writer) = PcapngWriter::new(Vec::new(), "fuzz", None) else { panic!("writing to memory") };
    for (frame, bytes) in frames.iter().take(200) {
        let interface = links.iter().position(|link| *link == frame.link).unwrap_or_else(|| {
            links.push(frame.link);
            assert_eq!(writer.interface(frame.link, 0, None).ok(), Some(links.len() as u32 - 1));
            links.len() - 1
        });
        if writer.write(interface as u32, frame.ts_ns, frame.wire_len, bytes, None).is_ok() {
            kept.push((*frame, bytes.clone()));
        }
    }
    let file = writer.into_inner();
    if !kept.is_empty() {
        let again = read(&file, 1000);
        assert!(again == Some((kept, Some(SourceEnd::Complete))), "what was written reads differently");
    }
}
