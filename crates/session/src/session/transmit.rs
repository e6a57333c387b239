//! What goes out: frames into records, for whichever path can take them.

use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use chacha20::rand_core::Rng as _;

use super::{Event, Session};
use crate::error::PathError;
use crate::frame::{self, CONTROL_FRAME_MAX, Frame, STREAM_HEADER_MAX};
use crate::keys::{DATAGRAM_OVERHEAD, RECORD_LEN_MAX, RECORD_OVERHEAD, Sealer};
use crate::path::{Path, PathId};
use crate::stream::{Fin, Owed, StreamId};
use crate::wire::varint_len;

/// With less room than this no record is begun.
const RECORD_LEN_MIN: usize = 96;
/// Room that is kept for a ping at the end of a record.
const PING_LEN: usize = 1 + 8;
/// A keep-alive is padded by at most so much.
const KEEP_ALIVE_PADDING_MAX: u64 = 256;

/// What follows the record that was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    GoOn,
    EndPath,
    EndSession,
}

impl Session {
    /// Appends to `out` what goes by a path now: at most `budget` bytes (at least 96, or nothing is given), which the
    /// transport must send in order. Tells how many. A client's first message is given whole, whatever the budget (at most 4096
    /// bytes). *(A)*
    ///
    /// The transport asks for as much as it can send soon, not for as much as it could store: bytes that it holds can't take
    /// another path, nor go before others.
    pub fn poll_transmit(&mut self, path: PathId, now: Instant, budget: usize, out: &mut BytesMut) -> usize {
        let begin = out.len();
        match self.paths.get_mut(&path.0) {
            Some(Path::Handshake { out: first, .. }) => {
                // Can't be cut by the budget: the transport gets all of it.
                out.extend_from_slice(&std::mem::take(first));
                return out.len() - begin;
            }
            Some(Path::Live(_)) => {}
            None => return 0,
        }
        loop {
            let left = budget.saturating_sub(out.len() - begin);
            if left < RECORD_LEN_MIN {
                break;
            }
            let len_max = left.min(RECORD_LEN_MAX);
            out.reserve(len_max);
            let start = out.len();
            Sealer::begin(out);
            let frames = out.len();
            let then = self.put_frames(path.0, now, start + len_max - (RECORD_OVERHEAD - 2), out);
            if out.len() == frames {
                out.truncate(start);
                break;
            }
            if let Some(live) = self.live_mut(path.0) {
                live.keys.sealer.seal(out, start);
            }
            match then {
                Then::GoOn => {}
                Then::EndPath => {
                    self.end_path(path.0, PathError::Closed, now);
                    break;
                }
                Then::EndSession => {
                    if let Some((_, reason)) = self.closing {
                        self.end(reason);
                    }
                    break;
                }
            }
        }
        if out.len() > begin {
            self.draw_keep_alive(path.0, now);
        }
        out.len() - begin
    }

    /// Appends frames until `out` has `end` bytes, the tag's room kept.
    fn put_frames(&mut self, path: u64, now: Instant, end: usize, out: &mut BytesMut) -> Then {
        let others = self.live_paths().any(|(id, live)| id != path && !live.stalled);
        let code = self.closing.map(|(code, _)| code);
        let Some(live) = self.live_mut(path) else { return Then::GoOn };
        if let Some(number) = live.pong.take() {
            Frame::Pong(number).encode(out);
        }
        if let Some(code) = code {
            Frame::Close { code }.encode(out);
            return Then::EndSession;
        }
        if live.closing {
            Frame::PathClose.encode(out);
            return Then::EndPath;
        }
        let before = out.len();
        // What is said on a stalled path would be late, or lost.
        if !(live.stalled && others) {
            let end = end - PING_LEN;
            self.put_control(end, out);
            self.put_datagrams(end, out);
            self.put_streams(path, end, out);
            if out.len() > before {
                self.put_acks(end, out);
            }
        }
        let elicits = out.len() > before;
        let padding = self.rng.next_u64() % KEEP_ALIVE_PADDING_MAX;
        let Some(live) = self.live_mut(path) else { return Then::GoOn };
        live.unpinged |= elicits;
        // A stalled path that is the only one carries data again, which may get lost again.
        live.requeued &= !elicits;
        if live.wants_ping() && end - out.len() >= PING_LEN {
            Frame::Ping(live.next_ping(now)).encode(out);
            if std::mem::take(&mut live.keep_alive_due) {
                Frame::Padding((end - out.len()).saturating_sub(1).min(padding as usize)).encode(out);
            }
        }
        Then::GoOn
    }

