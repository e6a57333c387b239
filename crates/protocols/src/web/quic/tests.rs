//! Whole flows of QUIC, and the vectors of its RFCs.

use super::crypto::Keys;
use super::{CLIENT_INITIAL_DCID, DECRYPTED, HISTORY, RETRY, SERVER_SCID, VERSIONS_OFFERED, tls, version};
use crate::common::{ALPN, HOSTNAME, JA4, QUIC_VERSION, TLS_VERSION, USER_AGENT};
use crate::testing::tls::{ClientHello, Initial, crypto_frame, retry, server_hello_13};
use crate::testing::{Flow, hex};
use crate::{Confidence, Dir, ProtocolId};

/// RFC 9001 appendix A.2: the CRYPTO frame of the client's Initial.
const CLIENT_CRYPTO: &str = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868
    04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a
    00080006001d0017001800100007000504616c706e000500050100000000003300260024001d00209370b2c9caa47fba
    baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e0403050306030203080408
    050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff08011001048000
    75300901100f088394c8f03e51570806048000ffff";

/// RFC 9001 appendix A.3: the frames of the server's Initial.
const SERVER_FRAMES: &str = "02000000000600405a020000560303eefce7f7b37ba1d1632e96677825ddf73988cfc79825df566dc5430b9a04
    5a1200130100002e00330024001d00209d3c940d89690b84d08a60993c144eca684d1081287c834d5311bcf32bb9da1a002b00020304";

const DCID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

/// The client's and the server's Initial, protected, by appendices A.2 and A.3 of RFC 9001 and RFC 9369.
fn vectors(version: u32) -> [Vec<u8>; 2] {
    let salt = &version::salts(version)[0];
    let mut crypto = hex(CLIENT_CRYPTO);
    crypto.resize(1162, 0);
    let headers = match version {
        1 => ["c300000001088394c8f03e5157080000449e00000002", "c1000000010008f067a5502a4262b50040750001"],
        _ => ["d36b3343cf088394c8f03e5157080000449e00000002", "d16b3343cf0008f067a5502a4262b50040750001"],
    };
    let client = Keys::initial(version, salt, &DCID, Dir::Client).unwrap();
    let server = Keys::initial(version, salt, &DCID, Dir::Server).unwrap();
    [
        client.seal(&hex(headers[0]), 2, &crypto).unwrap(),
        server.seal(&hex(headers[1]), 1, &hex(SERVER_FRAMES)).unwrap(),
    ]
}

/// What is printed in the RFCs: all of the server's packets, and beginning and end of the client's, whose last 16 bytes
/// authenticate the rest.
#[test]
fn packets_are_protected_as_in_the_rfcs() {
    let [client, server] = vectors(1);
    assert_eq!(client.len(), 1200);
    assert_eq!(client[..32], hex("c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11"));
    assert_eq!(client[1184..], hex("e221af44860018ab0856972e194cd934"));
    assert_eq!(
        server,
        hex("cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb38cc5a9
            9f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795
            d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee")
    );
    let [client, server] = vectors(version::VERSION_2);
    assert_eq!(client[..32], hex("d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485"));
    assert_eq!(client[1184..], hex("a18b2faa745b6fe189cf772a9f84cbfc"));
    assert_eq!(
        server,
        hex("dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698baeea26b91eb761d9b89237bbf872630179153
            58230035f7fd3945d88965cf17f9af6e16886c61bfc703106fbaf3cb4cfa52382dd16a393e42757507698075b2c984c707f0a0812d
            8cd5a6881eaf21ceda98f4bd23f6fe1a3e2c43edd9ce7ca84bed8521e2e140")
    );
}

#[test]
fn both_sides_of_the_rfcs_are_read() {
    for (version, name) in [(1, "1"), (version::VERSION_2, "2")] {
        let [client, server] = vectors(version);
        let seen = Flow::udp(443).client(&client).server(&server).run();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Quic, Confidence::Handshake));
        for (field, want) in [
            (QUIC_VERSION, name),
            (HOSTNAME, "example.com"),
            (ALPN, "alpn"),
            (TLS_VERSION, "TLSv1.3"),
            (tls::CIPHER, "TLS_AES_128_GCM_SHA256"),
            (CLIENT_INITIAL_DCID, "8394c8f03e515708"),
            (SERVER_SCID, "f067a5502a4262b5"),
            (DECRYPTED, "true"),
            (HISTORY, "ISis"),
        ] {
            assert_eq!(seen.show(field), want, "{}", field.field().name);
        }
        assert!(seen.show(JA4).starts_with("q13d0211an_"), "{}", seen.show(JA4));
        let kinds: Vec<_> = seen.events.iter().map(|e| e.kind).collect();
        assert_eq!(kinds, ["quic", "ssl"]);
        let quic = &seen.events[0].fields;
        assert!(quic.iter().any(|(f, v)| *f == HOSTNAME && v.as_str() == Some("example.com")));
    }
}

