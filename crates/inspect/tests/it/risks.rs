//! Risks that must not be raised: what the capture cut is nobody's fault, and who asks for TLS on a plain port is right there.

use std::sync::Arc;

use daylight_inspect::{Config, FlowRecord};
use daylight_protocols::testing::hex;
use daylight_protocols::testing::tls::{ClientHello, record, records, server_hello_13};
use daylight_protocols::{Confidence, ProtocolId, common};

use crate::corpus::{self, Frames, Sample};
use crate::flows::dns;
use crate::net::{ACK, CLIENT, Capture, End, SYN};

fn has(record: &FlowRecord, risk: &str) -> bool {
    record.risks().iter().any(|r| r.risk.name == risk)
}

/// The protocols' own flows, one after the other; the client's address is the flow's number.
fn own(samples: &[Sample]) -> Capture {
    let mut capture = Capture::new();
    for (i, sample) in samples.iter().enumerate() {
        let [_, _, high, low] = (i as u32).to_be_bytes();
        let (client, server) = ([10, 1, high, low], [203, 0, high, low]);
        corpus::add(&mut capture, (client, sample.ports[0]), (server, sample.ports[1]), sample, true);
    }
    capture
}

/// Both addresses end in the number of the flow.
fn number(record: &FlowRecord) -> usize {
    match record.ends.src_ip {
        std::net::IpAddr::V4(ip) => usize::from(u16::from_be_bytes([ip.octets()[2], ip.octets()[3]])),
        std::net::IpAddr::V6(_) => panic!("no flow of ours"),
    }
}

#[test]
fn what_the_snap_length_cut_is_not_malformed() {
    let samples = corpus::samples();
    let capture = own(&samples);
    let config = Arc::new(Config::default());
    let malformed = |snap_len: usize| {
        let (records, _) = corpus::run(&mut Frames::new(&capture.snapped(snap_len)), &config);
        let found = records.iter().filter(|r| has(r, "malformed-packet"));
        found.map(number).collect::<std::collections::BTreeSet<_>>()
    };
    let whole = malformed(65_535);
    assert!(whole.len() < samples.len() / 3, "{}", whole.len());
    for snap_len in [42, 60, 64, 68, 80, 96, 100, 120, 128, 160, 200, 256, 500] {
        let more: Vec<_> = malformed(snap_len).difference(&whole).map(|n| &*samples[*n].protocol).collect();
        assert!(more.is_empty(), "{snap_len}: {more:?}");
    }
}

