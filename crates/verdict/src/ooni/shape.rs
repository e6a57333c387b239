//! What kind every value of a measurement should be of: to tell where one isn't. Only for measurements that have such.

use serde_json::Value;

use crate::extras::Extras;

enum Shape {
    Text,
    Number,
    /// A whole number from 0 to this.
    Whole(u64),
    Truth,
    /// A text, or an object that holds base64.
    Body,
    /// A text, false or null.
    Blocking,
    List(&'static Self),
    /// A header: name and value.
    Pair,
    Map(&'static [(&'static str, Self)]),
    /// Any keys.
    MapOf(&'static Self),
    AnyMap,
    Extras,
}

use Shape::{AnyMap, Blocking, Body, List, Map, MapOf, Number, Pair, Text, Truth, Whole};

const PORT: Shape = Whole(u16::MAX as u64);
const U32: Shape = Whole(u32::MAX as u64);
const TEXTS: Shape = List(&Text);
const HEADERS: Shape = MapOf(&Body);
const HEADERS_LIST: Shape = List(&Pair);

const ANSWER: Shape = Map(&[
    ("asn", U32),
    ("as_org_name", Text),
    ("answer_type", Text),
    ("hostname", Text),
    ("ipv4", Text),
    ("ipv6", Text),
    ("ttl", U32),
]);
const QUERY: Shape = Map(&[
    ("answers", List(&ANSWER)),
    ("engine", Text),
    ("failure", Text),
    ("hostname", Text),
    ("query_type", Text),
    ("resolver_hostname", Text),
    ("resolver_port", Text),
    ("resolver_address", Text),
    ("t0", Number),
    ("t", Number),
    ("tags", TEXTS),
    ("transaction_id", Number),
]);
const TCP: Shape = Map(&[
    ("ip", Text),
    ("port", PORT),
    ("status", Map(&[("blocked", Truth), ("failure", Text), ("success", Truth)])),
    ("t0", Number),
    ("t", Number),
    ("tags", TEXTS),
    ("transaction_id", Number),
]);
const TLS: Shape = Map(&[
    ("network", Text),
    ("address", Text),
    ("cipher_suite", Text),
    ("failure", Text),
    ("negotiated_protocol", Text),
    ("no_tls_verify", Truth),
    ("peer_certificates", List(&Body)),
    ("server_name", Text),
    ("t0", Number),
    ("t", Number),
    ("tags", TEXTS),
    ("tls_version", Text),
    ("transaction_id", Number),
]);
const TOR: Shape = Map(&[("exit_ip", Text), ("exit_name", Text), ("is_tor", Truth)]);
const REQUEST: Shape = Map(&[
    ("body", Body),
    ("body_is_truncated", Truth),
    ("headers_list", HEADERS_LIST),
    ("headers", HEADERS),
    ("method", Text),
    ("tor", TOR),
    ("x_transport", Text),
    ("url", Text),
]);
const RESPONSE: Shape = Map(&[
    ("body", Body),
    ("body_is_truncated", Truth),
    ("code", Number),
    ("headers_list", HEADERS_LIST),
    ("headers", HEADERS),
]);
const TRANSACTION: Shape = Map(&[
    ("network", Text),
    ("address", Text),
    ("alpn", Text),
    ("failure", Text),
    ("request", REQUEST),
    ("response", RESPONSE),
    ("t0", Number),
    ("t", Number),
    ("tags", TEXTS),
    ("transaction_id", Number),
]);
const CONTROL_TLS: Shape = Map(&[("server_name", Text), ("status", Truth), ("failure", Text)]);
const CONTROL_HTTP: Shape = Map(&[
    ("body_length", Number),
    ("discovered_h3_endpoint", Text),
    ("failure", Text),
    ("title", Text),
    ("headers", HEADERS),
    ("status_code", Number),
]);
const CONTROL: Shape = Map(&[
    ("tcp_connect", MapOf(&Map(&[("status", Truth), ("failure", Text)]))),
    ("tls_handshake", MapOf(&CONTROL_TLS)),
    ("quic_handshake", MapOf(&CONTROL_TLS)),
    ("http_request", CONTROL_HTTP),
    ("http3_request", CONTROL_HTTP),
    ("dns", Map(&[("failure", Text), ("addrs", TEXTS)])),
    ("ip_info", MapOf(&Map(&[("asn", U32), ("flags", U32)]))),
]);
const CONTROL_REQUEST: Shape = Map(&[
    ("http_request", Text),
    ("http_request_headers", MapOf(&TEXTS)),
    ("tcp_connect", TEXTS),
    ("x_quic_enabled", Truth),
]);
const TEST_KEYS: Shape = Map(&[
    ("agent", Text),
    ("client_resolver", Text),
    ("retries", Number),
    ("socksproxy", Text),
    ("queries", List(&QUERY)),
    ("requests", List(&TRANSACTION)),
    ("tcp_connect", List(&TCP)),
    ("tls_handshakes", List(&TLS)),
    ("quic_handshakes", List(&TLS)),
    ("x_control_request", CONTROL_REQUEST),
    ("control", CONTROL),
    ("control_failure", Text),
    ("x_dns_duplicate_responses", List(&QUERY)),
    ("dns_experiment_failure", Text),
    ("dns_consistency", Text),
    ("http_experiment_failure", Text),
    ("body_proportion", Number),
    ("body_length_match", Truth),
    ("headers_match", Truth),
    ("status_code_match", Truth),
    ("title_match", Truth),
    ("blocking", Blocking),
    ("accessible", Truth),
    ("x_daylight", Shape::Extras),
]);
const MEASUREMENT: Shape = Map(&[
    ("annotations", MapOf(&Text)),
    ("data_format_version", Text),
    ("extensions", MapOf(&Number)),
    ("input", Text),
    ("measurement_start_time", Text),
    ("measurement_uid", Text),
    ("probe_asn", Text),
    ("probe_cc", Text),
    ("probe_id", Text),
    ("probe_ip", Text),
    ("probe_network_name", Text),
    ("report_id", Text),
    ("resolver_asn", Text),
    ("resolver_ip", Text),
    ("resolver_network_name", Text),
    ("software_name", Text),
    ("software_version", Text),
    ("test_helpers", AnyMap),
    ("test_keys", TEST_KEYS),
    ("test_name", Text),
    ("test_runtime", Number),
    ("test_start_time", Text),
    ("test_version", Text),
]);

