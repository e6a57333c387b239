//! From a flow's first payload to its protocol, against asking one protocol after the other.
//!
//! Input: the first payloads of 20 protocols, made by hand, on their usual ports (`known`), and 20 payloads of random
//! bytes, 300 of TCP or UDP, that no protocol claims (`unknown`, the commoner case: every segment of an encrypted
//! stream whose start was not seen). The table is the real one, with all protocols. Yardstick: the same patterns tried
//! one by one in the order of the registry, then the same `identify` functions in the same order. `candidates` is the
//! search for protocols whose patterns match, which is the dispatcher's own work; `identify` is with the asking. The
//! figure is payloads per second. Adding protocols should cost the scan in proportion and the table hardly anything.

// Benches have no callers who would read docs, and stop at what can't be.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use daylight_protocols::dispatch::{Dispatcher, Outcome, Rejected};
use daylight_protocols::testing::tls::{ClientHello, Initial, crypto_frame, records};
use daylight_protocols::testing::{hex, probe};
use daylight_protocols::{Dir, Pattern, Probe, ProtocolId, Transport, Verdict};

struct First {
    protocol: ProtocolId,
    transport: Transport,
    dir: Dir,
    port: u16,
    payload: Vec<u8>,
}

impl First {
    fn probe(&self) -> Probe<'_> {
        Probe { dir: self.dir, server_port: self.port, ..probe(self.transport, &self.payload) }
    }
}

fn known() -> Vec<First> {
    use Dir::{Client, Server};
    let of = |transport, dir, name: &str, port, payload: &[u8]| First {
        protocol: ProtocolId::from_name(name).unwrap(),
        transport,
        dir,
        port,
        payload: payload.to_vec(),
    };
    let tcp = |dir, name: &str, port, payload: &[u8]| of(Transport::Tcp, dir, name, port, payload);
    let udp = |name: &str, port, payload: &[u8]| of(Transport::Udp, Client, name, port, payload);

    let hello = ClientHello::new("www.example.com").message();
    let mut dhcp = hex("01010600 3903f326 00000000");
    dhcp.resize(236, 0);
    dhcp.extend(hex("63825363 350101 3704 01030c06 ff"));
    let mut ntp = hex("23000600 00000000 00000000 00000000");
    ntp.resize(48, 0);
    let mut smb = hex("00000066 fe534d42 40000000 00000000 00000100 00000000 00000000 00000000 00000000");
    smb.resize(4 + 64, 0);
    smb.extend(hex("2400 0100 0100 0000 00000000"));
    smb.resize(4 + 64 + 36, 0);
    smb.extend(hex("1103"));
    let mut mysql = b"\x4a\0\0\0\x0a8.0.36\0\x09\0\0\0abcdefgh\0\xff\xff\x21\x02\0\xff\x81\x15".to_vec();
    mysql.extend([0; 10]);
    mysql.extend(b"ijklmnopqrst\0caching_sha2_password\0");
    mysql[0] = (mysql.len() - 4) as u8;
    let http =
        b"GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";
    let search = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n";
    vec![
        tcp(Client, "tls", 443, &records(&hello, &[])),
        tcp(Client, "http", 80, http),
        tcp(Client, "ssh", 22, b"SSH-2.0-OpenSSH_9.6\r\n"),
        tcp(Client, "smtp", 25, b"EHLO mail.example.org\r\n"),
        tcp(Server, "imap", 143, b"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready.\r\n"),
        tcp(Server, "ftp", 21, b"220 ProFTPD Server ready.\r\n"),
        tcp(Client, "rdp", 3389, &hex("03000013 0ee00000 00000001 00080003 000000")),
        tcp(Server, "mysql", 3306, &mysql),
        tcp(Client, "postgresql", 5432, b"\0\0\0\x22\0\x03\0\0user\0alice\0database\0shop\0\0"),
        tcp(Client, "redis", 6379, b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"),
        tcp(Client, "mqtt", 1883, &hex("1014 0004 4d515454 04 02 003c 0008 73656e736f722d37")),
        tcp(Client, "ldap", 389, &hex("300c 020101 6007 020103 0400 8000")),
        tcp(Client, "smb2", 445, &smb),
        udp("dns", 53, &hex("1234 0100 0001 0000 0000 0000 03777777 076578616d706c65 03636f6d 00 0001 0001")),
        udp("quic", 443, &Initial::new(&[1, 2, 3, 4, 5, 6, 7, 8]).datagram(Client, &crypto_frame(0, &hello))),
        udp("ntp", 123, &ntp),
        udp("dhcp", 67, &dhcp),
        udp("stun", 3478, &hex("0001 0000 2112a442 0102030405060708090a0b0c")),
        udp(
            "snmp",
            161,
            &hex(
                "3027 020101 0406 7075626c6963 a01a 0202 1234 020100 020100 300e 300c 0608 2b06010201010100 0500",
            ),
        ),
        udp("ssdp", 1900, search),
    ]
}

fn unknown() -> Vec<First> {
    let mut state = 3_u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..20)
        .map(|n| First {
            protocol: ProtocolId::Unknown,
            transport: if n % 2 == 0 { Transport::Tcp } else { Transport::Udp },
            dir: if n % 4 < 2 { Dir::Client } else { Dir::Server },
            port: 443,
            payload: (0..300).map(|_| byte()).collect(),
        })
        .collect()
}

