//! One stream: a sending and a receiving half, and what it owes the peer.

use crate::assembler::Assembler;
use crate::send::SendBuffer;

/// Names a stream within its session: the client's count, from 0.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StreamId(pub u64);

/// How far the end of a sending half is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fin {
    /// More may be written.
    Open,
    /// The end is to be sent.
    Wanted,
    /// It is under way by this path.
    Sent(u64),
}

#[derive(Debug)]
pub(crate) struct SendHalf {
    pub(crate) buffer: SendBuffer,
    /// The peer takes bytes before this offset.
    pub(crate) credit: u64,
    pub(crate) fin: Fin,
    /// This side gave up, with this code.
    pub(crate) reset: Option<u64>,
    /// The peer wants no more, with this code.
    pub(crate) stopped: Option<u64>,
    /// The end is acknowledged too.
    pub(crate) acked: bool,
    /// A write found no room and waits for [`Event::Writable`](crate::Event::Writable).
    pub(crate) waits: bool,
}

#[derive(Debug, Default)]
pub(crate) struct RecvHalf {
    pub(crate) assembler: Assembler,
    /// The peer has credit up to this offset.
    pub(crate) granted: u64,
    /// One more than the highest byte that came: what the session's credit is counted by.
    pub(crate) highest: u64,
    /// Where the stream ends, when that is known.
    pub(crate) final_offset: Option<u64>,
    /// The peer gave up.
    pub(crate) reset: Option<u64>,
    /// This side wants no more.
    pub(crate) stopped: Option<u64>,
    /// The end was told to the reader, or nobody wants to know.
    pub(crate) over: bool,
    /// What is there was told and not read.
    pub(crate) told: bool,
    /// What stands before the data, as far as it has come; `None` once it is whole.
    pub(crate) preamble: Option<Vec<u8>>,
}

/// What the next records have to say about a stream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Owed {
    pub(crate) ack: bool,
    pub(crate) max_data: bool,
    pub(crate) reset: bool,
    pub(crate) stop: bool,
}

impl Owed {
    /// Whether something other than an acknowledgement is owed, which can wait for company.
    pub(crate) fn now(self) -> bool {
        self.max_data || self.reset || self.stop
    }
}

#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) send: SendHalf,
    pub(crate) recv: RecvHalf,
    pub(crate) owed: Owed,
    /// Stands in the queue of streams with data.
    pub(crate) queued: bool,
}

impl Stream {
    pub(crate) fn new(credit: u64, granted: u64) -> Self {
        let send = SendHalf {
            buffer: SendBuffer::default(),
            credit,
            fin: Fin::Open,
            reset: None,
            stopped: None,
            acked: false,
            waits: false,
        };
        let recv = RecvHalf { granted, preamble: Some(Vec::new()), ..RecvHalf::default() };
        Self { send, recv, owed: Owed::default(), queued: false }
    }

    /// Whether there is data or an end to send, were it not for the session's credit.
    pub(crate) fn has_data(&self) -> bool {
        self.send.reset.is_none()
            && (self.send.buffer.pending(self.send.credit).is_some() || self.send.wants_fin())
    }

    /// Nothing more is to come or to go.
    pub(crate) fn is_over(&self) -> bool {
        self.send.acked && self.recv.over
    }

    /// What was sent by this path is to be sent again, and everything else said again too.
    pub(crate) fn requeue(&mut self, path: u64) {
        self.send.buffer.requeue(path);
        if self.send.fin == Fin::Sent(path) {
            self.send.fin = Fin::Wanted;
        }
        self.owed = Owed {
            ack: true,
            max_data: self.recv.final_offset.is_none(),
            reset: self.send.reset.is_some() && !self.send.acked,
            stop: self.recv.stopped.is_some() && self.recv.final_offset.is_none(),
        };
    }
}

impl SendHalf {
    /// Whether the end alone is to be sent.
    pub(crate) fn wants_fin(&self) -> bool {
        self.fin == Fin::Wanted && self.buffer.pending(u64::MAX).is_none()
    }

    /// Why nothing can be written.
    pub(crate) fn error(&self) -> Option<crate::UseError> {
        match (self.stopped, self.reset, self.fin) {
            (Some(code), _, _) => Some(crate::UseError::Reset(code)),
            (None, None, Fin::Open) => None,
            _ => Some(crate::UseError::Ended),
        }
    }
}

impl RecvHalf {
    /// What is acknowledged: all that came in order; the end counts as one more.
    pub(crate) fn ack_offset(&self) -> u64 {
        match self.final_offset {
            Some(end) if self.reset.is_some() || self.assembler.end() == end => end + 1,
            _ => self.assembler.end(),
        }
    }

    /// Everything has come, or nothing more will.
    pub(crate) fn is_complete(&self) -> bool {
        self.final_offset.is_some_and(|end| self.reset.is_some() || self.assembler.end() == end)
    }
}
