//! What stands around the test's keys.

use std::time::Duration;

use daylight_verdict::classic;
use daylight_verdict::ooni::{DATA_FORMAT_VERSION, Measurement, TestKeys, WEB_CONNECTIVITY};
use daylight_verdict::record::DnsConsistency;
use jiff::Timestamp;
use serde_json::{Map, json};

use super::Shared;
use crate::plan::Item;

/// The version of OONI's test whose layout and tags these are.
const TEST_VERSION: &str = "0.5.28";
/// Never the real one.
const PROBE_IP: &str = "127.0.0.1";

pub(super) fn measurement(
    item: &Item,
    shared: &Shared,
    began: Timestamp,
    runtime: Duration,
    test_keys: TestKeys,
) -> Measurement {
    let mut measurement = bare(item, shared, began, runtime, test_keys);
    analyse(&mut measurement);
    measurement
}

fn bare(
    item: &Item,
    shared: &Shared,
    began: Timestamp,
    runtime: Duration,
    test_keys: TestKeys,
) -> Measurement {
    let network = &shared.settings.network;
    let mut test_helpers = Map::new();
    if let Some(front) = shared.helpers.fronts.first() {
        test_helpers
            .insert("backend".to_owned(), json!({"address": front.url.as_str(), "type": front.url.scheme()}));
    }
    let extensions = ["dnst", "httpt", "netevents", "tcpconnect", "tlshandshake", "tunnel"];
    Measurement {
        annotations: shared.annotations.clone(),
        data_format_version: DATA_FORMAT_VERSION.to_owned(),
        extensions: extensions.into_iter().map(|name| (name.to_owned(), 0)).collect(),
        input: Some(item.target.input().to_owned()),
        measurement_start_time: time(began),
        measurement_uid: None,
        probe_asn: format!("AS{}", network.asn),
        probe_cc: if network.country.is_empty() { "ZZ".to_owned() } else { network.country.clone() },
        probe_id: None,
        probe_ip: PROBE_IP.to_owned(),
        probe_network_name: network.name.clone(),
        report_id: String::new(),
        resolver_asn: format!("AS{}", network.resolver_asn),
        resolver_ip: shared.settings.nameservers.first().map(|to| to.ip().to_string()).unwrap_or_default(),
        resolver_network_name: None,
        software_name: "daylight".to_owned(),
        software_version: shared.version.clone(),
        test_helpers,
        test_keys,
        test_name: WEB_CONNECTIVITY.to_owned(),
        test_runtime: runtime.as_secs_f64(),
        test_start_time: time(shared.started),
        test_version: TEST_VERSION.to_owned(),
    }
}

/// OONI's probe writes its own verdict into the measurement, and its tools expect it there.
fn analyse(measurement: &mut Measurement) {
    let classic = classic(measurement);
    let keys = &mut measurement.test_keys;
    let system = keys.queries.iter().find(|query| query.engine == "getaddrinfo");
    keys.dns_experiment_failure = system.and_then(|query| query.failure.clone());
    keys.http_experiment_failure = keys.requests.first().and_then(|page| page.failure.clone());
    keys.blocking = classic.blocking;
    keys.accessible = classic.accessible;
    keys.dns_consistency = classic.dns_consistency.map(|found| {
        match found {
            DnsConsistency::Consistent => "consistent",
            DnsConsistency::Inconsistent => "inconsistent",
        }
        .to_owned()
    });
    keys.body_proportion = classic.body_proportion.unwrap_or_default();
    keys.body_length_match = classic.body_length_match;
    keys.headers_match = classic.headers_match;
    keys.status_code_match = classic.status_code_match;
    keys.title_match = classic.title_match;
}

/// As OONI writes times: UTC, to the second.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_ooni_s() {
        assert_eq!(time("2026-11-03T04:05:06.789Z".parse().unwrap()), "2026-11-03 04:05:06");
    }
}
