//! What becomes a flow, when it ends, and that threads, seeds and batches make no difference.

use daylight_inspect::{Config, EndReason, FlowRecord, Timeouts};
use daylight_protocols::{Confidence, ProtocolId, common};

use crate::net::{ACK, CLIENT, Capture, End, FIN, RST, SERVER, SYN};

const RESOLVER: End = ([10, 0, 0, 53], 53);

/// A DNS query for a name, or its answer with one address.
pub(crate) fn dns(id: u16, name: &str, address: Option<[u8; 4]>) -> Vec<u8> {
    let mut m = id.to_be_bytes().to_vec();
    m.extend_from_slice(if address.is_some() {
        &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]
    } else {
        &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    });
    for label in name.split('.') {
        m.push(label.len() as u8);
        m.extend_from_slice(label.as_bytes());
    }
    m.extend_from_slice(&[0, 0, 1, 0, 1]);
    if let Some(address) = address {
        m.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        m.extend_from_slice(&address);
    }
    m
}

fn only(records: Vec<FlowRecord>) -> FlowRecord {
    assert_eq!(records.len(), 1, "{records:#?}");
    records.into_iter().next().expect("one")
}

#[test]
fn the_sender_of_the_syn_is_the_client_even_with_odd_ports() {
    let (client, server) = (([10, 0, 0, 1], 22), ([10, 0, 0, 2], 50000));
    let mut capture = Capture::new();
    capture.open(client, server);
    let record = only(capture.run());
    assert_eq!((record.ends.src_port, record.ends.dst_port), (22, 50000));
    assert_eq!(record.state.name(), "S1");
    // And when only the SYN-ACK was captured.
    let mut capture = Capture::new();
    capture.tcp(server, client, 1, 1, SYN | ACK, b"");
    assert_eq!(only(capture.run()).ends.src_port, 22);
}

