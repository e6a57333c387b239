//! Packets in, findings out.

use std::net::IpAddr;

use daylight_packet::{FlowKey, FrameSource, LinkType, SourceError};
use foldhash::{HashMap, HashMapExt as _};
use serde::Serialize;

use crate::connection::{Connection, Norm};
use crate::finding::{Finding, Foreign, Kind, SignatureMatch, Told, Verdict};
use crate::packet::Seen;
use crate::signature::{Signatures, Specimen};
use crate::tell::Tell;
use crate::{dns, tcp};

/// Connections that are kept; packets of further ones are counted and left out.
pub const CONNECTIONS_MAX: usize = 65_536;
/// Bytes of packets that are kept in all; beyond, packets are counted and left out.
const BYTES_MAX: usize = 256 << 20;
/// Frames that are asked of a source at a time.
const BATCH_FRAMES: usize = 256;
/// Of the data that a server sends, the first segments are held against signatures.
const PAGES_MAX: usize = 3;

/// What was seen, beside the findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Frames that were given.
    pub frames: u64,
    /// Those that are TCP or UDP.
    pub packets: u64,
    /// Connections, and exchanges of datagrams.
    pub connections: u64,
    /// Packets that were looked at only for what they say of sequence numbers, or not at all, because there were too many.
    pub left_out: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// What was seen.
    pub counters: Counters,
    /// The connections that something is wrong with, in the order in which they began.
    pub findings: Vec<Finding>,
}

/// Takes packets in, in the order of their capture.
///
/// Memory is bounded: at most 128 packets of a connection, 2 KiB of each, 256 MiB and 65,536 connections in all.
#[derive(Debug, Default)]
pub struct Analysis {
    connections: Vec<Connection>,
    open: HashMap<FlowKey, usize>,
    bytes: usize,
    counters: Counters,
}

/// An address and port that packets come from in somebody's name.
type Service = (IpAddr, u16, bool);

impl Analysis {
    /// With nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self { open: HashMap::new(), ..Self::default() }
    }

    /// Takes a frame in: `bytes` of it were captured at `ts_ns` (nanoseconds since 1970), of `wire_len` that it had. Gives its
    /// number, from 1, by which findings call it.
    pub fn add(&mut self, link: LinkType, bytes: &[u8], ts_ns: i64, wire_len: u32) -> u64 {
        self.counters.frames += 1;
        let number = self.counters.frames;
        let Some((key, seen)) = Seen::read(number, link, bytes, ts_ns, wire_len) else { return number };
        self.counters.packets += 1;
        let known = self.open.get(&key).copied();
        let known = known.filter(|at| self.connections.get(*at).is_some_and(|c| !c.is_over_with(&seen)));
        let at = match known {
            Some(at) => at,
            None if self.connections.len() >= CONNECTIONS_MAX => {
                self.counters.left_out += 1;
                return number;
            }
            None => {
                self.counters.connections += 1;
                self.connections.push(Connection::new(key, &seen));
                self.open.insert(key, self.connections.len() - 1);
                self.connections.len() - 1
            }
        };
        let length = seen.bytes.len();
        if self.bytes + length > BYTES_MAX {
            self.counters.left_out += 1;
        } else if let Some(connection) = self.connections.get_mut(at) {
            if connection.add(seen) {
                self.bytes += length;
            } else {
                self.counters.left_out += 1;
            }
        }
        number
    }

    /// Takes in what a source has, but for frames beyond `frames_max`. Says whether that was all of it.
    ///
    /// # Errors
    /// If the operating system can't read on. What came before is taken in; a damaged file is no error but the source's end.
    pub fn read(&mut self, source: &mut dyn FrameSource, frames_max: u64) -> Result<bool, SourceError> {
        while let Some(batch) = source.next_batch(BATCH_FRAMES)? {
            for frame in &batch.frames {
                if self.counters.frames >= frames_max {
                    return Ok(false);
                }
                self.add(frame.link, batch.frame_bytes(frame), frame.ts_ns, frame.wire_len);
            }
        }
        Ok(true)
    }

    /// What was found in all of it.
    #[must_use]
    pub fn finish(self, signatures: &Signatures) -> Report {
        let services = self.services();
        let finding = |connection: &Connection| {
            let service = service(connection);
            let other = services.get(&service).copied().flatten();
            look(connection, other.as_ref(), signatures)
        };
        Report { counters: self.counters, findings: self.connections.iter().filter_map(finding).collect() }
    }

    /// The TTL that each service is known by, if all of its connections agree on it.
    fn services(&self) -> HashMap<Service, Option<Norm>> {
        let mut all: HashMap<Service, Option<Norm>> = HashMap::new();
        for connection in &self.connections {
            let (seen, what) = match connection.accepted() {
                Some(seen) => (seen, "SYN/ACK of another connection"),
                None => match dns::lone_answer(connection).filter(|seen| seen.is_udp) {
                    Some(seen) => (seen, "answer to another query"),
                    None => continue,
                },
            };
            let norm = Norm { ttl: seen.ttl, of_data: None, number: seen.number, what };
            all.entry(service(connection))
                .and_modify(|known| *known = known.filter(|known| known.fits(seen.ttl)))
                .or_insert(Some(norm));
        }
        all
    }
}

fn service(connection: &Connection) -> Service {
    let is_udp = connection.packets.first().is_some_and(|seen| seen.is_udp);
    (connection.server_address(), connection.server().port(), is_udp)
}