    /// Everything that is said once and short.
    fn put_control(&mut self, end: usize, out: &mut BytesMut) {
        let fits = |out: &BytesMut| end.saturating_sub(out.len()) >= CONTROL_FRAME_MAX;
        while fits(out)
            && let Some(number) = self.paths_gone.pop_front()
        {
            Frame::PathGone(number).encode(out);
        }
        if self.owes_max_data && fits(out) {
            Frame::MaxData(self.granted).encode(out);
            self.owes_max_data = false;
        }
        if self.owes_max_streams && fits(out) {
            Frame::MaxStreams(self.streams_end).encode(out);
            self.owes_max_streams = false;
            self.streams_told = self.streams_end;
        }
        while fits(out)
            && let Some(stream) = self.gone.pop_first()
        {
            Frame::Gone { stream }.encode(out);
        }
        if self.ack_due {
            self.put_acks(end, out);
        }
        while fits(out)
            && let Some(&id) = self.owing.first()
        {
            let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.owed.now()) else {
                self.owing.remove(&id);
                continue;
            };
            let Owed { max_data, reset, stop, .. } = stream.owed;
            if let (true, Some(code)) = (reset, stream.send.reset) {
                let final_offset = stream.send.buffer.sent();
                Frame::Reset { stream: id, code, final_offset }.encode(out);
                stream.owed.reset = false;
            } else if let (true, Some(code)) = (stop, stream.recv.stopped) {
                Frame::Stop { stream: id, code }.encode(out);
                stream.owed.stop = false;
            } else if max_data {
                Frame::MaxStreamData { stream: id, limit: stream.recv.granted }.encode(out);
                stream.owed.max_data = false;
            } else {
                stream.owed = Owed { ack: stream.owed.ack, ..Owed::default() };
            }
        }
        while fits(out)
            && let Some(association) = self.associations_ended.pop_front()
        {
            Frame::DatagramEnd { association }.encode(out);
        }
    }

    fn put_acks(&mut self, end: usize, out: &mut BytesMut) {
        while end.saturating_sub(out.len()) >= CONTROL_FRAME_MAX {
            let Some(id) = self.acks.pop_first() else {
                (self.ack_at, self.ack_due, self.unacked) = (None, false, 0);
                return;
            };
            if let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.owed.ack) {
                Frame::Ack { stream: id, offset: stream.recv.ack_offset() }.encode(out);
                stream.owed.ack = false;
            }
        }
    }

    fn put_datagrams(&mut self, end: usize, out: &mut BytesMut) {
        while let Some(datagram) = self.datagrams_out.front() {
            let len = 1 + varint_len(datagram.association) + 4 + datagram.queued_len();
            if end.saturating_sub(out.len()) < len {
                return;
            }
            if let Some(datagram) = self.pop_datagram_out() {
                let (destination, data) = (datagram.destination, &datagram.data[..]);
                Frame::Datagram { association: datagram.association, destination, data }.encode(out);
            }
        }
    }

    /// Data of streams in turn, one frame each: none waits for another's end.
    fn put_streams(&mut self, path: u64, end: usize, out: &mut BytesMut) {
        for _ in 0..self.ready.len() {
            let room = end.saturating_sub(out.len());
            if room <= STREAM_HEADER_MAX {
                return;
            }
            let Some(id) = self.ready.pop_front() else { return };
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            if !stream.has_data() {
                stream.queued = false;
                continue;
            }
            let send = &mut stream.send;
            let credit = self.peer.max_data - self.data_sent;
            let limit = send.credit.min(send.buffer.sent().saturating_add(credit));
            let range = match send.buffer.pending(limit) {
                Some(range) => range,
                None if send.wants_fin() => send.buffer.end()..send.buffer.end(),
                None => {
                    // Waits for the session's credit, and keeps its place.
                    self.ready.push_back(id);
                    continue;
                }
            };
            let wanted = (range.end - range.start).min(room as u64) as usize;
            let header = frame::stream_header_len(id, range.start, wanted);
            let len = wanted.min(room - header);
            let range = range.start..range.start + len as u64;
            let fin = send.fin != Fin::Open && range.end == send.buffer.end();
            frame::put_stream_header(out, id, range.start, fin, len);
            if len > 0 {
                send.buffer.copy(range.clone(), out);
                let new = send.buffer.mark_sent(range, path);
                self.data_sent += new;
                self.stats.data_sent += new;
                self.stats.data_resent += len as u64 - new;
            }
            if fin {
                send.fin = Fin::Sent(path);
            }
            stream.queued = stream.has_data();
            if stream.queued {
                self.ready.push_back(id);
            }
        }
    }

    /// Appends padding of exactly `len` bytes on the wire, at least 19, in one record or several: a transport's way to give what
    /// it sends a shape. Tells how many, which is 0 if `len` is too little or the path has no keys. *(A)*
    pub fn poll_padding(&mut self, path: PathId, mut len: usize, out: &mut BytesMut) -> usize {
        const LEN_MIN: usize = RECORD_OVERHEAD + 1;
        let begin = out.len();
        let Some(live) = self.live_mut(path.0) else { return 0 };
        while len >= LEN_MIN {
            let piece = match len.min(RECORD_LEN_MAX) {
                piece if piece == len || len - piece >= LEN_MIN => piece,
                // Leaves as much as the last record needs.
                piece => piece - LEN_MIN,
            };
            let start = out.len();
            Sealer::begin(out);
            out.put_bytes(0, piece - RECORD_OVERHEAD);
            live.keys.sealer.seal(out, start);
            len -= piece;
        }
        out.len() - begin
    }

    /// The next datagram as an unreliable one of the path's transport, of at most `len_max` bytes. A larger one is left to
    /// [`Session::poll_transmit`], which is to be asked after this. *(A)*
    pub fn poll_datagram(&mut self, path: PathId, len_max: usize) -> Option<Bytes> {
        let others = self.live_paths().any(|(id, live)| id != path.0 && !live.stalled);
        if self.live(path.0)?.stalled && others {
            return None;
        }
        let first = self.datagrams_out.front()?;
        let header = 1 + varint_len(first.association) + varint_len(first.data.len() as u64);
        if header + first.queued_len() + DATAGRAM_OVERHEAD > len_max {
            return None;
        }
        let datagram = self.pop_datagram_out()?;
        let mut frames = Vec::new();
        let (association, destination) = (datagram.association, datagram.destination);
        Frame::Datagram { association, destination, data: &datagram.data }.encode(&mut frames);
        let live = self.live_mut(path.0)?;
        // By it alone the silence of a path that carries nothing else is noticed.
        live.unpinged = true;
        live.keys.datagram_sealer.seal(&frames).map(Bytes::from)
    }

    /// The next keep-alive: exponential, so that what was tells nothing about what comes.
    fn draw_keep_alive(&mut self, path: u64, now: Instant) {
        let Some(mean) = self.limits.keep_alive else { return };
        // In (0, 1].
        let uniform = ((self.rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let wait = mean.mul_f64((-uniform.ln()).clamp(0.1, 4.0));
        if let Some(live) = self.live_mut(path) {
            live.keep_alive_at = now.checked_add(wait.max(Duration::from_millis(1)));
        }
    }
}

impl Event {
    /// The stream that it is about.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Opened(stream, _)
            | Self::Connected(stream)
            | Self::Readable(stream)
            | Self::Writable(stream)
            | Self::Stopped(stream, _) => Some(*stream),
            _ => None,
        }
    }
}
