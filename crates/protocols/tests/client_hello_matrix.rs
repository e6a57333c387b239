//! A ClientHello is read however it was cut: over records, segments, packets, datagrams and frames, in any order.
//!
//! For TCP the parser gets the stream in order; that segments come in order is the work of the engine, whose test uses the
//! same builders.

use daylight_protocols::testing::cuts::{Wrap, datagrams, orders, record_splits};
use daylight_protocols::testing::tls::{ClientHello, Initial, crypto_frame, records, retry};
use daylight_protocols::testing::{Flow, Seen};
use daylight_protocols::{Dir, ProtocolId, common};

const NAME: &str = "very.long.name.of.a.server.example";

fn hellos() -> [(&'static str, ClientHello); 3] {
    [
        ("small", ClientHello::new(NAME)),
        ("with ML-KEM", ClientHello::with_mlkem(NAME)),
        ("larger than a record", ClientHello::huge(NAME)),
    ]
}

/// What must come out, whatever was done to it.
#[track_caller]
fn check(seen: &Seen, protocol: ProtocolId, ja4: &str, how: impl Fn() -> String) {
    assert_eq!(seen.protocol, protocol, "{}", how());
    assert_eq!(seen.show(common::HOSTNAME), NAME, "{}", how());
    assert_eq!(seen.show(common::ALPN), if protocol == ProtocolId::Tls { "h2" } else { "h3" }, "{}", how());
    assert_eq!(seen.show(common::JA4), ja4, "{}", how());
    assert!(!seen.risks().contains(&"malformed-packet"), "{}", how());
}

#[test]
fn over_records_and_segments() {
    let mut cases = 0;
    for (size, hello) in hellos() {
        let message = hello.message();
        let whole = records(&message, &[]);
        let ja4 = Flow::tcp(443).client(&whole).run().show(common::JA4);
        assert!(ja4.starts_with("t13d0508h2_") || ja4.starts_with("t13d0507h2_"), "{ja4}");
        for (how, sizes) in record_splits(message.len()) {
            let stream = records(&message, &sizes);
            for segment in [stream.len(), 1, 2, 3, 5, 6, 7, 16, 100, 536, 1460] {
                if stream.len() / segment > 3000 {
                    continue;
                }
                let flow = stream.chunks(segment).fold(Flow::tcp(443), Flow::client);
                check(&flow.run(), ProtocolId::Tls, &ja4, || {
                    format!("{size}, records: {how}, segments: {segment}")
                });
                cases += 1;
            }
        }
    }
    assert!(cases > 400, "{cases}");
}

#[test]
fn cut_once_anywhere() {
    let hello = ClientHello::new(NAME);
    let message = hello.message();
    let stream = records(&message, &[]);
    let ja4 = Flow::tcp(443).client(&stream).run().show(common::JA4);
    for at in 1..stream.len() {
        let seen = Flow::tcp(443).client(&stream[..at]).client(&stream[at..]).run();
        check(&seen, ProtocolId::Tls, &ja4, || format!("segment cut at {at}"));
    }
    for at in 1..message.len() {
        let seen = Flow::tcp(443).client(&records(&message, &[at])).run();
        check(&seen, ProtocolId::Tls, &ja4, || format!("record cut at {at}"));
    }
}

/// What follows the hello in the same segment does no harm: early data, an alert, another record.
#[test]
fn coalesced_with_what_follows() {
    for (size, hello) in hellos() {
        let mut stream = records(&hello.message(), &[]);
        let ja4 = Flow::tcp(443).client(&stream).run().show(common::JA4);
        stream.extend([20, 3, 3, 0, 1, 1]);
        stream.extend([23, 3, 3, 0, 40]);
        stream.extend([0x9c; 40]);
        for segment in [stream.len(), 1460, 11] {
            let flow = stream.chunks(segment).fold(Flow::tcp(443), Flow::client);
            check(&flow.run(), ProtocolId::Tls, &ja4, || format!("{size}, segments: {segment}"));
        }
    }
}

const VERSIONS: [u32; 6] = [1, 0x6b33_43cf, 0xff00_0017, 0xff00_001d, 0xff00_0022, 0xface_b002];

#[test]
fn over_quic_frames_packets_and_datagrams() {
    let mut cases = 0;
    for (size, mut hello) in hellos() {
        hello.alpn = vec!["h3"];
        let message = hello.message();
        let dcid = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
        let mut ja4 = String::new();
        for (v, version) in VERSIONS.into_iter().enumerate() {
            let initial = Initial { version, scid: &[1, 2, 3], ..Initial::new(&dcid) };
            for piece in [1000, 300, 61, 7] {
                // The number of datagrams that are looked at is bounded; and one version stands for the others.
                if message.len() / piece > 50 || (v > 0 && piece < 300) {
                    continue;
                }
                let frames: Vec<_> = message
                    .chunks(piece)
                    .enumerate()
                    .map(|(i, data)| crypto_frame(i * piece, data))
                    .collect();
                for (order, indices) in orders(frames.len()) {
                    let ordered: Vec<_> = indices.iter().map(|i| frames[*i].clone()).collect();
                    for wrap in Wrap::ALL {
                        let datagrams = datagrams(&initial, &ordered, wrap);
                        if datagrams.len() > 60 {
                            continue;
                        }
                        let flow = datagrams.iter().fold(Flow::udp(443), |f, d| f.client(d));
                        let seen = flow.run();
                        if ja4.is_empty() {
                            ja4 = seen.show(common::JA4);
                            assert!(ja4.starts_with("q13d05"), "{ja4}");
                        }
                        let how =
                            || format!("{size}, version {version:x}, frames of {piece} {order}, {wrap:?}");
                        check(&seen, ProtocolId::Quic, &ja4, how);
                        cases += 1;
                    }
                }
            }
        }
    }
    assert!(cases > 300, "{cases}");
}

/// The client's second flight after a Retry is protected with keys of the server's choice.
#[test]
fn after_a_retry() {
    let hello = ClientHello { alpn: vec!["h3"], ..ClientHello::with_mlkem(NAME) };
    let message = hello.message();
    let (first, second) = ([1, 2, 3, 4, 5, 6, 7, 8], [9; 16]);
    let frames = [crypto_frame(0, &message[..900]), crypto_frame(900, &message[900..])];
    let before = Initial::new(&first).datagram(Dir::Client, &frames[0]);
    let retry = retry(&[], &second, b"token");
    let again = Initial { token: b"token", ..Initial::new(&second) };
    let after = [
        again.datagram(Dir::Client, &frames[1]),
        Initial { number: 1, ..again }.datagram(Dir::Client, &frames[0]),
    ];
    let flow = Flow::udp(443).client(&before).server(&retry).client(&after[0]).client(&after[1]);
    let ja4 = flow.run().show(common::JA4);
    check(&flow.run(), ProtocolId::Quic, &ja4, || "after a Retry".to_owned());
    assert!(ja4.starts_with("q13d"));
}
