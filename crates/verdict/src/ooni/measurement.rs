//! A measurement in OONI's data format 0.2.0, as `web_connectivity` 0.4 and 0.5 write it.
//!
//! Read leniently: a key that is missing, `null` or of a wrong kind is as if it were not there. Keys that nothing here is
//! decided on are skipped; `network_events` are among them, which make up much of a file. Sources: ooni/spec,
//! data-formats df-000 to df-008, and nettests/ts-017.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::Failure;
use super::body::Body;
use super::lax::{Lax, from_maps, lax, note};
use crate::extras::Extras;
use crate::record::Blocking;

/// The version of the data format that is written.
pub const DATA_FORMAT_VERSION: &str = "0.2.0";

/// One measurement. `Default` has what every measurement of ours has in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What the user or the program said of the run.
    #[serde(default, deserialize_with = "lax")]
    pub annotations: BTreeMap<String, String>,
    /// [`DATA_FORMAT_VERSION`].
    #[serde(default, deserialize_with = "lax")]
    pub data_format_version: String,
    /// The versions of the lists' layouts.
    #[serde(default, deserialize_with = "lax")]
    pub extensions: BTreeMap<String, i64>,
    /// What was measured: a URL.
    #[serde(default, deserialize_with = "lax")]
    pub input: Option<String>,
    /// When this measurement began: `YYYY-MM-DD hh:mm:ss`, UTC.
    #[serde(default, deserialize_with = "lax")]
    pub measurement_start_time: String,
    /// The collector's id of it.
    #[serde(default, deserialize_with = "lax", skip_serializing_if = "Option::is_none")]
    pub measurement_uid: Option<String>,
    /// `AS` and the number of the probe's network.
    #[serde(default, deserialize_with = "lax")]
    pub probe_asn: String,
    /// The probe's country, ISO 3166-1 alpha-2.
    #[serde(default, deserialize_with = "lax")]
    pub probe_cc: String,
    /// An opaque id that lets distinct probes be counted.
    #[serde(default, deserialize_with = "lax", skip_serializing_if = "Option::is_none")]
    pub probe_id: Option<String>,
    /// Always `127.0.0.1`.
    #[serde(default, deserialize_with = "lax")]
    pub probe_ip: String,
    /// The name of the probe's network.
    #[serde(default, deserialize_with = "lax")]
    pub probe_network_name: Option<String>,
    /// The collector's id of the session; empty if there is none.
    #[serde(default, deserialize_with = "lax")]
    pub report_id: String,
    /// `AS` and the number of the network of the system's resolver.
    #[serde(default, deserialize_with = "lax")]
    pub resolver_asn: String,
    /// The address of the system's resolver.
    #[serde(default, deserialize_with = "lax")]
    pub resolver_ip: String,
    /// The name of the network of the system's resolver.
    #[serde(default, deserialize_with = "lax")]
    pub resolver_network_name: Option<String>,
    /// The program that measured.
    #[serde(default, deserialize_with = "lax")]
    pub software_name: String,
    /// Its version.
    #[serde(default, deserialize_with = "lax")]
    pub software_version: String,
    /// The test helpers used.
    #[serde(default, deserialize_with = "lax")]
    pub test_helpers: Map<String, Value>,
    /// What was seen.
    #[serde(default, deserialize_with = "lax")]
    pub test_keys: TestKeys,
    /// `web_connectivity`.
    #[serde(default, deserialize_with = "lax")]
    pub test_name: String,
    /// How long it took, in seconds.
    #[serde(default, deserialize_with = "lax")]
    pub test_runtime: f64,
    /// When the session began: `YYYY-MM-DD hh:mm:ss`, UTC.
    #[serde(default, deserialize_with = "lax")]
    pub test_start_time: String,
    /// The version of the test.
    #[serde(default, deserialize_with = "lax")]
    pub test_version: String,
}

impl Default for Measurement {
    fn default() -> Self {
        let extensions = ["dnst", "httpt", "netevents", "tcpconnect", "tlshandshake", "tunnel"];
        Self {
            annotations: BTreeMap::new(),
            data_format_version: DATA_FORMAT_VERSION.to_owned(),
            extensions: extensions.into_iter().map(|name| (name.to_owned(), 0)).collect(),
            input: None,
            measurement_start_time: String::new(),
            measurement_uid: None,
            probe_asn: "AS0".to_owned(),
            probe_cc: "ZZ".to_owned(),
            probe_id: None,
            probe_ip: "127.0.0.1".to_owned(),
            probe_network_name: None,
            report_id: String::new(),
            resolver_asn: "AS0".to_owned(),
            resolver_ip: String::new(),
            resolver_network_name: None,
            software_name: String::new(),
            software_version: String::new(),
            test_helpers: Map::new(),
            test_keys: TestKeys::default(),
            test_name: super::WEB_CONNECTIVITY.to_owned(),
            test_runtime: 0.0,
            test_start_time: String::new(),
            test_version: String::new(),
        }
    }
}

