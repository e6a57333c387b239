//! The ways through a filter, each in a file or folder of its own.
//!
//! What a transport does for a [session](daylight_session) is small: at a client it dials, and gives a [`Dialled`]; at a server
//! it gives an [`Arrived`] once it knows whose card it is. Both exchange a path's first message and the answer, and then
//! carry bytes both ways, in order, until one side ends, and perhaps datagrams beside them. Everything else is the session's: who it is with, secrecy,
//! and that nothing is lost when a connection is.

pub mod door;
pub mod h3;
pub mod plain;
pub mod web;

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use daylight_session::ChannelBinding;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Gives a reader the front of what came, as much as there is room for; how much that was.
pub(crate) fn give(came: &mut Bytes, buffer: &mut ReadBuf<'_>) -> usize {
    let length = came.len().min(buffer.remaining());
    buffer.put_slice(&came.split_to(length));
    length
}

/// What is sent and received over a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {
    /// What goes beside the bytes, if the transport has such a thing.
    fn datagrams(&mut self) -> Option<&mut dyn Datagrams> {
        None
    }
}

/// Datagrams of a connection: each arrives whole, or not at all.
pub trait Datagrams: Send {
    /// The longest that can be sent at present, in bytes; 0 if none can.
    fn len_max(&self) -> usize;

    /// Sends one.
    fn send(&mut self, datagram: Bytes);

    /// The next that came; never, once no more come.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Bytes>;
}

/// Something that comes later.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A client's connection to a server of a card, on which nothing was said of it.
pub trait Dialled: Send {
    /// What only both ends of the connection's outer channel know, if it has such a thing.
    fn binding(&self) -> ChannelBinding;

    /// Whether the sizes of what is sent show, and are to be blurred by padding.
    fn shows_sizes(&self) -> bool;

    /// Sends a path's first message, and gives what the server answers, and the connection for all that follows.
    fn begin(self: Box<Self>, first: Vec<u8>) -> Later<io::Result<Begun>>;
}

/// A client's connection on which a path has begun.
pub struct Begun {
    /// What the server answered.
    pub answer: Vec<u8>,
    /// For all that follows.
    pub connection: Box<dyn Duplex>,
}

/// A path that arrived at a server, from somebody who holds a card.
pub struct Arrived {
    /// Its first message, whole.
    pub first: Vec<u8>,
    /// The session's secret of that card.
    pub access_secret: [u8; 32],
    /// What only both ends of the connection's outer channel know, if it has such a thing.
    pub binding: ChannelBinding,
    /// Whether the sizes of what is sent show, and are to be blurred by padding.
    pub shows_sizes: bool,
    /// Sends the answer, and gives the connection for all that follows.
    pub answer: Answer,
    /// What carries it: the name of a transport.
    pub transport: &'static str,
    /// Where it came from, as far as that is known. For counts by region; it is not to be kept.
    pub from: Option<IpAddr>,
}

/// Sends an answer, and gives the connection.
pub type Answer = Box<dyn FnOnce(Vec<u8>) -> Later<io::Result<Box<dyn Duplex>>> + Send>;
