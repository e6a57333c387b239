//! A path: moves bytes between a connection and its session.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use daylight_session::{PathError, PathId, UseError};
use tokio::io::AsyncWriteExt as _;

use super::{Driver, Shared, now};
use crate::transports::{Begun, Dialled, Duplex};

/// Asked of the session at once, in bytes: what a connection has taken can't go another way, nor let others pass.
const SEND_LEN: usize = 64 << 10;
/// Datagrams taken before other things have their turn.
const DATAGRAMS_AT_ONCE: usize = 64;
/// Where sizes show, so many of the first sendings of a path are padded, whatever they carry: what is carried shows most
/// in them.
const PADDED: u32 = 8;
/// Their padding, in bytes, and that of later ones that are short.
const PADDING_MAX: [u32; 2] = [700, 128];
/// Shorter than this is short, in bytes.
const SHORT_LEN: usize = 1024;
/// For closing in order.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a path ended.
#[derive(Debug)]
pub struct PathEnd {
    /// Which it was, in its session.
    pub path: PathId,
    /// How.
    pub why: PathFailure,
}

/// Why a path ended, or was not made.
#[derive(Debug, thiserror::Error)]
pub enum PathFailure {
    /// The session says so.
    #[error(transparent)]
    Session(#[from] PathError),
    /// The connection failed.
    #[error("{0}")]
    Connection(#[from] io::Error),
    /// The session takes no path now.
    #[error("no path can be made: {0}")]
    NotNow(UseError),
}

/// Reports the path's loss however its task ends.
struct Guard {
    shared: Arc<Shared>,
    path: PathId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut turn = self.shared.turn();
        turn.session.path_lost(self.path, now());
        turn.paths.remove(&self.path);
        // It is told to whoever listens, and no task of the path's is left to be.
        turn.handle_events();
        turn.paths_ended.remove(&self.path);
    }
}

/// What a path's connection is to take next.
struct Out {
    bytes: BytesMut,
    /// Where sizes show, how many sendings were padded.
    padded: Option<u32>,
}

impl Out {
    /// Padding for what is in it now, in bytes.
    fn padding(&mut self) -> usize {
        let Some(padded) = &mut self.padded else { return 0 };
        let most = match *padded < PADDED {
            true => PADDING_MAX[0],
            false if self.bytes.len() < SHORT_LEN => PADDING_MAX[1],
            // What is full says nothing by its size.
            false => return 0,
        };
        *padded = padded.saturating_add(1);
        rand::random_range(0..most) as usize
    }
}

impl Driver {
    /// At a client: begins a path over a connection. `began` is told its number; this returns at the path's end.
    pub async fn carry(&self, dialled: Box<dyn Dialled>, began: impl FnOnce(PathId)) -> PathFailure {
        let first = {
            let mut turn = self.0.turn();
            // A transport that shows sizes pads what begins it by itself.
            let opened = turn.session.open_path(now(), dialled.binding(), 0);
            opened.map(|path| {
                let mut first = BytesMut::new();
                turn.session.poll_transmit(path, now(), SEND_LEN, &mut first);
                (path, first)
            })
        };
        let (path, first) = match first {
            Ok(first) => first,
            Err(error) => return PathFailure::NotNow(error),
        };
        let guard = Guard { shared: self.0.clone(), path };
        began(path);
        let shows_sizes = dialled.shows_sizes();
        let begun = async {
            let Begun { answer, connection } = dialled.begin(first.to_vec()).await?;
            self.0.turn().session.handle_bytes(path, now(), &answer);
            Ok(connection)
        };
        match begun.await {
            Ok(connection) => self.run(guard, connection, shows_sizes).await,
            Err(error) => PathFailure::Connection(error),
        }
    }

    /// At a server: goes on with a path that the session has.
    pub(super) async fn go_on(
        &self,
        path: PathId,
        connection: Box<dyn Duplex>,
        shows_sizes: bool,
    ) -> PathFailure {
        self.run(Guard { shared: self.0.clone(), path }, connection, shows_sizes).await
    }

    async fn run(&self, guard: Guard, mut connection: Box<dyn Duplex>, shows_sizes: bool) -> PathFailure {
        let path = guard.path;
        let mut out = Out { bytes: BytesMut::new(), padded: shows_sizes.then_some(0) };
        let ended = std::future::poll_fn(|context| {
            self.0.poll_path(context, path, Pin::new(&mut *connection), &mut out)
        })
        .await;
        match ended {
            Ok(error) => {
                // The last of it was sent already; a connection that doesn't close in order is closed without.
                let _ = tokio::time::timeout(PATIENCE, connection.shutdown()).await;
                error.into()
            }
            Err(error) => error.into(),
        }
    }
}

impl Shared {
    fn poll_path(
        &self,
        context: &mut Context<'_>,
        path: PathId,
        mut connection: Pin<&mut dyn Duplex>,
        out: &mut Out,
    ) -> Poll<io::Result<PathError>> {
        // Before anything is looked at, so that nothing that changes meanwhile is missed.
        self.paths_turn(path).paths.insert(path, context.waker().clone());
        loop {
            let received = self.poll_receive(context, path, connection.as_mut())?;
            let sent = self.poll_send(context, path, connection.as_mut(), out)?;
            let mut turn = self.paths_turn(path);
            turn.handle_events();
            if out.bytes.is_empty()
                && let Some(error) = turn.paths_ended.get(&path)
            {
                return Poll::Ready(Ok(*error));
            }
            if !received && !sent {
                return Poll::Pending;
            }
        }
    }

    /// Takes what there is; whether there was something.
    fn poll_receive(
        &self,
        context: &mut Context<'_>,
        path: PathId,
        mut connection: Pin<&mut dyn Duplex>,
    ) -> io::Result<bool> {
        let mut turn = self.paths_turn(path);
        let mut is_more = false;
        if let Some(datagrams) = connection.datagrams() {
            for _ in 0..DATAGRAMS_AT_ONCE {
                let datagram = datagrams.poll_receive(context);
                is_more = datagram.is_ready();
                let Poll::Ready(datagram) = datagram else { break };
                turn.session.handle_datagram(path, now(), &datagram);
            }
        }
        let Some(input) = turn.session.input(path) else { return Ok(is_more) };
        match tokio_util::io::poll_read_buf(connection, context, input) {
            Poll::Ready(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Poll::Ready(Ok(_)) => {
                turn.session.handle_appended(path, now());
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(is_more),
        }
    }

    /// Sends what there is, as far as the connection takes it; whether more can go.
    fn poll_send(
        &self,
        context: &mut Context<'_>,
        path: PathId,
        mut connection: Pin<&mut dyn Duplex>,
        out: &mut Out,
    ) -> io::Result<bool> {
        // One turn for both: a datagram that came between them would go with the bytes.
        let mut turn = self.paths_turn(path);
        if let Some(datagrams) = connection.datagrams() {
            let len_max = datagrams.len_max();
            while let Some(datagram) = turn.session.poll_datagram(path, len_max) {
                datagrams.send(datagram);
            }
        }
        if out.bytes.is_empty() {
            out.bytes.clear();
            if turn.session.poll_transmit(path, now(), SEND_LEN, &mut out.bytes) > 0 {
                turn.session.poll_padding(path, out.padding(), &mut out.bytes);
            }
        }
        drop(turn);
        if out.bytes.is_empty() {
            // What came before may still lie in a buffer of the transport's.
            let _ = connection.poll_flush(context)?;
            return Ok(false);
        }
        match connection.poll_write(context, &out.bytes) {
            Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(length)) => {
                out.bytes.advance(length);
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Ok(false),
        }
    }
}
