//! The tunnel's inner session: one authenticated session over exchangeable paths, without sockets, clocks or threads.
//!
//! A [`Session`] is between one client and one server. It is carried by any number of *paths*, each the reliable byte stream of
//! one transport connection, perhaps with unreliable datagrams beside it. Paths come and go: the session survives all of
//! them for a time, and no byte of its streams is lost or doubled. The wire format is in
//! `docs/reference/session-wire.md`, the reasons for it in `docs/decisions`.
//!
//! **A path's way.** The client's [`Session::open_path`] gives the first message of a handshake (Noise with ML-KEM-768,
//! under a card's secret and the server's key). The server's transport gives it to the [`Acceptor`] as an [`Incoming`], which
//! answers, and after the client's first record makes it a new session, or a further path of one that it knows.
//!
//! **A byte's way.** An application writes to a stream; it is kept until the peer has it. A transport that can take
//! bytes asks [`Session::poll_transmit`], which fills records with frames of all streams in turn and seals each in place. The
//! other side's transport appends what came to [`Session::input`]; records are opened there, and what they carry is
//! handed to the application by [`Session::read`] from the same buffer, once it is in order. What a path held when it died
//! or fell silent goes by another, and what comes twice is dropped.
//!
//! Time and seeds of random numbers are passed in. The same calls give the same bytes.
#![forbid(unsafe_code)]

mod acceptor;
mod assembler;
mod config;
mod destination;
mod error;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod handshake;
mod keys;
mod path;
mod send;
mod session;
mod stream;
#[cfg(test)]
mod vectors;
mod wire;

pub use acceptor::{Acceptor, AttachedPath, Incoming, Progress};
pub use config::{ClientConfig, Limits, ServerConfig};
pub use destination::{DESTINATION_LEN_MAX, Destination, HostName, InvalidHostName};
pub use error::{CloseReason, PathError, UseError, Violation, code};
pub use handshake::{ChannelBinding, HANDSHAKE_LEN_MAX, HandshakeError, SessionId, public_key};
pub use keys::{DATAGRAM_OVERHEAD, RECORD_LEN_MAX, RECORD_OVERHEAD, Suite};
pub use path::PathId;
pub use session::{Datagram, Event, Read, Session, Stats};
pub use stream::StreamId;
pub use wire::VARINT_MAX;
