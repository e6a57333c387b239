//! TLS in TLS by a decision tree over four burst sizes.
//!
//! Source: OpenGFW's Trojan analyser (`analyzer/tcp/trojan.go`, 2024), trained on 20,000 connections of Trojan and 30,000
//! others; it claims 1 % false positives and 10 % false negatives. Bursts are counted from the client's ChangeCipherSpec
//! on, that one included. The tree is kept as the boxes in which it says yes.

use std::ops::RangeInclusive;

use super::Connection;
use super::records;

type Sizes = RangeInclusive<u64>;

const ANY: Sizes = 0..=u64::MAX;
const fn from(low: u64) -> Sizes {
    low..=u64::MAX
}

/// Bytes of the client, the server, the client, the server.
const BOXES: [[Sizes; 4]; 26] = [
    [157..=411, 0..=157, 41..=788, 0..=185],
    [157..=892, 113..=157, 41..=788, from(186)],
    [419..=892, 0..=157, 789..=1346, ANY],
    [186..=206, 158..=251, ANY, ANY],
    [207..=659, 158..=286, 71..=370, ANY],
    [660..=1123, 158..=286, from(71), from(273)],
    [1436..=1466, 158..=286, ANY, from(538)],
    [207..=277, 727..=768, ANY, ANY],
    [278..=284, 287..=782, ANY, 0..=783],
    [from(285), 397..=492, ANY, from(972)],
    [0..=874, 2432..=6232, 86..=220, 0..=1173],
    [from(875), 2432..=6232, 86..=108, 0..=1173],
    [from(875), 5384..=6232, 109..=220, 0..=1173],
    [0..=664, 2432..=6232, 221..=383, 0..=346],
    [0..=445, 2432..=6232, 384..=411, ANY],
    [0..=664, 2432..=3708, from(412), 0..=307],
    [665..=724, 2432..=6232, 221..=580, ANY],
    [679..=1055, 2432..=6232, from(581), ANY],
    [from(1056), 5353..=6232, from(221), 0..=2173],
    [0..=670, 6233..=9408, ANY, 0..=76],
    [0..=670, 9073..=9408, ANY, from(77)],
    [671..=795, 6233..=6288, ANY, ANY],
    [671..=795, 6335..=9408, ANY, 0..=6404],
    [671..=795, 8925..=9408, ANY, from(6405)],
    [2592..=2840, 6233..=9408, from(733), ANY],
    [ANY, 13_019..=13_314, ANY, 31..=1786],
];

/// Whether the tree says yes to four bursts.
pub fn is_trojan(bytes: [u64; 4]) -> bool {
    BOXES.iter().any(|sizes| sizes.iter().zip(&bytes).all(|(range, size)| range.contains(size)))
}

/// Whether the connection looks like Trojan.
pub fn flags(connection: &Connection) -> bool {
    let spec = |p: &super::Packet| p.from_client && p.payload.starts_with(&[20, 3, 3, 0, 1, 1]);
    let Some(start) = connection.packets.iter().position(spec).filter(|_| records::is_tls(connection)) else {
        return false;
    };
    let later = Connection { packets: connection.packets[start..].to_vec(), ..connection.clone() };
    // The fifth shows that the fourth is over.
    match later.bursts()[..] {
        [a, b, c, d, _, ..] => is_trojan([a, b, c, d].map(|burst| burst.bytes)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::detect::testing::{connection, tls};

    #[test]
    fn says_what_the_tree_says() {
        for (bytes, yes) in [
            // A path to each side of a few of the tree's branches.
            ([411, 157, 41, 185], true),
            ([412, 157, 41, 185], false),
            ([500, 112, 500, 186], false),
            ([500, 113, 500, 186], true),
            ([418, 100, 800, 0], false),
            ([419, 100, 800, 0], true),
            ([700, 3000, 300, 500], true),
            ([700, 3000, 85, 500], false),
            ([874, 3000, 220, 1173], true),
            ([875, 3000, 109, 1173], false),
            ([1056, 5352, 221, 0], false),
            ([1056, 5353, 221, 2173], true),
            ([700, 6289, 50, 50], false),
            ([1, 13_019, 1, 31], true),
            ([1, 13_019, 1, 30], false),
            ([1, 43_804, 640, 74], false),
        ] {
            assert_eq!(is_trojan(bytes), yes, "{bytes:?}");
        }
    }

    #[test]
    fn counts_from_the_clients_change_cipher_spec() {
        let packets = [
            (true, tls(&[(22, 500)])),
            (false, tls(&[(22, 120), (20, 1), (23, 900)])),
            // 6 + 58 + 636 = 700.
            (true, tls(&[(20, 1), (23, 53)])),
            (true, tls(&[(23, 631)])),
            (false, tls(&[(23, 2995)])),
            (true, tls(&[(23, 295)])),
            (false, tls(&[(23, 495)])),
            (true, tls(&[(23, 100)])),
        ];
        let packets: Vec<(bool, &[u8])> = packets.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
        assert!(flags(&connection(&packets)));
        assert!(!flags(&connection(&packets[..7])), "the fourth burst may go on");
        assert!(!flags(&connection(&packets[3..])), "no ChangeCipherSpec");
    }
}
