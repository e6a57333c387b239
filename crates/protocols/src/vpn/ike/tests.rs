use super::*;
use crate::testing::{Flow, hex};

const INITIATOR: &str = "0102030405060708";
const RESPONDER: &str = "1112131415161718";

/// A message with these payloads, in order; lengths and the chain are filled in.
fn message(responder: &str, version: u8, exchange: u8, flags: u8, payloads: &[(u8, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (i, (_, inside)) in payloads.iter().enumerate() {
        let inside = hex(inside);
        let next = payloads.get(i + 1).map_or(0, |(kind, _)| *kind);
        body.extend([next, 0]);
        body.extend((inside.len() as u16 + 4).to_be_bytes());
        body.extend(inside);
    }
    let mut m = hex(INITIATOR);
    m.extend(hex(responder));
    m.extend([payloads.first().map_or(0, |(kind, _)| *kind), version, exchange, flags, 0, 0, 0, 0]);
    m.extend((28 + body.len() as u32).to_be_bytes());
    m.extend(body);
    m
}

// One proposal: AES-CBC 256, HMAC-SHA2-256, its PRF, group 14 (RFC 7296 §3.3).
const SA_GOOD: &str =
    "0000002c 01010004 0300000c 0100000c 800e0100 03000008 0300000c 03000008 02000005 00000008 0400000e";
// 3DES, MD5 for both, group 2.
const SA_WEAK: &str =
    "00000028 01010004 03000008 01000003 03000008 03000001 03000008 02000001 00000008 04000002";
const KE: &str = "000e0000 a1a2a3a4a5a6a7a8";
const NONCE: &str = "b1b2b3b4b5b6b7b8b9babbbcbdbebfb0";

#[test]
fn version_2_on_both_ports() {
    let strongswan = "882fe56d6fd20dbc2251613b2ebe5beb";
    let vendor = (43, strongswan);
    let init = message(
        "0000000000000000",
        0x20,
        34,
        8,
        &[(33, SA_GOOD), (34, KE), (40, NONCE), vendor, (41, "00004004 0011")],
    );
    let answer = message(RESPONDER, 0x20, 34, 0x20, &[(33, SA_GOOD), (34, KE), (40, NONCE)]);
    let seen = Flow::udp(500).client(&init).server(&answer).run();
    assert_eq!(seen.protocol, ProtocolId::Ike);
    assert_eq!(seen.confidence, crate::Confidence::Handshake);
    assert_eq!(seen.show(VERSION), "2.0");
    assert_eq!(seen.show(INITIATOR_SPI), INITIATOR);
    assert_eq!(seen.show(RESPONDER_SPI), RESPONDER);
    assert_eq!(seen.show(ENCRYPTION), "AES-CBC-256");
    assert_eq!(seen.show(INTEGRITY), "HMAC-SHA2-256-128");
    assert_eq!(seen.show(PRF), "HMAC-SHA2-256");
    assert_eq!(seen.show(GROUP), "MODP-2048");
    assert_eq!(seen.show(VENDORS), "strongSwan");
    assert_eq!(seen.show(NOTIFY), "NAT_DETECTION_SOURCE_IP");
    assert!(seen.found.risks.is_empty());
    let auth = [vec![0; 4], message(RESPONDER, 0x20, 35, 8, &[(46, "c1c2c3c4c5c6c7c8")])].concat();
    let seen = Flow::udp(4500).client(&auth).run();
    assert_eq!(seen.protocol, ProtocolId::Ike);
    assert_eq!(seen.show(EXCHANGES), "IKE_AUTH");
}

#[test]
fn weak_choices_are_a_risk_and_weak_offers_are_not() {
    let init = message("0000000000000000", 0x20, 34, 8, &[(33, SA_WEAK)]);
    let offered = Flow::udp(500).client(&init).run();
    assert_eq!(offered.show(OFFERED), "3DES,HMAC-MD5-96,HMAC-MD5,MODP-1024");
    assert!(offered.found.risks.is_empty());
    let answer = message(RESPONDER, 0x20, 34, 0x20, &[(33, SA_WEAK)]);
    let seen = Flow::udp(500).client(&init).server(&answer).run();
    assert_eq!(seen.risks(), ["ike-weak-crypto"]);
    assert_eq!(&*seen.found.risks[0].evidence, "ike.encryption=3DES");
}

#[test]
fn version_1_in_aggressive_mode() {
    // DOI 1, identity only; one proposal of one transform: AES-128, SHA1, PSK, group 2.
    let sa =
        "00000001 00000001 00000024 01010001 0000001c 01010000 80010007 800e0080 80020002 80030001 80040002";
    let id = "0b110000 6f6666696365"; // key ID "office"
    let init = message(
        "0000000000000000",
        0x10,
        4,
        0,
        &[(1, sa), (4, KE), (10, NONCE), (5, id), (13, "09002689dfd6b712")],
    );
    let answer = message(RESPONDER, 0x10, 4, 0, &[(1, sa), (4, KE), (10, NONCE)]);
    let seen = Flow::udp(500).client(&init).server(&answer).run();
    assert_eq!(seen.protocol, ProtocolId::Ike);
    assert_eq!(seen.show(IDENTITY), "office");
    assert_eq!(seen.show(AUTHENTICATION), "PSK");
    assert_eq!(seen.show(ENCRYPTION), "AES-CBC-128");
    assert_eq!(seen.show(GROUP), "MODP-1024");
    assert_eq!(seen.show(VENDORS), "XAUTH");
    assert_eq!(seen.risks(), ["ike-version-1", "ike-aggressive-mode", "ike-weak-crypto"]);
}

#[test]
fn near_misses_are_not_claimed() {
    let good = message(RESPONDER, 0x20, 34, 8, &[(33, SA_GOOD), (34, KE)]);
    // Length, version, exchange, and on a foreign port the chain.
    for (at, value) in [(27, 1), (17, 0x21), (18, 99), (28, 200), (31, 3)] {
        let mut broken = good.clone();
        broken[at] = value;
        assert_eq!(Flow::udp(9000).client(&broken).run().protocol, ProtocolId::Unknown, "byte {at}");
    }
    assert_eq!(Flow::udp(9000).client(&good).run().protocol, ProtocolId::Ike);
    let response = message(RESPONDER, 0x20, 34, 0x20, &[(33, SA_GOOD)]);
    let p = crate::testing::probe(crate::Transport::Udp, &response);
    assert_eq!(identify(&p), Verdict::YesReversed);
}
