//! The latest risks with their evidence.

use std::collections::VecDeque;
use std::net::IpAddr;

use daylight_inspect::FlowRecord;
use daylight_protocols::{RiskFound, Severity};
use serde::Serialize;

use super::flows::host;
use super::state::{HOST_LEN_MAX, clip};

/// Risks that are kept of each severity, so that many small ones don't drive out a grave one.
pub const RISKS_MAX: usize = 500;
/// Risks that are looked at in one flow.
pub const RISKS_A_FLOW_MAX: usize = 32;
/// The longest evidence that is kept, in bytes.
pub const EVIDENCE_LEN_MAX: usize = 512;

/// A risk that was found. Texts are as they came from the network: who shows them makes them harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RiskRow {
    /// A number that is larger for later ones.
    pub number: u64,
    /// Time of the flow's last packet when it was told of.
    pub time_ns: i64,
    /// Which risk.
    pub name: &'static str,
    /// How much it matters.
    pub severity: &'static str,
    /// Who would have to mend it.
    pub side: &'static str,
    /// Field and value.
    pub evidence: String,
    /// What it means.
    pub help: &'static str,
    /// The flow.
    pub uid: String,
    /// Its client's address.
    pub src_ip: IpAddr,
    /// Its server's address.
    pub dst_ip: IpAddr,
    /// Its server's port.
    pub dst_port: u16,
    /// Its server's name.
    pub host: Option<String>,
    /// What it speaks.
    pub protocol: &'static str,
}

/// A ring for each severity.
#[derive(Default)]
pub(crate) struct Risks {
    rings: [VecDeque<RiskRow>; 4],
    /// How many there were.
    pub(crate) found: u64,
}

impl Risks {
    pub(crate) fn add(&mut self, record: &FlowRecord, found: &RiskFound) {
        self.found += 1;
        let ring = match found.risk.severity {
            Severity::Low => 0,
            Severity::Medium => 1,
            Severity::High => 2,
            Severity::Severe => 3,
        };
        let Some(ring) = self.rings.get_mut(ring) else { return };
        if ring.len() >= RISKS_MAX {
            ring.pop_front();
        }
        ring.push_back(RiskRow {
            number: self.found,
            time_ns: record.end_ns,
            name: found.risk.name,
            severity: found.risk.severity.name(),
            side: found.risk.side.name(),
            evidence: clip(&found.evidence, EVIDENCE_LEN_MAX).to_owned(),
            help: found.risk.help,
            uid: record.ends.uid.as_str().to_owned(),
            src_ip: record.ends.src_ip,
            dst_ip: record.ends.dst_ip,
            dst_port: record.ends.dst_port,
            host: host(record).map(|name| clip(name, HOST_LEN_MAX).to_owned()),
            protocol: record.protocol.name(),
        });
    }

    /// The gravest first, and of those the latest.
    pub(crate) fn latest(&self, rows: usize) -> Vec<RiskRow> {
        self.rings.iter().rev().flat_map(|ring| ring.iter().rev()).take(rows).cloned().collect()
    }
}
