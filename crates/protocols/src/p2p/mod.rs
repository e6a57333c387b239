//! Peer to peer.

pub mod bittorrent;
pub mod stratum;