fn hello(alpn: &'static str) -> Vec<u8> {
    ClientHello { alpn: vec![alpn], ..ClientHello::new("quic.example") }.message()
}

#[test]
fn only_the_server_is_seen() {
    let [_, server] = vectors(1);
    let seen = Flow::udp(443).server(&server).run();
    assert_eq!(seen.protocol, ProtocolId::Quic);
    assert_eq!((seen.show(DECRYPTED), seen.show(HISTORY)), ("false".into(), "i".into()));
}

/// The dispatcher took the client for the server: the keys tell.
#[test]
fn the_wrong_end_is_put_right() {
    let [client, server] = vectors(1);
    let seen = Flow::udp(443).server(&client).client(&server).run();
    assert_eq!(seen.show(HOSTNAME), "example.com");
    assert_eq!(seen.show(tls::CIPHER), "TLS_AES_128_GCM_SHA256");
}

#[test]
fn what_is_inside_is_named() {
    for (port, alpn, want) in
        [(853, "doq", ProtocolId::Doq), (784, "doq-i02", ProtocolId::Doq), (443, "h3", ProtocolId::Quic)]
    {
        let datagram = Initial::new(&DCID).datagram(Dir::Client, &crypto_frame(0, &hello(alpn)));
        assert_eq!(Flow::udp(port).client(&datagram).run().protocol, want, "{alpn}");
    }
    let doh = ClientHello { alpn: vec!["h3"], ..ClientHello::new("dns.google") }.message();
    let datagram = Initial::new(&DCID).datagram(Dir::Client, &crypto_frame(0, &doh));
    assert_eq!(Flow::udp(443).client(&datagram).run().protocol, ProtocolId::Doh);
}

#[test]
fn connection_ids_change() {
    // The client writes to the server's id from its second flight on; the keys stay those of the first.
    let message = ClientHello { alpn: vec!["h3"], ..ClientHello::with_mlkem("quic.example") }.message();
    let first = Initial::new(&DCID);
    let one = first.datagram(Dir::Client, &crypto_frame(0, &message[..800]));
    let answer =
        Initial { dcid: &[], scid: &[5; 12], ..first.clone() }.packet(Dir::Server, &[2, 0, 0, 0, 0, 0]);
    let two = Initial { dcid: &[5; 12], number: 1, ..first.clone() }
        .datagram(Dir::Client, &crypto_frame(800, &message[800..]));
    let hello = Initial { dcid: &[], scid: &[5; 12], number: 1, ..first }
        .packet(Dir::Server, &crypto_frame(0, &server_hello_13(0x1302)));
    let seen = Flow::udp(443).client(&one).server(&answer).client(&two).server(&hello).run();
    assert_eq!(seen.show(HOSTNAME), "quic.example");
    assert_eq!(seen.show(tls::CIPHER), "TLS_AES_256_GCM_SHA384");
}

/// Compatible version negotiation (RFC 9368 §2.3): the server answers in version 2, with the keys of the first id.
#[test]
fn the_server_changes_the_version() {
    let first = Initial::new(&DCID);
    let client = first.datagram(Dir::Client, &crypto_frame(0, &hello("h3")));
    let server = Initial { version: version::VERSION_2, dcid: &[], scid: &[5; 12], ..first }
        .packet(Dir::Server, &crypto_frame(0, &server_hello_13(0x1303)));
    let seen = Flow::udp(443).client(&client).server(&server).run();
    assert_eq!(seen.show(tls::CIPHER), "TLS_CHACHA20_POLY1305_SHA256");
    assert_eq!(seen.show(QUIC_VERSION), "1");
}

