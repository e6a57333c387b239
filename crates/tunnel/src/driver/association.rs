//! Datagrams, as applications use them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use daylight_session::{Datagram, Destination, UseError};

use super::{Shared, State};

/// So many bytes wait for the one who reads them; then the oldest go.
const INBOX_LEN: usize = 256 << 10;
/// Associations of a session that wait for the server to take them up; more are not begun.
const BEGUN_MAX: usize = 64;

/// What came for an association.
#[derive(Default)]
pub(super) struct Inbox {
    datagrams: VecDeque<(Destination, Bytes)>,
    len: usize,
    waker: Option<Waker>,
    is_closed: bool,
}

impl Inbox {
    fn put(&mut self, from: Destination, data: Bytes) -> Option<Waker> {
        self.len += data.len();
        self.datagrams.push_back((from, data));
        while self.len > INBOX_LEN
            && let Some((_, data)) = self.datagrams.pop_front()
        {
            self.len -= data.len();
        }
        self.waker.take()
    }

    fn next(&mut self) -> Option<(Destination, Bytes)> {
        let next = self.datagrams.pop_front();
        self.len -= next.as_ref().map_or(0, |(_, data)| data.len());
        next
    }

    pub(super) fn close(&mut self) -> Option<Waker> {
        self.is_closed = true;
        self.waker.take()
    }
}

impl State {
    pub(super) fn receive_datagrams(&mut self) {
        while let Some(Datagram { association, destination, data }) = self.session.receive_datagram() {
            if !self.associations.contains_key(&association) {
                if !self.session.is_server() || self.begun.len() >= BEGUN_MAX {
                    continue;
                }
                self.associations.insert(association, Inbox::default());
                self.begun.push_back(association);
                self.woken.extend(self.accepting[1].take());
            }
            let inbox = self.associations.get_mut(&association);
            self.woken.extend(inbox.and_then(|inbox| inbox.put(destination, data)));
        }
    }

    pub(super) fn end_association(&mut self, association: u64) {
        let inbox = self.associations.get_mut(&association);
        self.woken.extend(inbox.and_then(Inbox::close));
    }
}

/// Datagrams to and from any destinations. Each arrives whole, or not at all. Dropping it ends it on both sides.
pub struct Association {
    shared: Arc<Shared>,
    id: u64,
}

impl Association {
    pub(super) fn new(shared: Arc<Shared>, id: u64) -> Self {
        Self { shared, id }
    }

    /// Sends a datagram to a destination; at a server, from one.
    ///
    /// # Errors
    /// If it is too large (about 16 000 bytes), or the session is over.
    pub fn send(&self, destination: Destination, data: Bytes) -> Result<(), UseError> {
        self.shared.turn().session.send_datagram(Datagram { association: self.id, destination, data })
    }

    /// The next datagram, and where it came from; at a server, where it is to go. `None` if the other side has ended the
    /// association, or the session is over.
    pub async fn receive(&self) -> Option<(Destination, Bytes)> {
        std::future::poll_fn(|context| self.poll_receive(context)).await
    }

    fn poll_receive(&self, context: &Context<'_>) -> Poll<Option<(Destination, Bytes)>> {
        let mut turn = self.shared.turn();
        let is_over = turn.closed.is_some();
        let Some(inbox) = turn.associations.get_mut(&self.id) else { return Poll::Ready(None) };
        if let Some(next) = inbox.next() {
            return Poll::Ready(Some(next));
        }
        if inbox.is_closed || is_over {
            return Poll::Ready(None);
        }
        inbox.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Association {
    fn drop(&mut self) {
        let mut turn = self.shared.turn();
        turn.associations.remove(&self.id);
        turn.session.end_association(self.id);
    }
}
