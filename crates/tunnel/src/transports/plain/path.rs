//! `plain` for a session's path.
//!
//! A path's first message comes along with the first flight, and the answer in the first records, the last of which says
//! that no more follow. After that both directions are the session's own bytes: those are sealed and uniform already, and
//! are not sealed again.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use daylight_session::ChannelBinding;
use rand::rngs::StdRng;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::stream::{Accepted, ConnectError, connect};
use super::{Access, Suite};
use crate::transports::door::{Doorman, now_s};
use crate::transports::{Arrived, Begun, Dialled, Duplex, Later, give};

/// Before a path's first message; other programs' connections have none of their own kind.
pub(super) const SESSION: u8 = 1;
/// The longest answer, in bytes.
const ANSWER_LEN_MAX: u64 = 8 << 10;

/// A connection to a server of a card.
pub struct Client<T> {
    /// The connection.
    pub connection: T,
    /// The server's key.
    pub server: [u8; 32],
    /// The card's.
    pub access: Access,
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Dialled for Client<T> {
    fn binding(&self) -> ChannelBinding {
        None
    }

    fn shows_sizes(&self) -> bool {
        true
    }

    fn begin(self: Box<Self>, first: Vec<u8>) -> Later<io::Result<Begun>> {
        Box::pin(async move {
            let Self { connection, server, access } = *self;
            let early = [&[SESSION], &first[..]].concat();
            let random: StdRng = rand::make_rng();
            let connected = connect(connection, &server, &access, Suite::best(), now_s(), &early, random);
            let mut stream = connected.await.map_err(|error| match error {
                ConnectError::Io(error) => error,
                other => io::Error::new(io::ErrorKind::InvalidData, other),
            })?;
            let mut answer = Vec::new();
            (&mut stream).take(ANSWER_LEN_MAX).read_to_end(&mut answer).await?;
            let (connection, came) = stream.into_bare()?;
            Ok(Begun { answer, connection: Box::new(Bare { connection, came }) })
        })
    }
}

/// What arrived from this address, if it is a path.
pub fn arrived<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    accepted: Accepted<T, StdRng>,
    door: &Doorman,
    from: Option<IpAddr>,
) -> Option<Arrived> {
    let Accepted { mut stream, access, early } = accepted;
    let (&SESSION, first) = early.split_first()? else { return None };
    let answer = |bytes: Vec<u8>| -> Later<io::Result<Box<dyn Duplex>>> {
        Box::pin(async move {
            stream.write_all(&bytes).await?;
            stream.end_records()?;
            stream.flush().await?;
            let (connection, came) = stream.into_bare()?;
            Ok(Box::new(Bare { connection, came }) as Box<dyn Duplex>)
        })
    };
    let first = first.to_vec();
    let access_secret = door.card(&access)?.session;
    Some(Arrived {
        first,
        access_secret,
        binding: None,
        shows_sizes: true,
        answer: Box::new(answer),
        transport: "plain",
        from,
    })
}

/// A connection of which something was read already.
struct Bare<T> {
    connection: T,
    came: Bytes,
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for Bare<T> {}

impl<T: AsyncRead + Unpin> AsyncRead for Bare<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.came.is_empty() {
            return Pin::new(&mut self.connection).poll_read(context, buffer);
        }
        give(&mut self.came, buffer);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Bare<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}
