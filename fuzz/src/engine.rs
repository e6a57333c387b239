//! The whole pipeline. Input: a capture file, or if it is none, packets: a byte for the link type, then (length in two
//! bytes, of which the upper four bits are seconds; frame).
//!
//! One thread and two give the same records, and every writer can write them.

use std::sync::Arc;

use daylight_inspect::{Config, Control, EventRecord, FlowRecord, RecordSink, RunStats, columns, inspect};
use daylight_packet::{Batch, Frame, FrameSource, SourceEnd, SourceError};
use daylight_store::{Destination, Format};

use crate::decode;
use crate::input::Input;

/// What unpacks to more than this is left alone.
const BYTES_MAX: usize = 1 << 20;

/// Some flows, of which most have fields.
pub(crate) const SAMPLE: &[u8] = include_bytes!("../seeds/engine/sample");

/// Frames in memory.
struct Frames {
    frames: Vec<(Frame, Vec<u8>)>,
    at: usize,
}

impl FrameSource for Frames {
    fn next_batch(&mut self, frames_max: usize) -> Result<Option<Batch>, SourceError> {
        let (mut data, mut frames) = (Vec::new(), Vec::new());
        for (frame, bytes) in self.frames.iter().skip(self.at).take(frames_max) {
            frames.push(Frame { offset: data.len() as u32, ..*frame });
            data.extend_from_slice(bytes);
        }
        self.at += frames.len();
        Ok((!frames.is_empty()).then(|| Batch { data: Arc::new(data), frames }))
    }

    fn end(&self) -> SourceEnd {
        SourceEnd::Complete
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.at as u64, Some(self.frames.len() as u64))
    }
}

/// The frames of a capture file, up to the bound.
fn of_file(data: &[u8]) -> Option<Vec<(Frame, Vec<u8>)>> {
    let mut source = daylight_capture::open_bytes(data.to_vec()).ok()?;
    let (mut frames, mut total) = (Vec::new(), 0);
    while let Ok(Some(batch)) = source.next_batch(100) {
        for frame in &batch.frames {
            let bytes = batch.frame_bytes(frame).to_vec();
            total += bytes.len() + 64;
            frames.push((*frame, bytes));
        }
        if total > BYTES_MAX {
            break;
        }
    }
    Some(frames)
}

fn of_packets(data: &[u8]) -> Vec<(Frame, Vec<u8>)> {
    let mut input = Input::new(data);
    let link = decode::link(u16::from(input.u8()));
    let (mut frames, mut ts_ns) = (Vec::new(), 1_704_067_200_000_000_000);
    while !input.is_empty() {
        let head = input.u16();
        ts_ns += i64::from(head >> 12) * 1_000_000_000 + 1_000_000;
        let bytes = input.take(usize::from(head & 0xfff)).to_vec();
        let len = bytes.len() as u32;
        frames.push((Frame { ts_ns, offset: 0, cap_len: len, wire_len: len, link }, bytes));
    }
    frames
}

/// Everything that comes out.
#[derive(Default, PartialEq)]
struct Seen {
    flows: Vec<FlowRecord>,
    events: Vec<EventRecord>,
}

impl RecordSink for Seen {
    fn flow(&mut self, record: Box<FlowRecord>) {
        self.flows.push(*record);
    }

    fn event(&mut self, event: EventRecord) {
        self.events.push(event);
    }
}

fn run_with(frames: Vec<(Frame, Vec<u8>)>, threads: usize) -> (Seen, RunStats) {
    let config = Config { threads, seed: Some(threads as u64), ..Config::default() };
    let mut seen = Seen::default();
    let mut source = Frames { frames, at: 0 };
    let stats = match inspect(&mut source, "fuzz", &Arc::new(config), &Control::default(), &mut seen) {
        Ok(stats) => stats,
        Err(error) => panic!("memory can be read: {error}"),
    };
    (seen, stats)
}

/// The records of packets.
pub(crate) fn records(data: &[u8]) -> Vec<FlowRecord> {
    run_with(of_packets(data), 1).0.flows
}

pub(crate) fn run(data: &[u8]) {
    let frames = of_file(data).unwrap_or_else(|| of_packets(data));
    let count = frames.len() as u64;
    let (one, stats) = run_with(frames.clone(), 1);
    assert_eq!(stats.shards.parser_panics, 0, "a parser panicked");
    assert_eq!(stats.frames.frames, count);
    let packets: u64 = one.flows.iter().map(|r| r.src.packets + r.dst.packets).sum();
    assert!(packets <= count, "{packets} packets of {count} frames");
    assert!(one.flows.iter().all(|r| r.src.packets + r.dst.packets > 0 && r.start_ns <= r.end_ns));
    let (two, others) = run_with(frames, 2);
    assert!(one == two, "threads make a difference: {:#?} {:#?}", one.flows, two.flows);
    assert_eq!(stats.shards.reassembly, others.shards.reassembly);
    // Parquet takes longer than all the rest, for its hundreds of columns: the fuzzer tries it now and then.
    let sum = data.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    let formats = &[Format::Jsonl, Format::Csv, Format::Zeek, Format::Parquet];
    written(&one, if cfg!(feature = "libfuzzer") && sum % 8 > 0 { &formats[..3] } else { formats });
}

/// Every writer takes what there is.
fn written(seen: &Seen, formats: &[Format]) {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => panic!("no room for files: {error}"),
    };
    for &format in formats {
        let path = folder.path().join(format!("{format:?}"));
        let to = Destination::Path(path.clone());
        let written = daylight_store::open(format, columns().iter().collect(), &to).and_then(|mut writer| {
            seen.events.iter().for_each(|event| writer.event(event.clone()));
            seen.flows.iter().for_each(|flow| writer.flow(Box::new(flow.clone())));
            writer.finish()
        });
        match written {
            Ok(flows) => assert_eq!(flows, seen.flows.len() as u64, "{format:?}"),
            Err(error) => panic!("{format:?}: {error}"),
        }
        if format == Format::Jsonl {
            let text = std::fs::read(&path).unwrap_or_default();
            let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
            let objects = lines.map(serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>);
            assert_eq!(objects.filter(Result::is_ok).count(), seen.flows.len(), "each line is an object");
        }
    }
}
