//! Ctrl-C: the first ends reading and writes what was learned, the second ends the process.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use anyhow::Context;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Starts to watch.
pub(crate) fn watch() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            // Nothing more is to be written: the person has asked twice.
            #[allow(clippy::exit)]
            std::process::exit(130);
        }
    })
    .context("can't watch for Ctrl-C")
}

/// True once it was pressed.
pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Set once it was pressed.
pub(crate) fn flag() -> &'static AtomicBool {
    &INTERRUPTED
}

/// Reads from something that may keep one waiting for ever, such as a pipe, and ends when interrupted: a thread of its
/// own does the waiting.
pub(crate) struct Interruptible {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Interruptible {
    pub(crate) fn new(mut reader: impl Read + Send + 'static) -> Self {
        let (give, pieces) = sync_channel(16);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 18];
            while !is_interrupted() {
                let piece = match reader.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(n) => Ok(buffer[..n].to_vec()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = piece.is_err();
                if give.send(piece).is_err() || failed {
                    return;
                }
            }
        });
        Self { pieces, piece: io::Cursor::default() }
    }
}

impl Read for Interruptible {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.piece.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            // Once interrupted, what has arrived is read, and nothing is waited for.
            let patience = Duration::from_millis(if is_interrupted() { 0 } else { 100 });
            match self.pieces.recv_timeout(patience) {
                Ok(piece) => self.piece = io::Cursor::new(piece?),
                Err(RecvTimeoutError::Timeout) if !patience.is_zero() => {}
                Err(_) => return Ok(0),
            }
        }
    }
}
