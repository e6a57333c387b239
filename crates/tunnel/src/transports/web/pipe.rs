//! Bytes from one task to another, a bounded number of them.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::WAITING_LEN_MAX;

/// One direction of a path, between the session and HTTP.
#[derive(Clone, Default)]
pub(super) struct Pipe(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    pieces: VecDeque<Bytes>,
    len: usize,
    /// Nothing more is written, and why if that is not its end.
    end: Option<Option<io::ErrorKind>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room.
    pub(super) fn poll_room(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if let Some(end) = state.end {
            return Poll::Ready(Err(end.unwrap_or(io::ErrorKind::BrokenPipe).into()));
        }
        if state.len < WAITING_LEN_MAX {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Puts a piece in, though there may be no room.
    pub(super) fn put(&self, piece: Bytes) {
        let mut state = self.state();
        if piece.is_empty() || state.end.is_some() {
            return;
        }
        state.len += piece.len();
        state.pieces.push_back(piece);
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
    }

    /// Ends it; if `why` is an error, what is still in it is lost.
    pub(super) fn end(&self, why: Option<io::ErrorKind>) {
        let mut state = self.state();
        state.end.get_or_insert(why);
        if why.is_some() {
            state.end = Some(why);
            (state.pieces, state.len) = Default::default();
        }
        let woken = [state.reader.take(), state.writer.take()];
        drop(state);
        woken.into_iter().flatten().for_each(Waker::wake);
    }

    /// The next piece of at most `len_max` bytes; `None` at the end.
    pub(super) fn poll_next(&self, context: &Context<'_>, len_max: usize) -> Poll<io::Result<Option<Bytes>>> {
        let mut state = self.state();
        let Some(first) = state.pieces.front_mut() else {
            return match state.end {
                Some(None) => Poll::Ready(Ok(None)),
                Some(Some(error)) => Poll::Ready(Err(error.into())),
                None => {
                    state.reader = Some(context.waker().clone());
                    Poll::Pending
                }
            };
        };
        let piece = if first.len() > len_max {
            first.split_to(len_max)
        } else {
            state.pieces.pop_front().unwrap_or_default()
        };
        state.len -= piece.len();
        let writer = if state.len < WAITING_LEN_MAX { state.writer.take() } else { None };
        drop(state);
        writer.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(Some(piece)))
    }
}
