//! An HTTPS client that nobody on the path can tell from a browser.
//!
//! A [`Profile`] is what one version of a browser sends, as data. A [`Client`] makes TLS connections that look so, over
//! anything that reads and writes, and resumes sessions as the browser does; [`http2()`] speaks HTTP/2 over them with the
//! browser's settings, and [`Profile::headers`] are the headers of its requests. [`QuicClient`] is the same for QUIC: what quinn
//! needs of TLS, and a browser's first packets.
//!
//! The TLS library is BoringSSL, Chrome's own: what can't be seen in a ClientHello (the order of messages, alerts, record
//! lengths) comes out the same because it is the same code. The crate's tests let the installed Chromium and this
//! client talk to the same server, and say what differs, field by field.
#![deny(unsafe_code)]

mod error;
mod ffi;
mod http2;
mod profile;
mod quic;
mod records;
mod sessions;
mod tls;

pub use error::Error;
pub use http2::{Connection, DATA_BYTES_MAX, SendRequest, http2};
pub use profile::{Fill, HeadersProfile, Http2Profile, Kind, Priority, Profile, QuicProfile, TlsProfile};
pub use quic::QuicClient;
pub use records::FrameRecords;
pub use tls::{Client, Tls, Trust};