#[test]
fn retry_and_version_negotiation() {
    let datagram = Initial::new(&DCID).datagram(Dir::Client, &crypto_frame(0, &hello("h3")));
    let seen = Flow::udp(443).client(&datagram).server(&retry(&[], &[6; 8], b"token")).run();
    assert_eq!((seen.show(RETRY), seen.show(HISTORY)), ("true".into(), "ISr".into()));

    // A version that exists only to be refused: known by its shape.
    let mut greased = datagram.clone();
    greased[1..5].copy_from_slice(&[0x1a, 0x2a, 0x3a, 0x4a]);
    let negotiation = hex("80 00000000 00 08 8394c8f03e515708 00000001 6b3343cf 2a3a4a5a");
    let seen = Flow::udp(443).client(&greased).server(&negotiation).run();
    assert_eq!(seen.protocol, ProtocolId::Quic);
    assert_eq!(seen.show(QUIC_VERSION), "0x1a2a3a4a");
    assert_eq!(seen.show(VERSIONS_OFFERED), "1,2,0x2a3a4a5a");
    assert_eq!(seen.show(HOSTNAME), "");
    assert_eq!(seen.show(HISTORY), "Iv");
}

/// A hello whose second half is lost, and a packet that can't be decrypted.
#[test]
fn what_is_missing_is_said() {
    let message = ClientHello { ticket_len: 400, ..ClientHello::new("quic.example") }.message();
    let datagram =
        Initial::new(&DCID).datagram(Dir::Client, &crypto_frame(0, &message[..message.len() - 200]));
    let seen = Flow::udp(443).client(&datagram).run();
    assert_eq!((seen.show(HOSTNAME).as_str(), seen.show(JA4).as_str()), ("quic.example", ""));

    let mut spoilt = Initial::new(&DCID).datagram(Dir::Client, &crypto_frame(0, &message));
    spoilt[600] ^= 1;
    let seen = Flow::udp(443).client(&spoilt).run();
    assert_eq!((seen.protocol, seen.show(DECRYPTED).as_str()), (ProtocolId::Quic, "false"));
    assert_eq!(seen.show(HOSTNAME), "");
}

/// Google's tags: PAD, SNI, VER, UAID.
fn chlo(version: &[u8]) -> Vec<u8> {
    let values: [(&[u8; 4], &[u8]); 4] = [
        (b"PAD\0", b"----------"),
        (b"SNI\0", b"www.google.example"),
        (b"VER\0", version),
        (b"UAID", b"Chrome/74"),
    ];
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, value) in values {
        data.extend(value);
        index.extend(tag);
        index.extend((data.len() as u32).to_le_bytes());
    }
    [b"CHLO".to_vec(), vec![4, 0, 0, 0], index, data, vec![0; 900]].concat()
}

#[test]
fn google_before_tls() {
    let frame = |version| [hex("a001 0400"), chlo(version)].concat();
    let hash = [0x5c; 12];
    let q043 = [hex("0d e71ad5d7756c4d4d").as_slice(), b"Q043", &[1], &hash, &frame(b"Q043")].concat();
    let q046 = [hex("c3").as_slice(), b"Q046", &hex("50 e71ad5d7756c4d4d 00000001"), &hash, &frame(b"Q046")]
        .concat();
    let version = u32::from_be_bytes(*b"Q050");
    let payload = [hex("08 00 4400"), chlo(b"Q050")].concat();
    let q050 = Initial { version, ..Initial::new(&DCID) }.datagram(Dir::Client, &payload);
    for (datagram, version) in [(q043, "Q043"), (q046, "Q046"), (q050, "Q050")] {
        let seen = Flow::udp(443).client(&datagram).run();
        assert_eq!((seen.protocol, seen.show(QUIC_VERSION).as_str()), (ProtocolId::Quic, version));
        assert_eq!(seen.show(HOSTNAME), "www.google.example", "{version}");
        assert_eq!(seen.show(USER_AGENT), "Chrome/74");
    }
    // Only the server, which answers with a rejection.
    let rejection = [
        hex("08 e71ad5d7756c4d4d 01").as_slice(),
        &hash,
        &hex("a001 025b 52454a00 0100 0000 53544b00 04000000"),
        &[7; 40],
    ]
    .concat();
    assert_eq!(Flow::udp(443).server(&rejection).run().protocol, ProtocolId::Quic);
    // Google's number of the CRYPTO frame, with TLS in it.
    let mut frame = crypto_frame(0, &hello("h3-T051"));
    frame[0] = 8;
    let t051 = Initial { version: u32::from_be_bytes(*b"T051"), ..Initial::new(&DCID) }
        .datagram(Dir::Client, &frame);
    let seen = Flow::udp(443).client(&t051).run();
    assert_eq!((seen.show(HOSTNAME).as_str(), seen.show(QUIC_VERSION).as_str()), ("quic.example", "T051"));
}

