//! Alarms as logs of OpenTelemetry: OTLP over HTTP, in its JSON form.
//!
//! A log record an alarm, in one request as many as wait. `severity` is the specification's (low is INFO, medium WARN, high
//! ERROR, severe FATAL); attributes have the names of the semantic conventions where there are some, else begin with
//! `daylight.`. In OTLP's JSON, 64-bit numbers are strings and enumerations are numbers.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{Alarm, Outlet, Severity};
use crate::carry::SendError;
use crate::http::Http;
use crate::secret::Secret;
use crate::tls::{Tls, TlsError};

/// Where the collector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpOptions {
    /// The URL, with the path: `http://localhost:4318/v1/logs`.
    pub url: String,
    /// Headers to send, such as an API key.
    pub headers: Vec<(String, Secret)>,
    /// Certificates.
    pub tls: Tls,
}

/// Sends alarms to a collector.
pub struct Otlp {
    options: OtlpOptions,
    http: Http,
}

/// Log records in one request.
const ALARMS_MAX: usize = 256;

impl Otlp {
    /// Does not connect yet.
    ///
    /// # Errors
    /// If the certificates can't be used.
    pub fn new(options: OtlpOptions) -> Result<Self, TlsError> {
        let http = Http::new(&options.tls, Duration::from_secs(15))?;
        Ok(Self { options, http })
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn log_record(alarm: &Alarm, observed_ns: u128) -> Value {
    let severity = match alarm.severity {
        Severity::Low => 9,
        Severity::Medium => 13,
        Severity::High => 17,
        Severity::Severe => 21,
    };
    let mut attributes = vec![
        text("daylight.id", &alarm.id),
        text("daylight.risk", &alarm.risk),
        text("daylight.side", &alarm.side),
        text("daylight.evidence", &alarm.evidence),
        text("daylight.uid", &alarm.uid),
        text("client.address", &alarm.src_ip),
        number("client.port", alarm.src_port),
        text("server.address", if alarm.hostname.is_empty() { &alarm.dst_ip } else { &alarm.hostname }),
        number("server.port", alarm.dst_port),
        text("network.peer.address", &alarm.dst_ip),
        text("network.transport", &alarm.transport),
        text("network.protocol.name", &alarm.protocol),
        number("daylight.count", alarm.count),
    ];
    if !alarm.application.is_empty() {
        attributes.push(text("daylight.application", &alarm.application));
    }
    if alarm.left_out > 0 {
        attributes.push(number("daylight.left_out", alarm.left_out));
    }
    json!({
        "timeUnixNano": alarm.time_ns.max(0).to_string(),
        "observedTimeUnixNano": observed_ns.to_string(),
        "severityNumber": severity,
        "severityText": alarm.severity.name(),
        "eventName": "daylight.risk",
        "body": { "stringValue": format!("{}: {}", alarm.risk, alarm.evidence) },
        "attributes": attributes,
    })
}

/// The request for these alarms, which are put together by sensor.
pub fn request(alarms: &[Alarm], observed_ns: u128) -> String {
    let mut sensors: Vec<&str> = alarms.iter().map(|alarm| &*alarm.sensor).collect();
    sensors.sort_unstable();
    sensors.dedup();
    let resource = |sensor: &str| {
        let of = alarms.iter().filter(|alarm| alarm.sensor == sensor);
        json!({
            "resource": { "attributes": [text("service.name", "daylight"), text("service.instance.id", sensor)] },
            "scopeLogs": [{
                "scope": { "name": "daylight.risks", "version": env!("CARGO_PKG_VERSION") },
                "logRecords": of.map(|alarm| log_record(alarm, observed_ns)).collect::<Vec<_>>(),
            }],
        })
    };
    json!({ "resourceLogs": sensors.into_iter().map(resource).collect::<Vec<_>>() }).to_string()
}

impl Outlet for Otlp {
    fn send(&mut self, alarms: &[Alarm]) -> Result<usize, SendError> {
        let some = alarms.get(..ALARMS_MAX).unwrap_or(alarms);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(self.options.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let post = |alarms: &[Alarm]| {
            let answer =
                self.http.post(&self.options.url, &headers, request(alarms, now.as_nanos()).as_bytes())?;
            let value: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            let rejected = &value["partialSuccess"]["rejectedLogRecords"];
            let rejected = rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0);
            // Of several, which were rejected is not said: none is sent again, as the specification wants it.
            if rejected > 0 && alarms.len() == 1 {
                return Err(SendError::Refused(format!("{} rejects a log record", self.options.url)));
            }
            Ok(alarms.len())
        };
        match post(some) {
            // One of them is to blame: then one at a time.
            Err(SendError::Refused(_)) if some.len() > 1 => post(some.get(..1).unwrap_or(some)),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::nasty;
    use super::*;

    #[test]
    fn a_request() {
        let other = Alarm { sensor: "b".into(), left_out: 3, application: "x".into(), ..nasty() };
        let request: Value = serde_json::from_str(&request(&[nasty(), other, nasty()], 5)).unwrap();
        let resources = request["resourceLogs"].as_array().unwrap();
        let counts: Vec<_> =
            resources.iter().map(|r| r["scopeLogs"][0]["logRecords"].as_array().unwrap().len()).collect();
        assert_eq!(counts, [2, 1], "by sensor");
        insta::assert_json_snapshot!(resources[1]["scopeLogs"][0]["logRecords"][0]);
    }
}
