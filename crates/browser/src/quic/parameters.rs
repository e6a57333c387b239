//! Transport parameters (RFC 9000 §18) as Chrome says them.

use bytes::Buf as _;
use quinn_proto::coding::Codec as _;
use quinn_proto::{VarInt, transport_parameters::TransportParameters};
use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use super::frames::write_integer;
use crate::QuicProfile;

/// RFC 9368 §3.
const VERSION_INFORMATION: u64 = 0x11;
/// RFC 9221 §3.
const MAX_DATAGRAM_FRAME_SIZE: u64 = 0x20;
/// Google's, for what its servers try out.
const CONNECTION_OPTIONS: u64 = 0x3128;
/// draft-ietf-quic-ack-frequency-07 §3, which Chrome doesn't have.
const MIN_ACK_DELAY: u64 = 0xff04_de1b;
/// The version of QUIC that is spoken.
pub(super) const VERSION: u32 = 1;

/// What quinn says, changed to what the browser does. The reserved parameter is quinn's: made as Chrome makes its own.
pub(super) fn like_the_browser(parameters: &TransportParameters, profile: &QuicProfile) -> Vec<u8> {
    let mut written = Vec::new();
    parameters.write(&mut written);
    let mut all: Vec<(u64, Vec<u8>)> = read(&written)
        .filter(|&(id, _)| id != MIN_ACK_DELAY && id != MAX_DATAGRAM_FRAME_SIZE)
        .map(|(id, value)| (id, value.to_vec()))
        .collect();
    let mut random = rand::rng();
    let mut longest = Vec::new();
    write_integer(profile.max_datagram_frame_size.into(), &mut longest);
    all.push((MAX_DATAGRAM_FRAME_SIZE, longest));
    if !profile.connection_options.is_empty() {
        all.push((CONNECTION_OPTIONS, profile.connection_options.clone().into_bytes()));
    }
    // The version chosen, and those that are offered: one that there is none of among them (RFC 9000 §15).
    let mut offered = [random.random::<u32>() & 0xf0f0_f0f0 | 0x0a0a_0a0a, VERSION];
    offered.shuffle(&mut random);
    all.push((VERSION_INFORMATION, [VERSION, offered[0], offered[1]].map(u32::to_be_bytes).concat()));
    all.shuffle(&mut random);

    let mut out = Vec::new();
    for (id, value) in all {
        write_integer(id, &mut out);
        write_integer(value.len() as u64, &mut out);
        out.extend_from_slice(&value);
    }
    out
}

/// Ids and values.
fn read(mut parameters: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let id = VarInt::decode(&mut parameters).ok()?.into_inner();
        let len = VarInt::decode(&mut parameters).ok()?.into_inner() as usize;
        let value = parameters.get(..len)?;
        parameters.advance(len);
        Some((id, value))
    })
}