/// A datagram with a short header: first byte, connection id, and what changes.
fn short(first: u8, id: &[u8], n: u8) -> Vec<u8> {
    [vec![first], id.to_vec(), vec![n.wrapping_mul(37); 30]].concat()
}

#[test]
fn sessions_picked_up_in_the_middle() {
    let id = hex("dfc0fe62c640773c");
    let datagrams: Vec<_> =
        [0x53, 0x4f, 0x45, 0x58, 0x41].iter().enumerate().map(|(i, f)| short(*f, &id, i as u8)).collect();
    let all = datagrams.iter().fold(Flow::udp(443), |f, d| f.client(d));
    assert_eq!(all.run().protocol, ProtocolId::Quic);
    let four = datagrams[..4].iter().fold(Flow::udp(443), |f, d| f.client(d));
    assert_eq!(four.run().protocol, ProtocolId::Unknown);
    let elsewhere = datagrams.iter().fold(Flow::udp(4443), |f, d| f.client(d));
    assert_eq!(elsewhere.run().protocol, ProtocolId::Unknown);
    let text: Vec<_> = (0..5).map(|i| short(0x41 + i, b"username", i)).collect();
    assert_eq!(text.iter().fold(Flow::udp(443), |f, d| f.client(d)).run().protocol, ProtocolId::Unknown);
    let changing: Vec<_> =
        (0..5).map(|i| short(0x41 + i, &[i * 3, 200 - i, i, 7, i * 5, 9, 250 - i, 3], i)).collect();
    assert_eq!(changing.iter().fold(Flow::udp(443), |f, d| f.client(d)).run().protocol, ProtocolId::Unknown);
}

#[test]
fn what_only_looks_like_it_is_not_claimed() {
    let datagram = Initial::new(&DCID).datagram(Dir::Client, &crypto_frame(0, &hello("h3")));
    let mut unknown = datagram.clone();
    unknown[1..5].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
    let mut long_id = datagram.clone();
    long_id[5] = 40;
    let cut = &datagram[..600];
    for bytes in [&unknown[..], &long_id, cut, &hex("80 00000000 00 08 8394c8f03e515708 12345678 9abcdef0")] {
        assert_eq!(Flow::udp(443).client(bytes).run().protocol, ProtocolId::Unknown);
    }
}

proptest::proptest! {
    #[test]
    fn damage_never_panics(at: proptest::sample::Index, byte: u8, cut: proptest::sample::Index, which in 0usize..3) {
        let mut bytes = match which {
            0 => vectors(1)[0].clone(),
            1 => [hex("0d e71ad5d7756c4d4d").as_slice(), b"Q043", &[1], &[0; 12], &hex("a0010400"), &chlo(b"Q043")].concat(),
            _ => [vectors(1)[1].clone(), vectors(1)[0].clone()].concat(),
        };
        let at = at.index(bytes.len().min(80));
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = Flow::udp(443).client(&bytes).server(&bytes).run();
    }

    /// What is in a decrypted Initial comes from outside, too.
    #[test]
    fn any_frames_are_survived(payload in proptest::collection::vec(proptest::num::u8::ANY, 4..1000)) {
        let datagram = Initial::new(&DCID).datagram(Dir::Client, &payload);
        proptest::prop_assert_eq!(Flow::udp(443).client(&datagram).run().protocol, ProtocolId::Quic);
    }

    #[test]
    fn random_bytes_are_not_claimed(bytes in proptest::collection::vec(proptest::num::u8::ANY, 1..1300)) {
        let seen = Flow::udp(443).client(&bytes).run().protocol;
        proptest::prop_assert!(seen != ProtocolId::Quic && seen != ProtocolId::Dtls);
    }
}
