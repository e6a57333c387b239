//! Resets and pages.

use daylight_injection::{Benign, Kind, Step, Tell, Verdict};
use daylight_packet::TcpHeader;
use daylight_packet::build::Tcp;

use crate::talk::{MS, ROUND_TRIP, RST, RST_ACK, SERVER_TTL, Talk, told};

const NAME: &str = "blocked.example";
const DATA: u8 = TcpHeader::ACK | TcpHeader::PSH;

fn greeted() -> Talk {
    let mut talk = Talk::new(443);
    talk.handshake().hello(NAME);
    talk
}

/// What happens on an ordinary day is no finding: each of these ends otherwise.
#[test]
fn ordinary_connections() {
    // The server refuses after the hello, as Linux does: a bare RST where it stands, DF, identification 0, window 0.
    let mut refused = greeted();
    refused.wait(ROUND_TRIP);
    let reset = Tcp { ip_id: 0, window: 0, ..refused.server(RST, b"") };
    refused.put(&reset);
    assert_eq!(told(&refused.report()), []);

    // It answers, closes, and resets what comes late; a path that is one hop longer for a while.
    let mut closed = greeted();
    closed.wait(ROUND_TRIP).answer(DATA, b"\x16\x03\x03\x00\x02\x02\x00");
    let again = Tcp { seq: 5001, ttl: SERVER_TTL - 1, ip_id: 7100, ..closed.server(DATA, b"\x16\x03\x03") };
    closed.wait(MS).put(&again);
    closed.client(TcpHeader::ACK, b"");
    closed.answer(TcpHeader::ACK | TcpHeader::FIN, b"");
    closed.client(DATA, b"late");
    for _ in 0..3 {
        let reset = Tcp { window: 0, ..closed.server(RST, b"") };
        closed.wait(MS).put(&reset);
    }
    assert_eq!(told(&closed.report()), []);

    // An active close with unread data: RST with a window of its own and the next identification.
    let mut unread = greeted();
    unread.wait(ROUND_TRIP).answer(DATA, b"first");
    unread.answer(DATA, b"second");
    let reset = Tcp { window: 501, ip_id: 7010, ..unread.server(RST_ACK, b"") };
    unread.put(&reset);
    assert_eq!(told(&unread.report()), []);

    // A closed port.
    let mut nobody = Talk::new(443);
    nobody.client(TcpHeader::SYN, b"");
    nobody.next[1] = 0;
    let reset = Tcp { window: 0, ..nobody.wait(ROUND_TRIP).server(RST_ACK, b"") };
    nobody.put(&reset);
    assert_eq!(told(&nobody.report()), []);
}

/// A box that answers SYNs for the server, keep-alives with a byte of their own, and a first packet that was slow.
#[test]
fn oddities_that_many_servers_share() {
    let mut talk = Talk::new(443);
    talk.client(TcpHeader::SYN, b"");
    let accept = Tcp { ttl: 57, ..talk.wait(90 * MS).server(TcpHeader::SYN | TcpHeader::ACK, b"") };
    talk.put(&accept);
    talk.next[1] += 1;
    talk.client(TcpHeader::ACK, b"");
    talk.hello(NAME);
    for _ in 0..7 {
        talk.wait(4 * MS).answer(DATA, b"certificates and more");
    }
    let alive =
        Tcp { seq: talk.next[1] - 1, ip_id: 7015, ..talk.wait(ROUND_TRIP).server(TcpHeader::ACK, b"?") };
    talk.put(&alive);
    assert_eq!(told(&talk.report()), []);
}

/// A load balancer in front of the server explains all of this, so it is no injection.
#[test]
fn a_box_of_the_servers_own_is_suspect_at_most() {
    let mut talk = greeted();
    let reset = Tcp { ttl: 255 - 11, dont_fragment: false, ..talk.wait(ROUND_TRIP).server(RST_ACK, b"") };
    let number = talk.put(&reset);
    let report = talk.report();
    assert_eq!(told(&report), [(number, Verdict::Suspect, vec![Tell::DfChanged, Tell::TtlGap])]);
    let finding = &report.findings[0];
    assert!(finding.packets[0].tells.iter().all(|told| told.benign.contains(&Benign::OwnBox)));
    assert_eq!(finding.signatures, []);
}