fn look(connection: &Connection, other: Option<&Norm>, signatures: &Signatures) -> Option<Finding> {
    let server = connection.server();
    let is_udp = connection.packets.first()?.is_udp;
    let (norm, mut looked) = if is_udp {
        if server.port() != 53 {
            return None;
        }
        (other.copied(), dns::look(connection, other))
    } else {
        let norm = connection.norm().or_else(|| other.copied());
        (norm, tcp::look(connection, norm.as_ref()))
    };
    let matches = by_signature(connection, &mut looked, signatures);
    let packets: Vec<Foreign> = looked
        .into_iter()
        .filter_map(|one| {
            let verdict = judge(connection, &one)?;
            Some(foreign(connection, connection.packets.get(one.at)?, one, verdict))
        })
        .collect();
    let verdict = packets.iter().map(|packet| packet.verdict).max()?;
    let (step, name) = connection.asked();
    Some(Finding {
        client: connection.client(),
        server,
        step,
        name,
        verdict,
        server_ttl: norm.map(|norm| (norm.ttl, norm.number)),
        packets,
        signatures: matches,
    })
}

/// A packet in the server's name that was looked at.
#[derive(Debug)]
pub(crate) struct Looked {
    /// Its place among the connection's packets.
    pub(crate) at: usize,
    pub(crate) kind: Kind,
    pub(crate) tells: Vec<Told>,
}

/// Holds resets, pages and answers against the signatures. Those that name equipment speak against the packets.
fn by_signature(
    connection: &Connection,
    looked: &mut [Looked],
    signatures: &Signatures,
) -> Vec<SignatureMatch> {
    let (mut resets, mut suspects, mut groups, mut pages) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (n, one) in looked.iter().enumerate() {
        let is_suspect = judge(connection, one).is_some();
        let is_page = matches!(one.kind, Kind::Data | Kind::FinData);
        pages += usize::from(is_page);
        if one.kind.is_reset() {
            resets.push(n);
            suspects.extend(is_suspect.then_some(n));
        } else if is_suspect || is_page && pages <= PAGES_MAX || one.kind == Kind::DnsAnswer {
            groups.push(vec![n]);
        }
    }
    // Resets tell together: all of them, and, as the server's own may be among them, those that are odd.
    groups.extend([resets, suspects]);
    let mut all: Vec<SignatureMatch> = Vec::new();
    for group in groups {
        let specimens: Vec<Specimen> =
            group.iter().filter_map(|n| specimen(connection, looked.get(*n)?)).collect();
        for (found, of) in signatures.matches(&specimens) {
            if all.iter().any(|known| known.id == found.id) {
                continue;
            }
            if let Some(vendor) = &found.vendor {
                let values = format!("{vendor}: {}", found.features.join(", "));
                for n in of.into_iter().filter_map(|at| group.get(at)) {
                    let Some(one) = looked.get_mut(*n) else { continue };
                    one.tells.push(Told::of(Tell::Signature, values.clone(), Vec::new()));
                }
            }
            all.push(found);
        }
    }
    all
}

fn specimen(connection: &Connection, one: &Looked) -> Option<Specimen> {
    let seen = connection.packets.get(one.at)?;
    let answer = if seen.is_udp { dns::read(seen.payload()) } else { None };
    let acked = seen.before.client_acked.filter(|_| seen.is_reset());
    Some(Specimen {
        kind: one.kind,
        ttl: seen.ttl,
        ip_id: seen.ip_id,
        dont_fragment: seen.dont_fragment,
        window: (!seen.is_udp).then_some(seen.tcp.window),
        seq_offset: acked.map(|acked| seen.tcp.seq.wrapping_sub(acked)),
        seq: (!seen.is_udp).then_some(seen.tcp.seq),
        payload: seen.payload().to_vec(),
        payload_len: seen.payload_len,
        dns_ttl: answer.as_ref().and_then(|answer| answer.ttl),
        addresses: answer.map(|answer| answer.addresses).unwrap_or_default(),
    })
}

/// What tells come to: injected if no one harmless cause explains all of them.
fn judge(connection: &Connection, one: &Looked) -> Option<Verdict> {
    if is_ordinary(connection, one.kind) && !one.tells.iter().any(|told| told.tell.doubts_data()) {
        return None;
    }
    let mut strong = one.tells.iter().filter(|told| !told.tell.is_weak());
    let first = strong.next()?;
    let mut common = first.benign.clone();
    for told in strong {
        common.retain(|cause| told.benign.contains(cause));
    }
    Some(if common.is_empty() { Verdict::Injected } else { Verdict::Suspect })
}

/// Whether a packet is as most are: data, and ends. A page that is all that ever comes is not.
fn is_ordinary(connection: &Connection, kind: Kind) -> bool {
    match kind {
        Kind::Data | Kind::FinAck => true,
        Kind::FinData => connection.of_server().filter(|seen| seen.payload_len > 0).count() > 1,
        Kind::Rst | Kind::RstAck | Kind::SynAck | Kind::DnsAnswer => false,
    }
}

fn foreign(connection: &Connection, seen: &Seen, looked: Looked, verdict: Verdict) -> Foreign {
    let reason = connection.answered_by(seen);
    Foreign {
        number: seen.number,
        ts_ns: seen.ts_ns,
        verdict,
        kind: looked.kind,
        ip_ttl: seen.ttl,
        ip_id: seen.ip_id,
        dont_fragment: seen.dont_fragment,
        window: (!seen.is_udp).then_some(seen.tcp.window),
        after_ms: reason.map(|reason| seen.since_ns(reason) as f64 / 1e6),
        tells: looked.tells,
        bytes: seen.bytes.clone(),
    }
}
