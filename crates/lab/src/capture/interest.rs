//! Packets worth a look: what a person would look for first in a capture of censored traffic.

use std::collections::HashMap;

use daylight_packet::{Decoded, Decoder, FlowKey, Frame, Packet};

use crate::record::PacketRecord;

/// Packets that a report shows of one link.
const SHOWN_MAX: usize = 40;
/// How long after the first a further answer is one to the same query.
const SAME_QUERY_NS: i64 = 2_000_000_000;

/// A DNS query: who asks whom, its identifier, and its question.
type Query = (FlowKey, u16, Vec<u8>);

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
    /// Answers to a DNS query: when the first one came, and what it said.
    answers: HashMap<Query, (i64, Vec<u8>)>,
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
        let query = (packet.key, id, question(payload)?.to_vec());
        // Ports and identifiers come again, with another query.
        if let Some((at_ns, first)) = self.answers.get(&query)
            && packet.ts_ns - at_ns < SAME_QUERY_NS
        {
            return (first != payload).then(|| "a second, different DNS answer to one query".into());
        }
        self.answers.insert(query, (packet.ts_ns, payload.to_vec()));
        match flags & 15 {
            3 => Some(format!("DNS NXDOMAIN, TTL {}", packet.ttl)),
            5 => Some(format!("DNS REFUSED, TTL {}", packet.ttl)),
            _ => None,
        }
    }
}

/// The question of a DNS message (RFC 1035 §4.1.2), if it has one.
fn question(message: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    loop {
        match usize::from(*message.get(at)?) {
            0 => return message.get(12..at + 5),
            length @ 1..=63 => at += 1 + length,
            _ => return None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use daylight_packet::{LinkType, build};

    /// An answer of a resolver's to a query for `name`, with a code.
    fn answer(id: u8, name: u8, code: u8) -> Vec<u8> {
        let payload = [0, id, 0x81, 0x80 | code, 0, 1, 0, 0, 0, 0, 0, 0, 1, name, 0, 0, 1, 0, 1];
        let [server, client] = ["10.0.0.53".parse().unwrap(), "10.0.0.1".parse().unwrap()];
        build::udp(server, client, [53, 40_000], &build::Stamp::default(), &payload)
    }

    fn found(packets: &[(i64, Vec<u8>)]) -> Vec<String> {
        let mut reader = Reader::new("link", 0);
        for (ts_ns, bytes) in packets {
            let len = bytes.len() as u32;
            // Raw IP.
            let frame = Frame { ts_ns: *ts_ns, offset: 0, cap_len: len, wire_len: len, link: LinkType(101) };
            reader.frame(&frame, bytes);
        }
        reader.found.into_iter().map(|record| record.what).collect()
    }

    #[test]
    fn a_second_answer_is_one_to_the_same_query() {
        let second = 1_000_000_000;
        let race = found(&[(0, answer(7, b'a', 0)), (second / 100, answer(7, b'a', 3))]);
        assert_eq!(race, ["a second, different DNS answer to one query"]);
        // Another name, and the same one later: new queries of a port that comes again.
        let others = [(0, answer(7, b'a', 0)), (1, answer(7, b'b', 0)), (9 * second, answer(7, b'a', 0))];
        assert_eq!(found(&others), <[String; 0]>::default());
        assert_eq!(found(&[(0, answer(7, b'a', 5))]), ["DNS REFUSED, TTL 64"]);
        for cut in 0..19 {
            let message = answer(7, b'a', 0);
            assert_eq!(question(&message[28..28 + cut]), None);
        }
    }
}
