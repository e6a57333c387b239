//! Entropy of the first packets, by nDPI's thresholds.
//!
//! Source: nDPI, `ndpi_entropy2risk` (July to October 2024): from 7.312 bits a byte on, a payload is "encrypted or random".
//! nDPI looks at the first packets of a flow, here five. An entropy cannot exceed log2 of the length, so packets of fewer
//! than 159 bytes never count. TLS counts as much as anything else: only the comparison with the control tells something.

use super::Connection;
use crate::statistics;

/// Bits a byte from which a payload is taken for encrypted or random.
pub const ENCRYPTED_BITS: f64 = 7.312;
/// How many packets are looked at.
const PACKETS: usize = 5;

/// Bits a byte of the first packets, in their order.
pub fn first_packets(connection: &Connection) -> Vec<f64> {
    connection.packets.iter().take(PACKETS).map(|p| statistics::entropy(&p.payload)).collect()
}

/// Whether one of the first packets looks encrypted.
pub fn flags(connection: &Connection) -> bool {
    first_packets(connection).iter().any(|bits| *bits >= ENCRYPTED_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::detect::testing::connection;

    #[test]
    fn long_noise_is_encrypted_and_text_is_not() {
        let noise: Vec<u8> = (0..1024_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert!(flags(&connection(&[(true, b"GET / HTTP/1.1\r\n"), (false, &noise)])));
        // Too short to have so much.
        assert!(!flags(&connection(&[(true, &noise[..150])])));
        let text = b"plain words, again and again; ".repeat(30);
        let mut packets: Vec<(bool, &[u8])> = vec![(true, &text); PACKETS];
        packets.push((false, &noise));
        assert!(!flags(&connection(&packets)), "the sixth is not looked at");
    }
}
