//! `conn.log`: a row a flow.

use daylight_inspect::FlowRecord;
use daylight_protocols::{Confidence, ProtocolId};

use super::text::{UNSET, display, interval, string, time};

/// As `base/protocols/conn/main.zeek` of Zeek 6 and 7.0 has them.
pub(super) const COLUMNS: &[(&str, &str)] = &[
    ("ts", "time"),
    ("uid", "string"),
    ("id.orig_h", "addr"),
    ("id.orig_p", "port"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "port"),
    ("proto", "enum"),
    ("service", "string"),
    ("duration", "interval"),
    ("orig_bytes", "count"),
    ("resp_bytes", "count"),
    ("conn_state", "string"),
    ("local_orig", "bool"),
    ("local_resp", "bool"),
    ("missed_bytes", "count"),
    ("history", "string"),
    ("orig_pkts", "count"),
    ("orig_ip_bytes", "count"),
    ("resp_pkts", "count"),
    ("resp_ip_bytes", "count"),
    ("tunnel_parents", "set[string]"),
];

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Appends the cells, with tabs between them. The local nets are not known, and flows know the kinds of their tunnels
/// but not the flows that these are: those columns stay unset.
pub(super) fn row(record: &FlowRecord, line: &mut Vec<u8>) {
    let ends = &record.ends;
    let mut next = |write: &dyn Fn(&mut Vec<u8>)| {
        write(line);
        line.push(b'\t');
    };
    next(&|line| time(record.start_ns, line));
    next(&|line| display(ends.uid.as_str(), line));
    next(&|line| display(ends.src_ip, line));
    next(&|line| display(ends.src_port, line));
    next(&|line| display(ends.dst_ip, line));
    next(&|line| display(ends.dst_port, line));
    next(&|line| display(transport(ends.ip_protocol), line));
    let service = service(record);
    next(&|line| display(service.as_deref().unwrap_or(UNSET), line));
    let ns = record.end_ns - record.start_ns;
    // Of a flow that took no time, Zeek gives neither duration nor payload.
    let over_time = |line: &mut Vec<u8>, write: &dyn Fn(&mut Vec<u8>)| {
        if ns > 0 { write(line) } else { display(UNSET, line) }
    };
    next(&|line| over_time(line, &|line| interval(ns as f64 / 1e9, line)));
    next(&|line| over_time(line, &|line| display(record.src.payload_bytes, line)));
    next(&|line| over_time(line, &|line| display(record.dst.payload_bytes, line)));
    let known = matches!(ends.ip_protocol, TCP | UDP);
    next(&|line| display(if known { record.state.name() } else { "OTH" }, line));
    next(&|line| display(UNSET, line));
    next(&|line| display(UNSET, line));
    next(&|line| display(record.missed_bytes, line));
    next(&|line| match (history(record), line) {
        ("", line) => display(UNSET, line),
        (letters, line) => string(letters, false, line),
    });
    next(&|line| display(record.src.packets, line));
    next(&|line| display(record.src.ip_bytes, line));
    next(&|line| display(record.dst.packets, line));
    next(&|line| display(record.dst.ip_bytes, line));
    display(UNSET, line);
}

/// Zeek's `transport_proto`.
pub(super) fn transport(ip_protocol: u8) -> &'static str {
    match ip_protocol {
        TCP => "tcp",
        UDP => "udp",
        1 | 58 => "icmp",
        _ => "unknown_transport",
    }
}

/// Of UDP there is only which side sent something.
fn history(record: &FlowRecord) -> &str {
    match record.ends.ip_protocol {
        TCP => record.history.as_str(),
        UDP => match (record.src.packets > 0, record.dst.packets > 0) {
            (true, true) => "Dd",
            (true, false) => "D",
            (false, true) => "d",
            (false, false) => "",
        },
        _ => "",
    }
}

/// What was seen to be spoken (not what the port suggests): the label first, then what is known of others by their
/// fields, such as TLS in SMTP.
fn service(record: &FlowRecord) -> Option<String> {
    if record.confidence < Confidence::Correlation {
        return None;
    }
    let within = record.found.fields.iter().map(|(field, _)| field.protocol);
    let mut last = ProtocolId::Unknown;
    let mut services: Vec<&str> = Vec::new();
    for protocol in std::iter::once(record.protocol).chain(within) {
        if protocol == last {
            continue;
        }
        last = protocol;
        let Some(service) = spelling(protocol, record) else { continue };
        if !services.contains(&service) {
            services.push(service);
        }
    }
    (!services.is_empty()).then(|| services.join(","))
}

/// A protocol in Zeek's spelling; those that Zeek does not know have ours.
fn spelling(protocol: ProtocolId, record: &FlowRecord) -> Option<&'static str> {
    use ProtocolId as P;
    let tcp = record.ends.ip_protocol == TCP;
    Some(match protocol {
        P::Unknown | P::Icmp | P::Icmpv6 => return None,
        P::Tls if !tcp && !matches!(record.protocol, P::Quic | P::Doq) => "dtls",
        P::Tls | P::Dot | P::Doh | P::Smtps | P::Pop3s | P::Imaps | P::Ldaps | P::Ftps => "ssl",
        P::Doq => "quic",
        P::Mdns | P::Llmnr | P::NetbiosNs => "dns",
        P::HttpConnect | P::HttpProxy => "http",
        P::Smb1 | P::Smb2 => "smb",
        P::Dcerpc => "dce_rpc",
        P::Kerberos if tcp => "krb_tcp",
        P::Kerberos => "krb",
        P::Ldap if tcp => "ldap_tcp",
        P::Ldap => "ldap_udp",
        P::Vnc => "rfb",
        other => other.name(),
    })
}
