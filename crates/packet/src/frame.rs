//! Frames as they come from a capture, in batches.

use std::sync::Arc;

/// What the first byte of a frame belongs to: a number of the tcpdump registry (`LINKTYPE_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

/// One frame of a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it was captured, in nanoseconds since 1970-01-01T00:00:00Z.
    pub ts_ns: i64,
    /// Where it starts in the batch's bytes.
    pub offset: u32,
    /// How many of its bytes were captured.
    pub cap_len: u32,
    /// How many bytes it had on the wire; at least `cap_len`.
    pub wire_len: u32,
    /// How to read it.
    pub link: LinkType,
}

/// The memory that a batch's frames lie in: a window of a mapped file, or a buffer. Freed (and a mapped window's pages
/// given back) when the last user drops it.
pub trait FrameBytes: Send + Sync {
    /// The bytes; the same on every call.
    fn bytes(&self) -> &[u8];
}

impl FrameBytes for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// Frames in the order of the capture.
#[derive(Clone)]
pub struct Batch {
    /// What the frames point into.
    pub data: Arc<dyn FrameBytes>,
    /// The frames.
    pub frames: Vec<Frame>,
}

impl Batch {
    /// The captured bytes of a frame of this batch.
    pub fn frame_bytes(&self, frame: &Frame) -> &[u8] {
        let start = frame.offset as usize;
        self.data.bytes().get(start..start + frame.cap_len as usize).unwrap_or(&[])
    }
}

/// Why a source has no more frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceEnd {
    /// It was read to its end.
    Complete,
    /// It ends in the middle of something, or is damaged from this point on. What came before was handed out.
    Damaged {
        /// Offset in the (uncompressed) input of what could not be read.
        offset: u64,
        /// What was wrong, for people: `packet record cut short: 120 of 1500 bytes`.
        reason: String,
    },
}

/// Why a source could not be opened or read at all.
#[derive(Debug)]
pub struct SourceError {
    /// What was wrong and what to do about it.
    pub message: String,
    /// The cause, if the operating system gave one.
    pub cause: Option<std::io::Error>,
}

impl std::fmt::Display for SourceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|e| e as _)
    }
}

/// Where frames come from.
pub trait FrameSource: Send {
    /// The next frames: at most `frames_max`, at least one. `None` at the end; [`end`](Self::end) then says why. Where
    /// a batch ends depends on where the memory does that it lies in; no record may depend on it.
    ///
    /// # Errors
    /// If the operating system can't read on. A damaged file is not an error but an end.
    fn next_batch(&mut self, frames_max: usize) -> Result<Option<Batch>, SourceError>;

    /// Why it ended; meaningful once `next_batch` gave `None`.
    fn end(&self) -> SourceEnd;

    /// Bytes of the input (as stored, before decompression) that were read so far, and how many there are, if known.
    fn progress(&self) -> (u64, Option<u64>);
}