/// What `web_connectivity` saw. Paths in verdicts are relative to this.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TestKeys {
    /// `redirect`: redirects are followed.
    #[serde(default, deserialize_with = "lax")]
    pub agent: Option<String>,
    /// The address of the system's resolver, as seen from outside.
    #[serde(default, deserialize_with = "lax")]
    pub client_resolver: Option<String>,
    /// Always `null` in new measurements.
    #[serde(default, deserialize_with = "lax")]
    pub retries: Option<i64>,
    /// Always `null` in new measurements.
    #[serde(default, deserialize_with = "lax")]
    pub socksproxy: Option<String>,
    /// Reads, writes and so on. Written, but not read back.
    #[serde(default, skip_deserializing)]
    pub network_events: Vec<NetworkEvent>,
    /// Lookups.
    #[serde(default, deserialize_with = "lax")]
    pub queries: Vec<Query>,
    /// Requests, the newest first.
    #[serde(default, deserialize_with = "lax")]
    pub requests: Vec<Transaction>,
    /// Connections.
    #[serde(default, deserialize_with = "lax")]
    pub tcp_connect: Vec<TcpConnect>,
    /// Handshakes.
    #[serde(default, deserialize_with = "lax")]
    pub tls_handshakes: Vec<TlsHandshake>,
    /// QUIC handshakes.
    #[serde(default, deserialize_with = "lax", skip_serializing_if = "Vec::is_empty")]
    pub quic_handshakes: Vec<TlsHandshake>,
    /// What the test helper was asked.
    #[serde(default, deserialize_with = "lax")]
    pub x_control_request: Option<ControlRequest>,
    /// What the test helper saw.
    #[serde(default, deserialize_with = "lax")]
    pub control: Option<Control>,
    /// Why the test helper could not be asked.
    #[serde(default, deserialize_with = "lax")]
    pub control_failure: Option<Failure>,
    /// UDP replies that came after the first one.
    #[serde(default, deserialize_with = "lax")]
    pub x_dns_duplicate_responses: Vec<Query>,
    /// OONI's analysis: why the system's lookup failed.
    #[serde(default, deserialize_with = "lax")]
    pub dns_experiment_failure: Option<Failure>,
    /// OONI's analysis: `consistent`, `inconsistent`.
    #[serde(default, deserialize_with = "lax")]
    pub dns_consistency: Option<String>,
    /// OONI's analysis: why the page didn't come.
    #[serde(default, deserialize_with = "lax")]
    pub http_experiment_failure: Option<Failure>,
    /// OONI's analysis: the shorter body's share of the longer.
    #[serde(default, deserialize_with = "lax")]
    pub body_proportion: f64,
    /// OONI's analysis: whether that is above its limit.
    #[serde(default, deserialize_with = "lax")]
    pub body_length_match: Option<bool>,
    /// OONI's analysis: whether the headers are alike.
    #[serde(default, deserialize_with = "lax")]
    pub headers_match: Option<bool>,
    /// OONI's analysis: whether the status codes are the same.
    #[serde(default, deserialize_with = "lax")]
    pub status_code_match: Option<bool>,
    /// OONI's analysis: whether the titles are alike.
    #[serde(default, deserialize_with = "lax")]
    pub title_match: Option<bool>,
    /// OONI's analysis: its verdict.
    #[serde(default, deserialize_with = "lax")]
    pub blocking: Blocking,
    /// OONI's analysis: whether the page was reached.
    #[serde(default, deserialize_with = "lax")]
    pub accessible: Option<bool>,
    /// What we measure beyond OONI.
    #[serde(default, deserialize_with = "extras", skip_serializing_if = "Option::is_none")]
    pub x_daylight: Option<Box<Extras>>,
}

