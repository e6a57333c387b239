//! What was seen since the start, for Prometheus.

use std::sync::{Arc, Mutex, PoisonError};

use daylight_export::Exporter;
use daylight_export::metrics::{Gauges, Interface};
use daylight_inspect::FlowRecord;
use daylight_sensor::Status;

/// Counts flows as they end, and keeps what is told of everything else.
pub(super) struct Totals {
    counted: Gauges,
    /// As it was a second ago at most.
    told: Arc<Mutex<Gauges>>,
}

impl Totals {
    pub(super) fn new(sensor: &str) -> Self {
        Self { counted: Gauges { sensor: sensor.into(), ..Gauges::default() }, told: Arc::default() }
    }

    /// What makes the metrics' text.
    pub(super) fn text(&self) -> impl Fn() -> String + Send + Sync + 'static {
        let told = Arc::clone(&self.told);
        move || told.lock().unwrap_or_else(PoisonError::into_inner).text()
    }

    /// A flow, or a part of one, is over.
    pub(super) fn count(&mut self, record: &FlowRecord) {
        let bytes = record.src.bytes + record.dst.bytes;
        let protocol = self.counted.protocols.entry(record.protocol.name()).or_default();
        protocol.flows += 1;
        protocol.bytes += bytes;
        if let Some(name) = record.application {
            if !self.counted.applications.contains_key(name) {
                self.counted.applications.insert(name.to_owned(), Default::default());
            }
            if let Some(application) = self.counted.applications.get_mut(name) {
                application.flows += 1;
                application.bytes += bytes;
            }
        }
        for found in record.risks() {
            *self.counted.risks.entry((found.risk.name, found.risk.severity.name())).or_default() += 1;
        }
    }

    /// A second has passed.
    pub(super) fn tell(&mut self, status: &Status, export: Option<&Exporter>) {
        let counted = &mut self.counted;
        for interface in &status.interfaces {
            let counters = interface.counters;
            counted.interfaces.insert(
                interface.name.clone(),
                Interface { packets: counters.received, bytes: counters.bytes, dropped: counters.dropped },
            );
        }
        let fleet = &status.fleet;
        counted.flows_active = fleet.flows as u64;
        for (name, lost) in [
            ("flows_over_budget", fleet.shards.flows_over_budget),
            ("facts_forgotten", fleet.facts_forgotten),
            ("parser_panics", fleet.shards.parser_panics),
            ("packets_not_passed_on", fleet.packets_not_passed_on),
            ("records_lost", status.records_lost),
        ] {
            counted.lost.insert(name, lost);
        }
        if let Some(export) = export {
            counted.spool = Some(export.spool());
            counted.destinations = export.statuses();
            counted.uploads = export.uploads();
        }
        counted.clone_into(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
