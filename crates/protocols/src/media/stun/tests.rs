use super::*;
use crate::testing::{Flow, hex};

/// RFC 5769 §2.1: a Binding request with SOFTWARE, USERNAME, MESSAGE-INTEGRITY and FINGERPRINT.
fn request() -> Vec<u8> {
    hex("000100582112a442b7e7a701bc34d686fa87dfae
         802200105354554e207465737420636c69656e74
         002400046e0001ff80290008932ff9b151263b36
         000600096576746a3a68367659202020
         000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2
         80280004e57a3bcf")
}

/// RFC 5769 §2.2: its answer, 192.0.2.1 port 32853.
fn response() -> Vec<u8> {
    hex("0101003c2112a442b7e7a701bc34d686fa87dfae
         8022000b7465737420766563746f7220
         002000080001a147e112a643
         000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7
         80280004c07d4c96")
}

#[test]
fn the_vectors_of_rfc_5769() {
    let seen = Flow::udp(3478).client(&request()).server(&response()).run();
    assert_eq!(seen.protocol, ProtocolId::Stun);
    assert_eq!(seen.confidence, crate::Confidence::Handshake);
    assert_eq!(seen.show(MESSAGES), "binding-request,binding-success");
    assert_eq!(seen.show(SOFTWARE), "STUN test client");
    assert_eq!(seen.show(USERNAME), "evtj:h6vY");
    assert_eq!(seen.show(ICE_ROLE), "controlled");
    assert_eq!(seen.show(MAPPED_ADDRESS), "192.0.2.1");
    assert_eq!(seen.show(MAPPED_PORT), "32853");
    assert_eq!(seen.found.application, None);
    assert!(seen.found.risks.is_empty());
}

#[test]
fn an_ipv6_address_is_masked_with_the_transaction_too() {
    // RFC 5769 §2.3: 2001:db8:1234:5678:11:2233:4455:6677 port 32853.
    let answer = hex("010100482112a442b7e7a701bc34d686fa87dfae
         8022000b7465737420766563746f7220
         002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9
         00080014a382954e4be67bf11784c97c8292c275bfe3ed41
         80280004c8fb0b4c");
    let seen = Flow::udp(3478).client(&request()).server(&answer).run();
    assert_eq!(seen.show(MAPPED_ADDRESS), "2001:db8:1234:5678:11:2233:4455:6677");
}

#[test]
fn over_tcp_bare_and_framed_and_split_anywhere() {
    let twice = [request(), request()].concat();
    let seen = Flow::tcp(3478).client(&twice).server(&response()).run_split();
    assert_eq!(seen.protocol, ProtocolId::Stun);
    assert_eq!(seen.show(MAPPED_PORT), "32853");
    let framed = |m: Vec<u8>| [&[0, m.len() as u8][..], &m].concat();
    let (q, a) = (framed(request()), framed(response()));
    let seen = Flow::tcp(9000).client(&q).server(&a).run_split();
    assert_eq!(seen.protocol, ProtocolId::Stun);
    assert_eq!(seen.show(MAPPED_ADDRESS), "192.0.2.1");
    let microsoft = |m: Vec<u8>| [&[2, 0, 0, m.len() as u8][..], &m].concat();
    let (q, a) = (microsoft(request()), microsoft(response()));
    assert_eq!(Flow::tcp(443).client(&q).server(&a).run_split().protocol, ProtocolId::Stun);
}

#[test]
fn classic_stun_needs_attributes_or_an_answer() {
    let id = "000102030405060708090a0b0c0d0e0f";
    let change = hex(&format!("00010008{id}0003000400000006"));
    assert_eq!(Flow::udp(13958).client(&change).run().protocol, ProtocolId::Stun);
    let bare = hex(&format!("00010000{id}"));
    assert_eq!(Flow::udp(3478).client(&bare).run().protocol, ProtocolId::Unknown);
    let answer = hex(&format!("0101000c{id}0001000800011f90c6336407"));
    let seen = Flow::udp(3478).client(&bare).server(&answer).run();
    assert_eq!(seen.protocol, ProtocolId::Stun);
    assert_eq!(seen.show(MAPPED_ADDRESS), "198.51.100.7");
}

#[test]
fn a_turn_realm_is_the_host_name() {
    let error = hex("0113001c2112a442b7e7a701bc34d686fa87dfae
         0009000400000401001400107475726e2e6578616d706c652e6f7267");
    let request = hex("000300082112a442b7e7a701bc34d686fa87dfae0019000411000000");
    let seen = Flow::udp(3478).client(&request).server(&error).run();
    assert_eq!(seen.show(crate::common::HOSTNAME), "turn.example.org");
    assert_eq!(seen.show(ERROR_CODE), "401");
}

#[test]
fn vendors_attributes_name_the_application() {
    let teams = hex("000100082112a442b7e7a701bc34d686fa87dfae8070000400000003");
    assert_eq!(Flow::udp(50000).client(&teams).run().found.application, Some("teams"));
    let zoom = hex("00010018000102030405060708090a0b0c0d0e0f
         010100143132333435363738393031323334353637383900");
    let seen = Flow::udp(3478).client(&zoom).run();
    assert_eq!((seen.protocol, seen.found.application), (ProtocolId::Stun, Some("zoom")));
    let mut whatsapp = hex("000300242112a442b7e7a701bc34d686fa87dfae40000020");
    whatsapp.resize(56, 0x5a);
    assert_eq!(Flow::udp(3478).client(&whatsapp).run().found.application, Some("whatsapp"));
}

#[test]
fn what_is_multiplexed_is_seen() {
    let dtls = hex("16fefd000000000000000000040100000016fefd000000000000000100020100");
    let rtp: Vec<_> =
        (0..3u8).map(|n| hex(&format!("806f00{n:02x}000010{n:02x}00a1b2c3d4e5f60718293a4b"))).collect();
    let seen = Flow::udp(40000)
        .client(&request())
        .server(&response())
        .client(&rtp[0])
        .client(&rtp[1])
        .client(&rtp[2])
        .run();
    assert_eq!(seen.protocol, ProtocolId::Stun);
    assert_eq!(seen.show(CARRIES), "rtp");
    let seen = Flow::udp(40000).client(&request()).client(&dtls).run();
    assert_eq!(seen.protocol, ProtocolId::Dtls);
    assert_eq!(seen.show(CARRIES), "dtls");
    // Through a relay it stays STUN.
    let relayed = [&[0x40, 0, 0, dtls.len() as u8][..], &dtls].concat();
    let seen = Flow::udp(40000).client(&request()).client(&relayed).run();
    assert_eq!(seen.protocol, ProtocolId::Stun);
    assert_eq!(seen.show(CARRIES), "channel-data,dtls");
}

/// WebRTC: once ICE has found a way, either end may begin the DTLS handshake (RFC 8842 §5).
#[test]
fn dtls_beside_stun_is_read_whoever_begins_it() {
    use crate::common::{JA4, TLS_VERSION};
    use crate::testing::tls::{ClientHello, dtls_fragment, dtls_record, server_hello, server_hello_13};
    use crate::web::tls::fields;

    let hello = |versions: &[u16]| {
        let versions = versions.to_vec();
        let hello = ClientHello {
            legacy_version: 0xfefd,
            versions,
            sni: String::new(),
            alpn: vec![],
            ..ClientHello::new("")
        };
        let body = hello.dtls_body(&[]);
        dtls_record(22, 0xfeff, 0, 0, &dtls_fragment(1, 0, &body, 0..body.len()))
    };
    let answer = |message: Vec<u8>| {
        dtls_record(22, 0xfefd, 0, 0, &dtls_fragment(2, 0, &message[4..], 0..message.len() - 4))
    };
    let (old, old_answer) = (hello(&[]), answer(server_hello(0xfefd, &[], 0xc02b, &[])));
    let media = hex("806f0001000010010a1b2c3d4e5f60718293a4b5c6d7e8f9");
    let (request, response) = (request(), response());
    for flow in [
        Flow::udp(40000).client(&request).server(&response).client(&old).server(&old_answer),
        Flow::udp(40000).client(&request).server(&response).server(&old).client(&old_answer).client(&media),
        // STUN's checks go on while the handshake runs.
        Flow::udp(40000).client(&request).client(&old).server(&response).server(&old_answer).client(&request),
    ] {
        let seen = flow.run();
        assert_eq!((seen.protocol, seen.confidence), (ProtocolId::Dtls, crate::Confidence::Handshake));
        assert_eq!(seen.show(TLS_VERSION), "DTLSv1.2");
        assert!(seen.show(JA4).starts_with("dd2i05"), "{}", seen.show(JA4));
        assert_eq!(seen.show(MESSAGES), "binding-request,binding-success");
        assert!(seen.show(CARRIES).starts_with("dtls"));
        assert!(!seen.risks().contains(&"malformed-packet"));
        // The handshake was not completed, and is told of all the same.
        assert_eq!(seen.show(fields::ESTABLISHED), "false");
        assert_eq!(seen.events.iter().filter(|e| e.kind == "ssl").count(), 1);
    }
    // Version 1.3 encrypts from the server's first datagram on, with headers that show little (RFC 9147 §4).
    let encrypted = [&[0x2f, 0x12, 0x34, 0, 32][..], &[0x5c; 32]].concat();
    let new = hello(&[0xfefc, 0xfefd]);
    let mut message = server_hello_13(0x1301);
    let version = message.windows(6).position(|w| w == [0, 43, 0, 2, 3, 4]).expect("the extension");
    message[version + 4..version + 6].copy_from_slice(&[0xfe, 0xfc]);
    let new_answer = [answer(message), encrypted.clone()].concat();
    let seen = Flow::udp(40000)
        .client(&request)
        .server(&response)
        .client(&new)
        .server(&new_answer)
        .client(&encrypted)
        .run();
    assert_eq!((seen.protocol, &*seen.show(TLS_VERSION)), (ProtocolId::Dtls, "DTLSv1.3"));
    assert_eq!(seen.show(fields::ESTABLISHED), "true");
    assert_eq!(seen.show(CARRIES), "dtls");
}

#[test]
fn microsofts_turn_without_padding_and_without_the_cookie() {
    // Its cookie, MS-Version 6, a user name of five bytes, a lifetime.
    let message = hex("000400210a0b0c0d b7e7a701bc34d686fa87dfae
         000f000472c64bc6 8008000400000006 000600056162636465 000d00040000003c");
    let seen = Flow::udp(3478).client(&message).run();
    assert_eq!((seen.protocol, seen.found.application), (ProtocolId::Stun, Some("teams")));
    assert_eq!(seen.show(USERNAME), "abcde");
}

#[test]
fn near_misses_are_not_claimed() {
    // One byte too many, a wrong cookie, an attribute that classic STUN does not have.
    let mut long = request();
    long.push(0);
    assert_eq!(Flow::udp(3478).client(&long).run().protocol, ProtocolId::Unknown);
    let mut cookie = request();
    cookie[7] ^= 1;
    assert_eq!(Flow::udp(3478).client(&cookie).run().protocol, ProtocolId::Unknown);
    let odd = hex("00010008000102030405060708090a0b0c0d0e0f00300004deadbeef");
    assert_eq!(Flow::udp(3478).client(&odd).run().protocol, ProtocolId::Unknown);
    let mut tcp = request();
    tcp[3] = 0x59;
    tcp.push(0);
    assert_eq!(Flow::tcp(3478).client(&tcp).run().protocol, ProtocolId::Unknown);
}

#[test]
fn an_answer_without_a_question_comes_from_the_server() {
    let answer = response();
    let p = crate::testing::probe(Transport::Udp, &answer);
    assert_eq!(identify(&p), Verdict::YesReversed);
}
