//! What is known of a flow that goes on.

use std::sync::Arc;

use daylight_flow::{Flow, FlowIndex};

use super::Shard;
use super::flow::{Flags, Hot, record};
use crate::chunk::Entry;
use crate::config::Config;
use crate::record::{EndReason, FlowRecord};

impl Shard {
    /// Goes on with another configuration.
    pub(crate) fn configure(&mut self, config: Arc<Config>) {
        self.core = config.core;
        self.config = config;
    }

    pub(crate) fn find(&self, entry: &Entry) -> Option<FlowIndex> {
        self.table.find(entry.hash, &entry.packet.key)
    }

    pub(crate) fn flow(&self, index: FlowIndex) -> &Flow<Hot> {
        &self.table[index]
    }

    /// A record of the flow as it stands, and the place of its first packet.
    pub(crate) fn snapshot(&self, index: FlowIndex) -> (u64, Box<FlowRecord>) {
        let flow = &self.table[index];
        let found = flow.x.found.as_deref().cloned().unwrap_or_default();
        (flow.first_packet, record(&self.config, &self.capture, flow, found, EndReason::Active))
    }

    pub(crate) fn is_settled(&self, index: FlowIndex) -> bool {
        let hot = &self.table[index].x;
        hot.work.is_none() && hot.flags.has(Flags::PAYLOAD) && !hot.flags.has(Flags::RESTING)
    }

    pub(crate) fn stamp(&self, index: FlowIndex) -> u32 {
        let hot = &self.table[index].x;
        let (fields, risks) =
            hot.found.as_ref().map_or((0, 0), |f| (f.findings.fields.len(), f.findings.risks.len()));
        let settled = u32::from(self.is_settled(index));
        // Never 0: before the first look nothing is known.
        (hot.label as u32) << 20 ^ (fields as u32) << 8 ^ (risks as u32) << 2 ^ settled << 1 | 1
    }

    pub(crate) fn note(&self, index: FlowIndex) -> u64 {
        self.table[index].x.found.as_ref().map_or(0, |found| found.note)
    }

    pub(crate) fn set_carried(&mut self, index: FlowIndex) {
        self.table[index].x.flags.set(Flags::CARRIED, true);
    }

    pub(crate) fn set_note(&mut self, index: FlowIndex, note: u64) {
        self.table[index].x.found.get_or_insert_default().note = note;
    }
}
