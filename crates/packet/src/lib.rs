//! From bytes to headers.
//!
//! A [`Batch`] of frames comes from a [`FrameSource`] (a capture file, an interface). [`Decoder::decode`] takes one
//! frame through its link layer, tags, tunnels, IP and transport headers in one pass, without allocating, and gives a
//! [`Packet`]: the flow's key, which end sent it, where the payload lies. IP fragments come out as
//! [`Decoded::Fragment`] and go through a [`Defragmenter`], the only state across packets in this crate; what it puts
//! together is a [`Reassembled`] packet, which is decoded in turn. Once per flow, [`Decoder::tunnels`] names the tags
//! and tunnels a frame was in.
#![forbid(unsafe_code)]

pub mod build;
mod checksum;
mod decoded;
mod decoder;
mod fragment;
mod frame;
mod link;
mod mend;
mod special;
mod spread;
mod tunnels;

pub use checksum::is_damaged;
pub use decoded::{Decoded, FlowKey, FrameKind, Issues, Packet, TcpHeader, TransportKind};
pub use decoder::{Decoder, ENCAPSULATIONS_MAX, icmp_counterpart};
pub use fragment::{
    DefragmentCounters, DefragmentLimits, Defragmented, Defragmenter, OverlapPolicy, Reassembled,
};
pub use frame::{Batch, Frame, FrameBytes, FrameSource, LinkType, SourceEnd, SourceError};
pub use mend::{mend, replace_address};
pub use special::{embedded_ipv4, is_special};
pub use spread::Spread;
pub use tunnels::{TUNNELS_MAX, Tunnel, TunnelKind, Tunnels};
