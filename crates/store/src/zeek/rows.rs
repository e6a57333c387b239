//! A row of a log of transactions: what is worked out from the flow and the event, and Zeek's spellings.

use daylight_inspect::EventRecord;
use daylight_protocols::web::{http, tls::fields as tls};
use daylight_protocols::{FieldRef, Value, common};

use super::conn::transport;
use super::text;

/// What a row is made of.
pub(crate) struct Row<'a> {
    pub(super) record: &'a EventRecord,
}

impl Row<'_> {
    pub(super) fn value(&self, field: FieldRef) -> Option<&Value> {
        self.record.event.fields.iter().find(|(f, _)| *f == field).map(|(_, v)| v)
    }

    fn uint(&self, field: FieldRef) -> u64 {
        self.value(field).and_then(Value::as_uint).unwrap_or(0)
    }
}

pub(super) fn ts(row: &Row<'_>, line: &mut Vec<u8>) -> bool {
    text::time(row.record.event.ts_ns, line);
    true
}

macro_rules! ends {
    ($($name:ident = |$ends:ident| $value:expr;)*) => { $(
        pub(super) fn $name(row: &Row<'_>, line: &mut Vec<u8>) -> bool {
            let $ends = &row.record.ends;
            text::display($value, line);
            true
        }
    )* };
}
ends! {
    uid = |ends| ends.uid.as_str();
    orig_h = |ends| ends.src_ip;
    orig_p = |ends| ends.src_port;
    resp_h = |ends| ends.dst_ip;
    resp_p = |ends| ends.dst_port;
    proto = |ends| transport(ends.ip_protocol);
}

/// Once one side has sent a certificate, the other side's chain is empty and not unset.
fn chain(row: &Row<'_>, this: FieldRef, other: FieldRef, line: &mut Vec<u8>) -> bool {
    match (row.value(this), row.value(other)) {
        (Some(prints), _) => text::value(prints, "vector[string]", line),
        (None, Some(_)) => text::display(text::EMPTY, line),
        (None, None) => return false,
    }
    true
}

pub(super) fn server_chain(row: &Row<'_>, line: &mut Vec<u8>) -> bool {
    chain(row, tls::CERT_CHAIN_FPS, tls::CLIENT_CHAIN_FPS, line)
}

pub(super) fn client_chain(row: &Row<'_>, line: &mut Vec<u8>) -> bool {
    chain(row, tls::CLIENT_CHAIN_FPS, tls::CERT_CHAIN_FPS, line)
}

/// Zeek gives the first protocol that the client offers.
pub(super) fn client_protocol(row: &Row<'_>, line: &mut Vec<u8>) -> bool {
    let offered = row.value(common::ALPN).or_else(|| row.value(tls::ALPN_OFFERED));
    let Some(first) = offered.and_then(|v| v.iter().next()) else { return false };
    text::value(first, "string", line);
    true
}

pub(super) fn request_file(row: &Row<'_>, line: &mut Vec<u8>) -> bool {
    row.uint(http::REQUEST_BODY_LEN) > 0 && file_uid(row, true, line)
}

pub(super) fn response_file(row: &Row<'_>, line: &mut Vec<u8>) -> bool {
    row.uint(http::RESPONSE_BODY_LEN) > 0 && file_uid(row, false, line)
}

pub(super) fn fuid(row: &Row<'_>, line: &mut Vec<u8>) -> bool {
    file_uid(row, row.value(http::FILE_FROM_CLIENT) == Some(&Value::Bool(true)), line)
}

/// The name of a body, the same in http.log and files.log: made from the flow's, the transaction's place in it, and the
/// side that sent it (64 bits by FNV-1a, twice, as `F` and 17 letters and digits).
fn file_uid(row: &Row<'_>, from_client: bool, line: &mut Vec<u8>) -> bool {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let depth = row.uint(http::DEPTH).to_be_bytes();
    line.push(b'F');
    for (seed, digits) in [(0u8, 9), (1, 8)] {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in
            [seed, from_client.into()].iter().chain(&depth).chain(row.record.ends.uid.as_str().as_bytes())
        {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        for _ in 0..digits {
            line.push(DIGITS[(hash % 62) as usize]);
            hash /= 62;
        }
    }
    true
}

pub(super) fn analyzers(row: &Row<'_>, line: &mut Vec<u8>) -> bool {
    let hashed = row.value(http::FILE_SHA1).is_some();
    text::display(if hashed { "SHA1" } else { text::EMPTY }, line);
    true
}

/// OpenSSL, which writes serial numbers for Zeek, leaves out the sign byte of DER.
pub(super) fn serial(hex: &str) -> String {
    hex.strip_prefix("00").filter(|rest| !rest.is_empty()).unwrap_or(hex).to_owned()
}

/// `TLSv1.2` is `TLSv12`. Zeek has no name for the DTLS before DTLS 1.0.
pub(super) fn tls_version(name: &str) -> String {
    if name == "DTLSv0.9" {
        return "unknown-256".to_owned();
    }
    code_point(&name.replacen("v1.", "v1", 1))
}

/// A number without a name: `0x1a2b` is `unknown-6699`.
pub(super) fn code_point(name: &str) -> String {
    match name.strip_prefix("0x").and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
        Some(number) => format!("unknown-{number}"),
        None => name.to_owned(),
    }
}

pub(super) fn quic_version(name: &str) -> String {
    match (name, name.strip_prefix("0x")) {
        ("2", _) => "quicv2".to_owned(),
        (_, Some(hex)) => format!("unknown-{}", hex.trim_start_matches('0')),
        _ => name.to_owned(),
    }
}

pub(super) fn dns_class(name: &str) -> String {
    match name {
        "IN" => "C_INTERNET",
        "CS" => "C_CSNET",
        "CH" => "C_CHAOS",
        "HS" => "C_HESIOD",
        "NONE" => "C_NONE",
        "ANY" => "C_ANY",
        other => return other.replacen("CLASS", "qclass-", 1),
    }
    .to_owned()
}

pub(super) fn dns_type(name: &str) -> String {
    match name {
        "ANY" => "*".to_owned(),
        other => other.strip_prefix("TYPE").map_or_else(|| other.to_owned(), |n| format!("query-{n}")),
    }
}

pub(super) fn dns_rcode(name: &str) -> String {
    name.strip_prefix("RCODE").map_or_else(|| name.to_owned(), |n| format!("rcode-{n}"))
}

/// The host without a port, as Zeek's http.log has it.
pub(super) fn without_port(host: &str) -> String {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name.to_owned(),
        _ => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (ours, zeeks) in [
            ("TLSv1.0", "TLSv10"),
            ("TLSv1.3", "TLSv13"),
            ("TLSv1.3-draft18", "TLSv13-draft18"),
            ("SSLv3", "SSLv3"),
            ("DTLSv1.2", "DTLSv12"),
            ("DTLSv0.9", "unknown-256"),
            ("0xfb30", "unknown-64304"),
        ] {
            assert_eq!(tls_version(ours), zeeks);
        }
        assert_eq!(serial("00B7E7"), "B7E7");
        assert_eq!(serial("00"), "00");
        assert_eq!(quic_version("0x0a0a0a0a"), "unknown-a0a0a0a");
        assert_eq!(quic_version("draft-29"), "draft-29");
        assert_eq!(dns_class("CLASS300"), "qclass-300");
        assert_eq!(dns_type("ANY"), "*");
        assert_eq!(dns_rcode("RCODE12"), "rcode-12");
        assert_eq!(without_port("example.org:80"), "example.org");
        assert_eq!(without_port("[2001:db8::1]"), "[2001:db8::1]");
    }
}
