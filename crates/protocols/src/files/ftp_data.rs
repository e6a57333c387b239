//! FTP data channel.

use crate::{Family, Protocol};

/// FTP data channel.
pub const PROTOCOL: Protocol = Protocol {
    name: "ftp-data",
    title: "FTP data channel",
    family: Family::Files,
    source: "",
    ..Protocol::BASE
};