#[test]
fn one_odd_field_alone_is_never_an_injection() {
    type Change = fn(&mut Tcp<'_>);
    let changes: [(Change, Tell); 6] = [
        (|reset| reset.ttl = 101, Tell::TtlGap),
        (|reset| reset.dont_fragment = false, Tell::DfChanged),
        (|reset| reset.window = 64_240, Tell::Copied),
        (|reset| reset.seq += 1460, Tell::SeqBeyond),
        (|reset| reset.seq = 0, Tell::SeqZero),
        (|reset| reset.ack += 9, Tell::AckUnsent),
    ];
    for (change, tell) in changes {
        let mut talk = greeted();
        let mut reset = Tcp { window: 0, ..talk.wait(ROUND_TRIP).server(RST_ACK, b"") };
        change(&mut reset);
        let number = talk.put(&reset);
        let found = told(&talk.report());
        let [(at, Verdict::Suspect, tells)] = found.as_slice() else { panic!("{tell:?}: {found:?}") };
        assert_eq!(*at, number);
        assert!(tells.contains(&tell), "{tell:?}: {tells:?}");
    }
}

#[test]
fn the_great_firewall_is_named() {
    for mut talk in [Talk::new(443), Talk::v6(443)] {
        talk.handshake().hello(NAME);
        let is_v4 = talk.server(0, b"").source.is_ipv4();
        talk.wait(15 * MS);
        let mut injected = Vec::new();
        for (n, offset) in [0, 1460, 4380].into_iter().enumerate() {
            let n = n as u8;
            let reset = Tcp {
                seq: talk.next[1] + offset,
                ttl: 90 + n,
                window: 1200 + u16::from(n),
                ip_id: 30_000 * u16::from(n),
                dont_fragment: false,
                ..talk.server(RST_ACK, b"")
            };
            injected.push(talk.put(&reset));
        }
        // Beside the path: the server's own answer comes as well, and its own reset to the client's.
        let hello = talk.wait(25 * MS).answer(DATA, b"\x16\x03\x03\x00\x02\x02\x00");
        let own = Tcp { window: 0, ..talk.wait(MS).server(RST, b"") };
        talk.put(&own);
        let report = talk.report();
        let [finding] = report.findings.as_slice() else { panic!("{report:#?}") };
        assert_eq!((finding.step, finding.name.as_deref()), (Step::Tls, Some(NAME)));
        assert_eq!(finding.packets.iter().map(|packet| packet.number).collect::<Vec<_>>(), injected);
        for packet in &finding.packets {
            assert_eq!((packet.verdict, packet.kind), (Verdict::Injected, Kind::RstAck));
            let tells: Vec<_> = packet.tells.iter().map(|told| told.tell).collect();
            assert!(tells.contains(&Tell::TtlGap) && tells.contains(&Tell::TooFast), "{tells:?}");
            assert!(tells.contains(&Tell::ResetsInSteps), "{tells:?}");
            assert_eq!(tells.contains(&Tell::DfChanged), is_v4);
            assert_eq!(packet.after_ms, Some(15.0));
        }
        let went_on = finding.packets[0].tells.iter().find(|told| told.tell == Tell::ServerWentOn).unwrap();
        assert_eq!(went_on.witnesses, [hello]);
        let named: Vec<_> = finding.signatures.iter().filter_map(|one| one.vendor.as_deref()).collect();
        assert_eq!(named, ["Great Firewall"]);
        assert_eq!(
            finding.signatures[0].features,
            ["kind=rst-ack", "window>0", "ttls>=2", "seq=+0/1460/4380"]
        );
    }
}

/// CenTrace's capture from China: equal to the byte, window and TTL in lockstep.
#[test]
fn three_equal_resets() {
    let mut talk = greeted();
    talk.wait(30 * MS);
    for _ in 0..3 {
        let reset = Tcp { ttl: 128, window: 1503, ip_id: 41_000, ..talk.server(RST_ACK, b"") };
        talk.wait(MS / 10).put(&reset);
    }
    let report = talk.report();
    let found = told(&report);
    assert_eq!(found.len(), 3);
    for (_, verdict, tells) in found {
        assert_eq!(verdict, Verdict::Injected);
        assert!(tells.contains(&Tell::ResetsAlike) && tells.contains(&Tell::Signature), "{tells:?}");
    }
    assert_eq!(report.findings[0].signatures[0].id, "gfw-lockstep");
}

#[test]
fn equipment_is_named_by_two_features_and_not_by_one() {
    let named = |ip_id: u16, dont_fragment: bool| {
        let mut talk = greeted();
        let reset = Tcp { ttl: 60, window: 0, ip_id, dont_fragment, ..talk.wait(10 * MS).server(RST, b"") };
        talk.put(&reset);
        let report = talk.report();
        let finding = report.findings.into_iter().next().unwrap();
        let vendors = finding.signatures.iter().filter_map(|one| one.vendor.clone()).collect::<Vec<_>>();
        (finding.verdict, vendors, finding.signatures.len())
    };
    let sandvine = vec!["Sandvine PacketLogic".to_owned()];
    assert_eq!(named(0x1234, false), (Verdict::Injected, sandvine, 1));
    // One of the two alone names nobody; 13330 alone says what class it is.
    let (_, vendors, matches) = named(0x1234, true);
    assert_eq!((vendors, matches), (Vec::new(), 0));
    let (_, vendors, matches) = named(13_330, false);
    assert_eq!((vendors, matches), (Vec::new(), 1));
}

/// The filter of a provider in Belarus, 2020, two hops closer than the server: nothing but its signature is odd enough.
#[test]
fn a_signature_is_a_tell() {
    let mut talk = greeted();
    let reset = Tcp { ttl: SERVER_TTL + 2, window: 502, ..talk.wait(ROUND_TRIP).server(RST_ACK, b"") };
    talk.put(&reset);
    let report = talk.report();
    let found = told(&report);
    let [(_, Verdict::Injected, tells)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(*tells, [Tell::ResetWindow, Tell::TtlGap, Tell::Signature]);
    assert_eq!(report.findings[0].signatures[0].vendor.as_deref(), Some("Business Network's filter"));
}

#[test]
fn a_page_in_the_servers_place() {
    let mut talk = Talk::new(80);
    talk.handshake();
    talk.client(DATA, b"GET /news HTTP/1.1\r\nHost: Blocked.Example\r\n\r\n");
    let page = b"HTTP/1.1 302 Found\r\nLocation: http://82.209.230.23\r\n\r\n";
    let forged = Tcp {
        ttl: 60,
        window: 32_678,
        ip_id: 1,
        ..talk.wait(8 * MS).server(TcpHeader::FIN | TcpHeader::PSH | TcpHeader::ACK, page)
    };
    let forged = talk.put(&forged);
    let own = talk
        .wait(32 * MS)
        .answer(DATA, b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nThe news of today, and more of them");
    let report = talk.report();
    let [finding] = report.findings.as_slice() else { panic!("{report:#?}") };
    assert_eq!((finding.step, finding.name.as_deref()), (Step::Http, Some(NAME)));
    let [packet] = finding.packets.as_slice() else { panic!("{:#?}", finding.packets) };
    assert_eq!((packet.number, packet.kind, packet.verdict), (forged, Kind::FinData, Verdict::Injected));
    let differs = packet.tells.iter().find(|told| told.tell == Tell::ContentsDiffer).unwrap();
    assert_eq!((differs.witnesses.as_slice(), differs.benign.as_slice()), (&[own][..], &[][..]));
    assert_eq!(finding.signatures[0].vendor.as_deref(), Some("Beltelecom's filter"));
}

/// Of two contradicting packets that look alike, none is called injected.
#[test]
fn contradictions_without_an_odd_one_out() {
    let mut talk = Talk::new(80);
    talk.handshake();
    talk.client(DATA, b"GET / HTTP/1.1\r\nHost: blocked.example\r\n\r\n");
    let one = Tcp { ip_id: 70, ..talk.wait(ROUND_TRIP).server(DATA, b"HTTP/1.1 200 OK\r\n\r\none") };
    talk.put(&one);
    let other = Tcp { ip_id: 71, ..talk.wait(MS).server(DATA, b"HTTP/1.1 200 OK\r\n\r\ntwo") };
    talk.put(&other);
    let found = told(&talk.report());
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|(_, verdict, _)| *verdict == Verdict::Suspect), "{found:?}");
}

/// A connection that is refused at its SYN is held against others of the same server.
#[test]
fn other_connections_tell_what_the_server_is_like() {
    let mut talk = Talk::new(443);
    talk.handshake().hello("fine.example");
    talk.wait(ROUND_TRIP).answer(DATA, b"\x16\x03\x03");
    talk.client(TcpHeader::ACK | TcpHeader::FIN, b"");
    let server = talk.last - 4;
    talk.next = [90_000, 0];
    talk.client(TcpHeader::SYN, b"");
    let reset = Tcp { ttl: 99, window: 0, ..talk.wait(2 * MS).server(RST_ACK, b"") };
    let number = talk.put(&reset);
    let report = talk.report();
    let [finding] = report.findings.as_slice() else { panic!("{report:#?}") };
    assert_eq!((finding.step, finding.packets[0].number), (Step::Tcp, number));
    assert_eq!(finding.server_ttl, Some((SERVER_TTL, 2)), "{server}");
    assert_eq!(finding.verdict, Verdict::Suspect);
}
