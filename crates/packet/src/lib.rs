//! From bytes to headers.
//!
//! A [`Batch`] of frames comes from a [`FrameSource`] (a capture file, an interface). [`Decoder::decode`] takes one
//! frame through its link layer, tags, tunnels, IP and transport headers in one pass, without allocating, and gives a
//! [`Packet`]: the flow's key, which end sent it, where the payload lies. IP fragments come out as
//! [`Decoded::Fragment`] and go through a [`Defragmenter`], the only state across packets in this crate.
#![forbid(unsafe_code)]

mod frame;

pub use frame::{Batch, Frame, FrameBytes, FrameSource, LinkType, SourceEnd, SourceError};
mod decoded;
pub use decoded::{Decoded, FlowKey, Issues, Packet, TcpHeader, TransportKind};
