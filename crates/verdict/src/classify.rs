//! A measurement to its record.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::classic::{classic, host};
use crate::extras::{Extras, Trace, TraceStep};
use crate::field::{Field, Value};
use crate::fingerprint::Fingerprints;
use crate::observe::{Observed, median, observe, rate_ratio};
use crate::ooni::Measurement as OoniMeasurement;
use crate::record::{Latency, Layer, Measurement, Network, Place, Record, SCHEMA, Vendor};
use crate::rules::Rules;

/// On how many independent features a vendor is named.
const VENDOR_FEATURES_MIN: usize = 2;

/// Makes records of measurements. Cheap to share between threads.
#[derive(Debug)]
pub struct Classifier {
    pub(crate) rules: Rules,
    fingerprints: Fingerprints,
    keep_addresses: bool,
}

impl Classifier {
    /// With these rules and fingerprints. Addresses of routers are left out of places unless `keep_addresses`.
    pub fn new(rules: Rules, fingerprints: Fingerprints, keep_addresses: bool) -> Self {
        Self { rules, fingerprints, keep_addresses }
    }

    /// The record of a measurement that is to be found at `place`. `None` if it doesn't say when it was made.
    pub fn classify(&self, measurement: &OoniMeasurement, place: Measurement) -> Option<Record> {
        let observed = observe(measurement, &self.fingerprints);
        self.record(measurement, place, &observed)
    }

    pub(crate) fn observe(&self, measurement: &OoniMeasurement) -> Observed {
        observe(measurement, &self.fingerprints)
    }

    pub(crate) fn record(
        &self,
        measurement: &OoniMeasurement,
        place: Measurement,
        observed: &Observed,
    ) -> Option<Record> {
        let judged = self.rules.judge(observed);
        let keys = &measurement.test_keys;
        let none = Extras::default();
        let extras = keys.x_daylight.as_deref().unwrap_or(&none);
        let input = measurement.input.clone().unwrap_or_default();
        let target = host(&input).unwrap_or(&input).to_lowercase();
        let located = judged.mechanism.as_ref().and_then(|_| self.place(extras, judged.layer));
        Some(Record {
            schema: SCHEMA,
            measured: time(&measurement.measurement_start_time)?,
            input,
            target,
            category: extras.category.clone(),
            network: Network {
                asn: number(&measurement.probe_asn).unwrap_or(0),
                country: if measurement.probe_cc.is_empty() {
                    "ZZ".to_owned()
                } else {
                    measurement.probe_cc.to_uppercase()
                },
                name: measurement.probe_network_name.clone(),
                resolver_asn: number(&measurement.resolver_asn).filter(|asn| *asn > 0),
                family: None,
            },
            probe: measurement.probe_id.clone(),
            state: judged.state,
            mechanism: judged.mechanism,
            layer: judged.layer,
            place: located,
            fired: judged.fired,
            witness: judged.witness,
            rules: self.rules.set().clone(),
            classic: classic(measurement),
            vendors: vendors(extras, observed),
            latency_ms: latency(measurement),
            rate_ratio: rate_ratio(&extras.throttling),
            measurement: place,
        })
    }

    fn place(&self, extras: &Extras, layer: Option<Layer>) -> Option<Place> {
        let fits = |trace: &&Trace| {
            let of = match trace.step {
                TraceStep::Dns => Layer::Dns,
                TraceStep::Tcp => Layer::Tcp,
                TraceStep::Tls => Layer::Tls,
                TraceStep::Http => Layer::Http,
                TraceStep::Quic => Layer::Quic,
            };
            layer == Some(of)
        };
        let trace = extras.traces.iter().filter(fits).find(|trace| trace.hop.is_some())?;
        let hop = trace.hop?;
        let router = trace.hops.iter().find(|at| at.ttl == hop).and_then(|at| at.address.clone());
        Some(Place {
            hop,
            of_hops: trace.of_hops,
            position: trace.position?,
            address: router.filter(|_| self.keep_addresses),
            method: trace.method,
        })
    }
}

