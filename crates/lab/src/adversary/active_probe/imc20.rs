//! The probes of China's firewall against Shadowsocks.
//!
//! Source: Alice et al., "How China Detects and Blocks Shadowsocks", IMC 2020, §3.2: replays of a genuine client's first
//! packet, as it is (R1) or with bytes changed (R2 byte 0; R3 bytes 0–7 and 62–63; R4 byte 16; R5 bytes 6 and 16), and random
//! bytes of lengths around what implementations wait for (NR1) or of 221 bytes (NR2).

use super::{Probe, random_bytes};
use crate::hop::random::Random;

/// Which bytes of a replay are changed.
const REPLAYS: [(&str, &[usize]); 5] = [
    ("imc20 R1", &[]),
    ("imc20 R2", &[0]),
    ("imc20 R3", &[0, 1, 2, 3, 4, 5, 6, 7, 62, 63]),
    ("imc20 R4", &[16]),
    ("imc20 R5", &[6, 16]),
];
/// The middles of the lengths of NR1, each with one less and one more.
const NR1: [usize; 7] = [8, 12, 16, 22, 33, 41, 49];
/// The length of NR2.
const NR2: usize = 221;

/// Replays of a first packet.
pub fn replays(first: &[u8], dice: &mut Random) -> Vec<Probe> {
    let changed = |at: &[usize], dice: &mut Random| {
        let mut bytes = first.to_vec();
        for byte in at.iter().filter_map(|at| Some((*at, *first.get(*at)?))) {
            // Any value but the one it has.
            bytes[byte.0] = byte.1 ^ (1 + dice.below(255) as u8);
        }
        bytes
    };
    REPLAYS.iter().map(|(name, at)| Probe::tcp(*name, changed(at, dice))).collect()
}

/// Random bytes of the lengths that were seen.
pub fn random(dice: &mut Random) -> Vec<Probe> {
    let lengths = NR1.iter().flat_map(|middle| [middle - 1, *middle, middle + 1]);
    let mut probes: Vec<Probe> =
        lengths.map(|len| Probe::tcp(format!("imc20 NR1 {len}"), random_bytes(dice, len))).collect();
    probes.push(Probe::tcp(format!("imc20 NR2 {NR2}"), random_bytes(dice, NR2)));
    probes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replays_change_what_the_paper_says() {
        let first: Vec<u8> = (0..200).collect();
        let probes = replays(&first, &mut Random::new(1));
        let differs = |probe: &Probe| -> Vec<usize> {
            (0..200).filter(|at| probe.pieces[0][*at] != first[*at]).collect()
        };
        assert_eq!(differs(&probes[0]), <[usize; 0]>::default());
        assert_eq!(differs(&probes[1]), [0]);
        assert_eq!(differs(&probes[2]), [0, 1, 2, 3, 4, 5, 6, 7, 62, 63]);
        assert_eq!(differs(&probes[3]), [16]);
        assert_eq!(differs(&probes[4]), [6, 16]);
        // A short one is changed where it has bytes.
        assert_eq!(replays(b"short", &mut Random::new(1))[3].pieces[0], b"short");
    }

    #[test]
    fn lengths_are_the_papers() {
        let lengths: Vec<usize> = random(&mut Random::new(1)).iter().map(|p| p.pieces[0].len()).collect();
        let nr1 = [7, 8, 9, 11, 12, 13, 15, 16, 17, 21, 22, 23, 32, 33, 34, 40, 41, 42, 48, 49, 50];
        assert_eq!(lengths[..21], nr1);
        assert_eq!(lengths[21..], [221]);
    }
}
