//! What a shard keeps of a flow, and the record that becomes of it.

use std::sync::Arc;

use daylight_flow::{Flow, FlowHasher, community_id};
use daylight_packet::{Issues, Packet};
use daylight_protocols::{Confidence, Findings, ProtocolId};

use super::doubt::Looks;
use super::job::Work;
use crate::config::Config;
use crate::record::{Counters, EndReason, Ends, FlowRecord, Spans, Uid};
use crate::risks;

/// The hot part of a flow that the engine keeps.
#[derive(Default)]
pub(crate) struct Hot {
    /// What was found; made with the first payload.
    pub(super) found: Option<Box<Found>>,
    /// What is still owed to the flow; `None` once nothing is, and packets are only counted.
    pub(super) work: Option<Box<Work>>,
    /// The group of its last packet.
    pub(super) last_group: u32,
    pub(crate) label: ProtocolId,
    pub(super) flags: Flags,
    /// Which of the shard's origins its first packet came from.
    pub(super) origin: u8,
}

/// Booleans in a byte: the hot state has not one to spare.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags(u8);

impl Flags {
    /// A SYN or the protocol proved which side is the client.
    pub(super) const CLIENT_IS_CERTAIN: u8 = 1;
    /// Both sides were seen to speak the protocol.
    pub(super) const CONFIRMED: u8 = 2;
    /// A payload was seen.
    pub(super) const PAYLOAD: u8 = 4;
    /// The parser is gone until the next payload.
    pub(super) const RESTING: u8 = 8;
    /// Somebody else carries the flow on, unseen: its end, too.
    pub(super) const CARRIED: u8 = 16;
    /// Whoever decides on flows has decided on this one.
    pub(super) const DECIDED: u8 = 32;

    pub(super) fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    pub(super) fn set(&mut self, flag: u8, on: bool) {
        self.0 = if on { self.0 | flag } else { self.0 & !flag };
    }
}

const _: () =
    assert!(size_of::<Flow<Hot>>() <= 192, "the hot state of a flow must stay within three cache lines");

/// What was found, out of line.
#[derive(Clone, Default)]
pub(super) struct Found {
    pub(super) findings: Findings,
    pub(super) tunnel: Option<Box<str>>,
    pub(super) spans: Option<Box<[Option<Spans>; 2]>>,
    pub(super) entropy: Option<f32>,
    pub(super) issues: Issues,
    pub(super) conflict: bool,
    /// TCP: each side's last segment when nothing more was owed, for comparing what is sent again after that.
    pub(super) last: [Option<Segment>; 2],
    /// Of a payload that nobody knew.
    pub(super) unidentified_entropy: Option<f32>,
    /// The name under which the flow's earlier parts were written.
    pub(super) uid: Option<Uid>,
    /// Whoever decides on the flow as it goes keeps its decision here.
    pub(super) note: u64,
    /// TCP, for whoever decides: the client's segments and the server's.
    pub(super) looks: Option<Box<[Looks; 2]>>,
}

impl Found {
    /// Nothing more is owed to the flow: keeps what later segments are compared with.
    pub(super) fn conclude(&mut self, work: &Work) {
        self.conflict |= work.is_conflicting();
        self.last = work.last;
    }
}

/// A segment, as far as it takes to tell whether another with its sequence number is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) seq: u32,
    pub(super) head: [u8; 16],
}

impl Segment {
    pub(super) fn new(packet: &Packet, payload: &[u8]) -> Option<Self> {
        Some(Self { seq: packet.tcp.seq, head: *payload.first_chunk()? })
    }
}

/// Where packets come from, as records name it.
pub(crate) struct Origin {
    name: Arc<str>,
    /// Goes into the names of its flows.
    seed: u64,
}

impl Origin {
    /// A capture of this name, or an interface; whose flows must not have the names of flows seen there at other times has a
    /// salt of its own.
    pub(crate) fn new(name: &str, salt: u64) -> Self {
        // FNV-1a.
        let seed = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Self { name: name.into(), seed: seed ^ salt }
    }

    /// A shard has one at least.
    fn of<'a>(origins: &'a [Self], flow: &Flow<Hot>) -> &'a Self {
        origins.get(usize::from(flow.x.origin)).unwrap_or(&origins[0])
    }
}

