//! One flow: what is counted for every packet, and the state of its TCP connection in Zeek's terms.

use daylight_packet::{FlowKey, Packet, TcpHeader, TransportKind};

/// One side's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Bytes on the wire, frames whole.
    pub frame_bytes: u64,
    /// Bytes on the wire from the innermost IP header on.
    pub ip_bytes: u64,
    /// Transport payload on the wire.
    pub payload_bytes: u64,
    /// Packets.
    pub packets: u32,
    /// TCP: the sequence number after the highest seen.
    next_seq: u32,
}

impl Side {
    /// TCP: the sequence number of the next byte, if this side has spoken, or the other has answered its SYN.
    pub fn next_seq(&self) -> Option<u32> {
        (self.packets > 0 || self.next_seq != 0).then_some(self.next_seq)
    }
}

/// How a flow stands, in the terms of Zeek's `conn_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::upper_case_acronyms)]
pub enum ConnState {
    /// SYN seen, no reply.
    S0,
    /// Established, not ended.
    S1,
    /// Established and ended in order.
    SF,
    /// SYN refused by RST.
    REJ,
    /// Established; the client closed, the server did not.
    S2,
    /// Established; the server closed, the client did not.
    S3,
    /// Established; the client aborted.
    RSTO,
    /// The server aborted.
    RSTR,
    /// The client sent SYN and then RST; no SYN-ACK seen.
    RSTOS0,
    /// The server sent SYN-ACK and then RST; no SYN seen.
    RSTRH,
    /// The client sent SYN and then FIN; no SYN-ACK seen (half open).
    SH,
    /// The server sent SYN-ACK and then FIN; no SYN seen.
    SHR,
    /// No SYN seen: picked up in mid-stream, or not TCP's concern.
    OTH,
}

impl ConnState {
    /// As in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::S0 => "S0",
            Self::S1 => "S1",
            Self::SF => "SF",
            Self::REJ => "REJ",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::RSTO => "RSTO",
            Self::RSTR => "RSTR",
            Self::RSTOS0 => "RSTOS0",
            Self::RSTRH => "RSTRH",
            Self::SH => "SH",
            Self::SHR => "SHR",
            Self::OTH => "OTH",
        }
    }
}

/// What happened in a connection, in order, as Zeek's `history` tells it: upper case from the client. At most 16 events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Four bits an event, the first in the lowest. Bytes, because a `u64` would cost the flow six bytes of alignment.
    events: [u8; 8],
    /// Which were seen: bit 0..8 from the client, 8..16 from the server.
    seen: u16,
}

/// SYN, SYN-ACK, pure ACK, data, FIN, RST, inconsistent flags, retransmission.
const LETTERS: [u8; 8] = *b"SHADFRIT";

impl History {
    fn add(&mut self, letter: usize, from_client: bool) {
        let code = letter + if from_client { 0 } else { 8 };
        if self.seen >> code & 1 == 1 {
            return;
        }
        let events = self.seen.count_ones();
        self.seen |= 1 << code;
        if events < 16 {
            self.events[events as usize / 2] |= (code as u8) << (4 * (events % 2));
        }
    }

    fn has(self, letter: usize, from_client: bool) -> bool {
        self.seen >> (letter + if from_client { 0 } else { 8 }) & 1 == 1
    }

    fn codes(self) -> impl Iterator<Item = u8> {
        let count = self.seen.count_ones().min(16) as usize;
        (0..count).map(move |i| self.events[i / 2] >> (4 * (i % 2)) & 15)
    }

    /// As letters.
    pub fn text(self) -> HistoryText {
        let mut text = HistoryText::default();
        for (place, code) in text.letters.iter_mut().zip(self.codes()) {
            let letter = LETTERS[usize::from(code % 8)];
            *place = if code < 8 { letter } else { letter.to_ascii_lowercase() };
            text.len += 1;
        }
        text
    }

    fn swap(&mut self) {
        let mut swapped = Self::default();
        self.codes().for_each(|code| swapped.add(usize::from(code % 8), code >= 8));
        *self = swapped;
    }
}

/// A [`History`] as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryText {
    letters: [u8; 16],
    len: u8,
}

