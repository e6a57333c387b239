//! What a helper tells beside OONI's protocol: how a request arrived, and bytes to time.

use std::os::fd::AsFd;

use daylight_capture::saved_syn;
use serde::{Deserialize, Serialize};

/// The longest run of bytes.
pub(super) const BLOB_BYTES_MAX: usize = 1 << 20;

/// How a request arrived: what changed on the way can be seen by comparing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Echo {
    /// The asker's address, as it is seen from here.
    pub(super) address: String,
    /// The asker's port.
    pub(super) port: u16,
    /// The name in the ClientHello; absent without TLS or without a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server_name: Option<String>,
    /// The headers, in the order in which they came, with names in lower case.
    pub(super) headers: Vec<(String, String)>,
    /// The first packet of the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) syn: Option<Syn>,
}

/// The first packet of a connection, as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Syn {
    /// TTL or hop limit.
    pub(super) ttl: u8,
    /// IPv4's identification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ip_id: Option<u16>,
    /// IPv4's don't-fragment flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dont_fragment: Option<bool>,
    /// The TCP window.
    pub(super) window: u16,
}

/// Asks the kernel for a connection's first packet; it keeps it if the listener was told to.
pub(super) fn syn(socket: &impl AsFd) -> Option<Syn> {
    read(&saved_syn(socket).ok()?)
}

fn read(packet: &[u8]) -> Option<Syn> {
    // The checksum may be left to the card, and the length is the header's alone: the fixed fields are all that counts.
    let word = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    match packet.first()? >> 4 {
        4 => {
            let tcp = usize::from(packet.first()? & 15) * 4;
            let (ttl, window) = (*packet.get(8)?, word(tcp + 14)?);
            Some(Syn { ttl, ip_id: word(4), dont_fragment: word(6).map(|flags| flags & 0x4000 != 0), window })
        }
        6 => Some(Syn { ttl: *packet.get(7)?, ip_id: None, dont_fragment: None, window: word(54)? }),
        _ => None,
    }
}

/// Bytes that can't be compressed, the same for the same length, so that they need not be kept.
pub(super) fn blob(bytes: usize) -> Vec<u8> {
    let (mut state, mut blob) = (bytes as u64, Vec::with_capacity(bytes + 8));
    while blob.len() < bytes {
        blob.extend(crate::plan::split_mix(&mut state).to_le_bytes());
    }
    blob.truncate(bytes);
    blob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syn_is_read() {
        let mut v4 = vec![0x45, 0, 0, 60, 0x12, 0x34, 0x40, 0, 57, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        let tcp = [0x9c, 0x40, 1, 187, 0, 0, 0, 1, 0, 0, 0, 0, 0xa0, 2, 0xfa, 0xf0, 0, 0, 0, 0];
        v4.extend(tcp);
        let syn = Syn { ttl: 57, ip_id: Some(0x1234), dont_fragment: Some(true), window: 64240 };
        assert_eq!(read(&v4), Some(syn));
        let mut v6 = vec![0x60, 0, 0, 0, 0, 20, 6, 61];
        v6.extend([0; 32]);
        v6.extend(tcp);
        assert_eq!(read(&v6), Some(Syn { ttl: 61, ip_id: None, dont_fragment: None, window: 64240 }));
        assert_eq!(read(&v4[..30]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn a_blob_has_its_length() {
        assert_eq!(blob(1001).len(), 1001);
        assert_eq!(blob(0).len(), 0);
    }
}