/// A lookup (df-002-dnst).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// The answer's records.
    #[serde(default, deserialize_with = "lax")]
    pub answers: Vec<Answer>,
    /// `getaddrinfo`, `system`, `udp`, `tcp`, `dot`, `doh`.
    #[serde(default, deserialize_with = "lax")]
    pub engine: String,
    /// Why it failed.
    #[serde(default, deserialize_with = "lax")]
    pub failure: Option<Failure>,
    /// The name.
    #[serde(default, deserialize_with = "lax")]
    pub hostname: String,
    /// `A`, `AAAA`; `ANY` for getaddrinfo, which asks both.
    #[serde(default, deserialize_with = "lax")]
    pub query_type: String,
    /// Always `null` in new measurements.
    #[serde(default, deserialize_with = "lax")]
    pub resolver_hostname: Option<String>,
    /// Always `null` in new measurements.
    #[serde(default, deserialize_with = "lax")]
    pub resolver_port: Option<String>,
    /// The resolver's address and port, or URL.
    #[serde(default, deserialize_with = "lax")]
    pub resolver_address: String,
    /// When it was sent, in seconds since the measurement began.
    #[serde(default, deserialize_with = "lax", skip_serializing_if = "Option::is_none")]
    pub t0: Option<f64>,
    /// When it ended.
    #[serde(default, deserialize_with = "lax")]
    pub t: f64,
    /// `classic`, `depth=N`.
    #[serde(default, deserialize_with = "lax")]
    pub tags: Vec<String>,
    /// What belongs together has the same number.
    #[serde(default, deserialize_with = "lax")]
    pub transaction_id: i64,
}

/// A record of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The network that the address is in, as the probe knew it.
    #[serde(default, deserialize_with = "lax", skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// That network's name.
    #[serde(default, deserialize_with = "lax", skip_serializing_if = "Option::is_none")]
    pub as_org_name: Option<String>,
    /// `A`, `AAAA`, `CNAME`.
    #[serde(default, deserialize_with = "lax")]
    pub answer_type: String,
    /// The name that a `CNAME` leads to.
    #[serde(default, deserialize_with = "lax", skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The address of an `A`.
    #[serde(default, deserialize_with = "lax", skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<String>,
    /// The address of an `AAAA`.
    #[serde(default, deserialize_with = "lax", skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
    /// The record's time to live, in seconds.
    #[serde(default, deserialize_with = "lax")]
    pub ttl: Option<u32>,
}

impl Answer {
    /// The address, if it is an `A` or `AAAA`.
    pub fn address(&self) -> Option<&str> {
        match self.answer_type.as_str() {
            "A" => self.ipv4.as_deref(),
            "AAAA" => self.ipv6.as_deref(),
            _ => None,
        }
    }
}

/// A connection (df-005-tcpconnect).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TcpConnect {
    /// The address.
    #[serde(default, deserialize_with = "lax")]
    pub ip: String,
    /// The port.
    #[serde(default, deserialize_with = "lax")]
    pub port: u16,
    /// How it went.
    #[serde(default, deserialize_with = "lax")]
    pub status: TcpStatus,
    /// When it began, in seconds since the measurement began.
    #[serde(default, deserialize_with = "lax", skip_serializing_if = "Option::is_none")]
    pub t0: Option<f64>,
    /// When it ended.
    #[serde(default, deserialize_with = "lax")]
    pub t: f64,
    /// `classic`, `depth=N`, `fetch_body=true`.
    #[serde(default, deserialize_with = "lax")]
    pub tags: Vec<String>,
    /// What belongs together has the same number.
    #[serde(default, deserialize_with = "lax")]
    pub transaction_id: i64,
}

/// How a connection went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TcpStatus {
    /// 0.4's verdict on this connection.
    #[serde(default, deserialize_with = "lax", skip_serializing_if = "Option::is_none")]
    pub blocked: Option<bool>,
    /// Why it failed.
    #[serde(default, deserialize_with = "lax")]
    pub failure: Option<Failure>,
    /// Whether it came about.
    #[serde(default, deserialize_with = "lax")]
    pub success: bool,
}

/// A TLS or QUIC handshake (df-006-tlshandshake).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TlsHandshake {
    /// `tcp`, `udp`.
    #[serde(default, deserialize_with = "lax")]
    pub network: String,
    /// Address and port.
    #[serde(default, deserialize_with = "lax")]
    pub address: String,
    /// The cipher suite; empty on failure.
    #[serde(default, deserialize_with = "lax")]
    pub cipher_suite: String,
    /// Why it failed; also because of the certificate.
    #[serde(default, deserialize_with = "lax")]
    pub failure: Option<Failure>,
    /// The protocol agreed on (ALPN).
    #[serde(default, deserialize_with = "lax")]
    pub negotiated_protocol: String,
    /// Whether the certificate was not looked at.
    #[serde(default, deserialize_with = "lax")]
    pub no_tls_verify: bool,
    /// The peer's certificates as DER, its own first.
    #[serde(default, deserialize_with = "lax")]
    pub peer_certificates: Vec<Body>,
    /// The name it was made with.
    #[serde(default, deserialize_with = "lax")]
    pub server_name: String,
    /// When it began, in seconds since the measurement began.
    #[serde(default, deserialize_with = "lax", skip_serializing_if = "Option::is_none")]
    pub t0: Option<f64>,
    /// When it ended.
    #[serde(default, deserialize_with = "lax")]
    pub t: f64,
    /// `classic`, `depth=N`, `fetch_body=true`.
    #[serde(default, deserialize_with = "lax")]
    pub tags: Vec<String>,
    /// `TLSv1.3`; empty on failure.
    #[serde(default, deserialize_with = "lax")]
    pub tls_version: String,
    /// What belongs together has the same number.
    #[serde(default, deserialize_with = "lax")]
    pub transaction_id: i64,
}

