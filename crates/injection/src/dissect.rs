//! A packet's fields, with where they lie in its bytes: for those who show packets.

use daylight_packet::{Packet, TransportKind};

/// A field of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it begins in the bytes.
    pub from: usize,
    /// One past its last byte.
    pub to: usize,
    /// Its name, as the RFC has it.
    pub name: &'static str,
    /// What it says.
    pub value: String,
}

/// The innermost IP packet of a frame: it ends where the payload does.
pub(crate) fn ip_packet<'a>(frame: &'a [u8], packet: &Packet) -> Option<&'a [u8]> {
    let headers = packet.ip_len.checked_sub(packet.payload_wire_len)?;
    let from = packet.payload_offset.checked_sub(headers)? as usize;
    frame.get(from..)
}

/// The flags of a TCP header by their names, in the order of their bits.
fn flag_names(flags: u8) -> String {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set: Vec<&str> = names
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| flags & (1 << bit) != 0)
        .map(|(_, name)| name)
        .collect();
    if set.is_empty() { "no flags".to_owned() } else { set.join(" ") }
}

/// What a packet is, for people: `TCP 443 → 51234, RST ACK`. Empty for what is neither TCP nor UDP.
#[must_use]
pub fn title(ip: &[u8]) -> String {
    let fields = dissect(ip);
    let value = |name: &str| fields.iter().find(|field| field.name == name).map(|field| field.value.as_str());
    let (Some(from), Some(to)) = (value("Source Port"), value("Destination Port")) else {
        return String::new();
    };
    match (value("Control Bits"), value("Length")) {
        (Some(flags), _) => format!("TCP {from} → {to}, {flags}"),
        (None, Some(length)) => format!("UDP {from} → {to}, {length} bytes"),
        (None, None) => String::new(),
    }
}

pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The fields of an IP packet that tell who made it, and those of TCP or UDP above: as far as its bytes reach.
#[must_use]
pub fn dissect(ip: &[u8]) -> Vec<Field> {
    let mut all = Vec::new();
    let mut add = |from: usize, to: usize, name, value: Option<String>| {
        if let Some(value) = value.filter(|_| to <= ip.len()) {
            all.push(Field { from, to, name, value });
        }
    };
    let byte = |at: usize| ip.get(at).copied();
    let (transport, protocol) = match byte(0).map(|first| first >> 4) {
        Some(4) => {
            let header = usize::from(byte(0).unwrap_or(0) & 15) * 4;
            add(2, 4, "Total Length", be16(ip, 2).map(|v| v.to_string()));
            add(4, 6, "Identification", be16(ip, 4).map(|v| format!("{v:#06x}")));
            let fragments = |v: u16| if v & 0x4000 != 0 { "don't fragment" } else { "may be fragmented" };
            add(6, 8, "Flags", be16(ip, 6).map(|v| fragments(v).to_owned()));
            add(8, 9, "Time to Live", byte(8).map(|v| v.to_string()));
            add(9, 10, "Protocol", byte(9).map(|v| v.to_string()));
            (header, byte(9))
        }
        Some(6) => {
            add(4, 6, "Payload Length", be16(ip, 4).map(|v| v.to_string()));
            add(6, 7, "Next Header", byte(6).map(|v| v.to_string()));
            add(7, 8, "Hop Limit", byte(7).map(|v| v.to_string()));
            (40, byte(6))
        }
        _ => return all,
    };
    let word = |at: usize| be16(ip, transport + at).map(|v| v.to_string());
    let long = |at: usize| be32(ip, transport + at).map(|v| v.to_string());
    let mut of = |from: usize, to: usize, name, value| add(transport + from, transport + to, name, value);
    match protocol {
        Some(TransportKind::TCP) => {
            of(0, 2, "Source Port", word(0));
            of(2, 4, "Destination Port", word(2));
            of(4, 8, "Sequence Number", long(4));
            of(8, 12, "Acknowledgment Number", long(8));
            of(13, 14, "Control Bits", byte(transport + 13).map(flag_names));
            of(14, 16, "Window", word(14));
        }
        Some(TransportKind::UDP) => {
            of(0, 2, "Source Port", word(0));
            of(2, 4, "Destination Port", word(2));
            of(4, 6, "Length", word(4));
        }
        _ => {}
    }
    all
}
