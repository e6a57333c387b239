//! Probes of a QUIC server.
//!
//! Sources: the version negotiation scan of ZMap's module `quic_initial` (Zirngibl et al., "It's Over 9000", IMC 2021), after
//! RFC 9000 §6.1 and §15; what RFC 9000 tells servers to ignore (§5.2.2, §14.1, §17.2); and replays as in [`imc20`](super::imc20),
//! of all that a client sent before the server said anything.

use super::{Probe, random_bytes};
use crate::hop::random::Random;

/// The least that a client's first datagram has (RFC 9000 §14.1).
const FIRST_DATAGRAM_MIN: usize = 1200;
/// A version that asks for negotiation (§15).
const RESERVED_VERSION: u32 = 0x1a1a_1a1a;

/// Probes that need no genuine client.
pub fn probes(dice: &mut Random) -> Vec<Probe> {
    let long = |dice: &mut Random, first: u8, version: u32, len: usize| {
        let mut bytes = random_bytes(dice, len);
        bytes[0] = first;
        bytes[1..5].copy_from_slice(&version.to_be_bytes());
        // Connection ids of eight bytes.
        (bytes[5], bytes[14]) = (8, 8);
        bytes
    };
    let mut found = Vec::new();
    let mut probe = |name: &str, bytes: Vec<u8>| found.push(Probe::udp(format!("quic {name}"), vec![bytes]));
    probe("version", long(dice, 0xc0, RESERVED_VERSION, FIRST_DATAGRAM_MIN));
    probe("short version", long(dice, 0xc0, RESERVED_VERSION, FIRST_DATAGRAM_MIN - 1));
    probe("initial", long(dice, 0xc3, 1, FIRST_DATAGRAM_MIN));
    probe("short initial", long(dice, 0xc3, 1, FIRST_DATAGRAM_MIN - 1));
    probe("0-RTT", long(dice, 0xd3, 1, FIRST_DATAGRAM_MIN));
    probe("handshake", long(dice, 0xe3, 1, FIRST_DATAGRAM_MIN));
    probe("retry", long(dice, 0xf0, 1, FIRST_DATAGRAM_MIN));
    probe("version 2", long(dice, 0xd3, 0x6b33_43cf, FIRST_DATAGRAM_MIN));
    probe("no fixed bit", long(dice, 0x80, 1, FIRST_DATAGRAM_MIN));
    for len in [1, 20, 21, 42, 43, 300, FIRST_DATAGRAM_MIN] {
        let mut bytes = random_bytes(dice, len);
        // A short header: of a connection that is not there, which may be reset (§10.3).
        bytes[0] = 0x40 | bytes[0] & 0x3f;
        probe(&format!("1-RTT {len}"), bytes);
    }
    probe("empty", Vec::new());
    found
}

/// Replays of a client's first datagrams: as they were, and with a byte of the first changed.
pub fn replays(flight: &[Vec<u8>], dice: &mut Random) -> Vec<Probe> {
    // The version, the connection id, and what is sealed.
    let places = [("R1", None), ("R2", Some(1)), ("R3", Some(6)), ("R4", Some(200)), ("R5", Some(1190))];
    let changed = |at: Option<usize>, dice: &mut Random| {
        let mut pieces = flight.to_vec();
        if let Some(byte) = at.and_then(|at| pieces.first_mut()?.get_mut(at)) {
            *byte ^= 1 + dice.below(255) as u8;
        }
        pieces
    };
    places.iter().map(|(name, at)| Probe::udp(format!("quic {name}"), changed(*at, dice))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_what_they_are_called() {
        let probes = probes(&mut Random::new(1));
        let named = |name: &str| &probes.iter().find(|p| p.name == format!("quic {name}")).unwrap().pieces[0];
        assert_eq!(named("version")[..6], [0xc0, 0x1a, 0x1a, 0x1a, 0x1a, 8]);
        assert_eq!((named("version").len(), named("short initial").len()), (1200, 1199));
        assert!(probes.iter().filter(|p| p.name.contains("1-RTT")).all(|p| p.pieces[0][0] & 0xc0 == 0x40));
        let flight = vec![vec![7; 1250], vec![8; 1250]];
        let replays = replays(&flight, &mut Random::new(1));
        assert_eq!(replays[0].pieces, flight);
        for probe in &replays[1..] {
            let differ = (0..1250).filter(|at| probe.pieces[0][*at] != 7).count();
            assert!(differ == 1 && probe.pieces[1] == flight[1], "{}", probe.name);
        }
    }
}
