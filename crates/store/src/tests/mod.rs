//! Records made by hand, and what the writers make of them.
#![allow(clippy::unwrap_used)]

mod full;
mod select;
mod text;
mod zeek;

use std::sync::{Arc, Mutex};

use daylight_flow::ConnState;
use daylight_inspect::{Column, Counters, EndReason, EventRecord, FlowRecord, column, columns};
use daylight_protocols::web::http;
use daylight_protocols::web::quic;
use daylight_protocols::web::tls::fields as tls;
use daylight_protocols::{Confidence, Event, FieldRef, ProtocolId, RiskFound, Value, common, risk};

/// 2024-01-01T00:00:00Z
pub(crate) const START_NS: i64 = 1_704_067_200_000_000_000;
/// Everything that means something to one of the formats.
pub(crate) const NASTY: &str = "a,b;c\"d\\e\tf\r\ng\0h\u{7f}ü=\u{202e}";

pub(crate) fn named(names: &[&str]) -> Vec<&'static Column> {
    names.iter().map(|name| column(name).unwrap_or_else(|| panic!("no column {name}"))).collect()
}

pub(crate) fn all() -> Vec<&'static Column> {
    columns().iter().collect()
}

/// A TLS flow of which much is known, a DNS query nobody answered, and an echo over IPv6.
pub(crate) fn records() -> Vec<FlowRecord> {
    let list = |values: &[&'static str]| {
        Value::List(Box::new(values.iter().map(|v| Value::from(v.to_string())).collect()))
    };
    let mut first = FlowRecord::blank(1);
    first.start_ns = START_NS + 123_456_789;
    first.end_ns = first.start_ns + 1_500_000_000;
    first.vlan = 7 << 12 | 42;
    first.tunnel = Some("gre/vxlan:5001".into());
    first.protocol = ProtocolId::Tls;
    first.confidence = Confidence::Handshake;
    first.application = Some("example");
    first.category = Some("web");
    first.src = Counters { packets: 10, bytes: 2000, ip_bytes: 1860, payload_bytes: 1400 };
    first.dst = Counters { packets: 12, bytes: u64::MAX, ip_bytes: 29_000, payload_bytes: 28_000 };
    first.state = ConnState::SF;
    first.reason = EndReason::Closed;
    first.first_payload_entropy = Some(7.25);
    first.found.fields = vec![
        (common::TLS_VERSION, "TLSv1.2".into()),
        (tls::ALPN_OFFERED, list(&["h2", NASTY, ""])),
        (
            tls::CERT_ADDRESSES,
            Value::List(Box::new(vec![Value::from(std::net::Ipv4Addr::new(192, 0, 2, 1))])),
        ),
        (tls::CERT_NOT_BEFORE, Value::Time(-1)),
        (tls::RESUMED, false.into()),
        (tls::CERT_KEY_BITS, 2048u64.into()),
        (tls::CERT_SUBJECT, NASTY.to_owned().into()),
        (tls::SNI, String::new().into()),
        (quic::CLIENT_SCID, Value::bytes(&[0, 0xff, 0x10])),
        (common::HOSTNAME, "example.org".into()),
    ];
    first.found.risks = vec![
        RiskFound { risk: &risk::MALFORMED_PACKET, evidence: NASTY.into() },
        RiskFound { risk: &risk::CLEAR_TEXT_CREDENTIALS, evidence: "http.form=pass".into() },
    ];

    let mut second = FlowRecord::blank(2);
    second.ends.ip_protocol = 17;
    second.ends.dst_port = 53;
    (second.start_ns, second.end_ns) = (START_NS, START_NS);
    second.protocol = ProtocolId::Dns;
    second.confidence = Confidence::Port;
    second.src = Counters { packets: 1, bytes: 74, ip_bytes: 60, payload_bytes: 32 };
    second.state = ConnState::S0;

    let mut third = FlowRecord::blank(3);
    third.ends.ip_protocol = 58;
    third.ends.src_ip = "2001:db8::1".parse().unwrap();
    third.ends.dst_ip = "fe80::2".parse().unwrap();
    (third.ends.src_port, third.ends.dst_port) = (128, 129);
    third.start_ns = START_NS + 5_000_000_000;
    third.end_ns = third.start_ns + 10;
    third.protocol = ProtocolId::Icmpv6;
    third.confidence = Confidence::Handshake;
    third.state = ConnState::SF;
    vec![first, second, third]
}

/// A transaction of the record with this number.
pub(crate) fn event(number: u64, kind: &'static str, fields: Vec<(FieldRef, Value)>) -> EventRecord {
    let ends = FlowRecord::blank(number).ends;
    EventRecord { ends, event: Event { kind, ts_ns: START_NS + 1_000_999, fields } }
}

/// A request with a body either way, and the bodies.
pub(crate) fn http_events() -> Vec<EventRecord> {
    let request = vec![
        (http::DEPTH, 1u64.into()),
        (http::METHOD, "POST".into()),
        (http::HOST, "example.org:8080".to_owned().into()),
        (http::URI, NASTY.to_owned().into()),
        (http::VERSION, "1.1".into()),
        (http::USER_AGENT, "-".to_owned().into()),
        (http::STATUS, 200u64.into()),
        (http::REASON, "OK".to_owned().into()),
        (
            http::PROXIED,
            Value::List(Box::new(vec!["VIA -> a, b".to_owned().into(), "X -> c".to_owned().into()])),
        ),
        (http::RESPONSE_FILENAMES, Value::List(Box::new(vec!["(empty)".to_owned().into()]))),
        (http::MIME_TYPE, "text/html".into()),
        (http::REQUEST_BODY_LEN, 5u64.into()),
        (http::RESPONSE_BODY_LEN, 1000u64.into()),
    ];
    let file = |from_client: bool, more: Vec<(FieldRef, Value)>| {
        let mut fields = vec![(http::DEPTH, 1u64.into()), (http::FILE_FROM_CLIENT, from_client.into())];
        fields.extend(more);
        event(1, "files", fields)
    };
    vec![
        file(true, vec![(http::FILE_SEEN_BYTES, 5u64.into()), (http::FILE_SHA1, Value::bytes(&[0xab; 20]))]),
        file(false, vec![(http::FILE_SEEN_BYTES, 1000u64.into()), (http::FILE_TOTAL_BYTES, 1200u64.into())]),
        event(1, "http", request),
    ]
}

/// What a writer under test has written, and how much room it has.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) bytes: Arc<Mutex<Vec<u8>>>,
    pub(crate) room: usize,
}

impl Disk {
    pub(crate) fn new(room: usize) -> Self {
        Self { bytes: Arc::default(), room }
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

impl std::io::Write for Disk {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        let mut bytes = self.bytes.lock().unwrap();
        let room = self.room.saturating_sub(bytes.len()).min(buf.len());
        if room == 0 && !buf.is_empty() {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        bytes.extend_from_slice(&buf[..room]);
        Ok(room)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl crate::out::Target for Disk {
    fn cut(&mut self, len: u64) -> std::io::Result<()> {
        self.bytes.lock().unwrap().truncate(usize::try_from(len).unwrap());
        Ok(())
    }
}