#[test]
fn a_cut_answer_keeps_its_label_and_what_follows_is_read() {
    let resolver = ([10, 0, 0, 53], 53);
    let mut capture = Capture::new();
    capture.udp(CLIENT, resolver, &dns(1, "a.example", None));
    capture.udp(resolver, CLIENT, &dns(1, "a.example", Some([192, 0, 2, 1])));
    capture.udp(CLIENT, resolver, &dns(2, "b.example", None));
    let mut frames = capture.snapped(65_535);
    // Within the answer's record, and within the question.
    for len in [70, 50] {
        frames[1].1.truncate(len);
        frames[1].0.cap_len = len as u32;
        let (records, _) = corpus::run(&mut Frames::new(&frames), &Arc::new(Config::default()));
        assert_eq!(records.len(), 1);
        assert_eq!(
            (records[0].protocol, records[0].text(common::HOSTNAME)),
            (ProtocolId::Dns, Some("a.example"))
        );
        assert!(!has(&records[0], "malformed-packet"), "{:?}", records[0].risks());
        // The same without the rest on the wire is broken indeed.
        let mut short = frames.clone();
        short[1].1[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        short[1].1[24..26].copy_from_slice(&(len as u16 - 20).to_be_bytes());
        short[1].0.wire_len = len as u32;
        let (records, _) = corpus::run(&mut Frames::new(&short), &Arc::new(Config::default()));
        assert!(has(&records[0], "malformed-packet"), "{len}");
    }
}

/// After lost segments nobody can be blamed for what the rest looks like.
#[test]
fn after_a_gap_nothing_is_malformed() {
    let samples: Vec<_> = corpus::samples().into_iter().filter(|s| s.transport == 6).collect();
    let whole = malformed_without(&samples, usize::MAX);
    for lost in 0..6 {
        let more: Vec<_> =
            malformed_without(&samples, lost).difference(&whole).map(|n| &*samples[*n].protocol).collect();
        assert!(more.is_empty(), "without payload {lost}: {more:?}");
    }
}

/// Which flows are found malformed when their payload of this number is lost.
fn malformed_without(samples: &[Sample], lost: usize) -> std::collections::BTreeSet<usize> {
    let mut capture = Capture::new();
    for (i, sample) in samples.iter().enumerate() {
        let [_, _, high, low] = (i as u32).to_be_bytes();
        let ends = [([10, 1, high, low], sample.ports[0]), ([203, 0, high, low], sample.ports[1])];
        capture.open(ends[0], ends[1]);
        let mut next = [1001u32, 5001];
        for (n, (from_server, payload)) in sample.payloads.iter().enumerate() {
            let (me, other) = (usize::from(*from_server), usize::from(!*from_server));
            if n != lost {
                capture.tcp(ends[me], ends[other], next[me], next[other], ACK, payload);
            }
            next[me] = next[me].wrapping_add(payload.len() as u32);
        }
        // Both acknowledge everything, more often than a hole is waited for.
        for _ in 0..10 {
            capture.tcp(ends[0], ends[1], next[0], next[1], ACK, b"");
            capture.tcp(ends[1], ends[0], next[1], next[0], ACK, b"");
        }
    }
    capture.run().iter().filter(|r| has(r, "malformed-packet")).map(number).collect()
}

/// Port 514 of TCP is the remote shell's (IANA); of UDP it is syslog's.
#[test]
fn a_silent_port_is_not_given_to_whom_it_is_not_assigned() {
    let mut capture = Capture::new();
    for port in [514, 601, 6514] {
        capture.tcp((CLIENT.0, port), ([192, 0, 2, 9], port), 1, 0, SYN, b"");
    }
    capture.udp(CLIENT, ([192, 0, 2, 9], 514), b"\x00\x01");
    let found: Vec<_> = capture.run().iter().map(|r| (r.ends.dst_port, r.protocol, r.confidence)).collect();
    assert_eq!(
        found,
        [
            (514, ProtocolId::Unknown, Confidence::None),
            (601, ProtocolId::Syslog, Confidence::Port),
            (6514, ProtocolId::Syslog, Confidence::Port),
            (514, ProtocolId::Syslog, Confidence::Port),
        ]
    );
}

/// A payload, and whether it comes from the server.
type Said = (bool, Vec<u8>);

/// Adds a connection: what each side says in turn.
fn talk(capture: &mut Capture, client: End, server: End, said: &[Said]) {
    let sample = Sample {
        protocol: String::new(),
        transport: 6,
        ports: [client.1, server.1],
        payloads: said.to_vec(),
    };
    corpus::add(capture, client, server, &sample, true);
}

#[test]
fn who_asks_for_tls_on_a_plain_port_is_at_home_there() {
    let hello = records(&ClientHello::new("host.example.org").message(), &[]);
    let answer = record(22, 0x0303, &server_hello_13(0x1301));
    let c = |text: &str| (false, text.as_bytes().to_vec());
    let s = |text: &str| (true, text.as_bytes().to_vec());
    let smtp = [
        s("220 mx.example.org ESMTP Postfix\r\n"),
        c("EHLO client.example\r\n"),
        s("250-mx.example.org\r\n250-PIPELINING\r\n250 STARTTLS\r\n"),
        c("STARTTLS\r\n"),
        s("220 2.0.0 Ready to start TLS\r\n"),
    ];
    let pop3 = [s("+OK POP3 ready\r\n"), c("STLS\r\n"), s("+OK begin\r\n")];
    let imap = [s("* OK IMAP4rev1 ready\r\n"), c("a1 STARTTLS\r\n"), s("a1 OK begin\r\n")];
    let ftp = [s("220 FTP server ready\r\n"), c("AUTH TLS\r\n"), s("234 go ahead\r\n")];
    let xmpp = [
        c(
            "<?xml version='1.0'?><stream:stream to='host.example.org' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
        ),
        s(
            "<?xml version='1.0'?><stream:stream from='host.example.org' id='1' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
        ),
        c("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        s("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
    ];
    let ldap = [
        (false, hex("301d 020101 7718 8016 312e332e362e312e342e312e313436362e3230303337")),
        (true, hex("300c 020101 7807 0a0100 0400 0400")),
    ];
    let postgresql = [(false, hex("00000008 04d2162f")), (true, b"S".to_vec())];
    let cases: [(&str, &[u16], &[Said]); 7] = [
        ("smtp", &[25, 587, 2525], &smtp),
        ("pop3", &[110], &pop3),
        ("imap", &[143], &imap),
        ("ftp", &[21], &ftp),
        ("xmpp", &[5222, 5269], &xmpp),
        ("ldap", &[389, 3268], &ldap),
        ("postgresql", &[5432], &postgresql),
    ];
    let mut capture = Capture::new();
    let mut expected = Vec::new();
    for (name, ports, said) in cases {
        for port in ports {
            let said = [said, &[(false, hello.clone()), (true, answer.clone())]].concat();
            talk(&mut capture, ([10, 0, 0, 1], 40000 + port), ([192, 0, 2, 1], *port), &said);
            expected.push((name, *port));
            // The capture begins after TLS was agreed on.
            talk(
                &mut capture,
                ([10, 0, 0, 2], 40000 + port),
                ([192, 0, 2, 1], *port),
                &said[said.len() - 2..],
            );
            expected.push(("tls", *port));
        }
    }
    let records = capture.run();
    assert_eq!(records.len(), expected.len());
    for (record, (name, port)) in records.iter().zip(expected) {
        assert_eq!(record.ends.dst_port, port);
        let label = record.protocol.name();
        assert!(label == name || label.strip_suffix('s') == Some(name), "{name} on {port}: {label}");
        assert_eq!(record.confidence, Confidence::Handshake, "{name} on {port}");
        assert_eq!(record.text(common::HOSTNAME), Some("host.example.org"), "{name} on {port}");
        assert!(record.text(common::JA4).is_some(), "{name} on {port}");
        for risk in ["non-standard-port", "unsafe-protocol", "clear-text-credentials", "malformed-packet"] {
            assert!(!has(record, risk), "{name} on {port}: {risk}");
        }
    }
}