pub(super) fn ends(origins: &[Origin], flow: &Flow<Hot>) -> Ends {
    ends_of(origins, flow, uid(origins, flow))
}

fn ends_of(origins: &[Origin], flow: &Flow<Hot>, uid: Uid) -> Ends {
    let [client, server] = if flow.client_is_low { [0, 1] } else { [1, 0] };
    Ends {
        capture: Arc::clone(&Origin::of(origins, flow).name),
        ip_protocol: flow.key.protocol,
        src_ip: flow.key.address(client),
        src_port: flow.key.ports[client],
        dst_ip: flow.key.address(server),
        dst_port: flow.key.ports[server],
        uid,
    }
}

/// The same flow of the same capture has the same name on every run: it must not depend on the table's seed.
pub(super) fn uid(origins: &[Origin], flow: &Flow<Hot>) -> Uid {
    if let Some(uid) = flow.x.found.as_ref().and_then(|f| f.uid) {
        return uid;
    }
    // The origin's seed, then the key and the first packet's place.
    let seed = Origin::of(origins, flow).seed;
    let hasher = FlowHasher::with_seed(seed ^ flow.first_packet.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let first = hasher.hash(&flow.key);
    Uid::new([first, FlowHasher::with_seed(first).hash(&flow.key)])
}

pub(super) fn measure(spans: &mut Option<Spans>, packet: &Packet) {
    match spans {
        None => {
            *spans = Some(Spans {
                size_min: packet.frame_len,
                size_max: packet.frame_len,
                gap_min_ns: i64::MAX,
                gap_max_ns: 0,
                last_ns: packet.ts_ns,
            });
        }
        Some(s) => {
            s.size_min = s.size_min.min(packet.frame_len);
            s.size_max = s.size_max.max(packet.frame_len);
            let gap = packet.ts_ns.saturating_sub(s.last_ns).max(0);
            s.gap_min_ns = s.gap_min_ns.min(gap);
            s.gap_max_ns = s.gap_max_ns.max(gap);
            s.last_ns = packet.ts_ns;
        }
    }
}

/// Shannon entropy of the bytes, in bits a byte.
pub(super) fn entropy(bytes: &[u8]) -> f32 {
    let mut counts = [0u32; 256];
    bytes.iter().for_each(|b| counts[*b as usize] += 1);
    let total = bytes.len() as f32;
    counts.iter().filter(|n| **n > 0).map(|n| *n as f32 / total).map(|p| -p * p.log2()).sum()
}

pub(super) fn record(
    config: &Config,
    origins: &[Origin],
    flow: &Flow<Hot>,
    found: Found,
    reason: EndReason,
) -> Box<FlowRecord> {
    let side = |i: usize| {
        let side = flow.sides[i];
        Counters {
            packets: side.packets.into(),
            bytes: side.frame_bytes,
            ip_bytes: side.ip_bytes,
            payload_bytes: side.payload_bytes,
        }
    };
    let [src_spans, dst_spans] = found.spans.map(|s| *s).unwrap_or_default();
    let confidence = match (flow.x.label, flow.x.flags.has(Flags::CONFIRMED)) {
        (ProtocolId::Unknown, _) => Confidence::None,
        (_, true) => Confidence::Handshake,
        (_, false) => Confidence::Payload,
    };
    let uid = found.uid.unwrap_or_else(|| uid(origins, flow));
    let mut record = Box::new(FlowRecord {
        ends: ends_of(origins, flow, uid),
        start_ns: flow.first_ns,
        end_ns: flow.last_ns,
        vlan: flow.key.vlan,
        tunnel: found.tunnel,
        community_id: config.core.community_id.then(|| community_id(&flow.key).into()),
        protocol: flow.x.label,
        confidence,
        application: None,
        category: None,
        resolved_name: None,
        found: found.findings,
        src: side(0),
        dst: side(1),
        state: flow.state(),
        reason,
        history: flow.history.text(),
        missed_bytes: flow.missed_bytes.into(),
        retransmitted: flow.retransmitted.into(),
        out_of_order: flow.out_of_order.into(),
        first_payload_entropy: found.entropy.map(Into::into),
        unidentified_entropy: found.unidentified_entropy,
        src_spans,
        dst_spans,
    });
    risks::add(&mut record, found.issues, found.conflict);
    crate::enrich::add(&mut record, config);
    record
}
