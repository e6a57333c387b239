//! Bytes from a path to frames, and what they do.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{Datagram, Event, PIECES_MAX, Role, Session};
use crate::error::{CloseReason, PathError, Violation};
use crate::frame::Frame;
use crate::handshake::Answer;
use crate::path::{Live, Path, PathId};
use crate::stream::{Stream, StreamId};
use crate::wire::{Reader, VARINT_MAX};
use crate::{Destination, code};

/// Bytes of a path that are taken in at once.
const PIECE_LEN: usize = 64 << 10;
/// So much received, and acknowledgements don't wait.
const UNACKED_MAX: u64 = 256 << 10;
/// The answer to a stream's destination, before the data.
pub(super) const CONNECTED: u8 = 0x00;

impl Session {
    /// Takes bytes that came by a path, in order. *(A)*
    pub fn handle_bytes(&mut self, path: PathId, now: Instant, mut bytes: &[u8]) {
        if let Some(Path::Handshake { .. }) = self.paths.get(&path.0) {
            self.handle_answer(path.0, now, bytes);
            return;
        }
        while !bytes.is_empty() {
            let Some(live) = self.live_mut(path.0) else { return };
            let (piece, rest) = bytes.split_at(bytes.len().min(PIECE_LEN));
            live.input().extend_from_slice(piece);
            bytes = rest;
            self.handle_input(path.0, now);
        }
    }

    /// Takes what was appended to [`Session::input`]. *(A)*
    pub fn handle_appended(&mut self, path: PathId, now: Instant) {
        self.handle_input(path.0, now);
    }

    pub(super) fn handle_input(&mut self, path: u64, now: Instant) {
        loop {
            let Some(live) = self.live_mut(path) else { return };
            match live.keys.opener.open(&mut live.input) {
                Ok(Some(record)) => {
                    live.heard(now);
                    self.handle_opened(path, now, &record);
                }
                Ok(None) => {
                    if live.input.is_empty() {
                        // An idle path keeps no buffer.
                        live.input = BytesMut::new();
                    }
                    return;
                }
                Err(_) => {
                    self.end_path(path, PathError::Record, now);
                    return;
                }
            }
        }
    }

    /// The server's answer to a client's first message.
    fn handle_answer(&mut self, path: u64, now: Instant, bytes: &[u8]) {
        let Role::Client(config) = &self.role else { return };
        let Some(Path::Handshake { handshake, .. }) = self.paths.get_mut(&path) else { return };
        let (answer, suite, rest) = match handshake.read(bytes, config) {
            Ok(Some(read)) => read,
            Ok(None) => return,
            Err(_) => return self.end_path(path, PathError::Handshake, now),
        };
        match answer {
            Answer::Forgotten => return self.end(CloseReason::Forgotten),
            Answer::Busy => return self.end_path(path, PathError::Refused, now),
            Answer::New(..) | Answer::Attached => {}
        }
        let Some(Path::Handshake { handshake, .. }) = self.paths.remove(&path) else { return };
        let Some(finished) = handshake.finish(suite) else {
            return self.events.push_back(Event::PathClosed(PathId(path), PathError::Handshake));
        };
        if let Answer::New(id, credit) = answer {
            self.resumption = Some(finished.resumption);
            self.established(id, credit);
        }
        self.add_path(path, Live::new(finished.keys, BytesMut::from(&rest[..]), now));
        self.handle_input(path, now);
    }

    /// What a record says, unless the session is ending.
    pub(crate) fn handle_opened(&mut self, path: u64, now: Instant, record: &Bytes) {
        if self.closing.is_none()
            && let Err(violation) = self.handle_record(path, now, record)
        {
            self.violated(violation);
        }
    }

