//! ClientHellos, read: over TCP and in QUIC.
//!
//! Input, from the builders that the tests use: a hello of TLS 1.3 as it was for years (`small`, in one segment or
//! datagram) and one with an ML-KEM key share and a ticket (`ML-KEM`, 1.8 KB, in two). The lines differ in what is
//! wanted: the server's name alone, or every field and transaction with the fingerprints JA3 and JA4. The figure is
//! hellos per second, each on a parser of its own.
//!
//! Yardstick for QUIC: the cryptography alone, with the same library (ring) over the same bytes: keys from the connection
//! id, header protection removed, AES-128-GCM opened. Nothing that reads the hello can be faster, so what is above it is
//! parsing. TLS over TCP has none here.

// Benches have no callers who would read docs, and stop at what can't be.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use daylight_protocols::dispatch::Dispatcher;
use daylight_protocols::driver::{Driver, Progress};
use daylight_protocols::testing::tls::{ClientHello, Initial, crypto_frame, records};
use daylight_protocols::{Dir, Findings, ProtocolId, Sink, Wanted, common};
use ring::aead::quic::{AES_128, HeaderProtectionKey};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac::{self, HMAC_SHA256};

const HOST: &str = "www.example.com";
const CONNECTION: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
/// Of an Initial with that connection id, no source id, no token, a length of two bytes.
const PACKET_NUMBER_AT: usize = 1 + 4 + 9 + 1 + 1 + 2;
/// RFC 9001 §5.2.
const SALT: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc,
    0xbb, 0x7f, 0x0a,
];

/// Feeds a flow's payloads to a new parser, until it wants no more.
fn read(dispatcher: &Dispatcher, protocol: ProtocolId, payloads: &[Vec<u8>], wanted: &Wanted) -> Findings {
    let (mut found, mut events, mut facts) = (Findings::default(), Vec::new(), Vec::new());
    let addresses = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 9])];
    let mut driver = Driver::new(protocol).unwrap();
    let mut sink = Sink::new(&mut found, wanted, &mut events, &mut facts, 0, addresses, [50_000, 443]);
    for payload in payloads {
        let payload = black_box(payload);
        let progress = match protocol {
            ProtocolId::Quic => driver.datagram(Dir::Client, payload, &mut sink),
            _ => driver.stream(dispatcher, Dir::Client, payload, &mut sink),
        };
        if progress == Progress::Finished {
            return found;
        }
    }
    driver.finish(&mut sink);
    found
}

/// HKDF-Expand-Label (RFC 8446 §7.1) of one block.
fn expand<const N: usize>(secret: &hmac::Key, label: &str) -> [u8; N] {
    let mut info = hmac::Context::with_key(secret);
    info.update(&[0, N as u8, 6 + label.len() as u8]);
    info.update(b"tls13 ");
    info.update(label.as_bytes());
    info.update(&[0, 1]);
    info.sign().as_ref()[..N].try_into().unwrap()
}

/// What it takes to see the payload of these datagrams: as much of RFC 9001 §5 as that. Answers its length.
fn decrypt(datagrams: &[Vec<u8>]) -> usize {
    let initial = hmac::sign(&hmac::Key::new(HMAC_SHA256, &SALT), &CONNECTION);
    let secret = expand::<32>(&hmac::Key::new(HMAC_SHA256, initial.as_ref()), "client in");
    let secret = hmac::Key::new(HMAC_SHA256, &secret);
    let key = UnboundKey::new(&AES_128_GCM, &expand::<16>(&secret, "quic key")).unwrap();
    let (key, iv) = (LessSafeKey::new(key), expand::<12>(&secret, "quic iv"));
    let header_key = HeaderProtectionKey::new(&AES_128, &expand::<16>(&secret, "quic hp")).unwrap();
    let mut bytes = 0;
    for datagram in datagrams {
        let mut packet = black_box(datagram).clone();
        let sample = &packet[PACKET_NUMBER_AT + 4..PACKET_NUMBER_AT + 20];
        let mask = header_key.new_mask(sample).unwrap();
        packet[0] ^= mask[0] & 0x0f;
        packet[PACKET_NUMBER_AT] ^= mask[1];
        packet[PACKET_NUMBER_AT + 1] ^= mask[2];
        let mut nonce = iv;
        nonce[10] ^= packet[PACKET_NUMBER_AT];
        nonce[11] ^= packet[PACKET_NUMBER_AT + 1];
        let (header, payload) = packet.split_at_mut(PACKET_NUMBER_AT + 2);
        let nonce = Nonce::assume_unique_for_key(nonce);
        bytes += key.open_in_place(nonce, Aad::from(header), payload).unwrap().len();
    }
    bytes
}

fn segments(hello: &ClientHello) -> Vec<Vec<u8>> {
    records(&hello.message(), &[]).chunks(1400).map(<[u8]>::to_vec).collect()
}

fn datagrams(hello: &ClientHello) -> Vec<Vec<u8>> {
    const PIECE: usize = 1000;
    let message = hello.message();
    let pieces = message.chunks(PIECE).enumerate();
    pieces
        .map(|(n, piece)| {
            let initial = Initial { number: n as u32, ..Initial::new(&CONNECTION) };
            initial.datagram(Dir::Client, &crypto_frame(n * PIECE, piece))
        })
        .collect()
}

fn bench(c: &mut Criterion) {
    let dispatcher = Dispatcher::new(ProtocolId::all());
    let mut hostname = Wanted::none();
    hostname.add(common::HOSTNAME);
    let hellos = [("small", ClientHello::new(HOST), 1), ("ML-KEM", ClientHello::with_mlkem(HOST), 2)];
    let wants = [("host name", hostname), ("everything", Wanted::all())];
    type Cut = fn(&ClientHello) -> Vec<Vec<u8>>;
    let carriers: [(&str, ProtocolId, Cut); 2] =
        [("tls", ProtocolId::Tls, segments), ("quic", ProtocolId::Quic, datagrams)];
    for (carrier, protocol, cut) in carriers {
        let mut group = c.benchmark_group(carrier);
        group.throughput(Throughput::Elements(1));
        for (size, hello, pieces) in &hellos {
            let payloads = cut(hello);
            assert_eq!(payloads.len(), *pieces, "{carrier}, {size}");
            for (what, wanted) in &wants {
                let found = read(&dispatcher, protocol, &payloads, wanted);
                assert_eq!(found.text(common::HOSTNAME), Some(HOST), "{carrier}, {size}, {what}");
                assert_eq!(
                    found.text(common::JA4).is_some(),
                    *what == "everything",
                    "{carrier}, {size}, {what}"
                );
                group.bench_function(format!("{size}/{what}"), |b| {
                    b.iter(|| read(&dispatcher, protocol, &payloads, wanted));
                });
            }
            if protocol == ProtocolId::Quic {
                assert!(decrypt(&payloads) > hello.message().len());
                group.bench_function(format!("{size}/cryptography alone"), |b| b.iter(|| decrypt(&payloads)));
            }
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
