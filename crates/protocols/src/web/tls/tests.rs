//! Whole flows of TLS over TCP.

use super::certificate::tests::{CA, EC_SELF_SIGNED, RSA_LEAF, WEAK};
use super::fields;
use crate::common::{ALPN, HOSTNAME, JA3, JA3S, JA4, TLS_VERSION};
use crate::testing::tls::{
    ClientHello, certificates, message, record, records, server_hello, server_hello_13,
};
use crate::testing::{Flow, Seen, hex, probe};
use crate::{Confidence, ProtocolId, Transport, Verdict, Wanted};

/// 2024-02-01, when the leaf of the test certificates was valid.
const WHILE_VALID: i64 = 1_706_745_600;

fn client_12(sni: &str) -> Vec<u8> {
    let hello =
        ClientHello { versions: vec![], key_share_len: 0, alpn: vec!["http/1.1"], ..ClientHello::new(sni) };
    records(&hello.message(), &[])
}

/// A server's flight of TLS 1.2, all messages in as few records as possible.
fn server_12(version: u16, cipher: u16, chain: &[&[u8]]) -> Vec<u8> {
    let alpn = hex("0010 000b 0009 08 687474702f312e31");
    let mut messages = server_hello(version, &[], cipher, &alpn);
    messages.extend(certificates(chain));
    // A named curve, x25519.
    messages.extend(message(12, &[&[3, 0, 0x1d, 32][..], &[1; 32], &[4, 1, 0, 64], &[2; 64]].concat()));
    messages.extend(message(14, &[]));
    records(&messages, &[])
}

/// Change cipher spec, and an encrypted Finished.
fn finished() -> Vec<u8> {
    [record(20, 0x0303, &[1]), record(22, 0x0303, &[0x8f; 40])].concat()
}

fn run_12(sni: &str, chain: &[&[u8]], at: i64) -> Seen {
    let (client, server, finished) = (client_12(sni), server_12(0x0303, 0xc02f, chain), finished());
    Flow::tcp(443).at(at).client(&client).server(&server).client(&finished).server(&finished).run_split()
}

#[test]
fn tls_13() {
    let client = records(&ClientHello::new("www.Example.org").message(), &[]);
    let server =
        [records(&server_hello_13(0x1301), &[]), finished()[..6].to_vec(), record(23, 0x0303, &[9; 80])]
            .concat();
    let answer = record(23, 0x0303, &[8; 60]);
    let seen = Flow::tcp(443).client(&client).server(&server).client(&answer).run_split();
    assert_eq!(seen.protocol, ProtocolId::Tls);
    assert_eq!(seen.confidence, Confidence::Handshake);
    for (field, want) in [
        (HOSTNAME, "www.example.org"),
        (fields::SNI, "www.Example.org"),
        (ALPN, "h2"),
        (fields::ALPN_OFFERED, "h2,http/1.1"),
        (TLS_VERSION, "TLSv1.3"),
        (fields::VERSIONS_OFFERED, "GREASE,TLSv1.3,TLSv1.2"),
        (fields::CIPHER, "TLS_AES_128_GCM_SHA256"),
        (fields::GROUP, "x25519"),
        (fields::GROUPS_OFFERED, "GREASE,x25519,secp256r1"),
        (fields::SIGNATURES_OFFERED, "ecdsa_secp256r1_sha256,rsa_pss_rsae_sha256,rsa_pkcs1_sha256"),
        (fields::ESTABLISHED, "true"),
        (fields::RESUMED, "false"),
    ] {
        assert_eq!(seen.show(field), want, "{}", field.field().name);
    }
    assert_eq!(seen.show(JA4).len(), 36);
    assert_eq!((seen.show(JA3).len(), seen.show(JA3S).len()), (32, 32));
    assert!(seen.risks().is_empty(), "{:?}", seen.risks());
    let kinds: Vec<_> = seen.events.iter().map(|e| e.kind).collect();
    assert_eq!(kinds, ["ssl"]);
}

