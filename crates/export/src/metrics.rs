//! What an inspector does, for Prometheus.
//!
//! The values are those that others keep: a [`Gauges`] is filled each time somebody asks, and written in the OpenMetrics
//! form. Labels are bounded: risks, protocols and applications are declared, interfaces and destinations configured;
//! of applications only [`APPLICATIONS_MAX`] are told apart, the busiest.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use crate::carry::Status;
use crate::exporter::UploadStatus;
use crate::spool::SpoolCounters;

/// Applications that are told apart.
pub const APPLICATIONS_MAX: usize = 100;

/// What an interface has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Packets taken in.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Packets that the kernel dropped for want of room.
    pub dropped: u64,
}

/// Flows and bytes of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Flows that have ended.
    pub flows: u64,
    /// Their bytes on the wire, both ways.
    pub bytes: u64,
}

/// Everything that is told, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// The sensor's name.
    pub sensor: String,
    /// By interface.
    pub interfaces: BTreeMap<String, Interface>,
    /// Flows that are followed now.
    pub flows_active: u64,
    /// What could not be kept, by the engine's counters: `flows_over_budget` ….
    pub lost: BTreeMap<&'static str, u64>,
    /// By the protocol's name.
    pub protocols: BTreeMap<&'static str, Traffic>,
    /// By the application's name.
    pub applications: BTreeMap<String, Traffic>,
    /// Flows that have it, by the risk's name and severity.
    pub risks: BTreeMap<(&'static str, &'static str), u64>,
    /// The spool, if there is one.
    pub spool: Option<SpoolCounters>,
    /// The destinations.
    pub destinations: Vec<Status>,
    /// Those that files are copied to.
    pub uploads: Vec<UploadStatus>,
}

type Labels = Vec<(&'static str, String)>;

/// Adds a metric with a value for each set of labels.
struct Writer<'a>(&'a mut Registry);

impl Writer<'_> {
    fn counter(&mut self, name: &str, help: &str, values: impl Iterator<Item = (Labels, u64)>) {
        use prometheus_client::metrics::counter::Counter;
        let family = Family::<Labels, Counter<u64, AtomicU64>>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.0.register(name, help, family);
    }

    fn gauge(&mut self, name: &str, help: &str, values: impl Iterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Gauge<u64, AtomicU64>>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }
}

impl Gauges {
    /// The metrics as text, in the OpenMetrics form.
    pub fn text(&self) -> String {
        let labels = vec![("sensor".into(), self.sensor.clone().into())];
        let mut registry = Registry::with_prefix_and_labels("daylight", labels.into_iter());
        self.traffic(&mut Writer(&mut registry));
        self.export(&mut Writer(&mut registry));
        registry.register("flows_active", "Flows that are followed now", ConstGauge::new(self.flows_active));
        if let Some(spool) = self.spool {
            registry.register_with_unit(
                "spool_disk",
                "Size of the spool",
                Unit::Bytes,
                ConstGauge::new(spool.bytes),
            );
            for (name, help, value) in [
                ("spool_records_handed_over", "Records handed to the spool", spool.handed_over),
                ("spool_records_written", "Records written to the spool", spool.spooled),
                ("spool_records_unwritten", "Records that the spool could not write", spool.unwritten),
            ] {
                registry.register(name, help, ConstCounter::new(value));
            }
        }
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = encode(&mut text, &registry);
        text
    }

    fn traffic(&self, to: &mut Writer<'_>) {
        let interfaces = |value: fn(&Interface) -> u64| {
            self.interfaces.iter().map(move |(name, seen)| (vec![("interface", name.clone())], value(seen)))
        };
        to.counter("packets", "Packets taken in", interfaces(|seen| seen.packets));
        to.counter("bytes", "Bytes on the wire", interfaces(|seen| seen.bytes));
        to.counter("packets_dropped", "Packets that the kernel dropped", interfaces(|seen| seen.dropped));
        let lost = self.lost.iter().map(|(name, value)| (vec![("what", (*name).to_owned())], *value));
        to.counter("lost", "What could not be kept for want of room, by kind", lost);
        let protocols = |value: fn(&Traffic) -> u64| {
            self.protocols
                .iter()
                .map(move |(name, seen)| (vec![("protocol", (*name).to_owned())], value(seen)))
        };
        to.counter("protocol_flows", "Flows that have ended, by protocol", protocols(|seen| seen.flows));
        to.counter(
            "protocol_bytes",
            "Bytes of flows that have ended, by protocol",
            protocols(|seen| seen.bytes),
        );
        let mut applications: Vec<_> = self.applications.iter().collect();
        applications.sort_by_key(|(name, seen)| (std::cmp::Reverse(seen.bytes), *name));
        let (told, rest) = applications.split_at(applications.len().min(APPLICATIONS_MAX));
        let rest = rest.iter().fold(Traffic::default(), |all, (_, seen)| Traffic {
            flows: all.flows + seen.flows,
            bytes: all.bytes + seen.bytes,
        });
        let others = (rest != Traffic::default()).then_some(("(others)".to_owned(), rest));
        let told: Vec<_> = told.iter().map(|(name, seen)| ((*name).clone(), **seen)).chain(others).collect();
        let told = |value: fn(&Traffic) -> u64| {
            told.iter().map(move |(name, seen)| (vec![("application", name.clone())], value(seen)))
        };
        to.counter("application_flows", "Flows that have ended, by application", told(|seen| seen.flows));
        to.counter(
            "application_bytes",
            "Bytes of flows that have ended, by application",
            told(|seen| seen.bytes),
        );
        let risks = self.risks.iter().map(|((risk, severity), flows)| {
            (vec![("risk", (*risk).to_owned()), ("severity", (*severity).to_owned())], *flows)
        });
        to.counter("risk_flows", "Flows that have a risk", risks);
    }

    fn export(&self, to: &mut Writer<'_>) {
        let each = |value: fn(&Status) -> u64| {
            self.destinations.iter().map(move |status| {
                (vec![("destination", status.name.clone()), ("kind", status.kind.to_owned())], value(status))
            })
        };
        to.counter("export_sent", "Records sent, those sent again included", each(|s| s.sent));
        to.counter("export_acknowledged", "Records that have arrived", each(|s| s.reader.acknowledged));
        to.counter(
            "export_dropped",
            "Records dropped before they were sent: the spool was full",
            each(|s| s.reader.dropped),
        );
        to.counter("export_spoilt", "Records that the spool's disk spoilt", each(|s| s.reader.spoilt));
        to.counter(
            "export_refused",
            "Records that the destination will never take",
            each(|s| s.refused + s.held_back.refused),
        );
        to.counter("export_retries", "Batches that were sent again", each(|s| s.retries));
        to.counter(
            "export_limited",
            "Alarms left out because there were too many",
            each(|s| s.held_back.limited),
        );
        to.counter(
            "export_repeated",
            "Alarms counted together with an earlier one",
            each(|s| s.held_back.repeated),
        );
        to.gauge("export_lag", "Records that wait", each(|s| s.reader.lag));
        to.gauge("export_failing", "1 if the last attempt failed", each(|s| s.error.is_some().into()));
        let uploads = |value: fn(&UploadStatus) -> u64| {
            self.uploads.iter().map(move |status| (vec![("destination", status.name.clone())], value(status)))
        };
        to.counter("upload_files", "Files copied to object storage", uploads(|s| s.total.copied));
        to.counter("upload_bytes", "Bytes copied to object storage", uploads(|s| s.total.bytes));
        to.gauge("upload_failing", "1 if the last attempt failed", uploads(|s| s.error.is_some().into()));
    }
}