    fn handle_record(&mut self, path: u64, now: Instant, record: &Bytes) -> Result<(), Violation> {
        let mut reader = Reader::new(record);
        while !reader.is_empty() && !self.closed {
            match Frame::decode(&mut reader)? {
                Frame::Padding(_) => {}
                Frame::Extension { .. } => self.stats.extensions_ignored += 1,
                Frame::Ping(number) => {
                    if let Some(live) = self.live_mut(path) {
                        live.pong = Some(number);
                    }
                }
                Frame::Pong(number) => self.handle_pong(path, number, now),
                Frame::PathClose => self.end_path(path, PathError::Closed, now),
                Frame::PathGone(number) => {
                    if number != path {
                        self.end_path(number, PathError::PeerLost, now);
                    }
                }
                Frame::Close { code } => self.end(CloseReason::Peer(code)),
                Frame::Ack { stream, offset } => self.handle_ack(stream, offset)?,
                Frame::Gone { stream } => self.handle_gone(stream)?,
                Frame::Stream { stream, offset, fin, data } => {
                    self.handle_stream(stream, offset, fin, record.slice_ref(data), now)?;
                }
                Frame::Reset { stream, code, final_offset } => {
                    self.handle_reset(stream, code, final_offset, now)?;
                }
                Frame::Stop { stream, code } => self.handle_stop(stream, code)?,
                Frame::MaxData(limit) => {
                    self.peer.max_data = self.peer.max_data.max(limit);
                }
                Frame::MaxStreamData { stream, limit } => {
                    if let Some(state) = self.peers_stream(stream)? {
                        state.send.credit = state.send.credit.max(limit);
                        self.queue(stream);
                    }
                }
                Frame::MaxStreams(limit) => self.handle_max_streams(limit)?,
                Frame::Datagram { association, destination, data } => {
                    self.queue_datagram(association, destination, data);
                }
                Frame::DatagramEnd { association } => self.association_ended(association),
            }
        }
        Ok(())
    }

    fn handle_pong(&mut self, path: u64, number: u64, now: Instant) {
        let Some(live) = self.live_mut(path) else { return };
        if live.answered(number, now) && std::mem::take(&mut live.stalled) {
            live.requeued = false;
            self.events.push_back(Event::PathRevived(PathId(path)));
        }
    }

    fn handle_max_streams(&mut self, limit: u64) -> Result<(), Violation> {
        let Role::Client(_) = self.role else { return Err(Violation::StreamUnknown) };
        if limit > self.peer.max_streams {
            self.peer.max_streams = limit;
            self.streams_changed();
        }
        Ok(())
    }

    /// A stream that the peer speaks of: nothing if it is over. At a server, it and those before it begin with it.
    fn peers_stream(&mut self, id: u64) -> Result<Option<&mut Stream>, Violation> {
        if id >= self.next_stream {
            if matches!(self.role, Role::Client(_)) {
                return Err(Violation::StreamUnknown);
            }
            if id >= self.streams_end {
                return Err(Violation::StreamLimit);
            }
            for new in self.next_stream..=id {
                self.streams.insert(new, Stream::new(self.peer.max_stream_data, self.limits.stream_window));
            }
            self.next_stream = id + 1;
            self.tell_max_streams();
        }
        Ok(self.streams.get_mut(&id))
    }

    /// The peer does not know yet that a stream is over.
    fn say_gone(&mut self, stream: u64) -> Result<(), Violation> {
        self.gone.insert(stream);
        // An honest peer can ask only about what it had at the same time.
        let max = self.limits.streams_max.max(self.peer.max_streams).saturating_mul(2);
        if self.gone.len() as u64 > max { Err(Violation::StreamLimit) } else { Ok(()) }
    }

    fn handle_stream(
        &mut self,
        id: u64,
        offset: u64,
        fin: bool,
        data: Bytes,
        now: Instant,
    ) -> Result<(), Violation> {
        let end = offset + data.len() as u64;
        if end >= VARINT_MAX {
            return Err(Violation::FlowControl);
        }
        let len = data.len() as u64;
        let Some(stream) = self.peers_stream(id)? else { return self.say_gone(id) };
        let recv = &mut stream.recv;
        check_final(recv.final_offset, recv.highest, end, fin)?;
        if end > recv.granted {
            return Err(Violation::FlowControl);
        }
        if recv.over {
            // All of it was counted when it was discarded.
            self.owe_ack(id, true, now);
            return Ok(());
        }
        let new = end.saturating_sub(recv.highest);
        recv.highest += new;
        if fin {
            recv.final_offset = Some(end);
        }
        let pieces = recv.assembler.pieces();
        let before = recv.assembler.end();
        recv.assembler.insert(offset, data);
        let (pieces_now, advanced) = (recv.assembler.pieces(), recv.assembler.end() - before);
        self.received += new;
        self.stats.data_received += new;
        if self.received > self.granted {
            return Err(Violation::FlowControl);
        }
        self.pieces = self.pieces + pieces_now - pieces;
        if self.pieces > PIECES_MAX {
            return Err(Violation::Gaps);
        }
        let at_once = fin || advanced < len;
        self.unacked += len;
        self.owe_ack(id, at_once, now);
        self.arrived(id)
    }

