//! One HTTP/2 frame, one TLS record.
//!
//! A browser hands its frames to TLS one by one, so each is a record of its own; only the connection's preface, the first
//! SETTINGS and the first WINDOW_UPDATE go together. An HTTP library that writes whatever has gathered makes records of
//! other lengths, which anybody on the path can read off. This layer, between the two, cuts what comes at the frames' ends.
//!
//! Two habits more are visible in records, and kept here: Chrome takes leave without a GOAWAY, and after a request on a
//! connection that was quiet for ten seconds it asks by a PING whether the connection still stands.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// So much is gathered before a writer has to wait for the connection.
const GATHERED_BYTES_MAX: usize = 64 * 1024;
const PREFACE_BYTES: usize = 24;
const HEADER_BYTES: usize = 9;
/// After so long without a byte read a request is followed by a PING (Chrome's "connection at risk of loss").
const QUIET: Duration = Duration::from_secs(10);
/// Types of frames (RFC 9113 §6).
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Passes reads on, and writes one frame at a time. It begins with the connection's preface.
#[derive(Debug)]
pub struct FrameRecords<T> {
    inner: T,
    gathered: BytesMut,
    cuts: Cuts,
    last_read: Instant,
    /// A PING of this layer is unanswered.
    ping_sent: bool,
    /// The number in the next one; Chrome counts so.
    ping_number: u64,
}

/// Whether a GOAWAY frame tells of no error: a browser closes the connection without it.
fn is_farewell(frame: &[u8]) -> bool {
    frame.get(HEADER_BYTES + 4..HEADER_BYTES + 8) == Some(&[0; 4])
}

/// Where the gathered bytes are to be cut.
#[derive(Debug)]
struct Cuts {
    /// The records to be written, in order.
    records: VecDeque<Record>,
    /// How many bytes came after them: the beginning of a frame.
    open: usize,
    /// Of the preface, how much is to come.
    preface: usize,
    /// Of the frame's body, how much is to come.
    body: usize,
    header: [u8; HEADER_BYTES],
    header_have: usize,
    /// Nothing but SETTINGS came yet.
    opening: bool,
}

#[derive(Debug)]
struct Record {
    /// Of its first frame.
    kind: u8,
    /// How much is to be written.
    left: usize,
}

impl<T> FrameRecords<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner,
            gathered: BytesMut::new(),
            cuts: Cuts::new(),
            last_read: Instant::now(),
            ping_sent: false,
            ping_number: 1,
        }
    }

    fn gather(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (step, request) = self.cuts.step(bytes);
            self.gathered.extend_from_slice(&bytes[..step]);
            bytes = &bytes[step..];
            if request && !self.ping_sent && self.last_read.elapsed() > QUIET {
                self.ping();
            }
        }
    }

    /// The answer goes to the library, which ignores one to a PING that it didn't send.
    fn ping(&mut self) {
        let mut frame = [0; HEADER_BYTES + 8];
        frame[2] = 8;
        frame[3] = PING;
        frame[HEADER_BYTES..].copy_from_slice(&self.ping_number.to_be_bytes());
        self.gathered.extend_from_slice(&frame);
        self.cuts.records.push_back(Record { kind: PING, left: frame.len() });
        self.ping_sent = true;
        self.ping_number += 1;
    }
}

impl<T: AsyncWrite + Unpin> FrameRecords<T> {
    /// Writes what whole records there are. Part of a frame waits for its rest, which must come.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(record) = self.cuts.records.front_mut() {
            let bytes = &self.gathered[..record.left];
            let written = if record.kind == GOAWAY && is_farewell(bytes) {
                bytes.len()
            } else {
                ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.advance(written);
            record.left -= written;
            if record.left == 0 {
                self.cuts.records.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gathered.len() < GATHERED_BYTES_MAX { Poll::Ready(Ok(())) } else { self.poll_drain(cx) }
    }
}

impl Cuts {
    fn new() -> Self {
        Self {
            records: VecDeque::new(),
            open: 0,
            preface: PREFACE_BYTES,
            body: 0,
            header: [0; HEADER_BYTES],
            header_have: 0,
            opening: true,
        }
    }

    /// Takes bytes up to the end of a part of a frame: how many, and whether headers are whole with them.
    fn step(&mut self, bytes: &[u8]) -> (usize, bool) {
        let wanted = match (self.preface, self.body) {
            (0, 0) => HEADER_BYTES - self.header_have,
            (0, body) => body,
            (preface, _) => preface,
        };
        let step = wanted.min(bytes.len());
        self.open += step;
        if self.preface > 0 {
            self.preface -= step;
            return (step, false);
        }
        if self.body > 0 {
            self.body -= step;
        } else {
            self.header[self.header_have..][..step].copy_from_slice(&bytes[..step]);
            self.header_have += step;
            if self.header_have < HEADER_BYTES {
                return (step, false);
            }
            self.header_have = 0;
            let [a, b, c, ..] = self.header;
            self.body = u32::from_be_bytes([0, a, b, c]) as usize;
        }
        (step, self.body == 0 && self.frame_ends())
    }

