//! A connection's packets, as many as tell something, and what is known of its server.

use std::net::{IpAddr, SocketAddr};

use daylight_packet::{FlowKey, TcpHeader};

use crate::finding::Step;
use crate::name::{self, STREAM_BYTES_MAX};
use crate::packet::{Seen, is_after};

/// The first packets of a connection are all kept.
const EARLY_MAX: usize = 48;
/// Later ones if they open, end or reset it, or come after a reset: no more than this in all.
const KEPT_MAX: usize = 128;
/// A TTL that so many packets with data have in common is the server's too: some have their SYN answered by another box.
const SHARED_TTL_MIN: usize = 6;
/// TTLs that differ by no more than this are the same: equal paths differ by a hop.
pub(crate) const TTL_NOISE: u8 = 1;

/// The packet that a server is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Norm {
    pub(crate) ttl: u8,
    /// The TTL of most of its data, if that is another.
    pub(crate) of_data: Option<u8>,
    pub(crate) number: u64,
    /// What the packet is, for people.
    pub(crate) what: &'static str,
}

impl Norm {
    pub(crate) fn fits(&self, ttl: u8) -> bool {
        let is_near = |known: u8| known.abs_diff(ttl) <= TTL_NOISE;
        is_near(self.ttl) || self.of_data.is_some_and(is_near)
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    key: FlowKey,
    client_low: bool,
    pub(crate) packets: Vec<Seen>,
    /// The first client's SYN.
    opened_at: Option<u32>,
    reset_seen: bool,
    server_next: Option<u32>,
    client_acked: Option<u32>,
    client_next: Option<u32>,
}

impl Connection {
    /// A connection that begins, as far as is known, with this packet.
    pub(crate) fn new(key: FlowKey, first: &Seen) -> Self {
        let [low, high] = key.ports;
        let (from, to) = if first.from_low { (low, high) } else { (high, low) };
        let from_client = if first.opens() {
            true
        } else if first.accepts() {
            false
        } else {
            // Met in its middle: servers have the lower ports.
            from == to || to < from
        };
        Self {
            key,
            client_low: first.from_low == from_client,
            packets: Vec::new(),
            opened_at: None,
            reset_seen: false,
            server_next: None,
            client_acked: None,
            client_next: None,
        }
    }

    /// Whether a packet begins another connection between the same ports.
    pub(crate) fn is_over_with(&self, next: &Seen) -> bool {
        let answered = || self.accepted().is_some_and(|seen| seen.tcp.ack == next.tcp.seq.wrapping_add(1));
        next.opens() && self.is_client(next) && self.opened_at != Some(next.tcp.seq) && !answered()
    }

    /// Takes a packet in; says whether it was kept.
    pub(crate) fn add(&mut self, mut seen: Seen) -> bool {
        seen.before.server_next = self.server_next;
        seen.before.client_acked = self.client_acked;
        seen.before.client_next = self.client_next;
        let notable =
            !seen.is_udp && seen.tcp.flags & (TcpHeader::SYN | TcpHeader::FIN | TcpHeader::RST) != 0;
        let is_kept =
            self.packets.len() < EARLY_MAX || (notable || self.reset_seen) && self.packets.len() < KEPT_MAX;
        self.follow(&seen);
        if is_kept {
            self.packets.push(seen);
        }
        is_kept
    }

    fn follow(&mut self, seen: &Seen) {
        if seen.is_udp {
            return;
        }
        let further = |known: Option<u32>, new: u32| match known {
            Some(known) if !is_after(new, known) => Some(known),
            _ => Some(new),
        };
        if self.is_client(seen) {
            if seen.opens() && self.opened_at.is_none() {
                self.opened_at = Some(seen.tcp.seq);
            }
            if seen.is_reset() {
                return;
            }
            self.client_next = further(self.client_next, seen.next());
            if seen.has(TcpHeader::ACK) {
                self.client_acked = further(self.client_acked, seen.tcp.ack);
            }
        } else if seen.is_reset() {
            self.reset_seen = true;
        } else {
            self.server_next = further(self.server_next, seen.next());
        }
    }

    /// Whether it is the SYN/ACK to this connection's SYN, and not to that of a later one that the capture lacks.
    pub(crate) fn is_accepted_by(&self, seen: &Seen) -> bool {
        seen.accepts() && self.opened_at.is_some_and(|seq| seen.tcp.ack == seq.wrapping_add(1))
    }

    pub(crate) fn is_client(&self, seen: &Seen) -> bool {
        seen.from_low == self.client_low
    }

    fn end(&self, low: bool) -> SocketAddr {
        let end = usize::from(!low);
        SocketAddr::new(self.key.address(end), if low { self.key.ports[0] } else { self.key.ports[1] })
    }

    pub(crate) fn client(&self) -> SocketAddr {
        self.end(self.client_low)
    }

    pub(crate) fn server(&self) -> SocketAddr {
        self.end(!self.client_low)
    }

