//! How a running filter is, for people and for Prometheus.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};

/// What `daylight filter status` tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The filter's name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// When it began: RFC 3339.
    pub since: String,
    /// The policy in force.
    pub policy: PolicyStatus,
    /// What was done with packets and flows.
    pub counters: BTreeMap<String, u64>,
    /// Flows that are followed now.
    pub flows: u64,
    /// Bytes of memory in use.
    pub memory_bytes: u64,
    /// True while packets go unread since memory is short.
    pub memory_is_short: bool,
    /// What the kernel says of each queue.
    pub queues: Vec<QueueStatus>,
    /// What becomes of packets when something fails: `open` or `closed`.
    pub on_failure: BTreeMap<String, String>,
    /// What each rule has stopped since the filter began.
    pub stopped: Vec<StoppedByRule>,
    /// The public log.
    pub log: LogStatus,
    /// Lines of the operator's log of decisions that were lost.
    pub decisions_lost: u64,
}

/// The policy in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Its name.
    pub name: String,
    /// SHA-256 of its file.
    pub version: String,
    /// Since when it is in force: RFC 3339.
    pub since: String,
    /// How many rules it has.
    pub rules: u64,
    /// How many entries its lists have.
    pub list_entries: u64,
    /// Why the last reload was refused, if it was.
    pub refused: Option<String>,
}

/// A queue of the kernel's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Its number.
    pub number: u16,
    /// Packets that wait.
    pub waiting: u64,
    /// Packets dropped since it was full.
    pub dropped_full: u64,
    /// Packets dropped, or let go on, since the socket had no room.
    pub overruns: u64,
}

/// What a rule has stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoppedByRule {
    /// The rule's policy.
    pub policy: String,
    /// The rule.
    pub rule: String,
    /// Flows, or questions of a protocol of questions and answers.
    pub flows: u64,
    /// Packets that the filter itself stopped; later ones of a flow are stopped by the kernel.
    pub packets: u64,
}

/// The public log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogStatus {
    /// How many entries it has.
    pub entries: u64,
    /// With which it can be verified.
    pub key: String,
    /// What keeps counts from being told now, if something does.
    pub trouble: Option<String>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, pid, version, since, policy, .. } = self;
        writeln!(f, "{name}: runs since {since} (process {pid}, daylight {version})")?;
        writeln!(f, "policy    {} since {} ({} rules)", policy.name, policy.since, policy.rules)?;
        if let Some(why) = &policy.refused {
            writeln!(f, "          the last reload was refused: {}", why.trim_end())?;
        }
        writeln!(f, "log       {} entries", self.log.entries)?;
        if let Some(trouble) = &self.log.trouble {
            writeln!(f, "          TROUBLE: {trouble}")?;
        }
        let short = if self.memory_is_short { ", SHORT: packets go unread" } else { "" };
        writeln!(f, "memory    {} MiB{short}", self.memory_bytes >> 20)?;
        writeln!(f, "flows     {} followed now", self.flows)?;
        for (what, count) in &self.counters {
            writeln!(f, "          {count:>12} {}", what.replace('_', " "))?;
        }
        for queue in &self.queues {
            let QueueStatus { number, waiting, dropped_full, overruns } = queue;
            writeln!(
                f,
                "queue {number:<3} {waiting} wait, {dropped_full} dropped full, {overruns} overruns"
            )?;
        }
        for (cause, way) in &self.on_failure {
            writeln!(f, "if {cause}: {way}")?;
        }
        if self.decisions_lost > 0 {
            writeln!(f, "{} lines of the decision log were lost", self.decisions_lost)?;
        }
        for StoppedByRule { rule, flows, packets, .. } in &self.stopped {
            writeln!(f, "stopped   {flows:>12} flows {packets:>12} packets by {rule}")?;
        }
        Ok(())
    }
}

impl Status {
    /// In the form that Prometheus reads (OpenMetrics text).
    pub fn metrics(&self) -> String {
        let mut registry = Registry::with_prefix("daylight_filter");
        registry.register_collector(Box::new(Metrics(self.clone())));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut text, &registry);
        text
    }
}

