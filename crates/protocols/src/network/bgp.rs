//! Border Gateway Protocol 4: which networks peer, what they can do, and what they announce.
//!
//! Each message has a marker of sixteen bytes of ones, a length and a type (RFC 4271 §4.1): nothing else looks like it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cursor::Cursor;
use crate::{
    Dir, Family, Parser, Pattern, Probe, Protocol, ProtocolId, Sink, Step, Value, Verdict, fields, masked,
    tcp,
};

fields! { ProtocolId::Bgp;
    MESSAGES: [Str] "messages" "Message types seen: open, update, notification, keepalive, route-refresh";
    CLIENT_AS: Uint "client_as" "Autonomous system of the end that connected";
    SERVER_AS: Uint "server_as" "Autonomous system of the end that it connected to";
    ROUTER_IDS: [Ip] "router_ids" "BGP identifiers";
    HOLD_TIME_S: Uint "hold_time_s" "Hold time of the first OPEN, in seconds";
    CAPABILITIES: [Str] "capabilities" "Capabilities offered by either end";
    PREFIXES: [Str] "prefixes" "Prefixes announced";
    WITHDRAWN: [Str] "withdrawn" "Prefixes withdrawn";
    AS_PATH: Str "as_path" "Path of the first announcement: autonomous systems with spaces between, sets in braces";
    NEXT_HOPS: [Ip] "next_hops" "Next hops of the announcements";
    NOTIFICATION: Str "notification" "Error code and subcode of a notification";
}

/// Border Gateway Protocol 4.
pub const PROTOCOL: Protocol = Protocol {
    name: "bgp",
    title: "Border Gateway Protocol 4",
    family: Family::Network,
    source: "RFC 4271, RFC 4760, RFC 6793",
    ports: &[tcp(179)],
    well_known: true,
    patterns: &[
        Pattern::tcp().min(19).starts(&[0xff; 16]).tests(&[masked(18, 0xf8, 0)]),
        Pattern::tcp().len(1, 18).starts(&[0xff]),
    ],
    identify,
    parser: Some(|| Box::new(Bgp::default())),
    fields: FIELDS,
    ..Protocol::BASE
};

/// After this many messages of a flow it is left alone: a full table would come next.
const MESSAGES_MAX: u32 = 256;
/// Messages are read this far; extended ones (RFC 8654) can be longer.
const READ_MAX: usize = 4096;

/// Length and type, if the head is one.
fn message_head(bytes: &[u8; 19]) -> Option<(usize, u8)> {
    let (length, kind) = (usize::from(u16::from_be_bytes([bytes[16], bytes[17]])), bytes[18]);
    let fits = match kind {
        1 => (29..=4096).contains(&length),
        2 => length >= 23,
        3 => length >= 21,
        4 => length == 19,
        5 => length >= 23,
        _ => false,
    };
    (bytes[..16] == [0xff; 16] && fits).then_some((length, kind))
}

fn identify(p: &Probe<'_>) -> Verdict {
    if !p.payload.iter().take(16).all(|b| *b == 0xff) {
        return Verdict::No;
    }
    let Some(head) = p.payload.first_chunk::<19>() else { return Verdict::Need(19) };
    if message_head(head).is_some() { Verdict::Yes } else { Verdict::No }
}

#[derive(Default)]
struct Bgp {
    messages: u32,
    started: [bool; 2],
    /// Each end can do four-byte AS numbers; not known in mid-stream.
    wide: [Option<bool>; 2],
}

impl Parser for Bgp {
    fn stream(&mut self, dir: Dir, bytes: &[u8], out: &mut Sink<'_>) -> Step {
        let Some(head) = bytes.first_chunk::<19>() else { return Step::Need(19) };
        let Some((length, kind)) = message_head(head) else {
            return if self.started[dir.index()] { Step::Malformed(0) } else { Step::Done };
        };
        let want = length.min(READ_MAX);
        let Some(body) = bytes.get(19..want) else { return Step::Need(want) };
        self.started[dir.index()] = true;
        self.messages += 1;
        if self.started == [true, true] {
            out.confirm();
        }
        out.push(
            MESSAGES,
            ["", "open", "update", "notification", "keepalive", "route-refresh"][usize::from(kind)],
        );
        let read = match kind {
            1 => self.open(dir, body, out),
            2 => self.update(body, out),
            3 => {
                out.set(NOTIFICATION, notification(body[0], body[1]));
                Some(())
            }
            _ => Some(()),
        };
        if read.is_none() && want == length {
            return Step::Malformed(19);
        }
        if self.messages >= MESSAGES_MAX { Step::Finished } else { Step::Skip(length as u64) }
    }
}