#[test]
fn tls_12_with_a_chain() {
    let seen = run_12("www.example.org", &[RSA_LEAF, CA], WHILE_VALID);
    for (field, want) in [
        (TLS_VERSION, "TLSv1.2"),
        (ALPN, "http/1.1"),
        (fields::CIPHER, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        (fields::GROUP, "x25519"),
        (fields::CERT_SUBJECT, "CN=www.example.org,O=Example\\, Inc.,C=DE"),
        (fields::CERT_ISSUER, "CN=Example Test CA,O=Example,C=DE"),
        (fields::CERT_NAMES, "www.example.org,*.cdn.example.org"),
        (fields::CERT_NOT_AFTER, "1711843200000000000"),
        (fields::CERT_CHAIN_LENGTH, "2"),
        // As `openssl x509 -fingerprint -sha256` has it.
        (fields::CERT_SHA256, "3a238f7a013337d239232a3542b4a66d37b9b9e031315585d69bc0de36d9624b"),
        (fields::CERT_SELF_SIGNED, "false"),
        (fields::ESTABLISHED, "true"),
    ] {
        assert_eq!(seen.show(field), want, "{}", field.field().name);
    }
    assert!(seen.risks().is_empty(), "{:?}", seen.risks());
    let kinds: Vec<_> = seen.events.iter().map(|e| e.kind).collect();
    assert_eq!(kinds, ["x509", "x509", "ssl"]);
    let ssl = &seen.events[2].fields;
    let shown = |field| ssl.iter().find(|(f, _)| *f == field).map(|(_, v)| v.to_string());
    assert_eq!(shown(fields::SNI).as_deref(), Some("www.example.org"));
    assert_eq!(shown(fields::ESTABLISHED).as_deref(), Some("true"));
    assert_eq!(shown(fields::SNI_MATCHES_CERT).as_deref(), Some("true"));
    assert_eq!(shown(fields::CERT_CHAIN_FPS).map(|fps| fps.split(',').count()), Some(2));
}

#[test]
fn anydesk_is_named_by_certificate_or_alpn() {
    let named: &[u8] = include_bytes!("../../../../../testdata/certificates/named-anydesk.der");
    assert_eq!(run_12("", &[named], WHILE_VALID).found.application, Some("anydesk"));
    assert_eq!(run_12("", &[RSA_LEAF], WHILE_VALID).found.application, None);
    let hello = ClientHello { alpn: vec!["anydesk/6.2.0/linux"], ..ClientHello::new("") };
    let hello = records(&hello.message(), &[]);
    assert_eq!(Flow::tcp(443).client(&hello).run_split().found.application, Some("anydesk"));
}

#[test]
fn the_name_asked_for_stands_above_the_greetings() {
    let hello = records(&ClientHello::new("imap.example.org").message(), &[]);
    let seen = Flow::tcp(25)
        .server(b"220 host7.example.net ESMTP\r\n")
        .client(b"EHLO b\r\n")
        .server(b"250-host7.example.net\r\n250 STARTTLS\r\n")
        .client(b"STARTTLS\r\n")
        .server(b"220 go ahead\r\n")
        .client(&hello)
        .run_split();
    assert_eq!((seen.protocol, &*seen.show(HOSTNAME)), (ProtocolId::Smtps, "imap.example.org"));
}

#[test]
fn what_is_wrong_with_certificates() {
    const YEAR: i64 = 365 * 86_400;
    for (sni, chain, at, want) in [
        ("www.example.org", RSA_LEAF, WHILE_VALID + 50 * 86_400, "tls-cert-about-to-expire"),
        ("www.example.org", RSA_LEAF, WHILE_VALID + YEAR, "tls-cert-expired"),
        ("www.example.org", RSA_LEAF, WHILE_VALID - YEAR, "tls-cert-not-yet-valid"),
        ("other.example", RSA_LEAF, WHILE_VALID, "tls-cert-name-mismatch"),
        ("self.example", EC_SELF_SIGNED, WHILE_VALID, "tls-cert-validity-too-long,tls-cert-self-signed"),
        ("Grüße.example", WEAK, 1_600_000_000, "tls-cert-weak-key,tls-cert-weak-signature"),
    ] {
        let risks = run_12(sni, &[chain], at).risks();
        assert_eq!(risks.join(","), want, "{sni}");
    }
}

#[test]
fn old_versions_and_weak_ciphers() {
    let client = client_12("www.example.org");
    for (version, cipher, want) in [
        (0x0301, 0x0005, "tls-obsolete-version,tls-weak-cipher"),
        (0x0300, 0xc013, "tls-obsolete-version"),
        (0x0303, 0x000a, "tls-weak-cipher"),
    ] {
        let server = server_12(version, cipher, &[RSA_LEAF]);
        let seen = Flow::tcp(443).at(WHILE_VALID).client(&client).server(&server).run();
        assert_eq!(seen.risks().join(","), want);
    }
}

#[test]
fn what_is_odd_in_a_client_hello() {
    let risks = |hello: ClientHello| {
        let bytes = records(&hello.message(), &[]);
        Flow::tcp(443).client(&bytes).run().risks().join(",")
    };
    let base = || ClientHello::new("a.example");
    assert_eq!(risks(base()), "");
    assert_eq!(risks(ClientHello::new("192.0.2.1")), "tls-numeric-sni");
    assert_eq!(risks(ClientHello::new("")), "tls-alpn-without-sni");
    assert_eq!(risks(ClientHello { alpn: vec![], ..ClientHello::new("") }), "tls-missing-sni");
    assert_eq!(risks(ClientHello { alpn: vec!["my-protocol"], ..base() }), "tls-uncommon-alpn");
    assert_eq!(risks(ClientHello { extra: vec![(0xffce, vec![1; 40])], ..ClientHello::new("") }), "tls-esni");
    let old = ClientHello { versions: vec![], legacy_version: 0x0301, ..base() };
    assert_eq!(risks(old), "tls-obsolete-version");
}

#[test]
fn resumption_alerts_retries_and_heartbeats() {
    let client = client_12("a.example");
    let server = [records(&server_hello(0x0303, &[7; 32], 0xc02f, &[]), &[]), finished()].concat();
    let fin = finished();
    let seen = Flow::tcp(443).client(&client).server(&server).client(&fin).run_split();
    assert_eq!((seen.show(fields::RESUMED), seen.show(fields::ESTABLISHED)), ("true".into(), "true".into()));

    let alert = record(21, 0x0303, &[2, 40]);
    let seen = Flow::tcp(443).client(&client).server(&alert).run_split();
    assert_eq!(seen.show(fields::ALERT), "handshake_failure");
    assert_eq!(seen.risks(), ["tls-fatal-alert"]);
    assert_eq!(seen.confidence, Confidence::Handshake);

    let random = hex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c");
    let mut retry = server_hello(0x0303, &[7; 32], 0x1301, &hex("002b 0002 0304"));
    retry[6..38].copy_from_slice(&random);
    let first = records(&ClientHello::new("a.example").message(), &[]);
    let retry = records(&retry, &[]);
    let second = [record(20, 0x0303, &[1]), first.clone()].concat();
    let hello = records(&server_hello_13(0x1302), &[]);
    let seen = Flow::tcp(443).client(&first).server(&retry).client(&second).server(&hello).run_split();
    assert_eq!(seen.show(fields::HELLO_RETRY), "true");
    assert_eq!(seen.show(fields::CIPHER), "TLS_AES_256_GCM_SHA384");

    let heartbeat = record(24, 0x0303, &hex("01 4000"));
    let seen = Flow::tcp(443).client(&client).client(&heartbeat).run_split();
    assert_eq!(seen.risks(), ["tls-heartbleed"]);
}

#[test]
fn what_is_inside_is_named() {
    for (port, alpn, sni, want) in [
        (443, "h2", "mozilla.cloudflare-dns.com", ProtocolId::Doh),
        (443, "h2", "www.example.org", ProtocolId::Tls),
        (853, "dot", "dns.google", ProtocolId::Dot),
        (443, "dot", "dns.google", ProtocolId::Dot),
        (993, "", "imap.example.org", ProtocolId::Imaps),
        (995, "pop3", "pop.example.org", ProtocolId::Pop3s),
        (465, "", "mail.example.org", ProtocolId::Smtps),
        (990, "", "ftp.example.org", ProtocolId::Ftps),
        (636, "", "ldap.example.org", ProtocolId::Ldaps),
        (4443, "imap", "", ProtocolId::Imaps),
    ] {
        let alpn = if alpn.is_empty() { vec![] } else { vec![alpn] };
        let bytes = records(&ClientHello { alpn, ..ClientHello::new(sni) }.message(), &[]);
        assert_eq!(Flow::tcp(port).client(&bytes).run().protocol, want, "{port} {sni}");
    }
}

#[test]
fn ssl_2_hellos() {
    // RFC 5246 appendix E.2: version 3.1, one cipher, challenge of 16 bytes.
    let compatible = [hex("801c 01 0301 0003 0000 0010 000035"), vec![5; 16]].concat();
    let seen = Flow::tcp(443).client(&compatible).run_split();
    assert_eq!((seen.protocol, seen.show(TLS_VERSION).as_str()), (ProtocolId::Tls, "TLSv1.0"));
    let ssl2 = [hex("801c 01 0002 0003 0000 0010 010080"), vec![5; 16]].concat();
    assert_eq!(Flow::tcp(443).client(&ssl2).run_split().risks(), ["tls-obsolete-version"]);
    // A length that doesn't add up.
    let near = [hex("801d 01 0002 0003 0000 0010 010080"), vec![5; 17]].concat();
    assert_eq!(Flow::tcp(443).client(&near).run().protocol, ProtocolId::Unknown);
}

#[test]
fn sessions_picked_up_in_the_middle() {
    let one = record(23, 0x0303, &[0x77; 100]);
    let two = [one.clone(), record(23, 0x0303, &[0x78; 50])].concat();
    assert_eq!(Flow::tcp(443).client(&one).run().protocol, ProtocolId::Tls);
    assert_eq!(Flow::tcp(443).server(&two).run_split().protocol, ProtocolId::Tls);
    // The server's hello without the client's, whichever end it was taken for.
    let server = records(&server_hello_13(0x1301), &[]);
    assert_eq!(super::record::identify(&probe(Transport::Tcp, &server)), Verdict::YesReversed);
    let seen = Flow::tcp(443).server(&server).run_split();
    assert_eq!((seen.protocol, seen.show(TLS_VERSION).as_str()), (ProtocolId::Tls, "TLSv1.3"));
    assert_eq!(seen.confidence, Confidence::Payload);
}

#[test]
fn what_only_looks_like_it_is_not_claimed() {
    for (why, bytes) in [
        (
            "a record that the next header contradicts",
            [record(23, 0x0303, &[0x77; 40]), b"GET / HTTP/1.1\r\n".to_vec()].concat(),
        ),
        ("a version that never was", record(22, 0x0309, &[1, 0, 0, 50, 3, 3])),
        ("a hello without room for its random", record(22, 0x0301, &[1, 0, 0, 4, 3, 3, 0, 0])),
        ("an alert that isn't defined", record(21, 0x0303, &[2, 99])),
        ("a change to something else", record(20, 0x0303, &[7])),
        ("too long a record", [hex("17 0303 ffff"), vec![0; 200]].concat()),
    ] {
        assert_eq!(Flow::tcp(443).client(&bytes).run().protocol, ProtocolId::Unknown, "{why}");
    }
}

/// A hello whose end is lost: what was there is told, but no fingerprint of a part.
#[test]
fn a_hello_that_is_cut_short() {
    let hello = records(&ClientHello { ticket_len: 400, ..ClientHello::new("cut.example") }.message(), &[]);
    let seen = Flow::tcp(443).client(&hello[..hello.len() - 200]).run_split();
    assert_eq!(seen.show(HOSTNAME), "cut.example");
    assert_eq!(seen.show(JA4), "");
    assert!(!seen.risks().contains(&"malformed-packet"));
}

#[test]
fn a_broken_hello_is_malformed() {
    let mut message = ClientHello::new("a.example").message();
    // The ALPN list says that it is longer than all there is.
    let at = message.windows(4).position(|w| w == [0, 16, 0, 14]).unwrap();
    message[at + 2] = 0x7f;
    let seen = Flow::tcp(443).client(&records(&message, &[])).run();
    assert_eq!((seen.protocol, seen.risks().contains(&"malformed-packet")), (ProtocolId::Tls, true));
}

/// Nobody wants anything but the name: the flow is over with the hellos, and nothing else is kept.
#[test]
fn only_what_is_wanted_is_worked_out() {
    let mut wanted = Wanted::none();
    wanted.add(HOSTNAME);
    let client = client_12("www.example.org");
    let server = server_12(0x0303, 0xc02f, &[RSA_LEAF]);
    let seen = Flow::tcp(443).at(WHILE_VALID).client(&client).server(&server).run_wanting(&wanted);
    assert_eq!(seen.found.fields.len(), 1);
    assert!(seen.events.is_empty());
}

proptest::proptest! {
    #[test]
    fn damage_never_panics(at: proptest::sample::Index, byte: u8, cut: proptest::sample::Index, server: bool) {
        let mut bytes = if server { server_12(0x0303, 0xc02f, &[RSA_LEAF, CA]) } else { client_12("a.example") };
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = Flow::tcp(443).client(&bytes).server(&bytes).run();
    }

    #[test]
    fn random_bytes_are_not_claimed(bytes in proptest::collection::vec(proptest::num::u8::ANY, 1..200)) {
        proptest::prop_assert_ne!(Flow::tcp(443).client(&bytes).run().protocol, ProtocolId::Tls);
    }
}
