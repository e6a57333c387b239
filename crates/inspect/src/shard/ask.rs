//! What is known of a flow that goes on.

use std::sync::Arc;

use daylight_flow::{Flow, FlowIndex};
use daylight_packet::{FlowKey, Packet, TransportKind};

use super::doubt::Looks;
use super::flow::{Flags, Found, Hot, record};
use super::{Shard, doubt, sender_is_client};
use crate::config::Config;
use crate::record::{EndReason, FlowRecord};

impl Shard {
    /// Goes on with another configuration.
    pub(crate) fn configure(&mut self, config: Arc<Config>) {
        self.core = config.core;
        self.config = config;
    }

    pub(crate) fn find(&self, hash: u64, key: &FlowKey) -> Option<FlowIndex> {
        self.table.find(hash, key)
    }

    pub(crate) fn flow(&self, index: FlowIndex) -> &Flow<Hot> {
        &self.table[index]
    }

    /// A record of the flow as it stands, and the place of its first packet.
    pub(crate) fn snapshot(&self, index: FlowIndex) -> (u64, Box<FlowRecord>) {
        let flow = &self.table[index];
        let found = flow.x.found.as_deref().cloned().unwrap_or_default();
        (flow.first_packet, record(&self.config, &self.origins, flow, found, EndReason::Active))
    }

    /// Records of the flows that went on since the last call, and of some that are new.
    pub(crate) fn report(&mut self) -> Vec<(u64, Box<FlowRecord>)> {
        let mut busy = std::mem::take(&mut self.busy);
        busy.sort_unstable();
        busy.dedup();
        let reports = busy.iter().filter(|index| self.table[**index].hash() != 0);
        let reports = reports.map(|index| self.snapshot(*index)).collect();
        busy.clear();
        self.busy = busy;
        reports
    }

    /// A record of the flow that this packet would begin.
    pub(crate) fn stranger(&self, packet: &Packet) -> Box<FlowRecord> {
        let client_is_low = sender_is_client(packet) == packet.from_low;
        let mut flow = Flow::new(packet.key, client_is_low, packet.ts_ns, 0, Hot::default());
        flow.count(packet);
        record(&self.config, &self.origins, &flow, Found::default(), EndReason::Active)
    }

    pub(crate) fn is_settled(&self, index: FlowIndex) -> bool {
        let hot = &self.table[index].x;
        let read = hot.work.as_ref().is_none_or(|work| work.is_over());
        read && hot.flags.has(Flags::PAYLOAD) && !hot.flags.has(Flags::RESTING)
    }

    /// Takes note of what a packet looks like, from its IP header on: of TCP that is not in a tunnel, until its flow was decided
    /// on.
    pub(crate) fn weigh(&mut self, index: FlowIndex, packet: &Packet, ip: &[u8]) {
        let flow = &mut self.table[index];
        if packet.key.protocol != TransportKind::TCP
            || packet.key.tunnel != 0
            || flow.x.flags.has(Flags::DECIDED)
        {
            return;
        }
        let from = usize::from(!flow.is_from_client(packet));
        let caught_up = flow.sides[1 - from].next_seq().is_none_or(|next| next == packet.tcp.ack);
        let looks = flow.x.found.get_or_insert_default().looks.get_or_insert_default();
        doubt::weigh(looks, from, packet, ip, caught_up);
    }

    /// True if bytes of the flow may never be taken by whoever they are for.
    pub(crate) fn is_in_doubt(&self, index: FlowIndex) -> bool {
        let looks = self.table[index].x.found.as_ref().and_then(|found| found.looks.as_ref());
        looks.is_some_and(|looks| looks.iter().any(Looks::are_doubtful))
    }

    /// Somebody has decided on the flow: frees what is only kept to compare with what comes again.
    pub(crate) fn let_go(&mut self, index: FlowIndex) {
        let hot = &mut self.table[index].x;
        hot.flags.set(Flags::DECIDED, true);
        if let Some(found) = &mut hot.found {
            found.looks = None;
        }
        self.conclude(index);
        if let Some(work) = &mut self.table[index].x.work {
            self.held_bytes = self.held_bytes.saturating_sub(work.held_bytes());
            work.settle();
            self.held_bytes += work.held_bytes();
        }
    }

    /// Frees the streams of a flow of which nothing more is read. For flows that [are in doubt](Self::is_in_doubt) they are kept
    /// on, as they tell what comes again in other words.
    pub(crate) fn conclude(&mut self, index: FlowIndex) {
        let hot = &mut self.table[index].x;
        let Some(work) = hot.work.take_if(|work| work.is_over()) else { return };
        self.held_bytes = self.held_bytes.saturating_sub(work.held_bytes());
        if let Some(found) = &mut hot.found {
            found.conclude(&work);
        }
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