/// A request and its response (df-001-httpt).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    /// `tcp`, `udp`.
    #[serde(default, deserialize_with = "lax")]
    pub network: String,
    /// Address and port.
    #[serde(default, deserialize_with = "lax")]
    pub address: String,
    /// The protocol agreed on.
    #[serde(default, deserialize_with = "lax")]
    pub alpn: String,
    /// Why it failed.
    #[serde(default, deserialize_with = "lax")]
    pub failure: Option<Failure>,
    /// What was asked.
    #[serde(default, deserialize_with = "lax")]
    pub request: Request,
    /// What came; also the beginning of what did not come whole.
    #[serde(default, deserialize_with = "lax")]
    pub response: Response,
    /// When it began, in seconds since the measurement began.
    #[serde(default, deserialize_with = "lax", skip_serializing_if = "Option::is_none")]
    pub t0: Option<f64>,
    /// When it ended.
    #[serde(default, deserialize_with = "lax")]
    pub t: f64,
    /// `classic`, `depth=N`, `fetch_body=true`.
    #[serde(default, deserialize_with = "lax")]
    pub tags: Vec<String>,
    /// What belongs together has the same number.
    #[serde(default, deserialize_with = "lax")]
    pub transaction_id: i64,
}

/// What was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Always empty.
    #[serde(default, deserialize_with = "lax")]
    pub body: Body,
    /// Always false.
    #[serde(default, deserialize_with = "lax")]
    pub body_is_truncated: bool,
    /// All headers in their order.
    #[serde(default, deserialize_with = "lax")]
    pub headers_list: Vec<(String, Body)>,
    /// The headers, one value each.
    #[serde(default, deserialize_with = "lax")]
    pub headers: BTreeMap<String, Body>,
    /// `GET`.
    #[serde(default, deserialize_with = "lax")]
    pub method: String,
    /// Whether it went through Tor.
    #[serde(default, deserialize_with = "lax")]
    pub tor: Tor,
    /// `tcp`, `quic`.
    #[serde(default, deserialize_with = "lax")]
    pub x_transport: String,
    /// The URL.
    #[serde(default, deserialize_with = "lax")]
    pub url: String,
}

/// Whether a request went through Tor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tor {
    /// Always `null`.
    #[serde(default, deserialize_with = "lax")]
    pub exit_ip: Option<String>,
    /// Always `null`.
    #[serde(default, deserialize_with = "lax")]
    pub exit_name: Option<String>,
    /// Always false.
    #[serde(default, deserialize_with = "lax")]
    pub is_tor: bool,
}

/// What came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The body, or its beginning.
    #[serde(default, deserialize_with = "lax")]
    pub body: Body,
    /// Whether there was more of it.
    #[serde(default, deserialize_with = "lax")]
    pub body_is_truncated: bool,
    /// The status code; 0 if none came.
    #[serde(default, deserialize_with = "lax")]
    pub code: i64,
    /// All headers in their order.
    #[serde(default, deserialize_with = "lax")]
    pub headers_list: Vec<(String, Body)>,
    /// The headers, one value each.
    #[serde(default, deserialize_with = "lax")]
    pub headers: BTreeMap<String, Body>,
}

/// What the test helper was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ControlRequest {
    /// The URL.
    #[serde(default, deserialize_with = "lax")]
    pub http_request: String,
    /// The headers to ask with.
    #[serde(default, deserialize_with = "lax")]
    pub http_request_headers: BTreeMap<String, Vec<String>>,
    /// Addresses and ports to connect to.
    #[serde(default, deserialize_with = "lax")]
    pub tcp_connect: Vec<String>,
    /// Whether to try QUIC.
    #[serde(default, deserialize_with = "lax")]
    pub x_quic_enabled: bool,
}

