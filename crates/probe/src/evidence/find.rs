//! Which of a measurement's packets are not the servers', as it is written down.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use daylight_injection::{Analysis, Finding, Foreign, Kind, Report, Signatures, Step};
use daylight_packet::{Decoded, Decoder, LinkType};
use daylight_verdict::extras::{InjectedPacket, SignatureMatch, TraceStep};

use super::recorder::Kept;

/// So many are written into a measurement: one of each kind for a connection.
const INJECTED_MAX: usize = 32;
/// So many connections go into the capture.
const CONNECTIONS_MAX: usize = 32;
/// So many packets of each, beside those that are not the server's.
const PACKETS_MAX: usize = 64;

/// A packet that is kept as evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When it was heard, in nanoseconds since 1970.
    pub ts_ns: i64,
    /// How many bytes it had.
    pub wire_len: u32,
    /// Its first bytes, from the IP header on.
    pub bytes: Vec<u8>,
    /// The probe's own address in it.
    pub own: IpAddr,
    /// What speaks against it, if it is not the server's.
    pub comment: Option<String>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) injected: Vec<InjectedPacket>,
    /// The connections that they came in.
    pub(crate) packets: Vec<Packet>,
}

/// Looks through a measurement's packets.
pub(crate) fn find(kept: Vec<Kept>) -> Found {
    // Ours do what their vectors say, as a test makes sure.
    let Ok(signatures) = Signatures::own() else { return Found::default() };
    let mut analysis = Analysis::new();
    for packet in &kept {
        analysis.add(LinkType::RAW, &packet.bytes, packet.ts_ns, packet.wire_len);
    }
    let report = analysis.finish(&signatures);
    let injected = report.findings.iter().flat_map(written).take(INJECTED_MAX).collect();
    Found { injected, packets: evidence(&report, kept) }
}

/// The foreign packets of a connection, those of one kind together.
fn written(finding: &Finding) -> Vec<InjectedPacket> {
    let mut seen: HashSet<Kind> = HashSet::new();
    let firsts = finding.packets.iter().filter(|packet| seen.insert(packet.kind));
    firsts.map(|packet| one(finding, packet)).collect()
}

fn one(finding: &Finding, packet: &Foreign) -> InjectedPacket {
    let alike = || finding.packets.iter().filter(|other| other.kind == packet.kind);
    let mut tells: Vec<String> =
        alike().flat_map(|other| &other.tells).map(|told| told.tell.as_str().to_owned()).collect();
    tells.sort_unstable();
    tells.dedup();
    let verdict = alike().map(|other| other.verdict).max().unwrap_or(packet.verdict);
    let signatures = finding.signatures.iter().map(|one| SignatureMatch {
        id: one.id.clone(),
        vendor: one.vendor.clone(),
        features: one.features.clone(),
    });
    InjectedPacket {
        step: match finding.step {
            Step::Dns => TraceStep::Dns,
            Step::Tcp => TraceStep::Tcp,
            Step::Tls => TraceStep::Tls,
            Step::Http => TraceStep::Http,
            Step::Quic => TraceStep::Quic,
        },
        address: finding.server.to_string(),
        name: finding.name.clone(),
        own_port: Some(finding.client.port()),
        verdict: verdict.as_str().to_owned(),
        kind: packet.kind.as_str().to_owned(),
        ip_ttl: Some(packet.ip_ttl),
        server_ip_ttl: finding.server_ttl.map(|(ttl, _)| ttl),
        ip_id: packet.ip_id,
        dont_fragment: packet.dont_fragment,
        window: packet.window,
        copies: u32::try_from(alike().count()).unwrap_or(u32::MAX),
        after_ms: packet.after_ms,
        tells,
        signatures: signatures.collect(),
    }
}

/// The packets of the connections that something is wrong with.
fn evidence(report: &Report, kept: Vec<Kept>) -> Vec<Packet> {
    let mut ends: HashMap<[SocketAddr; 2], usize> = HashMap::new();
    for finding in report.findings.iter().take(CONNECTIONS_MAX) {
        let mut pair = [finding.client, finding.server];
        pair.sort_unstable();
        ends.insert(pair, 0);
    }
    let comments: HashMap<u64, String> = report
        .findings
        .iter()
        .flat_map(|finding| finding.packets.iter().map(|packet| (packet.number, comment(finding, packet))))
        .collect();
    let numbered = kept.into_iter().zip(1u64..);
    numbered
        .filter_map(|(kept, number)| {
            let comment = comments.get(&number).cloned();
            let count = ends.get_mut(&pair(&kept)?)?;
            *count += 1;
            (*count <= PACKETS_MAX || comment.is_some()).then_some(Packet {
                ts_ns: kept.ts_ns,
                wire_len: kept.wire_len,
                bytes: kept.bytes,
                own: kept.own,
                comment,
            })
        })
        .collect()
}

fn pair(kept: &Kept) -> Option<[SocketAddr; 2]> {
    let decoded = Decoder::new().decode(LinkType::RAW, &kept.bytes, kept.ts_ns, kept.wire_len);
    let Decoded::Packet(packet) = decoded else { return None };
    let [low, high] = packet.key.ports;
    let mut pair =
        [SocketAddr::new(packet.key.address(0), low), SocketAddr::new(packet.key.address(1), high)];
    pair.sort_unstable();
    Some(pair)
}

/// What is said of a packet in the capture.
fn comment(finding: &Finding, packet: &Foreign) -> String {
    let tells: Vec<String> =
        packet.tells.iter().map(|told| format!("{}: {}", told.tell.as_str(), told.values)).collect();
    let name = finding.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    format!("{}{name}: {}", packet.verdict.as_str(), tells.join("; "))
}