impl Bgp {
    fn open(&mut self, dir: Dir, body: &[u8], out: &mut Sink<'_>) -> Option<()> {
        let mut c = Cursor::new(body);
        c.skip(1)?;
        let mut asn = u32::from(c.u16()?);
        out.set(HOLD_TIME_S, c.u16()?);
        out.push(ROUTER_IDS, Ipv4Addr::from(c.array()?));
        let mut parameters = Cursor::new(c.vec8()?);
        let mut wide = false;
        while !parameters.is_empty() {
            let (kind, value) = (parameters.u8()?, parameters.vec8()?);
            // Capabilities (RFC 5492).
            if kind != 2 {
                continue;
            }
            let mut c = Cursor::new(value);
            while !c.is_empty() {
                let (code, value) = (c.u8()?, c.vec8()?);
                out.push(CAPABILITIES, capability(code, value));
                if code == 65
                    && let Ok(number) = value.try_into()
                {
                    wide = true;
                    asn = u32::from_be_bytes(number);
                }
            }
        }
        self.wide[dir.index()] = Some(wide);
        out.set(if dir == Dir::Client { CLIENT_AS } else { SERVER_AS }, asn);
        Some(())
    }

    fn update(&mut self, body: &[u8], out: &mut Sink<'_>) -> Option<()> {
        let mut c = Cursor::new(body);
        prefixes(c.vec16()?, false, WITHDRAWN, out);
        let mut attributes = Cursor::new(c.vec16()?);
        while !attributes.is_empty() {
            let (flags, kind) = (attributes.u8()?, attributes.u8()?);
            let value = if flags & 0x10 != 0 { attributes.vec16()? } else { attributes.vec8()? };
            self.attribute(kind, value, out);
        }
        prefixes(c.rest(), false, PREFIXES, out);
        Some(())
    }

    fn attribute(&self, kind: u8, value: &[u8], out: &mut Sink<'_>) {
        let mut c = Cursor::new(value);
        match kind {
            2 if out.wants(AS_PATH) && out.found.value(AS_PATH).is_none() => {
                let wide = match self.wide {
                    [Some(a), Some(b)] => Some(a && b),
                    _ => None,
                };
                if let Some(path) = as_path(value, wide).filter(|path| !path.is_empty()) {
                    out.set(AS_PATH, path);
                }
            }
            3 => {
                if let Some(hop) = c.array::<4>() {
                    out.push(NEXT_HOPS, Ipv4Addr::from(hop));
                }
            }
            // Multiprotocol announcements and withdrawals (RFC 4760) of plain IPv4 and IPv6 unicast.
            14 => {
                let (Some(family), Some(safi), Some(hop)) = (c.u16(), c.u8(), c.vec8()) else { return };
                if let (1 | 2, 1) = (family, safi)
                    && c.skip(1).is_some()
                {
                    if let Some(hop) = hop.first_chunk::<16>() {
                        out.push(NEXT_HOPS, Ipv6Addr::from(*hop));
                    }
                    prefixes(c.rest(), family == 2, PREFIXES, out);
                }
            }
            15 => {
                if let (Some(family @ (1 | 2)), Some(1)) = (c.u16(), c.u8()) {
                    prefixes(c.rest(), family == 2, WITHDRAWN, out);
                }
            }
            _ => {}
        }
    }
}

