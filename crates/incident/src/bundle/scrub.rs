//! Taking the probe's own addresses out of what is shared.
//!
//! In texts, wherever an address stands by itself. In captures, wherever its bytes stand in a packet, also where ICMP quotes
//! it; link addresses go too, and the capture becomes a pcapng that says so. Checksums are brought in line with what was
//! changed, so that one that was wrong before is wrong still.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use daylight_capture::PcapngWriter;
use daylight_packet::{Decoded, Decoder, Frame, LinkType, TcpHeader, TransportKind, mend, replace_address};

/// Which addresses are taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scrub {
    /// The probe's own: those given, those that measurements name as `probe_ip`, and in captures those that open
    /// connections.
    Own(Vec<IpAddr>),
    /// None: the folder's files go in as they are.
    Nothing,
}

impl Default for Scrub {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

/// What stands in place of an address: those that documentation uses (RFC 5737, RFC 3849).
fn stand_in(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    }
}

/// The addresses that a text names as the probe's.
pub(super) fn named_in(text: &str) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    for (at, key) in text.match_indices("\"probe_ip\"") {
        let after = text.get(at + key.len()..).unwrap_or_default().trim_start();
        let Some(value) = after.strip_prefix(':').map(str::trim_start).and_then(|v| v.strip_prefix('"'))
        else {
            continue;
        };
        let address = value.split('"').next().and_then(|value| value.parse::<IpAddr>().ok());
        found.extend(address.filter(|address| !address.is_loopback() && !address.is_unspecified()));
    }
    found
}

/// The text without the addresses.
pub(super) fn text(text: &str, own: &BTreeSet<IpAddr>) -> String {
    let mut text = text.to_owned();
    for address in own {
        let (from, to) = (address.to_string(), stand_in(*address).to_string());
        let mut clean = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find(&from) {
            let (before, after) =
                (rest.get(..at).unwrap_or_default(), rest.get(at + from.len()..).unwrap_or_default());
            // 10.1.2.3 within 110.1.2.34 is another address. A point or colon after may end a sentence or begin a port.
            let inside = |c: char| if address.is_ipv4() { c.is_ascii_digit() } else { c.is_ascii_hexdigit() };
            let alone = !before
                .chars()
                .next_back()
                .is_some_and(|c| inside(c) || c == '.' || c == ':' && !address.is_ipv4())
                && !after.chars().next().is_some_and(inside);
            clean.push_str(before);
            clean.push_str(if alone { &to } else { &from });
            rest = after;
        }
        clean.push_str(rest);
        text = clean;
    }
    text
}

/// A capture as a pcapng without the addresses, and those that open connections in it.
pub(super) fn capture(path: &Path, own: &BTreeSet<IpAddr>) -> Result<Vec<u8>, String> {
    let mut own = own.clone();
    own.extend(openers(path)?);
    let io = |error: std::io::Error| error.to_string();
    let comment = "the probe's own addresses were replaced, and checksums mended";
    let mut writer = PcapngWriter::new(Vec::new(), "Daylight", Some(comment)).map_err(io)?;
    let mut interfaces: Vec<(LinkType, u32)> = Vec::new();
    let mut source = daylight_capture::open(path).map_err(|error| error.message)?;
    while let Some(batch) = source.next_batch(256).map_err(|error| error.message)? {
        for frame in &batch.frames {
            let known = interfaces.iter().find(|(link, _)| *link == frame.link).map(|(_, number)| *number);
            let interface = match known {
                Some(number) => number,
                None => {
                    let number = writer.interface(frame.link, 0, None).map_err(io)?;
                    interfaces.push((frame.link, number));
                    number
                }
            };
            let original = batch.frame_bytes(frame);
            let mut bytes = original.to_vec();
            if frame.link == LinkType::ETHERNET
                && let Some(addresses) = bytes.get_mut(..12)
            {
                addresses.fill(0);
            }
            for address in &own {
                replace_address(&mut bytes, *address, stand_in(*address));
            }
            let ip = ip_offset(frame, original);
            if let (Some(before), Some(after)) = (original.get(ip..), bytes.get_mut(ip..)) {
                mend(before, after);
            }
            writer.write(interface, frame.ts_ns.max(0), frame.wire_len, &bytes, None).map_err(io)?;
        }
    }
    Ok(writer.into_inner())
}

/// Where the IP packet begins in a frame; of tunnels, the innermost. For what can't be decoded, where it mostly does.
fn ip_offset(frame: &Frame, bytes: &[u8]) -> usize {
    match Decoder::new().decode(frame.link, bytes, frame.ts_ns, frame.wire_len) {
        Decoded::Packet(packet) => {
            let headers = packet.ip_len.saturating_sub(packet.payload_wire_len);
            packet.payload_offset.saturating_sub(headers) as usize
        }
        _ if frame.link == LinkType::ETHERNET => 14,
        _ => 0,
    }
}

/// The addresses that send a SYN without ACK, or ask for a name.
fn openers(path: &Path) -> Result<BTreeSet<IpAddr>, String> {
    let decoder = Decoder::new();
    let mut found = BTreeSet::new();
    let mut source = daylight_capture::open(path).map_err(|error| error.message)?;
    while let Some(batch) = source.next_batch(256).map_err(|error| error.message)? {
        for frame in &batch.frames {
            let bytes = batch.frame_bytes(frame);
            let Decoded::Packet(packet) = decoder.decode(frame.link, bytes, frame.ts_ns, frame.wire_len)
            else {
                continue;
            };
            let from = usize::from(!packet.from_low);
            let to_port = packet.key.ports[1 - from];
            let opens = packet.key.protocol == TransportKind::TCP
                && packet.tcp.flags & (TcpHeader::SYN | TcpHeader::ACK) == TcpHeader::SYN;
            let asks = packet.key.protocol == TransportKind::UDP && matches!(to_port, 53 | 443);
            if opens || asks {
                found.insert(packet.key.address(from));
            }
        }
    }
    Ok(found)
}
