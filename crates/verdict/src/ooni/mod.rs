//! OONI's formats: one measurement, files of them, and the words that they use.
//!
//! [`read`] makes a [`Measurement`] of one JSON object, whatever is missing or odd in it; [`Splitter`] finds the objects
//! in a file; [`write()`] writes one as a line that OONI's own tools read.

mod body;
mod failure;
mod lax;
mod measurement;
mod read;
mod shape;
mod split;

pub use body::Body;
pub use failure::{FAILURE_LEN_MAX, Failure};
pub use measurement::{
    Answer, Control, ControlDns, ControlHttp, ControlRequest, ControlTcp, ControlTls, DATA_FORMAT_VERSION,
    IpInfo, Measurement, NetworkEvent, Query, Request, Response, TcpConnect, TcpStatus, TestKeys,
    TlsHandshake, Tor, Transaction,
};
pub use read::{NOTES_MAX, Read, ReadError, read, write};
pub use split::{FILE_DEPTH_MAX, MEASUREMENT_BYTES_MAX, Piece, SplitError, Splitter};

/// The one test whose measurements are judged.
pub const WEB_CONNECTIVITY: &str = "web_connectivity";