/// Prefixes: a length in bits, and as many bytes as it takes. Stops at one that is none.
fn prefixes(bytes: &[u8], v6: bool, field: crate::FieldRef, out: &mut Sink<'_>) {
    if !out.wants(field) {
        return;
    }
    let mut c = Cursor::new(bytes);
    for _ in 0..crate::LIST_MAX {
        let Some(bits) = c.u8().filter(|bits| *bits <= if v6 { 128 } else { 32 }) else { return };
        let Some(part) = c.take(usize::from(bits).div_ceil(8)) else { return };
        let mut address = [0; 16];
        address[..part.len()].copy_from_slice(part);
        let ip = if v6 {
            IpAddr::from(address)
        } else {
            IpAddr::from([address[0], address[1], address[2], address[3]])
        };
        out.push(field, Value::from(format!("{ip}/{bits}")));
    }
}

/// The AS_PATH attribute. Without the OPENs it cannot be known whether numbers have two or four bytes: four are tried
/// first, as everybody speaks them.
fn as_path(value: &[u8], wide: Option<bool>) -> Option<String> {
    match wide {
        Some(true) => segments(value, 4),
        Some(false) => segments(value, 2),
        None => segments(value, 4).or_else(|| segments(value, 2)),
    }
}

/// `None` if the segments do not fill it.
fn segments(value: &[u8], size: usize) -> Option<String> {
    let mut c = Cursor::new(value);
    let mut text = String::new();
    while !c.is_empty() {
        let (kind, count) = (c.u8()?, usize::from(c.u8()?));
        // Sets and sequences, also those of confederations.
        if !(1..=4).contains(&kind) || count == 0 {
            return None;
        }
        let numbers: Vec<_> = c
            .take(count * size)?
            .chunks_exact(size)
            .map(|n| n.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)).to_string())
            .collect();
        if !text.is_empty() {
            text.push(' ');
        }
        match kind {
            1 | 4 => text.push_str(&format!("{{{}}}", numbers.join(","))),
            _ => text.push_str(&numbers.join(" ")),
        }
        if text.len() > 1024 {
            return Some(text);
        }
    }
    Some(text)
}

fn capability(code: u8, value: &[u8]) -> Value {
    Value::from(match code {
        1 => {
            // Address family and subsequent one.
            return match value {
                [0, 1, _, 1] => Value::from("ipv4-unicast"),
                [0, 1, _, 128] => Value::from("vpnv4"),
                [0, 2, _, 1] => Value::from("ipv6-unicast"),
                [0, 2, _, 128] => Value::from("vpnv6"),
                [0, 25, _, 70] => Value::from("evpn"),
                [high, low, _, safi] => {
                    Value::from(format!("multiprotocol-{}-{safi}", u16::from_be_bytes([*high, *low])))
                }
                _ => Value::from("multiprotocol"),
            };
        }
        2 => "route-refresh",
        3 => "outbound-route-filtering",
        5 => "extended-next-hop",
        6 => "extended-message",
        8 => "multiple-labels",
        9 => "role",
        64 => "graceful-restart",
        65 => "four-octet-as",
        67 => "dynamic",
        69 => "add-path",
        70 => "enhanced-route-refresh",
        71 => "long-lived-graceful-restart",
        73 => "fqdn",
        128 => "route-refresh-old",
        other => return Value::from(other.to_string()),
    })
}

