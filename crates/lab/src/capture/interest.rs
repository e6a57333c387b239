//! Packets worth a look: what a person would look for first in a capture of censored traffic.

use std::collections::HashMap;

use daylight_packet::{Decoded, Decoder, Frame, Packet};

use crate::record::PacketRecord;

/// Packets that a report shows of one link.
const SHOWN_MAX: usize = 40;

/// Looks for what a person would look for.
pub(super) struct Reader<'a> {
    link: &'a str,
    start_ns: i64,
    /// Frames of the file until now, whoever has looked at them.
    pub(super) number: u64,
    decoder: Decoder,
    pub(super) found: Vec<PacketRecord>,
    /// Where the first of a kind stands in `found`.
    kinds: HashMap<(String, String), usize>,
    /// Answers to a DNS query: what the first one said.
    answers: HashMap<(daylight_packet::FlowKey, u16), Vec<u8>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(link: &'a str, start_ns: i64) -> Self {
        Self {
            link,
            start_ns,
            number: 0,
            decoder: Decoder::new(),
            found: Vec::new(),
            kinds: HashMap::new(),
            answers: HashMap::new(),
        }
    }

    /// Looks at a frame.
    pub(super) fn frame(&mut self, frame: &Frame, bytes: &[u8]) {
        if let Decoded::Packet(packet) = self.decoder.decode(frame.link, bytes, frame.ts_ns, frame.wire_len) {
            self.packet(&packet, bytes);
        }
    }

    fn packet(&mut self, packet: &Packet, bytes: &[u8]) {
        let start = packet.payload_offset as usize;
        let payload = bytes.get(start..start + packet.payload_len as usize).unwrap_or_default();
        let (from, to) = if packet.from_low { (0, 1) } else { (1, 0) };
        let source_port = packet.key.ports[from];
        let what = match packet.key.protocol {
            6 if packet.tcp.flags & 4 != 0 => Some(format!("TCP reset, TTL {}", packet.ttl)),
            6 if payload.starts_with(b"HTTP/1.") => http(payload),
            17 if source_port == 53 => self.dns(packet, payload),
            1 if matches!(packet.key.ports, [3, _] | [_, 3]) => Some("ICMP unreachable".into()),
            1 if matches!(packet.key.ports, [11, _] | [_, 11]) => Some("ICMP time exceeded".into()),
            _ => None,
        };
        let Some(what) = what else { return };
        let who = format!("{} → {}", packet.key.address(from), packet.key.address(to));
        if let Some(at) = self.kinds.get(&(who.clone(), what.clone())) {
            if let Some(record) = self.found.get_mut(*at) {
                record.count += 1;
            }
            return;
        }
        if self.found.len() < SHOWN_MAX {
            self.kinds.insert((who.clone(), what.clone()), self.found.len());
            self.found.push(PacketRecord {
                at_s: (packet.ts_ns - self.start_ns) as f64 / 1e9,
                link: self.link.to_owned(),
                who,
                what,
                count: 1,
                number: self.number,
            });
        }
    }

    fn dns(&mut self, packet: &Packet, payload: &[u8]) -> Option<String> {
        let [a, b, _, flags, ..] = payload else { return None };
        let id = u16::from_be_bytes([*a, *b]);
        if let Some(first) = self.answers.get(&(packet.key, id)) {
            return (first != payload).then(|| "a second, different DNS answer to one query".into());
        }
        self.answers.insert((packet.key, id), payload.to_vec());
        match flags & 15 {
            3 => Some(format!("DNS NXDOMAIN, TTL {}", packet.ttl)),
            5 => Some(format!("DNS REFUSED, TTL {}", packet.ttl)),
            _ => None,
        }
    }
}

/// A status that sites of the scenario don't give.
fn http(payload: &[u8]) -> Option<String> {
    let line = payload.split(|b| *b == b'\r').next()?;
    let text = String::from_utf8_lossy(line.get(..line.len().min(60))?);
    let status: u16 = text.split(' ').nth(1)?.parse().ok()?;
    (status >= 300).then(|| text.into_owned())
}
