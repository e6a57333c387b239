//! Bytes in, as windows.

mod guard;
mod mapped;
mod stream;

use std::sync::Arc;

use daylight_packet::FrameBytes;

pub(crate) use mapped::{FILE_LEN_MIN, Mapped};
pub(crate) use stream::Stream;

/// A run of consecutive bytes of the input.
pub(crate) struct Window {
    /// The memory it lies in.
    pub(crate) data: Arc<dyn FrameBytes>,
    /// Where in `data` the bytes that were asked for start.
    pub(crate) start: usize,
    /// What comes after.
    pub(crate) tail: Tail,
}

/// What comes after a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    More,
    End,
    /// It can't be read: compressed data is damaged.
    Damaged(String),
}

/// Where windows come from.
pub(crate) trait Input: Send {
    /// The window that has the bytes from `offset` on, at least `need` of them if there are that many. `offset` never
    /// goes back; `rest` are the bytes from there on that the window before already had.
    fn window(&mut self, offset: u64, rest: &[u8], need: usize) -> std::io::Result<Window>;

    /// Bytes of the file read so far, and how many it has.
    fn progress(&self) -> (u64, Option<u64>);

    /// Why bytes of windows that were handed out are not what the file had, if so.
    fn lost(&self) -> Option<&'static str> {
        None
    }
}
