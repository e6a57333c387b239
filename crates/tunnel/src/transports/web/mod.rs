//! `web`: ordinary HTTPS, on the server's own name, with a real site behind it.
//!
//! ```text
//! GET  PATH   Cookie: session=FLIGHT        200, and from then on everything the server sends
//! POST PATH   Cookie: session=TICKET 0      everything the client sends, and 204 at its end
//! ```
//!
//! A flight is [`plain`](super::plain)'s first flight, in base64: it says whose card it is, when it was made and on which TLS
//! connection (by its exporter, RFC 9266), and holds a session path's first message. A server takes it once. Tickets are made
//! with keys from the flight. Whatever is wrong with either, [`Web::answer`] gives the request back as it was, and the site
//! answers it like everybody's.
//!
//! Where something between passes on only requests that end soon, a path consists of many: the client's bytes go by POSTs
//! that are numbered, the server's by GETs ([`Mode::Pieces`]). If one of them is lost so is the path, and the session
//! goes on by another.

pub mod client;
mod pipe;
pub mod server;
pub(super) mod token;

pub use server::{Channel, Web, WebBody, is_attempt};

/// How a path's bytes are carried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// By one request in each direction, without an end.
    Streams,
    /// By many short ones.
    Pieces,
}

impl Mode {
    fn number(self) -> u8 {
        match self {
            Self::Streams => 1,
            Self::Pieces => 2,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        [Self::Streams, Self::Pieces].into_iter().find(|mode| mode.number() == number)
    }
}

/// The label of the TLS exporter that binds a path to its connection; 32 bytes, without a context (RFC 9266).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// So many bytes of a direction wait in the transport, at most.
const WAITING_LEN_MAX: usize = 128 << 10;
/// The longest body of a piece, in bytes.
const PIECE_LEN_MAX: usize = 256 << 10;
/// So many pieces of a direction are under way at once.
const PIECES_MAX: u32 = 4;
/// What an HTTP/2 connection that carries pieces must let come in at least, before anything of it was read, in bytes: pieces
/// that came early wait in the connection, and must not keep out the one that all wait for.
pub const CONNECTION_WINDOW_LEN: u32 = 4 << 20;