impl HistoryText {
    /// The letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.letters[..self.len.into()]).unwrap_or_default()
    }
}

const SYN: usize = 0;
const SYN_ACK: usize = 1;
const ACK: usize = 2;
const DATA: usize = 3;
const FIN: usize = 4;
const RST: usize = 5;
const INCONSISTENT: usize = 6;
const RETRANSMITTED: usize = 7;

/// A flow's hot state: everything that an ordinary packet touches. In lines of the cache: the first tells whether it is
/// the packet's flow, the second is what is counted, the third has the rest.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct Flow<X> {
    /// Which flow.
    pub key: FlowKey,
    /// The hash of its key, as given to the table; 0 once it was removed.
    pub(crate) hash: u64,
    /// Latest time of a packet, in nanoseconds since 1970.
    pub last_ns: i64,

    /// The client's and the server's counters.
    pub sides: [Side; 2],

    /// What the engine keeps.
    pub x: X,
    /// Time of the first packet, in nanoseconds since 1970.
    pub first_ns: i64,
    /// The number of its first packet in the capture: what records are ordered by.
    pub first_packet: u64,
    /// The second its timer was last set for.
    pub timer_s: u32,
    /// TCP: bytes known to be missing from the capture, both directions.
    pub missed_bytes: u32,
    /// TCP's events.
    pub history: History,
    /// TCP: retransmitted segments, both directions.
    pub retransmitted: u16,
    /// TCP: segments that came too early, both directions.
    pub out_of_order: u16,
    /// True if the client is the key's low endpoint.
    pub client_is_low: bool,
}

impl<X> Flow<X> {
    /// A flow that begins now.
    pub fn new(key: FlowKey, client_is_low: bool, now_ns: i64, first_packet: u64, x: X) -> Self {
        Self {
            key,
            first_ns: now_ns,
            last_ns: now_ns,
            first_packet,
            sides: [Side::default(); 2],
            hash: 0,
            history: History::default(),
            timer_s: 0,
            missed_bytes: 0,
            retransmitted: 0,
            out_of_order: 0,
            client_is_low,
            x,
        }
    }

    /// True if it is the flow of this key, which has this hash.
    #[inline]
    pub fn is_of(&self, hash: u64, key: &FlowKey) -> bool {
        self.hash == hash && self.key == *key
    }

    /// Brings it into the cache, all of its lines.
    #[inline]
    pub fn touch(&self) {
        std::hint::black_box((self.hash, self.sides[0].packets, self.first_packet));
    }

    /// The hash of its key.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// True if the client sent this packet.
    pub fn is_from_client(&self, packet: &Packet) -> bool {
        packet.from_low == self.client_is_low
    }

    /// Counts a packet.
    pub fn count(&mut self, packet: &Packet) {
        let client = self.is_from_client(packet);
        self.last_ns = self.last_ns.max(packet.ts_ns);
        let first_of_side = {
            let side = &mut self.sides[usize::from(!client)];
            side.packets += 1;
            side.frame_bytes += u64::from(packet.frame_len);
            side.ip_bytes += u64::from(packet.ip_len);
            side.payload_bytes += u64::from(packet.payload_wire_len);
            side.packets == 1
        };
        if self.key.protocol == TransportKind::TCP {
            self.track(packet, client, first_of_side);
        } else if packet.payload_wire_len > 0 {
            self.history.add(DATA, client);
        }
    }

