//! How often the client acknowledges.
//!
//! Quinn acknowledges every second packet until the other side asks for less by ACK_FREQUENCY
//! (draft-ietf-quic-ack-frequency §4), which it may ask only those who say the transport parameter `min_ack_delay`. Chrome
//! doesn't say it, and acknowledges every tenth packet all the same. So the client asks itself: the first packet that it
//! opens has that frame at its end.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::BytesMut;
use quinn_proto::crypto::{self, CryptoError};

use super::frames::write_integer;
use super::keys::PacketKey;

const ACK_FREQUENCY: u64 = 0xaf;
/// At the latest, in microseconds: RFC 9000 §18.2's default.
const ACK_DELAY_MAX_US: u64 = 25_000;
/// An acknowledgement comes at once if this packet before the newest is missing.
const REORDERING: u64 = 1;

/// Opens the server's packets of one key, and asks once for rare acknowledgements.
pub(super) struct Asking {
    key: PacketKey,
    threshold: u8,
    asked: AtomicBool,
}

impl Asking {
    /// One that asks for an acknowledgement after `threshold` packets and one.
    pub(super) fn new(key: PacketKey, threshold: u8) -> Self {
        Self { key, threshold, asked: AtomicBool::new(false) }
    }
}

impl crypto::PacketKey for Asking {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        self.key.encrypt(packet, buf, header_len);
    }

    fn decrypt(&self, packet: u64, header: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        self.key.decrypt(packet, header, payload)?;
        // Load first: a swap for each packet would cost.
        if !self.asked.load(Ordering::Relaxed) && !self.asked.swap(true, Ordering::Relaxed) {
            // It takes less than the tag did, so nothing is moved.
            let mut frame = Vec::new();
            for number in [ACK_FREQUENCY, 0, self.threshold.into(), ACK_DELAY_MAX_US, REORDERING] {
                write_integer(number, &mut frame);
            }
            payload.extend_from_slice(&frame);
        }
        Ok(())
    }

    fn tag_len(&self) -> usize {
        self.key.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.key.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.key.integrity_limit()
    }
}