#[derive(Debug)]
struct Metrics(Status);

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = &self.0;
        let mut metric =
            |name: &str, help: &str, value: &dyn Fn(&mut Out<'_>) -> fmt::Result, counter: bool| {
                let kind = if counter { MetricType::Counter } else { MetricType::Gauge };
                value(&mut Out(encoder.encode_descriptor(name, help, None, kind)?))
            };
        for (what, count) in &status.counters {
            metric(what, &what.replace('_', " "), &|out| out.count(&[], *count), true)?;
        }
        metric("flows", "Flows that are followed", &|out| out.gauge(&[], status.flows), false)?;
        metric("memory_bytes", "Memory in use", &|out| out.gauge(&[], status.memory_bytes), false)?;
        let short = u64::from(status.memory_is_short);
        metric("memory_is_short", "Packets go unread", &|out| out.gauge(&[], short), false)?;
        metric("log_entries", "Entries of the public log", &|out| out.gauge(&[], status.log.entries), false)?;
        let trouble = u64::from(status.log.trouble.is_some());
        metric("log_trouble", "Counts can't be told now", &|out| out.gauge(&[], trouble), false)?;
        let refused = u64::from(status.policy.refused.is_some());
        metric("reload_refused", "The last reload was refused", &|out| out.gauge(&[], refused), false)?;
        metric(
            "decisions_lost",
            "Lines of the decision log that were lost",
            &|out| out.count(&[], status.decisions_lost),
            true,
        )?;
        let of_queues = |out: &mut Out<'_>, value: &dyn Fn(&QueueStatus) -> u64, counter: bool| {
            status.queues.iter().try_for_each(|queue| {
                let labels = [("queue", queue.number.to_string())];
                if counter { out.count(&labels, value(queue)) } else { out.gauge(&labels, value(queue)) }
            })
        };
        let waiting = |out: &mut Out<'_>| of_queues(out, &|queue| queue.waiting, false);
        metric("queue_waiting", "Packets that wait for a verdict", &waiting, false)?;
        let full = |out: &mut Out<'_>| of_queues(out, &|queue| queue.dropped_full, true);
        metric("queue_dropped", "Packets dropped since the queue was full", &full, true)?;
        let overruns = |out: &mut Out<'_>| of_queues(out, &|queue| queue.overruns, true);
        metric("queue_overruns", "Packets for which the socket had no room", &overruns, true)?;
        let stopped = |out: &mut Out<'_>, value: &dyn Fn(&StoppedByRule) -> u64| {
            status.stopped.iter().try_for_each(|by| {
                out.count(&[("policy", by.policy.clone()), ("rule", by.rule.clone())], value(by))
            })
        };
        metric("stopped_flows", "Flows that a rule stopped", &|out| stopped(out, &|by| by.flows), true)?;
        metric("stopped_packets", "Packets that a rule stopped", &|out| stopped(out, &|by| by.packets), true)
    }
}

/// Where the values of a metric go.
struct Out<'a>(MetricEncoder<'a>);

impl Out<'_> {
    fn count(&mut self, labels: &[(&'static str, String)], value: u64) -> fmt::Result {
        if labels.is_empty() {
            return self.0.encode_counter::<NoLabelSet, u64, u64>(&value, None);
        }
        ConstCounter::new(value).encode(self.0.encode_family(&labels.to_vec())?)
    }

    fn gauge(&mut self, labels: &[(&'static str, String)], value: u64) -> fmt::Result {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        if labels.is_empty() {
            return self.0.encode_gauge(&value);
        }
        ConstGauge::new(value).encode(self.0.encode_family(&labels.to_vec())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_name_rules_however_they_are_called() {
        let status = Status {
            counters: BTreeMap::from([("packets".to_owned(), 7)]),
            queues: vec![QueueStatus { number: 3, waiting: 2, ..QueueStatus::default() }],
            stopped: vec![StoppedByRule {
                policy: "school".into(),
                rule: "a \"b\"".into(),
                flows: 4,
                packets: 5,
            }],
            ..Status::default()
        };
        let text = status.metrics();
        for line in [
            "# TYPE daylight_filter_packets counter",
            "daylight_filter_packets_total 7",
            "daylight_filter_queue_waiting{queue=\"3\"} 2",
            "daylight_filter_stopped_flows_total{policy=\"school\",rule=\"a \\\"b\\\"\"} 4",
            "daylight_filter_memory_is_short 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
    }
}