    fn frame_ends(&mut self) -> bool {
        let [_, _, _, kind, flags, ..] = self.header;
        let joins = kind == CONTINUATION || (kind == WINDOW_UPDATE && self.opening);
        self.opening &= kind == SETTINGS;
        match self.records.back_mut() {
            Some(last) if joins => last.left += self.open,
            _ => self.records.push_back(Record { kind, left: self.open }),
        }
        self.open = 0;
        matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS != 0
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for FrameRecords<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.last_read = Instant::now();
            self.ping_sent = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for FrameRecords<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx))?;
        self.gather(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx))?;
        for buf in bufs {
            self.gather(buf);
        }
        Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Keeps the lengths of what is written, of which it takes at most `max` at once.
    struct Writes {
        lengths: Vec<usize>,
        bytes: Vec<u8>,
        max: usize,
    }

    impl AsyncWrite for Writes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let taken = buf.len().min(self.max);
            self.lengths.push(taken);
            self.bytes.extend_from_slice(&buf[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let mut frame = (length as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0, 0, 0, 0, 1]);
        frame.extend((0..length).map(|i| i as u8));
        frame
    }

    fn conversation() -> (Vec<u8>, Vec<usize>) {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let frames = [(4, 24), (8, 4), (1, 100), (9, 50), (0, 16_375), (8, 4), (4, 0), (0, 0)];
        for (kind, length) in frames {
            bytes.extend(frame(kind, length));
        }
        (bytes, vec![24 + 33 + 13, 109 + 59, 16_384, 13, 9, 9])
    }

    #[tokio::test]
    async fn cuts_at_the_ends_of_frames() {
        let (bytes, lengths) = conversation();
        for piece in [1, 7, 9, 24, 1000, bytes.len()] {
            let mut records = FrameRecords::new(Writes { lengths: vec![], bytes: vec![], max: usize::MAX });
            for piece in bytes.chunks(piece) {
                records.write_all(piece).await.unwrap();
            }
            records.flush().await.unwrap();
            assert_eq!(records.inner.lengths, lengths, "in pieces of {piece}");
            assert_eq!(records.inner.bytes, bytes);
        }
    }

    #[tokio::test]
    async fn loses_nothing_when_little_is_taken() {
        let (bytes, _) = conversation();
        let mut records = FrameRecords::new(Writes { lengths: vec![], bytes: vec![], max: 10 });
        for piece in bytes.chunks(333) {
            records.write_all(piece).await.unwrap();
            records.flush().await.unwrap();
        }
        assert_eq!(records.inner.bytes, bytes);
    }

    #[tokio::test]
    async fn takes_leave_without_a_word() {
        let mut records = FrameRecords::new(Writes { lengths: vec![], bytes: vec![], max: usize::MAX });
        let goaway = |code: u8| [&[0, 0, 8, 7, 0, 0, 0, 0, 0], &[0; 7][..], &[code]].concat();
        let bytes = [&conversation().0[..24 + 33], &goaway(0), &goaway(1)].concat();
        records.write_all(&bytes).await.unwrap();
        records.flush().await.unwrap();
        assert_eq!(records.inner.lengths, [57, 17]);
        assert!(records.inner.bytes.ends_with(&goaway(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn asks_after_a_quiet_time() {
        let mut records = FrameRecords::new(Writes { lengths: vec![], bytes: vec![], max: usize::MAX });
        records.write_all(&conversation().0[..24 + 33]).await.unwrap();
        let mut rest = frame(CONTINUATION, 5);
        rest[4] = END_HEADERS;
        for wait in [9, 2, 20] {
            tokio::time::advance(Duration::from_secs(wait)).await;
            records.write_all(&[frame(HEADERS, 10), rest.clone(), frame(8, 4)].concat()).await.unwrap();
            records.flush().await.unwrap();
        }
        // Eleven seconds without a byte: one PING, and none until it was answered.
        assert_eq!(records.inner.lengths, [57, 33, 13, 33, 17, 13, 33, 13]);
        let ping = [&[0, 0, 8, PING, 0, 0, 0, 0, 0][..], &1u64.to_be_bytes()].concat();
        assert!(records.inner.bytes.windows(17).any(|bytes| bytes == ping));
    }

    #[tokio::test]
    async fn a_lone_settings_frame_is_written_at_once() {
        let mut records = FrameRecords::new(Writes { lengths: vec![], bytes: vec![], max: usize::MAX });
        records.write_all(&conversation().0[..24 + 33]).await.unwrap();
        records.flush().await.unwrap();
        assert_eq!(records.inner.lengths, [57]);
    }
}
