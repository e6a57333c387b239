//! Where the records of a link go.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Result;
use daylight_export::Exporter;
use daylight_inspect::{EventRecord, FlowRecord, KeptPackets, RecordSink};
use daylight_sensor::Status;
use daylight_sensor::evidence::Evidence;
use daylight_store::folder::StoreWriter;
use daylight_store::{StoreError, Writer};
use daylight_watch::Feed;
use daylight_watch::board::{Counter, Gauges, Interface};

use super::totals::Totals;

/// So long what is on its way elsewhere may take at the end.
const PATIENCE: Duration = Duration::from_secs(3);

/// All of them. Each has its own way to be slow without that the others wait.
pub(super) struct Sinks {
    pub(super) feed: Feed,
    pub(super) store: Option<StoreWriter>,
    pub(super) evidence: Option<Evidence>,
    pub(super) export: Option<(daylight_export::Sink, Exporter)>,
    pub(super) records: Option<Box<dyn Writer>>,
    pub(super) totals: Totals,
    /// What was said last of the store, of the packets, and of the spool.
    pub(super) told: [String; 3],
}

impl RecordSink for Sinks {
    fn flow(&mut self, record: Box<FlowRecord>) {
        if let Some(records) = &mut self.records {
            records.flow(record.clone());
        }
        if let Some(store) = &mut self.store {
            store.flow(record.clone());
        }
        if let Some((export, _)) = &mut self.export {
            export.flow(record.clone());
        }
        self.totals.count(&record);
        self.feed.flow(record);
    }

    fn progress(&mut self, record: Box<FlowRecord>) {
        self.feed.progress(record);
    }

    fn packets(&mut self, record: &FlowRecord, packets: KeptPackets) {
        if let Some(evidence) = &mut self.evidence {
            evidence.flow(record, &packets);
        }
    }

    fn event(&mut self, event: EventRecord) {
        let _ = event;
    }

    fn is_closed(&self) -> bool {
        self.records.as_ref().is_some_and(|records| records.is_closed())
    }
}

impl Sinks {
    /// A second has passed.
    pub(super) fn tick(&mut self, now_ns: i64, status: &Status, limits: [usize; 3]) {
        let mut gauges = gauges(status, limits);
        let mut problems = [None, None, None];
        if let Some(store) = &mut self.store {
            store.tick(now_ns);
            let counters = store.counters();
            gauges.counters.push(good("records kept", counters.rows));
            let advice = "the store's disk is full, not writable or too slow: make room, or see the log";
            gauges.counters.push(bad("records not kept", counters.rows_lost, advice));
            problems[0] = store.first_error();
        }
        if let Some(evidence) = &mut self.evidence {
            evidence.flush();
            let counters = evidence.counters();
            gauges.counters.push(good("packets written", counters.packets));
            let advice = "make room where --write points to";
            gauges.counters.push(bad("packets not written", counters.failed, advice));
            problems[1] = evidence.take_error().map(|error| error.to_string());
        }
        if let Some((_, export)) = &self.export {
            for status in export.statuses() {
                let advice =
                    "the destination was away for longer than the spool has room: enlarge its budget_mib";
                gauges
                    .counters
                    .push(good(&format!("{}: acknowledged", status.name), status.reader.acknowledged));
                gauges.counters.push(bad(
                    &format!("{}: dropped", status.name),
                    status.reader.dropped,
                    advice,
                ));
            }
            let advice = "the spool's disk is full or not writable: make room";
            gauges.counters.push(bad("records not spooled", export.spool().unwritten, advice));
            problems[2] = export.spool_error();
        }
        self.totals.tell(status, self.export.as_ref().map(|(_, export)| export));
        for (told, problem) in self.told.iter_mut().zip(problems) {
            if let Some(problem) = problem.filter(|problem| problem != told) {
                let _ = writeln!(io::stderr(), "daylight: {problem}; going on");
                *told = problem;
            }
        }
        self.feed.tick(now_ns, gauges);
    }

    /// Writes what is held.
    pub(super) fn finish(mut self) -> Result<()> {
        let written = self.records.take().map_or(Ok(0), |mut records| records.finish());
        if let Some((_, export)) = self.export.take() {
            for status in export.finish(PATIENCE) {
                let waiting = status.reader.lag;
                if waiting > 0 {
                    let why = status.error.map_or_else(String::new, |error| format!(" ({error})"));
                    let name = status.name;
                    let _ = writeln!(
                        io::stderr(),
                        "daylight: {name}: {waiting} records wait in the spool for the next start{why}"
                    );
                }
            }
        }
        let kept = self.store.take().map_or(Ok(0), |mut store| store.finish());
        if let Some(evidence) = &mut self.evidence {
            evidence.flush();
            if let Some(error) = evidence.take_error() {
                return Err(error.into());
            }
        }
        kept?;
        match written {
            Err(error) if error.is_closed_pipe() => Ok(()),
            other => other.map(drop).map_err(StoreError::into),
        }
    }
}

fn good(name: &str, value: u64) -> Counter {
    Counter { name: name.into(), value, ..Counter::default() }
}

fn bad(name: &str, value: u64, advice: &str) -> Counter {
    Counter { name: name.into(), value, is_bad: true, advice: advice.into() }
}

/// How the sensor stands, as the board has it; with the most flows, bytes of segments and bytes of fragments there may be.
fn gauges(status: &Status, [flows, reassembly, fragments]: [usize; 3]) -> Gauges {
    let interfaces = status.interfaces.iter().map(|interface| Interface {
        name: interface.name.clone(),
        is_up: interface.up,
        received: interface.counters.received,
        dropped_by_kernel: interface.counters.dropped,
        ..Interface::default()
    });
    let fleet = &status.fleet;
    Gauges {
        packets: fleet.frames.frames,
        bytes: fleet.frames.bytes,
        interfaces: interfaces.collect(),
        flows_open: fleet.flows as u64,
        flows_max: flows as u64,
        reassembly_bytes: fleet.reassembly_bytes as u64,
        reassembly_bytes_max: reassembly as u64,
        fragment_bytes_max: fragments as u64,
        flows_over_budget: fleet.shards.flows_over_budget,
        parser_panics: fleet.shards.parser_panics,
        facts_forgotten: fleet.facts_forgotten,
        counters: vec![
            bad(
                "records lost",
                status.records_lost,
                "what records are written to is too slow: write fewer, or to a faster disk",
            ),
            bad(
                "packets not passed on",
                fleet.packets_not_passed_on,
                "one engine has much more to do than the others: a tunnel that all traffic is in, for instance",
            ),
            bad(
                "packets forgotten",
                fleet.packets_not_kept,
                "there was no memory to keep them until their flow was over: fewer flows are written with --write",
            ),
        ],
        ..Gauges::default()
    }
}