    fn track(&mut self, packet: &Packet, client: bool, first_of_side: bool) {
        let TcpHeader { seq, flags, .. } = packet.tcp;
        let len = packet.payload_wire_len;
        let has = |flag: u8| flags & flag != 0;
        let marks = flags & (TcpHeader::SYN | TcpHeader::FIN | TcpHeader::RST);
        if has(TcpHeader::SYN) {
            self.history.add(if has(TcpHeader::ACK) { SYN_ACK } else { SYN }, client);
            if marks != TcpHeader::SYN {
                self.history.add(INCONSISTENT, client);
            }
        }
        if len > 0 {
            self.history.add(DATA, client);
        } else if marks == 0 && has(TcpHeader::ACK) {
            self.history.add(ACK, client);
        }
        let end = seq
            .wrapping_add(len)
            .wrapping_add(u32::from(has(TcpHeader::SYN)))
            .wrapping_add(u32::from(has(TcpHeader::FIN)));
        let side = &mut self.sides[usize::from(!client)];
        let ahead = seq.wrapping_sub(side.next_seq) as i32;
        if first_of_side || (ahead == 0 && end != seq) {
            side.next_seq = end;
        } else if ahead != 0 {
            if ahead > 0 && !has(TcpHeader::RST) {
                self.out_of_order = self.out_of_order.saturating_add(1);
            }
            // One byte before the next is a keep-alive, not a retransmission.
            if ahead < 0 && len > 1 {
                self.retransmitted = self.retransmitted.saturating_add(1);
                self.history.add(RETRANSMITTED, client);
            }
            if end.wrapping_sub(side.next_seq) as i32 > 0 {
                side.next_seq = end;
            }
        }
        if marks == 0 {
            return;
        }
        if has(TcpHeader::FIN) {
            self.history.add(FIN, client);
        }
        if has(TcpHeader::RST) {
            self.history.add(RST, client);
        }
        // The capture may not hold the SYN that this answers, and hold the first segments in another order.
        let other = &mut self.sides[usize::from(client)];
        if has(TcpHeader::SYN) && has(TcpHeader::ACK) && other.packets == 0 {
            other.next_seq = packet.tcp.ack;
        }
    }

    /// Turns client and server round: the first guess was wrong.
    pub fn reverse(&mut self) {
        self.client_is_low = !self.client_is_low;
        self.sides.swap(0, 1);
        self.history.swap();
    }

    /// True if with its last packet, of `frame_bytes`, the flow's bytes have passed a multiple of `step`, a power of two.
    #[inline]
    pub fn passed(&self, step: u64, frame_bytes: u32) -> bool {
        let [client, server] = &self.sides;
        (client.frame_bytes + server.frame_bytes) & (step - 1) < u64::from(frame_bytes)
    }

    /// True once both sides closed, or one reset.
    pub fn is_closed(&self) -> bool {
        let h = self.history;
        h.has(FIN, true) && h.has(FIN, false) || h.has(RST, true) || h.has(RST, false)
    }

    /// True if TCP's handshake was seen, or payload of both sides.
    pub fn is_established(&self) -> bool {
        let h = self.history;
        h.has(SYN, true) && h.has(SYN_ACK, false) || h.has(DATA, true) && h.has(DATA, false)
    }

    /// How it stands, in Zeek's terms. Of UDP and the rest: S0 if only the client spoke, SF if both did, SHR if only
    /// the server did, as Zeek has it.
    pub fn state(&self) -> ConnState {
        let h = self.history;
        if self.key.protocol != TransportKind::TCP {
            return match (self.sides[0].packets > 0, self.sides[1].packets > 0) {
                (true, true) => ConnState::SF,
                (false, true) => ConnState::SHR,
                _ => ConnState::S0,
            };
        }
        let (syn, syn_ack) = (h.has(SYN, true), h.has(SYN_ACK, false));
        let (fin_c, fin_s) = (h.has(FIN, true), h.has(FIN, false));
        let (rst_c, rst_s) = (h.has(RST, true), h.has(RST, false));
        match (syn, syn_ack) {
            (true, true) if rst_c && !(fin_c && fin_s) => ConnState::RSTO,
            (true, true) if rst_s && !(fin_c && fin_s) => ConnState::RSTR,
            (true, true) => match (fin_c, fin_s) {
                (true, true) => ConnState::SF,
                (true, false) => ConnState::S2,
                (false, true) => ConnState::S3,
                (false, false) => ConnState::S1,
            },
            (true, false) if rst_s => ConnState::REJ,
            (true, false) if rst_c => ConnState::RSTOS0,
            (true, false) if fin_c => ConnState::SH,
            (true, false) if !h.has(DATA, false) && !h.has(ACK, false) => ConnState::S0,
            (false, true) if rst_s => ConnState::RSTRH,
            (false, true) if fin_s && !h.has(DATA, true) => ConnState::SHR,
            _ => ConnState::OTH,
        }
    }

