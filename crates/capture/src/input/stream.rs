//! Files, pipes, and what is compressed: read into buffers that are used again.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use daylight_packet::FrameBytes;

use super::{Input, Tail, Window};

/// How many bytes a window has, if nothing larger is needed: what stays in a processor's own cache.
const WINDOW_LEN: usize = 512 << 10;

/// How many bytes a decompressor is asked for at a time: when it finds damage it doesn't say how many bytes it had
/// written before, so this is how many may be lost.
const DECOMPRESSED_LEN: usize = 4 << 10;

/// How many buffers wait to be used again. More are in use if the reader is ahead of the rest.
const IDLE_MAX: usize = 8;

/// Buffers to be used again.
#[derive(Default)]
struct Pool {
    idle: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    /// A buffer of at least `len` bytes; what is in it doesn't matter.
    fn take(&self, len: usize) -> Vec<u8> {
        let recycled = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        let mut buffer = recycled.unwrap_or_default();
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        buffer
    }
}

/// A window's buffer, which goes back to the pool when the last batch is dropped.
struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
    pool: Arc<Pool>,
}

impl FrameBytes for Buffer {
    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() == WINDOW_LEN
            && let Ok(mut idle) = self.pool.idle.lock()
            && idle.len() < IDLE_MAX
        {
            idle.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// Counts what is read, and notes if reading (rather than decompressing) failed.
pub(crate) struct Counted<R> {
    reader: R,
    meter: Arc<Meter>,
}

#[derive(Default)]
struct Meter {
    bytes: AtomicU64,
    failed: AtomicBool,
}

impl<R: Read> Counted<R> {
    fn new(reader: R) -> (Self, Arc<Meter>) {
        let meter = Arc::new(Meter::default());
        (Self { reader, meter: Arc::clone(&meter) }, meter)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.reader.read(buffer);
        match &result {
            Ok(count) => _ = self.meter.bytes.fetch_add(*count as u64, Ordering::Relaxed),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.meter.failed.store(true, Ordering::Relaxed),
        }
        result
    }
}

pub(crate) struct Stream {
    reader: Box<dyn Read + Send>,
    /// How many bytes a window has, and how many are asked for at a time.
    window_len: usize,
    read_len: usize,
    pool: Arc<Pool>,
    tail: Tail,
    meter: Arc<Meter>,
    len: Option<u64>,
}

impl Stream {
    /// Reads `raw`, of `len` bytes if that is known.
    pub(crate) fn plain<R: Read + Send + 'static>(raw: R, len: Option<u64>) -> Self {
        let (reader, meter) = Counted::new(raw);
        let mut stream = Self::new(Box::new(reader), meter, len, usize::MAX);
        // A small file needs no large buffer; one more byte shows the end.
        stream.window_len =
            len.map_or(WINDOW_LEN, |len| len.saturating_add(1).min(WINDOW_LEN as u64) as usize);
        stream
    }

    /// Reads what `decompress` makes of `raw`.
    pub(crate) fn compressed<R: Read + Send + 'static>(
        raw: R,
        len: Option<u64>,
        decompress: impl FnOnce(Counted<R>) -> io::Result<Box<dyn Read + Send>>,
    ) -> io::Result<Self> {
        let (reader, meter) = Counted::new(raw);
        Ok(Self::new(decompress(reader)?, meter, len, DECOMPRESSED_LEN))
    }

    fn new(reader: Box<dyn Read + Send>, meter: Arc<Meter>, len: Option<u64>, read_len: usize) -> Self {
        Self { reader, window_len: WINDOW_LEN, read_len, pool: Arc::default(), tail: Tail::More, meter, len }
    }
}

impl Input for Stream {
    fn window(&mut self, _offset: u64, rest: &[u8], need: usize) -> io::Result<Window> {
        let mut buffer = Buffer {
            bytes: self.pool.take(self.window_len.max(need).max(rest.len())),
            filled: rest.len(),
            pool: Arc::clone(&self.pool),
        };
        buffer.bytes[..rest.len()].copy_from_slice(rest);
        // Filled to the brim, so that where windows end does not depend on how the bytes arrive.
        while self.tail == Tail::More && buffer.filled < buffer.bytes.len() {
            let room = &mut buffer.bytes[buffer.filled..];
            let room_len = room.len().min(self.read_len);
            match self.reader.read(&mut room[..room_len]) {
                Ok(0) => self.tail = Tail::End,
                Ok(count) => buffer.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.meter.failed.load(Ordering::Relaxed) => return Err(error),
                Err(error) => self.tail = Tail::Damaged(format!("compressed data is damaged: {error}")),
            }
        }
        Ok(Window { data: Arc::new(buffer), start: 0, tail: self.tail.clone() })
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.meter.bytes.load(Ordering::Relaxed), self.len)
    }
}
