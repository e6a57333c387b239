use super::*;
use crate::testing::Flow;

/// After RFC 3261 §24.2, with the session description that it leaves out, in short forms.
const INVITE: &[u8] = b"INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
    v: SIP/2.0/UDP pc33.atlanta.example.com;branch=z9hG4bK776asdhds\r\n\
    Max-Forwards: 70\r\n\
    t: Bob <sip:bob@biloxi.example.com>\r\n\
    f: Alice <sip:alice@atlanta.example.com>;tag=1928301774\r\n\
    i: a84b4c76e66710@pc33.atlanta.example.com\r\n\
    CSeq: 314159 INVITE\r\n\
    m: <sip:alice@pc33.atlanta.example.com>\r\n\
    Subject: Lunch\r\n and more\r\n\
    User-Agent: Softphone 1\r\n\
    c: application/sdp\r\n\
    l: 98\r\n\r\n\
    v=0\r\no=a 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nm=audio 49172 RTP/AVP 0\r\na=rtpmap:0 PCMU\r\n";

const OK: &[u8] = b"SIP/2.0 200 OK\r\n\
    Via: SIP/2.0/UDP pc33.atlanta.example.com;branch=z9hG4bK776asdhds\r\n\
    From: Alice <sip:alice@atlanta.example.com>;tag=1928301774\r\n\
    To: Bob <sip:bob@biloxi.example.com>;tag=a6c85cf\r\n\
    Call-ID: a84b4c76e66710@pc33.atlanta.example.com\r\n\
    CSeq: 314159 INVITE\r\n\
    Server: Gateway 2\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 65\r\n\r\n\
    v=0\r\nc=IN IP4 198.51.100.20\r\nm=audio 3456 RTP/AVP 0\r\na=rtcp-mux\r\n";

fn expected(seen: &crate::testing::Seen) -> Vec<(String, u16, ProtocolId)> {
    seen.facts
        .iter()
        .filter_map(|f| match f {
            Fact::Expect { address, port, protocol, .. } => Some((address.to_string(), *port, *protocol)),
            Fact::Named { .. } | Fact::Asked(_) => None,
        })
        .collect()
}

#[test]
fn the_bodies_are_as_long_as_they_say() {
    for message in [INVITE, OK] {
        let head = head_len(message).unwrap_or_default();
        assert_eq!(content_length(&message[..head]), Some(message.len() - head));
    }
}

#[test]
fn a_call_over_udp_and_over_tcp() {
    let udp = Flow::udp(5060).client(INVITE).server(OK).run();
    let tcp = Flow::tcp(5060).client(INVITE).server(OK).run_split();
    for seen in [udp, tcp] {
        assert_eq!(seen.protocol, ProtocolId::Sip);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(METHOD), "INVITE");
        assert_eq!(seen.show(URI), "sip:bob@biloxi.example.com");
        assert_eq!(seen.show(FROM), "Alice <sip:alice@atlanta.example.com>;tag=1928301774");
        assert_eq!(seen.show(CALL_ID), "a84b4c76e66710@pc33.atlanta.example.com");
        assert_eq!(seen.show(CONTACT), "<sip:alice@pc33.atlanta.example.com>");
        assert_eq!(seen.show(VIA), "pc33.atlanta.example.com");
        assert_eq!(seen.show(STATUS), "200");
        assert_eq!(seen.show(REASON), "OK");
        assert_eq!(seen.show(SERVER), "Gateway 2");
        assert_eq!(seen.show(SUBJECT), "Lunch\r\n and more");
        assert_eq!(seen.show(common::USER_AGENT), "Softphone 1");
        assert_eq!(seen.show(common::HOSTNAME), "biloxi.example.com");
        assert_eq!(seen.show(CODECS), "PCMU");
        assert_eq!(seen.show(MEDIA), "audio RTP/AVP 192.0.2.9:49172,audio RTP/AVP 198.51.100.20:3456");
        assert_eq!(
            expected(&seen),
            [
                ("192.0.2.9".into(), 49172, ProtocolId::Rtp),
                ("192.0.2.9".into(), 49173, ProtocolId::Rtcp),
                ("198.51.100.20".into(), 3456, ProtocolId::Rtp),
            ]
        );
        assert_eq!(seen.events.len(), 1);
        assert!(seen.events[0].fields.contains(&(STATUS, Value::Uint(200))));
        assert!(seen.found.risks.is_empty());
    }
}

#[test]
fn keep_alives_and_two_messages_in_a_segment() {
    let stream = [b"\r\n\r\n", INVITE, b"\r\n\r\n", INVITE].concat();
    let seen = Flow::tcp(5060).client(&stream).run_split();
    assert_eq!(seen.protocol, ProtocolId::Sip);
    assert_eq!(seen.show(METHODS), "INVITE");
    // The one without an answer is told of at the end.
    assert_eq!(seen.events.len(), 1);
    let datagram = [b"\r\n", INVITE].concat();
    assert_eq!(Flow::udp(5060).client(b"\0\0\0\0").client(&datagram).run().show(METHOD), "INVITE");
}

#[test]
fn risks_name_the_scheme_and_never_the_secret() {
    let register = b"REGISTER sip:192.0.2.1 SIP/2.0\r\nUser-Agent: friendly-scanner\r\nCSeq: 1 REGISTER\r\n\
        Authorization: Basic Ym9iOnNlY3JldA==\r\nContent-Type: application/sdp\r\n\r\n\
        c=IN IP4 192.0.2.3\r\nm=audio 8 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:a2V5\r\n";
    let seen = Flow::udp(5060).client(register).run();
    assert_eq!(seen.risks(), ["sip-scanner", "clear-text-credentials", "sip-media-key-in-clear"]);
    let evidence: String = seen.found.risks.iter().map(|r| r.evidence.to_string()).collect();
    assert!(!evidence.contains("Ym9i") && !evidence.contains("a2V5"), "{evidence}");
    // An address is no host name.
    assert_eq!(seen.show(common::HOSTNAME), "");
    let digest =
        b"REGISTER sips:x.example SIP/2.0\r\nAuthorization: Digest username=\"bob\", realm=\"r\"\r\n\r\n";
    let seen = Flow::udp(5060).client(digest).run();
    assert_eq!((seen.show(AUTH).as_str(), seen.show(USERNAME).as_str()), ("Digest", "bob"));
    assert!(seen.risks().is_empty());
}

#[test]
fn relatives_are_not_claimed() {
    for text in [
        &b"OPTIONS rtsp://192.0.2.1/cam RTSP/1.0\r\nCSeq: 1\r\n\r\n"[..],
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"NOTIFY * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\n\r\n",
        b"SIP/2.0 9999 Nonsense\r\n\r\n",
        b"INVITE nobody SIP/2.0\r\nVia: x\r\n\r\n",
        b"INVITE sip: SIP/2.0\r\n\r\n and so on",
        b"MESSAGE of the day, not of the protocol\r\n",
    ] {
        assert_ne!(Flow::udp(5060).client(text).run().protocol, ProtocolId::Sip);
        assert_ne!(Flow::tcp(5060).client(text).run().protocol, ProtocolId::Sip);
    }
}

#[test]
fn a_response_first_comes_from_the_server() {
    let p = crate::testing::probe(Transport::Udp, OK);
    assert_eq!(identify(&p), Verdict::YesReversed);
}