/// RFC 4271 §4.5, RFC 4486.
fn notification(code: u8, subcode: u8) -> String {
    let code_name = match code {
        1 => "message-header",
        2 => "open-message",
        3 => "update-message",
        4 => "hold-timer-expired",
        5 => "finite-state-machine",
        6 => "cease",
        7 => "route-refresh",
        _ => "other",
    };
    let name = match (code, subcode) {
        (2, 1) => "unsupported-version",
        (2, 2) => "bad-peer-as",
        (2, 3) => "bad-identifier",
        (2, 4) => "unsupported-parameter",
        (2, 6) => "unacceptable-hold-time",
        (2, 7) => "unsupported-capability",
        (6, 1) => "maximum-prefixes",
        (6, 2) => "administrative-shutdown",
        (6, 3) => "peer-deconfigured",
        (6, 4) => "administrative-reset",
        (6, 5) => "connection-rejected",
        (6, 6) => "configuration-change",
        (6, 7) => "collision",
        (6, 8) => "out-of-resources",
        (6, 9) => "hard-reset",
        (_, 0) => return code_name.into(),
        _ => return format!("{code_name}/{subcode}"),
    };
    format!("{code_name}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Flow, hex};

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[0xff; 16][..], &(body.len() as u16 + 19).to_be_bytes(), &[kind], body].concat()
    }

    fn open(asn: u32, id: u8) -> Vec<u8> {
        let mut body = hex("04 5ba0 00b4 c0000200");
        body[8] = id;
        // IPv4 unicast, route refresh, four-byte AS.
        let capabilities = [hex("01 04 00010001 02 00 41 04"), asn.to_be_bytes().to_vec()].concat();
        body.extend([capabilities.len() as u8 + 2, 2, capabilities.len() as u8]);
        body.extend(capabilities);
        message(1, &body)
    }

    #[test]
    fn a_session_however_it_is_cut() {
        // Origin; path 65550 65551 {1,2}; next hop; one prefix withdrawn, two announced.
        let path = hex("02 02 0001000e 0001000f 01 02 00000001 00000002");
        let attributes = [hex("40 01 01 00 40 02 14"), path, hex("40 03 04 c0000209")].concat();
        let update = message(
            2,
            &[
                hex("0004 18 c63364"),
                (attributes.len() as u16).to_be_bytes().to_vec(),
                attributes,
                hex("08 0a 20 cb007101"),
            ]
            .concat(),
        );
        let mp = hex("90 0e 001a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8");
        let update6 = message(2, &[hex("0000"), (mp.len() as u16).to_be_bytes().to_vec(), mp].concat());
        let ask = [open(65550, 1), message(4, &[]), update, update6].concat();
        let tell = [open(65551, 2), message(4, &[]), message(3, &[6, 2])].concat();
        let seen = Flow::tcp(179).client(&ask).server(&tell).run_split();
        assert_eq!(seen.protocol, ProtocolId::Bgp);
        assert_eq!(seen.confidence, crate::Confidence::Handshake);
        assert_eq!(seen.show(MESSAGES), "open,keepalive,update,notification");
        assert_eq!((seen.show(CLIENT_AS), seen.show(SERVER_AS)), ("65550".into(), "65551".into()));
        assert_eq!(
            (seen.show(ROUTER_IDS), seen.show(HOLD_TIME_S)),
            ("192.0.2.1,192.0.2.2".into(), "180".into())
        );
        assert_eq!(seen.show(CAPABILITIES), "ipv4-unicast,route-refresh,four-octet-as");
        assert_eq!(seen.show(WITHDRAWN), "198.51.100.0/24");
        assert_eq!(seen.show(PREFIXES), "10.0.0.0/8,203.0.113.1/32,2001:db8::/32");
        assert_eq!(seen.show(AS_PATH), "65550 65551 {1,2}");
        assert_eq!(seen.show(NEXT_HOPS), "192.0.2.9,2001:db8::1");
        assert_eq!(seen.show(NOTIFICATION), "cease/administrative-shutdown");
        assert!(seen.risks().is_empty());
    }

    #[test]
    fn paths_of_either_width() {
        assert_eq!(as_path(&hex("02 02 fde8 fde9"), None).as_deref(), Some("65000 65001"));
        assert_eq!(as_path(&hex("02 01 0000fde8"), None).as_deref(), Some("65000"));
        assert_eq!(as_path(&hex("02 02 fde8"), None), None);
    }

    #[test]
    fn near_misses_are_not_claimed() {
        let unknown = |bytes: &[u8]| Flow::tcp(179).client(bytes).run().protocol == ProtocolId::Unknown;
        assert!(unknown(&message(6, &[])), "no such type");
        assert!(unknown(&message(4, &[0])), "a keepalive has no body");
        assert!(unknown(&[0xff; 40]), "ones and nothing else");
    }

    #[test]
    fn an_attribute_that_does_not_fit_is_malformed() {
        let bytes = message(2, &hex("0000 0004 40 01 09 00"));
        assert_eq!(Flow::tcp(179).client(&bytes).run_split().risks(), ["malformed-packet"]);
    }
}
