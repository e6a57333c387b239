//! What an application does: streams and datagrams.

use bytes::Bytes;

use super::{Datagram, Event, Role, Session};
use crate::error::UseError;
use crate::stream::{Fin, Stream, StreamId};
use crate::{Destination, RECORD_LEN_MAX, RECORD_OVERHEAD};

/// The longest datagram, with its destination's encoding: what one record holds beside a frame's header and a ping.
const DATAGRAM_LEN_MAX: usize = RECORD_LEN_MAX - RECORD_OVERHEAD - 64;

/// What a read gives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Read {
    /// The next bytes of the stream.
    Data(Bytes),
    /// Nothing yet: [`Event::Readable`] tells when.
    Blocked,
    /// The stream ends here. Said once.
    End,
}

impl Session {
    /// Opens a stream to a destination. Data may be written at once; [`Event::Connected`] tells that the destination has
    /// answered, or a read that it has not. *(D)*
    ///
    /// # Errors
    /// As many streams are open as may be, or this is a server, or the session is not established or over.
    pub fn open(&mut self, destination: &Destination) -> Result<StreamId, UseError> {
        if matches!(self.role, Role::Server) {
            return Err(UseError::WrongRole);
        }
        if self.closed || self.closing.is_some() {
            return Err(UseError::SessionEnded);
        }
        if self.id.is_none() {
            return Err(UseError::NotReady);
        }
        let room = self.limits.session_send_buffer.saturating_sub(self.send_buffered);
        if !self.can_open() || room < destination.encoded_len() {
            self.wants_streams = true;
            return Err(UseError::Limit);
        }
        let id = self.next_stream;
        self.next_stream += 1;
        self.streams.insert(id, Stream::new(self.peer.max_stream_data, self.limits.stream_window));
        let mut preamble = Vec::with_capacity(destination.encoded_len());
        destination.encode(&mut preamble);
        self.put(id, preamble.into());
        Ok(StreamId(id))
    }

    fn can_open(&self) -> bool {
        self.next_stream < self.peer.max_streams && (self.streams.len() as u64) < self.limits.streams_max
    }

    /// Tells the client that the stream's destination has answered; data may be written from now on. *(D)*
    ///
    /// # Errors
    /// There is no such stream, it was answered, or this is a client.
    pub fn accept(&mut self, stream: StreamId) -> Result<(), UseError> {
        if matches!(self.role, Role::Client(_)) {
            return Err(UseError::WrongRole);
        }
        let send = &self.streams.get(&stream.0).ok_or(UseError::NoStream)?.send;
        if let Some(error) = send.error() {
            return Err(error);
        }
        if send.buffer.end() > 0 {
            return Err(UseError::Ended);
        }
        self.put(stream.0, Bytes::from_static(&[super::receive::CONNECTED]));
        Ok(())
    }

    /// Writes as much of `data` as there is room for, and tells how much. Less than all means that [`Event::Writable`] will
    /// come. *(D)*
    ///
    /// # Errors
    /// There is no such stream, its sending half has ended, or the peer wants no more. At a server, a stream that was not
    /// accepted takes nothing.
    pub fn write(&mut self, stream: StreamId, data: &[u8]) -> Result<usize, UseError> {
        let room = self.room_to_write(stream, data.len())?;
        if room > 0 {
            self.put(stream.0, Bytes::copy_from_slice(&data[..room]));
        }
        Ok(room)
    }

    /// Like [`Session::write`], without a copy: takes from the front of `data` as much as there is room for. *(D)*
    ///
    /// # Errors
    /// The same.
    pub fn write_bytes(&mut self, stream: StreamId, data: &mut Bytes) -> Result<usize, UseError> {
        let room = self.room_to_write(stream, data.len())?;
        if room > 0 {
            self.put(stream.0, data.split_to(room));
        }
        Ok(room)
    }

