//! `h3`: HTTP/3, on the site of [`web`](super::web).
//!
//! ```text
//! CONNECT /.well-known/masque/udp/SITE/443/   :protocol connect-udp (RFC 9298), Cookie: session=FLIGHT
//! 200                                         and from then on a path's bytes, both ways
//! ```
//!
//! One request carries a path: its bytes in order, as capsules of the request's stream; the session's unreliable datagrams as
//! HTTP Datagrams, which wait for nothing that was lost. The flight is `web`'s, but says that it
//! is for `h3`. Whatever is wrong with it, the site answers; and so it does every request that is no such CONNECT.

mod capsule;
pub mod client;
mod datagram;
pub mod endpoint;
pub mod server;
mod varint;
mod window;

pub use server::{H3, Site};
