//! Bytes that the project has: captures, and the flows that the protocols' own tests are about.

use std::fs;
use std::path::{Path, PathBuf};

use daylight_inspect::{Config, Control, FlowRecord, RunStats, inspect};
use daylight_packet::{Batch, Frame, FrameSource, SourceEnd, SourceError};
use std::sync::Arc;

use crate::net::{ACK, Capture, End, FIN};

/// Numbers that are the same in every run.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `n`; 0 for 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }

    pub(crate) fn pick<T: Copy, const N: usize>(&mut self, among: &[T; N]) -> T {
        among[self.below(N)]
    }
}

/// A frame and its bytes.
pub(crate) type Owned = (Frame, Vec<u8>);

/// Frames in memory.
pub(crate) struct Frames<'a> {
    frames: &'a [Owned],
    at: usize,
}

impl<'a> Frames<'a> {
    pub(crate) fn new(frames: &'a [Owned]) -> Self {
        Self { frames, at: 0 }
    }
}

impl FrameSource for Frames<'_> {
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

/// Runs the engine on one thread.
pub(crate) fn run(source: &mut dyn FrameSource, config: &Arc<Config>) -> (Vec<FlowRecord>, RunStats) {
    let mut records = Vec::new();
    let stats = inspect(source, "test", config, &Control::default(), &mut records);
    (records, stats.expect("memory can be read"))
}

/// All frames of a source.
pub(crate) fn read_all(source: &mut dyn FrameSource) -> Vec<Owned> {
    let mut all = Vec::new();
    while let Some(batch) = source.next_batch(1000).expect("memory can be read") {
        all.extend(batch.frames.iter().map(|frame| (*frame, batch.frame_bytes(frame).to_vec())));
    }
    all
}

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files in a folder whose names end in one of these, in order; none if there is no such folder.
pub(crate) fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let fits = |path: &PathBuf| {
        path.extension().is_some_and(|e| endings.iter().any(|ending| e.eq_ignore_ascii_case(ending)))
    };
    let mut files: Vec<_> = entries.filter(fits).collect();
    files.sort();
    files
}

/// A flow of a protocol's own tests, from the fuzz targets' seeds.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// The protocol's name.
    pub(crate) protocol: String,
    /// IP protocol number.
    pub(crate) transport: u8,
    pub(crate) ports: [u16; 2],
    /// (from the server, payload)
    pub(crate) payloads: Vec<(bool, Vec<u8>)>,
}

/// Every flow of the seeds of the protocol families. How they are written: `fuzz/src/script.rs`.
pub(crate) fn samples() -> Vec<Sample> {
    let families = ProtocolFamilies::all();
    let mut samples = Vec::new();
    for family in families {
        let folder = root().join("fuzz/seeds").join(family);
        let mut paths: Vec<_> =
            fs::read_dir(&folder).expect("seeds").map(|e| e.expect("a readable folder").path()).collect();
        paths.sort();
        for path in paths {
            let bytes = fs::read(&path).expect("a readable seed");
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some((protocol, _)) = name.rsplit_once('-') else { continue };
            if let Some(sample) = sample(protocol, &bytes) {
                samples.push(sample);
            }
        }
    }
    assert!(samples.len() > 100, "{}", samples.len());
    samples
}

/// The names of the families' folders.
struct ProtocolFamilies;

impl ProtocolFamilies {
    fn all() -> Vec<&'static str> {
        let mut names: Vec<_> =
            daylight_protocols::ProtocolId::all().map(|id| id.get().family.name()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn sample(protocol: &str, bytes: &[u8]) -> Option<Sample> {
    let (head, mut rest) = bytes.split_first_chunk::<6>()?;
    let ports = [u16::from_be_bytes([head[2], head[3]]), u16::from_be_bytes([head[4], head[5]])];
    let transport = match head[1] {
        0 => 6,
        1 => 17,
        _ => ports[1] as u8,
    };
    // Those that start a parser come again without.
    if head[0] != 0 {
        return None;
    }
    let mut payloads = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<2>() {
        let head = u16::from_be_bytes(*head);
        let (payload, after) = after.split_at(after.len().min(usize::from(head & 0x3fff)));
        payloads.push((head & 0x8000 != 0, payload.to_vec()));
        rest = after;
    }
    Some(Sample { protocol: protocol.to_owned(), transport, ports, payloads })
}

/// The longest payload of one packet.
const SEGMENT_MAX: usize = 1400;

/// Adds a flow: over TCP with or without its handshake.
pub(crate) fn add(capture: &mut Capture, client: End, server: End, sample: &Sample, handshake: bool) {
    match sample.transport {
        6 => {
            let mut next = [1001u32, 5001];
            if handshake {
                capture.open(client, server);
            }
            for (from_server, payload) in &sample.payloads {
                let (me, other) = (usize::from(*from_server), usize::from(!*from_server));
                let ends = [client, server];
                for segment in payload.chunks(SEGMENT_MAX) {
                    capture.tcp(ends[me], ends[other], next[me], next[other], ACK, segment);
                    next[me] = next[me].wrapping_add(segment.len() as u32);
                }
            }
            if handshake {
                capture.tcp(client, server, next[0], next[1], FIN | ACK, b"");
                capture.tcp(server, client, next[1], next[0] + 1, FIN | ACK, b"");
            }
        }
        transport => {
            for (from_server, payload) in &sample.payloads {
                let (from, to) = if *from_server { (server, client) } else { (client, server) };
                match transport {
                    17 => capture.udp(from, to, payload),
                    other => capture.ip(from.0, to.0, other, payload),
                };
            }
        }
    }
}