fn fits(pattern: &Pattern, probe: &Probe<'_>) -> bool {
    let payload = probe.payload;
    let literal = payload.get(..pattern.prefix.len()).is_some_and(|start| {
        if pattern.fold { start.eq_ignore_ascii_case(pattern.prefix) } else { start == pattern.prefix }
    });
    pattern.transport == probe.transport
        && pattern.dir.is_none_or(|dir| dir == probe.dir)
        && (usize::from(pattern.len_min)..=usize::from(pattern.len_max)).contains(&payload.len())
        && literal
        && pattern
            .tests
            .iter()
            .all(|test| payload.get(usize::from(test.offset)).is_some_and(|b| b & test.mask == test.value))
}

/// The protocols a payload could be, in a place without allocation, as the dispatcher has it.
fn scan(probe: &Probe<'_>) -> ([ProtocolId; 24], usize) {
    let (mut ids, mut len) = ([ProtocolId::Unknown; 24], 0);
    for id in ProtocolId::all() {
        if len < ids.len() && id.get().patterns.iter().any(|pattern| fits(pattern, probe)) {
            ids[len] = id;
            len += 1;
        }
    }
    (ids, len)
}

fn identify_by_scan(probe: &Probe<'_>) -> ProtocolId {
    let (ids, len) = scan(probe);
    for at_home in [true, false] {
        for id in &ids[..len] {
            let protocol = id.get();
            let home = protocol.ports.iter().any(|p| p.transport == probe.transport && probe.port(p.number));
            if home == at_home && matches!((protocol.identify)(probe), Verdict::Yes | Verdict::YesReversed) {
                return *id;
            }
        }
    }
    ProtocolId::Unknown
}

fn identify(dispatcher: &Dispatcher, probe: &Probe<'_>) -> ProtocolId {
    match dispatcher.identify(probe, &mut Rejected::default()) {
        Outcome::Found { protocol, .. } => protocol,
        _ => ProtocolId::Unknown,
    }
}

fn bench(c: &mut Criterion) {
    let dispatcher = Dispatcher::new(ProtocolId::all());
    for (name, firsts) in [("known", known()), ("unknown", unknown())] {
        for first in &firsts {
            let probe = first.probe();
            assert_eq!(identify(&dispatcher, &probe), first.protocol, "{:?}, by the table", first.protocol);
            assert_eq!(identify_by_scan(&probe), first.protocol, "{:?}, by the scan", first.protocol);
            assert_eq!(
                dispatcher.candidates(&probe).as_slice().len(),
                scan(&probe).1,
                "{:?}",
                first.protocol
            );
        }
        let probes: Vec<Probe<'_>> = firsts.iter().map(First::probe).collect();
        let mut group = c.benchmark_group(format!("dispatch/{name}"));
        group.throughput(Throughput::Elements(probes.len() as u64));
        group.bench_function("candidates/table", |b| {
            b.iter(|| {
                let count = |p| dispatcher.candidates(black_box(p)).as_slice().len();
                probes.iter().map(count).sum::<usize>()
            });
        });
        group.bench_function("candidates/scan", |b| {
            b.iter(|| probes.iter().map(|p| scan(black_box(p)).1).sum::<usize>());
        });
        group.bench_function("identify/table", |b| {
            b.iter(|| probes.iter().map(|p| identify(&dispatcher, black_box(p)) as usize).sum::<usize>());
        });
        group.bench_function("identify/scan", |b| {
            b.iter(|| probes.iter().map(|p| identify_by_scan(black_box(p)) as usize).sum::<usize>());
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