/// `AS` and a number.
fn number(asn: &str) -> Option<u32> {
    asn.strip_prefix("AS").unwrap_or(asn).parse().ok()
}

/// `YYYY-MM-DD hh:mm:ss`, UTC.
fn time(text: &str) -> Option<Timestamp> {
    let time: DateTime = text.parse().ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn vendors(extras: &Extras, observed: &Observed) -> Vec<Vendor> {
    let mut features: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for signature in extras.injected.iter().flat_map(|packet| &packet.signatures) {
        if let Some(vendor) = &signature.vendor {
            features.entry(vendor.to_lowercase()).or_default().extend(signature.features.iter().cloned());
        }
    }
    for step in &observed.steps {
        if let (Some(Value::Str(vendor)), Some(page)) =
            (step.get(Field::HttpVendor), step.get(Field::HttpBlockpage))
        {
            features.entry(vendor.to_lowercase()).or_default().insert(format!("blockpage={page}"));
        }
    }
    features
        .into_iter()
        .filter(|(_, features)| features.len() >= VENDOR_FEATURES_MIN)
        .map(|(name, features)| Vendor { name, features: features.into_iter().collect() })
        .collect()
}

fn latency(measurement: &OoniMeasurement) -> Option<Latency> {
    let keys = &measurement.test_keys;
    let took = |t0: Option<f64>, t: f64| t0.map(|t0| ((t - t0) * 1e6).round() / 1e3).filter(|ms| *ms >= 0.0);
    let queries = keys
        .queries
        .iter()
        .filter(|query| query.failure.is_none() && matches!(query.engine.as_str(), "getaddrinfo" | "system"));
    let tcp = keys.tcp_connect.iter().filter(|tcp| tcp.status.failure.is_none());
    let tls = keys.tls_handshakes.iter().filter(|tls| tls.failure.is_none());
    let http = keys.requests.iter().filter(|http| http.failure.is_none());
    let latency = Latency {
        dns: median(queries.filter_map(|query| took(query.t0, query.t))),
        tcp: median(tcp.filter_map(|tcp| took(tcp.t0, tcp.t))),
        tls: median(tls.filter_map(|tls| took(tls.t0, tls.t))),
        http: median(http.filter_map(|http| took(http.t0, http.t))),
    };
    (latency != Latency::default()).then_some(latency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extras::{InjectedPacket, SignatureMatch};

    #[test]
    fn a_vendor_needs_two_features() {
        let packet = |features: &[&str]| InjectedPacket {
            step: TraceStep::Tls,
            address: String::new(),
            kind: "rst".into(),
            name: None,
            own_port: None,
            verdict: "injected".into(),
            ip_ttl: None,
            server_ip_ttl: None,
            ip_id: None,
            dont_fragment: None,
            window: None,
            copies: 1,
            after_ms: None,
            tells: Vec::new(),
            signatures: vec![SignatureMatch {
                id: "s".into(),
                vendor: Some("Example".into()),
                features: features.iter().map(|feature| (*feature).to_owned()).collect(),
            }],
        };
        let observed = Observed { visit: crate::field::Observation::default(), steps: Vec::new() };
        let named = |packets: Vec<InjectedPacket>| {
            vendors(&Extras { injected: packets, ..Extras::default() }, &observed).len()
        };
        assert_eq!(named(vec![packet(&["ip-id=0x3412"]), packet(&["ip-id=0x3412"])]), 0);
        assert_eq!(named(vec![packet(&["ip-id=0x3412"]), packet(&["window=502"])]), 1);
    }

    #[test]
    fn times_and_networks_are_read() {
        assert_eq!(time("2020-08-09 20:00:00").unwrap().to_string(), "2020-08-09T20:00:00Z");
        assert!(time("yesterday").is_none() && time("").is_none());
        assert_eq!((number("AS64500"), number("64500"), number("ASx")), (Some(64500), Some(64500), None));
    }
}
