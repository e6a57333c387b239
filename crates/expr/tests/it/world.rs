//! A small schema and rows in memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use daylight_expr::{FieldType, Kind, List, Network, Row, Schema, ValueRef};

const FIELDS: [(&str, Kind, bool); 18] = [
    ("protocol", Kind::Str, false),
    ("hostname", Kind::Str, false),
    ("tls.version", Kind::Str, false),
    ("tls.sni", Kind::Str, false),
    ("tls.resumed", Kind::Bool, false),
    ("dns.query", Kind::Str, false),
    ("dns.answers", Kind::Ip, true),
    ("dns.ttls", Kind::Uint, true),
    ("http.host", Kind::Str, false),
    ("src_ip", Kind::Ip, false),
    ("dst_ip", Kind::Ip, false),
    ("src_port", Kind::Uint, false),
    ("dst_port", Kind::Uint, false),
    ("src_bytes", Kind::Uint, false),
    ("dst_bytes", Kind::Uint, false),
    ("duration_s", Kind::Float, false),
    ("start", Kind::Time, false),
    ("end", Kind::Time, false),
];
const MORE: [(&str, Kind, bool); 4] = [
    ("risks", Kind::Str, true),
    ("payload", Kind::Bytes, false),
    ("iec-104.type", Kind::Uint, false),
    ("fc", Kind::Bytes, false),
];

pub(crate) struct World;

fn fields() -> impl Iterator<Item = (&'static str, Kind, bool)> {
    FIELDS.into_iter().chain(MORE)
}

impl Schema for World {
    fn field(&self, name: &str) -> Option<FieldType> {
        let at = fields().position(|(known, ..)| known == name)?;
        let (_, kind, list) = fields().nth(at)?;
        Some(FieldType { id: at as u32, kind, list })
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(fields().map(|(name, ..)| name))
    }

    fn alias(&self, name: &str) -> Option<&str> {
        match name {
            "tls.server_name" | "tls.handshake.extensions_server_name" => Some("tls.sni"),
            "ip.src" => Some("src_ip"),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Bool(bool),
    Uint(u64),
    Float(f64),
    Str(&'static str),
    Bytes(&'static [u8]),
    Ip(IpAddr),
    Time(i64),
}

impl Value {
    fn borrow(&self) -> ValueRef<'_> {
        match self {
            Self::Bool(b) => ValueRef::Bool(*b),
            Self::Uint(n) => ValueRef::Uint(*n),
            Self::Float(x) => ValueRef::Float(*x),
            Self::Str(s) => ValueRef::Str(s),
            Self::Bytes(b) => ValueRef::Bytes(b),
            Self::Ip(ip) => ValueRef::Ip(*ip),
            Self::Time(t) => ValueRef::Time(*t),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Flow(HashMap<u32, Vec<Value>>);

impl Flow {
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        let id = World.field(name).unwrap().id;
        self.0.entry(id).or_default().push(value);
        self
    }
}

impl Flow {
    /// With a number made greater, or put there.
    pub(crate) fn plus(mut self, name: &str, more: u64) -> Self {
        let id = World.field(name).unwrap().id;
        match self.0.entry(id).or_default().first_mut() {
            Some(Value::Uint(n)) => *n += more,
            _ => return self.with(name, Value::Uint(more)),
        }
        self
    }
}

impl Row for Flow {
    fn values(&self, id: u32) -> impl Iterator<Item = ValueRef<'_>> {
        self.0.get(&id).into_iter().flatten().map(Value::borrow)
    }
}

pub(crate) fn ip(text: &str) -> Value {
    Value::Ip(text.parse().unwrap())
}

/// A TLS flow of 2024-05-01 12:00:00 that lasted 2.5 seconds.
pub(crate) fn tls() -> Flow {
    let start = 1_714_564_800_000_000_000;
    Flow::default()
        .with("protocol", Value::Str("tls"))
        .with("hostname", Value::Str("www.Example.com"))
        .with("tls.version", Value::Str("TLSv1.2"))
        .with("tls.sni", Value::Str("www.example.com"))
        .with("tls.resumed", Value::Bool(false))
        .with("src_ip", ip("10.1.2.3"))
        .with("dst_ip", ip("2001:db8::5"))
        .with("src_port", Value::Uint(50_000))
        .with("dst_port", Value::Uint(443))
        .with("src_bytes", Value::Uint(1500))
        .with("dst_bytes", Value::Uint(30_000))
        .with("duration_s", Value::Float(2.5))
        .with("start", Value::Time(start))
        .with("end", Value::Time(start + 2_500_000_000))
        .with("risks", Value::Str("obsolete-tls"))
        .with("risks", Value::Str("self-signed-certificate"))
        .with("payload", Value::Bytes(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]))
}

/// A DNS flow with several answers.
pub(crate) fn dns() -> Flow {
    Flow::default()
        .with("protocol", Value::Str("dns"))
        .with("hostname", Value::Str("touché.example"))
        .with("dns.query", Value::Str("touché.example"))
        .with("dns.answers", ip("192.0.2.1"))
        .with("dns.answers", ip("198.51.100.7"))
        .with("dns.answers", ip("2001:db8::1"))
        .with("dns.ttls", Value::Uint(60))
        .with("dns.ttls", Value::Uint(300))
        .with("src_ip", ip("2001:db8::99"))
        .with("dst_ip", ip("8.8.8.8"))
        .with("src_port", Value::Uint(53))
        .with("dst_port", Value::Uint(53))
}

pub(crate) fn lists() -> HashMap<String, Arc<List>> {
    let networks = ["10.0.0.0/8", "2001:db8::/48"].map(|text| text.parse::<Network>().unwrap());
    HashMap::from([
        ("blocked".to_owned(), Arc::new(List::domains(["example.com", "*.example"]))),
        ("office".to_owned(), Arc::new(List::networks(networks))),
        ("web-ports".to_owned(), Arc::new(List::numbers([80..=80, 443..=443, 8000..=8999]))),
        ("names".to_owned(), Arc::new(List::texts(["tls", "quic"]))),
    ])
}