    /// Starts counting anew, for the next record of a flow that goes on (active time-out).
    pub fn restart(&mut self) {
        for side in &mut self.sides {
            let next_seq = side.next_seq;
            *side = Side { next_seq, ..Side::default() };
        }
        self.first_ns = self.last_ns;
        (self.missed_bytes, self.retransmitted, self.out_of_order) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const C: bool = true;
    const S: bool = false;

    /// A flow after these packets: who sent it, flags, payload length.
    fn after(packets: &[(bool, &str, u32)]) -> Flow<()> {
        let key = FlowKey { protocol: TransportKind::TCP, ip_version: 4, ..FlowKey::default() };
        let mut flow = Flow::new(key, true, 0, 0, ());
        let mut seq = [100u32, 900];
        for (client, letters, len) in packets {
            let flags = letters.bytes().fold(0, |f, l| {
                f | match l {
                    b'S' => TcpHeader::SYN,
                    b'A' => TcpHeader::ACK,
                    b'F' => TcpHeader::FIN,
                    b'R' => TcpHeader::RST,
                    _ => 0,
                }
            });
            let n = &mut seq[usize::from(!client)];
            let packet = Packet {
                key,
                ts_ns: 0,
                payload_offset: 0,
                payload_len: *len,
                payload_wire_len: *len,
                frame_len: 54 + len,
                ip_len: 40 + len,
                tcp: TcpHeader { seq: *n, ack: 0, window: 0, flags },
                ttl: 64,
                from_low: *client,
                issues: daylight_packet::Issues::default(),
            };
            *n = n.wrapping_add(*len + u32::from(flags & (TcpHeader::SYN | TcpHeader::FIN) != 0));
            flow.count(&packet);
        }
        flow
    }

    #[test]
    fn states_are_zeeks() {
        let open = [(C, "S", 0), (S, "SA", 0), (C, "A", 0)];
        let then = |more: &[(bool, &str, u32)]| after(&[&open[..], more].concat()).state();
        assert_eq!(after(&open[..1]).state(), ConnState::S0);
        assert_eq!(then(&[]), ConnState::S1);
        assert_eq!(then(&[(C, "FA", 0), (S, "FA", 0), (C, "A", 0)]), ConnState::SF);
        assert_eq!(then(&[(C, "FA", 0), (S, "A", 0)]), ConnState::S2);
        assert_eq!(then(&[(S, "FA", 0), (C, "A", 0)]), ConnState::S3);
        assert_eq!(then(&[(C, "R", 0)]), ConnState::RSTO);
        assert_eq!(then(&[(S, "RA", 0)]), ConnState::RSTR);
        assert_eq!(after(&[(C, "S", 0), (S, "RA", 0)]).state(), ConnState::REJ);
        assert_eq!(after(&[(C, "S", 0), (C, "R", 0)]).state(), ConnState::RSTOS0);
        assert_eq!(after(&[(C, "S", 0), (C, "FA", 0)]).state(), ConnState::SH);
        assert_eq!(after(&[(S, "SA", 0), (S, "R", 0)]).state(), ConnState::RSTRH);
        assert_eq!(after(&[(S, "SA", 0), (S, "FA", 0)]).state(), ConnState::SHR);
        assert_eq!(after(&[(C, "A", 10), (S, "A", 10)]).state(), ConnState::OTH);
    }

    #[test]
    fn history_tells_the_story_and_survives_a_reversal() {
        let mut flow = after(&[
            (C, "S", 0),
            (S, "SA", 0),
            (C, "A", 0),
            (C, "A", 10),
            (S, "A", 20),
            (C, "FA", 0),
            (S, "FA", 0),
        ]);
        assert_eq!(flow.history.text().as_str(), "ShADdFf");
        flow.reverse();
        assert_eq!(flow.history.text().as_str(), "sHadDfF");
        flow.reverse();
        assert_eq!(flow.history.text().as_str(), "ShADdFf");
        assert_eq!(flow.sides[0].payload_bytes, 10);
    }

    #[test]
    fn hot_state_stays_small() {
        assert!(size_of::<Flow<[u64; 3]>>() <= 192, "{}", size_of::<Flow<[u64; 3]>>());
    }
}
