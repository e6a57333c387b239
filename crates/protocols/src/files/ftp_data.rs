//! FTP's data channel: a file or a listing, with nothing before or after it, so that its bytes look like anything. It
//! is never identified from its payload: the control channel ([`ftp`](super::ftp)) announces it, and the engine labels
//! it `correlation`. Where the control channel was not seen, or went over TLS, the channel gets no such label.

use crate::{Family, Protocol, tcp};

/// FTP data channel.
pub const PROTOCOL: Protocol = Protocol {
    name: "ftp-data",
    title: "FTP data channel",
    family: Family::Files,
    source: "RFC 959",
    ports: &[tcp(20)],
    cleartext: true,
    ..Protocol::BASE
};