#[test]
fn without_a_syn_the_protocol_decides_and_else_the_port() {
    let mut capture = Capture::new();
    capture.tcp(SERVER, CLIENT, 1, 1, ACK, b"");
    assert_eq!(only(capture.run()).ends.dst_port, 443);
    // An SSH server's banner on ports that mean nothing: the sender is the server.
    let (a, b) = (([10, 0, 0, 1], 40001), ([10, 0, 0, 2], 40002));
    let mut capture = Capture::new();
    capture.tcp(a, b, 1, 1, ACK, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n");
    capture.tcp(b, a, 1, 33, ACK, b"SSH-2.0-OpenSSH_9.0\r\n");
    assert_eq!(only(capture.run()).protocol, ProtocolId::Ssh);
}

#[test]
fn a_keep_alives_byte_is_not_taken_for_a_streams_start() {
    let mut capture = Capture::new();
    capture.tcp(CLIENT, (SERVER.0, 80), 1000, 5001, ACK, b"\0");
    capture.tcp((SERVER.0, 80), CLIENT, 5001, 1001, ACK, b"");
    capture.tcp(CLIENT, (SERVER.0, 80), 1001, 5001, ACK, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let record = only(capture.run());
    assert_eq!((record.protocol, record.text(common::HOSTNAME)), (ProtocolId::Http, Some("a.example")));
}

#[test]
fn idle_flows_end_in_capture_time_and_a_later_packet_begins_another() {
    let mut capture = Capture::new();
    capture.udp(CLIENT, ([192, 0, 2, 9], 9999), b"one");
    capture.wait_s(59).udp(CLIENT, ([192, 0, 2, 9], 9999), b"two");
    capture.wait_s(61).udp(CLIENT, ([192, 0, 2, 9], 9999), b"three");
    let records = capture.run();
    assert_eq!(
        records.iter().map(|r| (r.src.packets, r.reason)).collect::<Vec<_>>(),
        [(2, EndReason::Idle), (1, EndReason::CaptureEnd)]
    );
}

#[test]
fn a_syn_on_the_ports_of_a_closed_connection_begins_another() {
    let mut capture = Capture::new();
    for _ in 0..2 {
        capture.open(CLIENT, SERVER);
        capture.tcp(CLIENT, SERVER, 1001, 5001, FIN | ACK, b"");
        capture.tcp(SERVER, CLIENT, 5001, 1002, FIN | ACK, b"");
    }
    let records = capture.run();
    assert_eq!(records.iter().map(|r| r.state.name()).collect::<Vec<_>>(), ["SF", "SF"]);
    assert_ne!(records[0].ends.uid, records[1].ends.uid);
}

#[test]
fn a_long_flow_is_written_in_parts_when_asked_to() {
    let mut capture = Capture::new();
    capture.open(CLIENT, SERVER);
    for i in 0..300u32 {
        // Batches hold 1024 frames; other traffic makes the batches pass.
        for n in 0..10 {
            capture.udp(([10, 9, n, 1], 1000 + n as u16), ([192, 0, 2, 9], 9999), b"x");
        }
        capture.wait_s(1).tcp(CLIENT, SERVER, 1001 + i, 5001, ACK, b"a");
    }
    let config = Config { timeouts: Timeouts { active_s: 60, ..Timeouts::default() }, ..Config::default() };
    let (records, _) = capture.run_with(config);
    let parts: Vec<_> = records.iter().filter(|r| r.ends.ip_protocol == 6).collect();
    assert!(parts.len() >= 3, "{}", parts.len());
    assert_eq!(parts.iter().map(|r| r.src.payload_bytes).sum::<u64>(), 300);
    assert!(parts.iter().all(|r| r.ends.uid == parts[0].ends.uid));
    assert!(parts[..parts.len() - 1].iter().all(|r| r.reason == EndReason::Active));
}

#[test]
fn a_name_that_the_client_resolved_names_the_flow() {
    let mut capture = Capture::new();
    let client = (CLIENT.0, 5353);
    capture.udp(client, RESOLVER, &dns(7, "cdn.example.org", None));
    capture.udp(RESOLVER, client, &dns(7, "cdn.example.org", Some(SERVER.0)));
    capture.open(CLIENT, SERVER);
    // Another client did not ask.
    capture.open(([10, 0, 0, 2], 40000), SERVER);
    let records = capture.run();
    let names: Vec<_> = records.iter().map(|r| r.resolved_name.as_deref()).collect();
    assert_eq!(names, [None, Some("cdn.example.org"), None]);
    assert_eq!(records[0].text(common::HOSTNAME), Some("cdn.example.org"));
}

#[test]
fn an_ftp_data_channel_is_known_from_the_control_channel() {
    let control = ([192, 0, 2, 21], 21);
    let data = ([192, 0, 2, 21], 50_100);
    let mut capture = Capture::new();
    capture.open(CLIENT, control);
    let banner = b"220 ProFTPD Server ready FTP.\r\n";
    capture.tcp(control, CLIENT, 5001, 1001, ACK, banner);
    capture.tcp(CLIENT, control, 1001, 5001 + banner.len() as u32, ACK, b"USER anonymous\r\nPASV\r\n");
    let answer = b"331 Anonymous login ok\r\n227 Entering Passive Mode (192,0,2,21,195,180)\r\n";
    capture.tcp(control, CLIENT, 5001 + banner.len() as u32, 1023, ACK, answer);
    capture.open((CLIENT.0, 40001), data);
    capture.tcp(data, (CLIENT.0, 40001), 5001, 1001, ACK, b"\x00\x01\x02 nobody knows me");
    let records = capture.run();
    let transfer = records.iter().find(|r| r.ends.dst_port == 50_100).expect("the data flow");
    assert_eq!((transfer.protocol, transfer.confidence), (ProtocolId::FtpData, Confidence::Correlation));
}

#[test]
fn injected_bytes_that_differ_are_a_risk() {
    let mut capture = Capture::new();
    capture.open(CLIENT, (SERVER.0, 80));
    let server = (SERVER.0, 80);
    capture.tcp(CLIENT, server, 1001, 5001, ACK, b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");
    capture.tcp(
        server,
        CLIENT,
        5001,
        1038,
        ACK,
        b"HTTP/1.1 302 Found\r\nLocation: http://blocked.example/\r\n\r\n",
    );
    capture.tcp(server, CLIENT, 5001, 1038, ACK, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let record = only(capture.run());
    assert!(record.risks().iter().any(|r| r.risk.name == "tcp-overlap-conflict"), "{:#?}", record.risks());
}

/// Many flows of several kinds, some of which tell of others, with losses and disorder.
fn busy() -> Capture {
    let mut capture = Capture::new();
    for i in 0..1500u32 {
        let client = ([10, 1, (i >> 8) as u8, i as u8], 30_000 + (i % 7000) as u16);
        let server = ([203, 0, 113, (i % 200) as u8], [80, 22, 443, 9000][i as usize % 4]);
        let name = format!("host{}.example.com", i % 97);
        capture.udp((client.0, 5000), RESOLVER, &dns(i as u16, &name, None));
        capture.udp(RESOLVER, (client.0, 5000), &dns(i as u16, &name, Some(server.0)));
        capture.open(client, server);
        let hello: &[u8] = match i % 4 {
            0 => b"GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: test\r\n\r\n",
            1 => b"SSH-2.0-OpenSSH_9.2\r\n",
            2 => b"\x16\x03\x01 not quite a hello",
            _ => b"\x00\x01\x02\x03",
        };
        capture.tcp(client, server, 1001, 5001, ACK, hello);
        if i % 5 == 0 {
            capture.tcp(server, client, 5100, 1001, ACK, b"too early");
            capture.tcp(server, client, 5001, 1001, ACK, &[b'x'; 99]);
        }
        if i % 3 == 0 {
            capture.tcp(server, client, 5001, 1001, RST, b"");
        }
        // So that many end before the capture does.
        if i % 5 == 0 {
            capture.wait_s(1);
        }
    }
    for i in (10..capture.len() - 10).step_by(17) {
        capture.swap(i, i + 3);
    }
    capture
}

#[test]
fn records_are_the_same_at_any_number_of_threads_for_any_seed_and_in_any_batches() {
    let capture = busy();
    let (want, want_stats) = capture.run_with(Config { seed: Some(1), ..Config::default() });
    assert!(want.len() > 2500, "{}", want.len());
    let ended_before = want.iter().filter(|record| record.reason != EndReason::CaptureEnd).count();
    assert!(ended_before > 1000, "{ended_before}");
    for (threads, seed, batch_max) in [(1, 2, 700), (2, 1, 50), (2, 3, usize::MAX), (3, 4, 1000), (8, 5, 1)] {
        let config = Config { threads, seed: Some(seed), ..Config::default() };
        let (got, stats) = capture.run_in_batches(config, batch_max);
        assert_eq!(got.len(), want.len(), "{threads} threads");
        for (g, w) in got.iter().zip(&want) {
            assert_eq!(g, w, "{threads} threads, seed {seed}, batches of up to {batch_max}");
        }
        assert_eq!(stats.shards.reassembly, want_stats.shards.reassembly);
    }
}

#[test]
fn a_table_over_its_budget_ends_idle_flows_early_and_stays_bounded() {
    let mut capture = Capture::new();
    for i in 0..60_000u32 {
        let client = ([10, (i >> 16) as u8, (i >> 8) as u8, i as u8], 1000);
        capture.tcp(client, SERVER, 1, 0, SYN, b"");
    }
    let config =
        |threads| Config { flows_max: 8192, threads, seed: Some(threads as u64), ..Config::default() };
    let (one, stats) = capture.run_with(config(1));
    assert_eq!(one.len(), 60_000);
    assert!(stats.shards.flows_over_budget > 40_000, "{stats:?}");
    assert!(stats.shards.flows_peak < 8192 + 10 * 1024, "{stats:?}");
    let (two, _) = capture.run_with(config(2));
    assert!(one == two);
    let (three, _) = capture.run_in_batches(config(3), 400);
    assert!(one == three);
}

#[test]
fn a_dns_flow_that_rested_goes_on() {
    let client = ([10, 0, 0, 1], 40000);
    let mut capture = Capture::new();
    for (id, name) in [(1, "one.example.com"), (2, "two.example.com")] {
        let address = [192, 0, 2, id as u8];
        capture.udp(client, RESOLVER, &dns(id, name, None));
        // Answered, and once more by somebody who was late.
        capture.udp(RESOLVER, client, &dns(id, name, Some(address)));
        capture.udp(RESOLVER, client, &dns(id, name, Some(address)));
    }
    // Both names were learnt, the second by a parser of its own.
    for (server, port) in [([192, 0, 2, 1], 50001), ([192, 0, 2, 2], 50002)] {
        capture.open(([10, 0, 0, 1], port), (server, 4444));
    }
    // With transactions wanted it would wait for their end.
    let query = daylight_inspect::column("dns.query").expect("a column").id;
    let mut config = Config::default();
    config.want_columns([query]);
    let (records, _) = capture.run_with(config);
    assert_eq!(records.len(), 3, "{records:#?}");
    let dns = &records[0];
    assert_eq!((dns.protocol, dns.confidence), (ProtocolId::Dns, Confidence::Handshake));
    assert_eq!(dns.text(common::HOSTNAME), Some("one.example.com"));
    let queries: Vec<_> = dns.values(query).collect();
    assert_eq!(queries, ["one.example.com", "two.example.com"].map(daylight_expr::ValueRef::Str));
    let names: Vec<_> = records[1..].iter().map(|record| record.resolved_name.as_deref()).collect();
    assert_eq!(names, [Some("one.example.com"), Some("two.example.com")]);
}
