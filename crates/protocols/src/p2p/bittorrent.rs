//! BitTorrent.

use crate::{Family, Protocol};

/// BitTorrent.
pub const PROTOCOL: Protocol =
    Protocol { name: "bittorrent", title: "BitTorrent", family: Family::P2p, source: "", ..Protocol::BASE };
