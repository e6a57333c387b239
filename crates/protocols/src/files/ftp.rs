//! File Transfer Protocol.

use crate::{Family, Protocol};

/// File Transfer Protocol.
pub const PROTOCOL: Protocol = Protocol {
    name: "ftp",
    title: "File Transfer Protocol",
    family: Family::Files,
    source: "",
    ..Protocol::BASE
};