    fn room_to_write(&mut self, id: StreamId, len: usize) -> Result<usize, UseError> {
        let server = matches!(self.role, Role::Server);
        let session_room = self.limits.session_send_buffer.saturating_sub(self.send_buffered);
        let stream = self.streams.get_mut(&id.0).ok_or(UseError::NoStream)?;
        let send = &mut stream.send;
        if let Some(error) = send.error() {
            return Err(error);
        }
        if server && send.buffer.end() == 0 {
            return Err(UseError::NotReady);
        }
        let room =
            self.limits.stream_send_buffer.saturating_sub(send.buffer.len()).min(session_room).min(len);
        if room < len && !std::mem::replace(&mut send.waits, true) {
            self.blocked.push_back(id.0);
        }
        Ok(room)
    }

    fn put(&mut self, id: u64, data: Bytes) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        self.send_buffered += data.len();
        stream.send.buffer.write(data);
        self.queue(id);
    }

    /// A stream with something to send stands in the queue.
    pub(super) fn queue(&mut self, id: u64) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.queued
            && stream.has_data()
        {
            stream.queued = true;
            self.ready.push_back(id);
        }
    }

    /// Ends the sending half: what was written is sent, then the end. *(D)*
    ///
    /// # Errors
    /// There is no such stream, or the half has ended.
    pub fn finish(&mut self, stream: StreamId) -> Result<(), UseError> {
        let send = &mut self.streams.get_mut(&stream.0).ok_or(UseError::NoStream)?.send;
        if let Some(error) = send.error() {
            return Err(error);
        }
        send.fin = Fin::Wanted;
        self.queue(stream.0);
        Ok(())
    }

    /// Gives the sending half up: what is not sent yet never is. Does nothing if all of it was received. *(D)*
    ///
    /// # Errors
    /// There is no such stream.
    pub fn reset(&mut self, stream: StreamId, code: u64) -> Result<(), UseError> {
        let state = self.streams.get_mut(&stream.0).ok_or(UseError::NoStream)?;
        if state.send.acked || state.send.reset.is_some() {
            return Ok(());
        }
        state.send.reset = Some(code);
        state.owed.reset = true;
        let freed = state.send.buffer.clear();
        self.owing.insert(stream.0);
        self.freed(freed);
        Ok(())
    }

    /// Wants no more of the receiving half: what has come is dropped, and the peer asked to give up. *(D)*
    ///
    /// # Errors
    /// There is no such stream.
    pub fn stop(&mut self, stream: StreamId, code: u64) -> Result<(), UseError> {
        let state = self.streams.get_mut(&stream.0).ok_or(UseError::NoStream)?;
        if state.recv.over || state.recv.stopped.is_some() {
            return Ok(());
        }
        state.recv.stopped = Some(code);
        if state.recv.final_offset.is_none() {
            state.owed.stop = true;
            self.owing.insert(stream.0);
        }
        self.discard(stream.0);
        Ok(())
    }

    /// The next bytes of a stream, at most `len_max` (at least 1) of them. After [`Event::Readable`] it is to be called until it
    /// gives no more data. *(D)*
    ///
    /// # Errors
    /// There is no such stream, this side stopped it, or the peer gave it up with the code told.
    pub fn read(&mut self, stream: StreamId, len_max: usize) -> Result<Read, UseError> {
        let state = self.streams.get_mut(&stream.0).ok_or(UseError::NoStream)?;
        let recv = &mut state.recv;
        if recv.over || recv.stopped.is_some() {
            return Err(UseError::Ended);
        }
        if let (Some(code), None) = (recv.reset, &recv.preamble) {
            self.discard(stream.0);
            return Err(UseError::Reset(code));
        }
        let data = if recv.preamble.is_none() { recv.assembler.read(len_max.max(1)) } else { None };
        let Some(data) = data else {
            recv.told = false;
            if recv.preamble.is_none() && recv.is_complete() {
                recv.over = true;
                self.remove_if_over(stream.0);
                return Ok(Read::End);
            }
            return Ok(Read::Blocked);
        };
        self.consumed += data.len() as u64;
        let limit = recv.assembler.read_to() + self.limits.stream_window;
        if recv.final_offset.is_none() && limit - recv.granted >= self.limits.stream_window / 2 {
            recv.granted = limit;
            state.owed.max_data = true;
            self.owing.insert(stream.0);
        }
        self.give_credit();
        Ok(Read::Data(data))
    }

    /// The peer gets new credit for all streams when half of it is used.
    pub(super) fn give_credit(&mut self) {
        let limit = self.consumed + self.limits.session_window;
        if limit - self.granted >= self.limits.session_window / 2 {
            self.granted = limit;
            self.owes_max_data = true;
        }
    }

    /// So much of what was written need not be kept any more.
    pub(super) fn freed(&mut self, len: usize) {
        self.send_buffered -= len;
        if len == 0 {
            return;
        }
        for _ in 0..self.blocked.len() {
            if self.send_buffered >= self.limits.session_send_buffer {
                return;
            }
            if let Some(id) = self.blocked.pop_front()
                && !self.unblock(id)
            {
                self.blocked.push_back(id);
            }
        }
    }

    /// Tells that a stream can be written to again; whether it waits no more.
    fn unblock(&mut self, id: u64) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return true };
        let send = &mut stream.send;
        if send.waits && send.error().is_none() {
            if send.buffer.len() >= self.limits.stream_send_buffer {
                return false;
            }
            self.events.push_back(Event::Writable(StreamId(id)));
        }
        send.waits = false;
        true
    }

    /// Forgets a stream that has ended in both directions.
    pub(super) fn remove_if_over(&mut self, id: u64) {
        if !self.streams.get(&id).is_some_and(Stream::is_over) {
            return;
        }
        if let Some(stream) = self.streams.remove(&id)
            && stream.owed.ack
        {
            self.gone.insert(id);
            self.ack_due = true;
        }
        self.owing.remove(&id);
        self.acks.remove(&id);
        match self.role {
            Role::Server => {
                self.streams_end += 1;
                self.tell_max_streams();
            }
            Role::Client(_) => self.streams_changed(),
        }
    }

    /// At a server: the client is told of new room when there is much of it, or when it knows of little.
    pub(super) fn tell_max_streams(&mut self) {
        let new = self.streams_end - self.streams_told;
        // A client may have opened more than it was told of.
        let known = self.streams_told.saturating_sub(self.next_stream);
        let quarter = self.limits.streams_max / 4;
        self.owes_max_streams |= new > quarter || (new > 0 && known <= quarter);
    }

    /// Streams can be opened again, perhaps.
    pub(super) fn streams_changed(&mut self) {
        if self.wants_streams && self.can_open() {
            self.wants_streams = false;
            self.events.push_back(Event::StreamsAvailable);
        }
    }

    /// Sends a datagram of an association, which begins with its first. It goes by any path, or is lost; while too many wait, the
    /// oldest are dropped. *(D)*
    ///
    /// # Errors
    /// It is larger than a record can hold (about 16 000 bytes), or the session is over.
    pub fn send_datagram(&mut self, datagram: Datagram) -> Result<(), UseError> {
        if self.closed {
            return Err(UseError::SessionEnded);
        }
        let len = datagram.queued_len();
        if len > DATAGRAM_LEN_MAX.min(self.limits.datagram_buffer) {
            return Err(UseError::Limit);
        }
        self.datagrams_out_len += len;
        self.datagrams_out.push_back(datagram);
        while self.datagrams_out_len > self.limits.datagram_buffer {
            self.pop_datagram_out();
            self.stats.datagrams_dropped += 1;
        }
        Ok(())
    }

    pub(super) fn pop_datagram_out(&mut self) -> Option<Datagram> {
        let datagram = self.datagrams_out.pop_front()?;
        self.datagrams_out_len -= datagram.queued_len();
        Some(datagram)
    }

    /// The next datagram that came. *(D)*
    pub fn receive_datagram(&mut self) -> Option<Datagram> {
        let datagram = self.datagrams_in.pop_front()?;
        self.datagrams_in_len -= datagram.queued_len();
        Some(datagram)
    }

    /// Tells the peer that an association is over. It may get lost: both sides end associations that are idle. *(D)*
    pub fn end_association(&mut self, association: u64) {
        self.associations_ended.push_back(association);
        let over = self.associations_ended.len().saturating_sub(64);
        self.associations_ended.drain(..over);
    }
}

impl Datagram {
    /// What it counts for in a queue.
    pub(super) fn queued_len(&self) -> usize {
        self.destination.encoded_len() + self.data.len()
    }
}
