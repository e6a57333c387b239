//! Packets as evidence: those of a capture that a report shows, with every byte and what its fields say.

use std::path::Path;

use daylight_packet::{Decoded, Decoder, Packet, TcpHeader, TransportKind};

/// So many packets of a capture are shown.
pub const SHOWN_MAX: usize = 12;
/// So many bytes of a packet are shown.
pub const BYTES_MAX: usize = 192;
/// So many packets of a capture are looked at.
const FRAMES_MAX: u64 = 1_000_000;

/// What a capture holds for a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    /// The file.
    pub file: String,
    /// How many packets there are, of those that were looked at.
    pub frames: u64,
    /// The packets to be shown.
    pub shown: Vec<Shown>,
}

/// A packet to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its number in the capture, from 1.
    pub number: u64,
    /// When it was captured, in nanoseconds since 1970.
    pub ts_ns: i64,
    /// What it is, for people: `TCP 443 → 51234, RST ACK`.
    pub title: String,
    /// What makes it worth looking at: how it differs from the other packets of its sender on the same connection.
    pub marks: Vec<String>,
    /// Its first bytes, from the IP header on.
    pub bytes: Vec<u8>,
    /// Its fields: where they lie in the bytes, their name, and what they say.
    pub fields: Vec<Field>,
}

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

/// What the first packets of a sender on a connection were like.
struct Norm {
    key: daylight_packet::FlowKey,
    from_low: bool,
    ttl: u8,
    id: Option<u16>,
}

/// Reads a capture and picks what a report shows: resets, closes that carry data, and answers to names that came twice.
///
/// # Errors
/// If it can't be read, or is none.
pub fn read(path: &Path, name: &str) -> Result<Capture, String> {
    let mut source = daylight_capture::open(path).map_err(|error| error.message)?;
    let decoder = Decoder::new();
    let mut norms: Vec<Norm> = Vec::new();
    let mut capture = Capture { file: name.to_owned(), frames: 0, shown: Vec::new() };
    while let Some(batch) = source.next_batch(256).map_err(|error| error.message)? {
        for frame in &batch.frames {
            if capture.frames >= FRAMES_MAX {
                return Ok(capture);
            }
            capture.frames += 1;
            let bytes = batch.frame_bytes(frame);
            let Decoded::Packet(packet) = decoder.decode(frame.link, bytes, frame.ts_ns, frame.wire_len)
            else {
                continue;
            };
            let Some(ip) = innermost(bytes, &packet) else { continue };
            look(&mut capture, &mut norms, frame.ts_ns, &packet, ip);
        }
    }
    Ok(capture)
}

/// The innermost IP packet of a frame: it ends where the payload does.
fn innermost<'a>(frame: &'a [u8], packet: &Packet) -> Option<&'a [u8]> {
    let headers = packet.ip_len.checked_sub(packet.payload_wire_len)?;
    let from = packet.payload_offset.checked_sub(headers)? as usize;
    frame.get(from..)
}

fn look(capture: &mut Capture, norms: &mut Vec<Norm>, ts_ns: i64, packet: &Packet, ip: &[u8]) {
    let id = (packet.key.ip_version == 4).then(|| be16(ip, 4)).flatten();
    let same = |norm: &&Norm| norm.key == packet.key && norm.from_low == packet.from_low;
    let norm = norms.iter().find(same);
    let tcp = packet.key.protocol == TransportKind::TCP;
    let flags = packet.tcp.flags;
    let reset = tcp && flags & TcpHeader::RST != 0;
    let closing_page = tcp && flags & TcpHeader::FIN != 0 && packet.payload_wire_len > 0;
    let name_answer = packet.key.protocol == TransportKind::UDP && source_port(packet) == 53;
    let again = name_answer && norm.is_some();
    if (reset || closing_page || again) && capture.shown.len() < SHOWN_MAX {
        let mut marks = Vec::new();
        if let Some(norm) = norm {
            let gap = i16::from(packet.ttl) - i16::from(norm.ttl);
            if gap != 0 {
                marks.push(format!(
                    "TTL {} where this sender's first packet had {}: {} hops away from it",
                    packet.ttl,
                    norm.ttl,
                    gap.abs()
                ));
            }
            if let (Some(now @ (0 | 1 | 0x1234 | 0x3412)), Some(before)) = (id, norm.id)
                && before != now
            {
                marks.push(format!(
                    "IP identification {now:#06x}, which senders rarely choose; before it was {before:#06x}"
                ));
            }
        }
        if again {
            marks.push("a second answer to the same question".to_owned());
        }
        if closing_page {
            marks.push("data and close in one packet".to_owned());
        }
        capture.shown.push(Shown {
            number: capture.frames,
            ts_ns,
            title: title(packet),
            marks,
            bytes: ip.get(..ip.len().min(BYTES_MAX)).unwrap_or_default().to_vec(),
            fields: fields(ip),
        });
    }
    if norm.is_none() && norms.len() < 4096 {
        norms.push(Norm { key: packet.key, from_low: packet.from_low, ttl: packet.ttl, id });
    }
}

fn source_port(packet: &Packet) -> u16 {
    let [low, high] = packet.key.ports;
    if packet.from_low { low } else { high }
}

fn title(packet: &Packet) -> String {
    let [low, high] = packet.key.ports;
    let (from, to) = if packet.from_low { (low, high) } else { (high, low) };
    if packet.key.protocol == TransportKind::TCP {
        format!("TCP {from} → {to}, {}", flag_names(packet.tcp.flags))
    } else {
        format!("UDP {from} → {to}, {} bytes", packet.payload_wire_len)
    }
}

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

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The fields of an IP packet that tell who made it, and those of TCP or UDP above.
fn fields(ip: &[u8]) -> Vec<Field> {
    let mut all = Vec::new();
    let mut add = |from: usize, to: usize, name, value: Option<String>| {
        if let Some(value) = value.filter(|_| to <= ip.len().min(BYTES_MAX)) {
            all.push(Field { from, to, name, value });
        }
    };
    let byte = |at: usize| ip.get(at).copied();
    let (transport, protocol) = match byte(0).map(|first| first >> 4) {
        Some(4) => {
            let header = usize::from(byte(0).unwrap_or(0) & 15) * 4;
            add(2, 4, "Total Length", be16(ip, 2).map(|v| v.to_string()));
            add(4, 6, "Identification", be16(ip, 4).map(|v| format!("{v:#06x}")));
            add(
                6,
                8,
                "Flags",
                be16(ip, 6)
                    .map(|v| if v & 0x4000 != 0 { "don't fragment" } else { "may be fragmented" }.to_owned()),
            );
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
    let port = |at: usize| be16(ip, at).map(|v| v.to_string());
    match protocol {
        Some(TransportKind::TCP) => {
            add(transport, transport + 2, "Source Port", port(transport));
            add(transport + 2, transport + 4, "Destination Port", port(transport + 2));
            add(
                transport + 4,
                transport + 8,
                "Sequence Number",
                be32(ip, transport + 4).map(|v| v.to_string()),
            );
            add(
                transport + 8,
                transport + 12,
                "Acknowledgment Number",
                be32(ip, transport + 8).map(|v| v.to_string()),
            );
            add(transport + 13, transport + 14, "Control Bits", byte(transport + 13).map(flag_names));
            add(transport + 14, transport + 16, "Window", port(transport + 14));
        }
        Some(TransportKind::UDP) => {
            add(transport, transport + 2, "Source Port", port(transport));
            add(transport + 2, transport + 4, "Destination Port", port(transport + 2));
            add(transport + 4, transport + 6, "Length", port(transport + 4));
        }
        _ => {}
    }
    all
}