/// What the test helper saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// Connections, by address and port.
    #[serde(default, deserialize_with = "lax")]
    pub tcp_connect: BTreeMap<String, ControlTcp>,
    /// Handshakes, by address and port.
    #[serde(default, deserialize_with = "lax")]
    pub tls_handshake: BTreeMap<String, ControlTls>,
    /// QUIC handshakes, by address and port.
    #[serde(default, deserialize_with = "lax")]
    pub quic_handshake: BTreeMap<String, ControlTls>,
    /// The page.
    #[serde(default, deserialize_with = "lax")]
    pub http_request: ControlHttp,
    /// The page over HTTP/3.
    #[serde(default, deserialize_with = "lax")]
    pub http3_request: Option<ControlHttp>,
    /// The lookup.
    #[serde(default, deserialize_with = "lax")]
    pub dns: ControlDns,
    /// What is known of the addresses, by address.
    #[serde(default, deserialize_with = "lax")]
    pub ip_info: BTreeMap<String, IpInfo>,
}

/// A connection by the test helper.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ControlTcp {
    /// Whether it came about.
    #[serde(default, deserialize_with = "lax")]
    pub status: Option<bool>,
    /// Why it failed.
    #[serde(default, deserialize_with = "lax")]
    pub failure: Option<Failure>,
}

/// A handshake by the test helper.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ControlTls {
    /// The name it was made with.
    #[serde(default, deserialize_with = "lax")]
    pub server_name: String,
    /// Whether it came about.
    #[serde(default, deserialize_with = "lax")]
    pub status: Option<bool>,
    /// Why it failed.
    #[serde(default, deserialize_with = "lax")]
    pub failure: Option<Failure>,
}

/// The page as the test helper got it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ControlHttp {
    /// The body's bytes; −1 on failure.
    #[serde(default, deserialize_with = "lax")]
    pub body_length: i64,
    /// Where HTTP/3 is offered.
    #[serde(default, deserialize_with = "lax")]
    pub discovered_h3_endpoint: String,
    /// Why it failed.
    #[serde(default, deserialize_with = "lax")]
    pub failure: Option<Failure>,
    /// The page's title.
    #[serde(default, deserialize_with = "lax")]
    pub title: String,
    /// The headers, one value each.
    #[serde(default, deserialize_with = "lax")]
    pub headers: BTreeMap<String, Body>,
    /// The status code; −1 on failure.
    #[serde(default, deserialize_with = "lax")]
    pub status_code: i64,
}

/// The lookup by the test helper.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ControlDns {
    /// Why it failed.
    #[serde(default, deserialize_with = "lax")]
    pub failure: Option<Failure>,
    /// The addresses. None without a failure means that there are no records.
    #[serde(default, deserialize_with = "lax")]
    pub addrs: Vec<String>,
}

/// What the test helper knows of an address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IpInfo {
    /// The network it is in; 0 if not known.
    #[serde(default, deserialize_with = "lax")]
    pub asn: u32,
    /// 1 the probe resolved it, 2 the helper did, 4 a bogon, 8 valid for the name.
    #[serde(default, deserialize_with = "lax")]
    pub flags: u32,
}

/// A read, a write and so on (df-008-netevents).
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NetworkEvent {
    /// Address and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// How many bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_bytes: Option<u64>,
    /// `connect`, `read`, `write`, `tls_handshake_start` …
    pub operation: String,
    /// `tcp`, `udp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proto: Option<String>,
    /// When it began, in seconds since the measurement began.
    pub t0: f64,
    /// When it ended.
    pub t: f64,
    /// What belongs together has the same number.
    pub transaction_id: i64,
    /// `classic`, `depth=N`.
    pub tags: Vec<String>,
}

from_maps!(
    Answer,
    Control,
    ControlDns,
    ControlHttp,
    ControlRequest,
    ControlTcp,
    ControlTls,
    IpInfo,
    Measurement,
    Query,
    Request,
    Response,
    TcpConnect,
    TcpStatus,
    TestKeys,
    TlsHandshake,
    Tor,
    Transaction,
);

impl Lax<'_> for Failure {
    fn of_str(text: &str) -> Self {
        text.into()
    }
}

impl Lax<'_> for Blocking {
    fn of_bool(_: bool) -> Self {
        Self::None
    }

    fn of_str(text: &str) -> Self {
        Self::from_word(text).unwrap_or_default()
    }
}

/// By way of a map, so that extras that can't be read don't take the rest of the measurement with them.
fn extras<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<Extras>>, D::Error> {
    let map: Option<Map<String, Value>> = lax(deserializer)?;
    Ok(map.and_then(|map| serde_json::from_value(Value::Object(map)).map_err(|_| note()).ok()))
}
