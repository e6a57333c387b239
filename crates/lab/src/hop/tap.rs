//! What a link carries, as a capture file.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use daylight_capture::PcapngWriter;
use daylight_capture::raw_socket::RawFrame;
use daylight_packet::LinkType;

use super::large;

/// Writes both ends of a link into one pcapng file, as two interfaces: `left` and `right`, each with what came in there
/// and what went out. A packet that was dropped on the way is on one of them only; so is one that was put in.
pub(super) struct Tap {
    writer: PcapngWriter<BufWriter<File>>,
    ends: [u32; 2],
    /// Wall-clock time at time 0 of the hop, in nanoseconds since 1970.
    epoch_ns: i64,
}

impl Tap {
    /// Creates the file. `names` are those of the interfaces.
    pub(super) fn create(path: &Path, names: [&str; 2]) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        let mut writer = PcapngWriter::new(file, "daylight lab", None)?;
        let [left, right] = names;
        let ends = [
            writer.interface(LinkType::ETHERNET, 0, Some(left))?,
            writer.interface(LinkType::ETHERNET, 0, Some(right))?,
        ];
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch_ns = i64::try_from(since_1970.as_nanos()).unwrap_or(0);
        Ok(Self { writer, ends, epoch_ns })
    }

    /// Writes a frame as the wire would carry it: checksums done, and not cut (a large one stays large).
    pub(super) fn write(&mut self, now_ns: u64, end: usize, frame: &RawFrame) -> io::Result<()> {
        let ts_ns = self.epoch_ns.saturating_add(i64::try_from(now_ns).unwrap_or(i64::MAX));
        let mut frame = frame.clone();
        large::complete(&mut frame);
        let len = u32::try_from(frame.bytes.len()).unwrap_or(u32::MAX);
        self.writer.write(self.ends[end & 1], ts_ns, len, &frame.bytes, None)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
