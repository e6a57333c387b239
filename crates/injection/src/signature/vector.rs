//! Packets that signatures are tried on, as they stand in a file.

use std::net::IpAddr;

use serde::Deserialize;

use super::feature::Specimen;
use crate::finding::Kind;

/// The packets of one connection.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VectorText {
    packets: Vec<PacketText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PacketText {
    kind: Kind,
    ttl: u8,
    ip_id: Option<u16>,
    dont_fragment: Option<bool>,
    window: Option<u16>,
    seq_offset: Option<u32>,
    seq: Option<u32>,
    #[serde(default)]
    payload: String,
    payload_bytes: Option<u32>,
    #[serde(default)]
    addresses: Vec<IpAddr>,
    dns_ttl: Option<u32>,
}

impl VectorText {
    pub(super) fn specimens(self) -> Vec<Specimen> {
        let specimen = |packet: PacketText| Specimen {
            kind: packet.kind,
            ttl: packet.ttl,
            ip_id: packet.ip_id,
            dont_fragment: packet.dont_fragment,
            window: packet.window,
            seq_offset: packet.seq_offset,
            seq: packet.seq,
            payload_len: packet
                .payload_bytes
                .unwrap_or_else(|| u32::try_from(packet.payload.len()).unwrap_or(u32::MAX)),
            payload: packet.payload.into_bytes(),
            addresses: packet.addresses,
            dns_ttl: packet.dns_ttl,
        };
        self.packets.into_iter().map(specimen).collect()
    }
}
