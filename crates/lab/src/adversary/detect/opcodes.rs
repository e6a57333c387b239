//! A protocol with few message codes, such as OpenVPN, by the first bytes of packets.
//!
//! Source: Xue et al., "OpenVPN is Open to VPN Fingerprinting", USENIX Security 2022, Algorithm 1: the first packet of each
//! side is taken for a reset; resets differ, and don't come again once four codes are known; within the first hundred
//! packets there are four to ten codes. It holds for obfuscation that maps codes one to one, too. The paper reports more
//! than 85 % of OpenVPN flows found. Over TCP the code stands behind a length of two bytes.

use std::collections::BTreeSet;

use super::Connection;
use super::connection::Carrier;

/// Packets that are looked at.
const PACKETS: usize = 100;
/// Fewer packets than this say nothing about an alphabet.
const PACKETS_MIN: usize = 20;

/// Whether the bytes at `offset` are codes, as the algorithm has it.
pub fn are_codes(connection: &Connection, offset: usize) -> bool {
    let packets = || connection.packets.iter().take(PACKETS);
    if packets().len() < PACKETS_MIN {
        return false;
    }
    let first = |side| connection.first(side).and_then(|payload| payload.get(offset)).copied();
    let (Some(client), Some(server)) = (first(true), first(false)) else { return false };
    let mut codes = BTreeSet::new();
    for packet in packets() {
        let Some(code) = packet.payload.get(offset).copied() else { return false };
        if codes.len() >= 4 && (code == client || code == server) {
            return false;
        }
        codes.insert(code);
    }
    client != server && (4..=10).contains(&codes.len())
}

/// Whether the connection looks like OpenVPN.
pub fn flags(connection: &Connection) -> bool {
    let offset = if connection.carrier == Carrier::Tcp { 2 } else { 0 };
    are_codes(connection, offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::detect::testing::connection;

    /// Reset, reset, acknowledgement, control …, then data; codes XORed with `mask`.
    fn openvpn(mask: u8) -> Connection {
        let opcodes = [(true, 7), (false, 8), (true, 5), (true, 4), (false, 4), (true, 5), (false, 4)];
        let data = (0..40).map(|n| (n % 2 == 0, 9));
        let packets: Vec<(bool, Vec<u8>)> = opcodes
            .into_iter()
            .chain(data)
            .map(|(side, op)| (side, vec![0, 40, (op << 3) ^ mask, 1]))
            .collect();
        connection(&packets.iter().map(|(side, bytes)| (*side, &bytes[..])).collect::<Vec<_>>())
    }

    #[test]
    fn openvpn_is_found_also_under_a_mask() {
        assert!(flags(&openvpn(0)) && flags(&openvpn(0x5a)));
    }

    #[test]
    fn what_repeats_its_first_bytes_is_not() {
        // Text protocols and TLS begin packets as they began the connection.
        let mut tls = openvpn(0);
        let again = tls.packets[0].clone();
        tls.packets.push(again);
        assert!(!flags(&tls));
        let mut short = openvpn(0);
        short.packets.truncate(PACKETS_MIN - 1);
        assert!(!flags(&short));
        let mut noise = openvpn(0);
        for (n, packet) in (0_u8..).zip(&mut noise.packets) {
            packet.payload[2] = n.wrapping_mul(83);
        }
        assert!(!flags(&noise));
    }
}