    pub(crate) fn server_address(&self) -> IpAddr {
        self.server().ip()
    }

    /// The client's packets, in their order.
    pub(crate) fn of_client(&self) -> impl Iterator<Item = &Seen> {
        self.packets.iter().filter(|seen| self.is_client(seen))
    }

    /// The server's, or those in its name.
    pub(crate) fn of_server(&self) -> impl Iterator<Item = &Seen> {
        self.packets.iter().filter(|seen| !self.is_client(seen))
    }

    /// The SYN/ACK: of several, the one that the client has acknowledged.
    pub(crate) fn accepted(&self) -> Option<&Seen> {
        let all = || self.of_server().filter(|seen| seen.accepts());
        let first = all().next()?;
        let is_taken = |seen: &&Seen| {
            let next = seen.tcp.seq.wrapping_add(1);
            self.of_client().any(|own| own.has(TcpHeader::ACK) && own.tcp.ack == next)
        };
        Some(if all().nth(1).is_some() { all().find(is_taken).unwrap_or(first) } else { first })
    }

    /// The packet that the server is known by, within this connection: its SYN/ACK, or of those that carry data or
    /// acknowledge, the first, if all have one TTL.
    pub(crate) fn norm(&self) -> Option<Norm> {
        if let Some(seen) = self.accepted() {
            let of_data = self.shared_ttl();
            return Some(Norm { ttl: seen.ttl, of_data, number: seen.number, what: "SYN/ACK" });
        }
        let mut others = self.of_server().filter(|seen| !seen.is_udp && !seen.is_reset());
        let first = others.next()?;
        let norm = Norm { ttl: first.ttl, of_data: None, number: first.number, what: "first packet" };
        others.all(|seen| norm.fits(seen.ttl)).then_some(norm)
    }

    /// The TTL that many packets with data have in common.
    fn shared_ttl(&self) -> Option<u8> {
        let data = || self.of_server().filter(|seen| seen.payload_len > 0 && !seen.is_reset());
        let count = |ttl: u8| data().filter(|seen| seen.ttl == ttl).count();
        data().map(|seen| seen.ttl).max_by_key(|ttl| count(*ttl)).filter(|ttl| count(*ttl) >= SHARED_TTL_MIN)
    }

    /// The handshake's round trip, in nanoseconds.
    pub(crate) fn round_trip_ns(&self) -> Option<i64> {
        let accepted = self.accepted()?;
        let syn = self
            .of_client()
            .filter(|seen| seen.opens() && seen.ts_ns <= accepted.ts_ns && seen.number < accepted.number)
            .last()?;
        Some(accepted.since_ns(syn))
    }

    /// The least time that was seen from a packet of the client's to what acknowledges it, before a packet: the handshake,
    /// and whatever followed.
    pub(crate) fn least_round_trip_ns(&self, before: &Seen) -> Option<i64> {
        let acknowledged = self.of_server().filter(|seen| seen.number < before.number && !seen.is_reset());
        let took = acknowledged.filter_map(|seen| {
            let reason = self.answered_by(seen).filter(|reason| reason.payload_len > 0)?;
            let answers = seen.has(TcpHeader::ACK) && is_after(seen.tcp.ack, reason.tcp.seq);
            (answers && seen.ts_ns >= reason.ts_ns).then(|| seen.since_ns(reason))
        });
        took.chain(self.round_trip_ns()).min()
    }

    /// Whether both ends agreed on timestamps (RFC 7323 §3.2).
    pub(crate) fn has_timestamps(&self) -> bool {
        self.accepted().is_some_and(|seen| seen.timestamps)
            && self.of_client().any(|seen| seen.opens() && seen.timestamps)
    }

    /// The client's packet that one of the server's seems to answer: the last with data, or the last at all.
    pub(crate) fn answered_by(&self, answer: &Seen) -> Option<&Seen> {
        let before = || self.of_client().filter(|seen| seen.number < answer.number && !seen.is_reset());
        before().filter(|seen| seen.payload_len > 0).last().or_else(|| before().last())
    }

    /// What the client asked for, and the name in it.
    pub(crate) fn asked(&self) -> (Step, Option<String>) {
        if self.packets.first().is_some_and(|seen| seen.is_udp) {
            return name::of_datagrams(self.server().port(), self.of_client().take(8).map(Seen::payload));
        }
        let mut stream: Vec<u8> = Vec::new();
        let mut next: Option<u32> = None;
        for seen in self.of_client().filter(|seen| seen.payload_len > 0) {
            // In order, without what comes twice: enough for a client's first flight.
            if next.is_some_and(|next| next != seen.tcp.seq) || stream.len() >= STREAM_BYTES_MAX {
                continue;
            }
            stream.extend_from_slice(seen.payload());
            next = Some(seen.next());
        }
        stream.truncate(STREAM_BYTES_MAX);
        name::of_stream(&stream)
    }
}