/// Adds a note for everything in a measurement that is not of the kind it should be of.
pub(super) fn check(measurement: &Value, notes: &mut Vec<String>) {
    MEASUREMENT.check(measurement, &mut String::new(), notes);
}

impl Shape {
    fn check(&self, value: &Value, path: &mut String, notes: &mut Vec<String>) {
        let right = match (self, value) {
            (_, Value::Null) => true,
            (Text | Body | Blocking, Value::String(_))
            | (Truth | Blocking, Value::Bool(_))
            | (Number, Value::Number(_))
            | (Body | AnyMap, Value::Object(_)) => true,
            (Whole(max), Value::Number(number)) => {
                if number.as_u64().is_none_or(|number| number > *max) {
                    notes.push(format!("{path}: a number that is out of range"));
                }
                true
            }
            (List(inner), Value::Array(values)) => {
                for (at, value) in values.iter().enumerate() {
                    within(path, &format!("[{at}]"), |path| inner.check(value, path, notes));
                }
                true
            }
            (Pair, Value::Array(values)) => {
                for (shape, value) in [Text, Body].iter().zip(values) {
                    shape.check(value, path, notes);
                }
                if values.len() < 2 {
                    notes.push(format!("{path}: a header without a value"));
                }
                true
            }
            (Map(keys), Value::Object(values)) => {
                for (key, shape) in *keys {
                    if let Some(value) = values.get(*key) {
                        within(path, key, |path| shape.check(value, path, notes));
                    }
                }
                true
            }
            (MapOf(inner), Value::Object(values)) => {
                for (key, value) in values {
                    within(path, key, |path| inner.check(value, path, notes));
                }
                true
            }
            (MapOf(_), Value::Array(values)) => values.is_empty(),
            (Self::Extras, Value::Object(_)) => {
                if let Err(error) = serde_json::from_value::<Extras>(value.clone()) {
                    notes.push(format!("{path}: {error}"));
                }
                true
            }
            _ => false,
        };
        if !right {
            notes.push(format!("{path}: {} where {} should be", found(value), self.wanted()));
        }
    }

    fn wanted(&self) -> &'static str {
        match self {
            Text | Body | Blocking => "a text",
            Number | Whole(_) => "a number",
            Truth => "true or false",
            List(_) | Pair => "a list",
            Map(_) | MapOf(_) | AnyMap | Self::Extras => "an object",
        }
    }
}

fn within(path: &mut String, part: &str, work: impl FnOnce(&mut String)) {
    let len = path.len();
    if len > 0 && !part.starts_with('[') {
        path.push('.');
    }
    path.push_str(part);
    work(path);
    path.truncate(len);
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