    /// Whether the peer is told soon or at once.
    fn owe_ack(&mut self, id: u64, at_once: bool, now: Instant) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.owed.ack = true;
            self.acks.insert(id);
        }
        if at_once || self.unacked >= UNACKED_MAX {
            self.ack_due = true;
        } else {
            self.ack_at.get_or_insert(now + self.limits.ack_delay);
        }
    }

    /// Something of a stream has come in order, perhaps.
    fn arrived(&mut self, id: u64) -> Result<(), Violation> {
        self.read_preamble(id)?;
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        let recv = &mut stream.recv;
        if recv.over {
            return Ok(());
        }
        if recv.stopped.is_some() || (recv.preamble.is_some() && recv.reset.is_some()) {
            self.discard(id);
            return Ok(());
        }
        let tells = recv.assembler.is_readable() || recv.is_complete();
        if recv.preamble.is_none() && tells && !std::mem::replace(&mut recv.told, true) {
            self.events.push_back(Event::Readable(StreamId(id)));
        }
        Ok(())
    }

    /// What came of a stream that nobody wants is dropped, and its credit given back.
    pub(super) fn discard(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let recv = &mut stream.recv;
        let pieces = recv.assembler.pieces();
        // What came was counted when it did; what is read is counted here.
        let mut unread = recv.highest - recv.assembler.read_to();
        while let Some(data) = recv.assembler.read(usize::MAX) {
            unread -= data.len() as u64;
            self.consumed += data.len() as u64;
        }
        if recv.is_complete() {
            // A reset leaves holes that never fill.
            recv.assembler.clear();
            self.consumed += unread;
            self.pieces -= pieces;
            recv.over = true;
        }
        self.give_credit();
        self.remove_if_over(id);
    }

    /// Reads what stands before a stream's data: at a server the destination, at a client the answer.
    fn read_preamble(&mut self, id: u64) -> Result<(), Violation> {
        let server = matches!(self.role, Role::Server);
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        let recv = &mut stream.recv;
        while let Some(preamble) = &mut recv.preamble {
            let whole = match (server, &preamble[..]) {
                (true, bytes) => Destination::len_of(bytes).map_err(|_| Violation::Preamble)?,
                (false, _) => Some(1),
            };
            if whole == Some(preamble.len()) {
                let preamble = recv.preamble.take().unwrap_or_default();
                let event = if server {
                    let destination = Destination::decode(&mut Reader::new(&preamble));
                    Event::Opened(StreamId(id), destination.map_err(|_| Violation::Preamble)?)
                } else if preamble == [CONNECTED] {
                    Event::Connected(StreamId(id))
                } else {
                    return Err(Violation::Preamble);
                };
                if recv.stopped.is_none() {
                    self.events.push_back(event);
                }
                return Ok(());
            }
            let wanted = whole.unwrap_or(preamble.len() + 1) - preamble.len();
            match recv.assembler.read(wanted) {
                Some(data) => {
                    preamble.extend_from_slice(&data);
                    self.consumed += data.len() as u64;
                }
                None if recv.is_complete() && recv.reset.is_none() && recv.stopped.is_none() => {
                    return Err(Violation::Preamble);
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn handle_reset(&mut self, id: u64, code: u64, final_offset: u64, now: Instant) -> Result<(), Violation> {
        let Some(stream) = self.peers_stream(id)? else { return self.say_gone(id) };
        let recv = &mut stream.recv;
        check_final(recv.final_offset, recv.highest, final_offset, true)?;
        if final_offset > recv.granted {
            return Err(Violation::FlowControl);
        }
        let new = final_offset - recv.highest;
        if recv.is_complete() {
            // All has come already, or this is known.
            self.owe_ack(id, true, now);
            return Ok(());
        }
        recv.highest = final_offset;
        recv.final_offset = Some(final_offset);
        recv.reset = Some(code);
        let unopened = recv.preamble.is_some();
        self.received += new;
        if self.received > self.granted {
            return Err(Violation::FlowControl);
        }
        self.owe_ack(id, true, now);
        if unopened && matches!(self.role, Role::Server) {
            // The application never knew it.
            let _unknown = self.reset(StreamId(id), code::NONE);
            self.discard(id);
            return Ok(());
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            // At a client this is the answer too.
            stream.recv.preamble = None;
        }
        self.arrived(id)
    }

    fn handle_stop(&mut self, id: u64, code: u64) -> Result<(), Violation> {
        let Some(stream) = self.peers_stream(id)? else { return self.say_gone(id) };
        let send = &mut stream.send;
        if send.stopped.is_none() && send.reset.is_none() && !send.acked {
            send.stopped = Some(code);
            let _is_there = self.reset(StreamId(id), code);
            self.events.push_back(Event::Stopped(StreamId(id), code));
        }
        Ok(())
    }

    fn handle_ack(&mut self, id: u64, offset: u64) -> Result<(), Violation> {
        let Some(stream) = self.peers_stream(id)? else { return Ok(()) };
        let send = &mut stream.send;
        let sent = send.buffer.sent();
        let ended =
            send.reset.is_some() || (send.fin != crate::stream::Fin::Open && sent == send.buffer.end());
        if offset > sent + u64::from(ended) {
            return Err(Violation::Acknowledgement);
        }
        send.acked |= offset == sent + 1;
        let freed = send.buffer.ack(offset.min(sent));
        self.freed(freed);
        self.remove_if_over(id);
        Ok(())
    }

    /// The peer has forgotten a stream, so all of it has come there.
    fn handle_gone(&mut self, id: u64) -> Result<(), Violation> {
        let Some(stream) = self.peers_stream(id)? else { return Ok(()) };
        if stream.recv.final_offset.is_none()
            || stream.send.fin == crate::stream::Fin::Open && stream.send.reset.is_none()
        {
            return Err(Violation::Acknowledgement);
        }
        stream.send.acked = true;
        let freed = stream.send.buffer.clear();
        self.freed(freed);
        self.remove_if_over(id);
        Ok(())
    }

    fn queue_datagram(&mut self, association: u64, destination: Destination, data: &[u8]) {
        let len = destination.encoded_len() + data.len();
        if self.datagrams_in_len + len > self.limits.datagram_buffer {
            self.stats.datagrams_dropped += 1;
            return;
        }
        self.datagrams_in_len += len;
        if self.datagrams_in.is_empty() {
            self.events.push_back(Event::DatagramReceived);
        }
        let data = Bytes::copy_from_slice(data);
        self.datagrams_in.push_back(Datagram { association, destination, data });
    }

    fn association_ended(&mut self, association: u64) {
        // A peer that says it again and again is not listened to for ever.
        if self.events.len() < 4 * PIECES_MAX {
            self.events.push_back(Event::AssociationEnded(association));
        }
    }

    /// Takes an unreliable datagram of a path's transport. One that is not the peer's, or came before, is dropped. *(A)*
    pub fn handle_datagram(&mut self, path: PathId, now: Instant, datagram: &[u8]) {
        let Some(live) = self.live_mut(path.0) else { return };
        let Some(frames) = live.keys.datagram_opener.open(datagram) else { return };
        live.heard(now);
        let mut reader = Reader::new(&frames);
        while !reader.is_empty() {
            match Frame::decode(&mut reader) {
                Ok(Frame::Datagram { association, destination, data }) => {
                    self.queue_datagram(association, destination, data);
                }
                Ok(Frame::Padding(_) | Frame::Extension { .. }) => {}
                // Everything else needs a reliable path.
                Ok(_) => return self.violated(Violation::Datagram),
                Err(violation) => return self.violated(violation),
            }
        }
    }
}

/// A stream ends once, and not before what has come.
fn check_final(known: Option<u64>, highest: u64, end: u64, fin: bool) -> Result<(), Violation> {
    let moved = match known {
        Some(known) => end > known || (fin && end != known),
        None => fin && end < highest,
    };
    if moved { Err(Violation::FinalSize) } else { Ok(()) }
}
