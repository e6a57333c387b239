//! The verdict record: one line of JSON for each measurement. What the aggregator and the report read.
//!
//! Absent means not known. Keys that a reader doesn't know are ignored, so that later versions can add some; what changes
//! the meaning of an existing key raises [`SCHEMA`]. The same record always gives the same line: keys stand in the order
//! of the fields here, and maps are sorted.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The version of the record's layout.
pub const SCHEMA: u32 = 1;
/// The longest mechanism term, in bytes.
pub const MECHANISM_LEN_MAX: usize = 64;

/// What one measurement says of one target on one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The layout's version, [`SCHEMA`].
    pub schema: u32,
    /// When the measurement began; RFC 3339, UTC.
    #[serde(with = "rfc3339")]
    pub measured: Timestamp,
    /// The URL or host as given to the measurer.
    pub input: String,
    /// The host that was tested, in lower case, without port.
    pub target: String,
    /// The target's category, as in the test list (`NEWS`, `HUMR` …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The network it was measured from.
    pub network: Network,
    /// An opaque id that lets distinct probes be counted. Never an address, and not the same across networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// The verdict.
    pub state: State,
    /// How it was done; only with [`State::Blocked`], [`State::LikelyBlocked`] and [`State::Impaired`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<Mechanism>,
    /// The layer at which it was seen; the mechanism's, or that of the failure when there is no mechanism.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<Layer>,
    /// Where on the path it was done, if the measurement located it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// All rules that fired, in the order of the rules file.
    #[serde(default)]
    pub fired: Vec<Fired>,
    /// The rule that decided, and the observation it decided on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// Which rules were used.
    pub rules: RuleSet,
    /// What OONI's own analysis says of the same measurement.
    pub classic: Classic,
    /// Equipment whose marks were seen; each on at least two independent features.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vendors: Vec<Vendor>,
    /// How long the steps took, for the series of latencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// The target's rate over that of the control beside it, in [0, ∞): the median of the interleaved pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_ratio: Option<f64>,
    /// Where the measurement is to be found.
    pub measurement: Measurement,
}

/// The network a measurement was made from. Verdicts are counted per network, never per country.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The autonomous system's number; 0 when the measurement didn't say.
    pub asn: u32,
    /// ISO 3166-1 alpha-2, upper case; `ZZ` when the measurement didn't say.
    pub country: String,
    /// The network's name, as the measurement gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The autonomous system of the resolver that the system used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolver_asn: Option<u32>,
    /// The IP version, where the verdict is about one alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
}

/// An IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    #[serde(rename = "ipv4")]
    Ipv4,
    /// IPv6.
    #[serde(rename = "ipv6")]
    Ipv6,
}

/// The verdict. Weak evidence changes the state; it is never a number beside a strong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The target was reached and gave what the control got.
    Ok,
    /// Interfered with, shown by something that settles it alone: a block page, a bogon answer, one name's handshakes
    /// reset where another's on the same address complete.
    Blocked,
    /// It fails here and works for the control, and nothing else explains it; but no artefact shows who did it.
    LikelyBlocked,
    /// It works, but worse than it should: throttled, partly failing, or passed through something that changes it.
    Impaired,
    /// It doesn't work, and not because of this network: it fails for the control too.
    Down,
    /// Not enough was seen to say anything. Not the same as `ok`.
    Insufficient,
}

impl State {
    /// All states, in the order of the reference.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Blocked, Self::LikelyBlocked, Self::Impaired, Self::Down, Self::Insufficient];

    /// The word in records and rules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Blocked => "blocked",
            Self::LikelyBlocked => "likely-blocked",
            Self::Impaired => "impaired",
            Self::Down => "down",
            Self::Insufficient => "insufficient",
        }
    }

    /// Whether the network is held to interfere: `blocked` or `likely-blocked`.
    pub const fn is_blocking(self) -> bool {
        matches!(self, Self::Blocked | Self::LikelyBlocked)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The layer at which interference was seen. Observed, not inferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// Names.
    Dns,
    /// Addresses and connections.
    Tcp,
    /// Handshakes.
    Tls,
    /// Requests and pages.
    Http,
    /// QUIC, and UDP as a whole.
    Quic,
}

impl Layer {
    /// All layers, from the bottom of a visit to its top.
    pub const ALL: [Self; 5] = [Self::Dns, Self::Tcp, Self::Tls, Self::Http, Self::Quic];

    /// The word in records and rules.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Quic => "quic",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How it was done: a dotted term, from the general to the particular, such as `dns.injection.bogon` or `tls.reset.sni`.
///
/// The terms are those of OONI's ontology where it has one. Which there are is data (the rules file): this type only
/// checks the form, which is two or more words of lower-case letters, digits and hyphens, beginning with a layer's word
/// (`dns`, `ip`, `tcp`, `tls`, `http`, `quic`, `udp`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mechanism(String);

impl Mechanism {
    /// The whole term.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The layer, told by the first word: `ip` and `tcp` are [`Layer::Tcp`], `udp` is [`Layer::Quic`].
    pub fn layer(&self) -> Layer {
        layer_of(&self.0).unwrap_or(Layer::Tcp)
    }

    /// Whether the term is `general` or lies within it: `tls.reset.sni` is within `tls` and `tls.reset`.
    pub fn is_within(&self, general: &str) -> bool {
        self.0.strip_prefix(general).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

fn layer_of(term: &str) -> Option<Layer> {
    match term.split('.').next()? {
        "dns" => Some(Layer::Dns),
        "ip" | "tcp" => Some(Layer::Tcp),
        "tls" => Some(Layer::Tls),
        "http" => Some(Layer::Http),
        "quic" | "udp" => Some(Layer::Quic),
        _ => None,
    }
}

impl FromStr for Mechanism {
    type Err = MechanismError;

    fn from_str(term: &str) -> Result<Self, MechanismError> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if term.len() <= MECHANISM_LEN_MAX
            && layer_of(term).is_some()
            && term.contains('.')
            && term.split('.').all(is_word)
        {
            Ok(Self(term.to_owned()))
        } else {
            Err(MechanismError(term.chars().take(MECHANISM_LEN_MAX).collect()))
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Mechanism {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Mechanism {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A text that is no mechanism term.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no mechanism: write words of a-z, 0-9 and - joined by dots, the first of which is dns, ip, tcp, tls, http, quic or udp (such as tls.reset.sni)"
)]
pub struct MechanismError(pub String);

/// Where on the path the interference was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The hop, counted from the probe: 1 is its first router.
    pub hop: u8,
    /// How many hops away the target itself is, if that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_hops: Option<u8>,
    /// How the device stands to the path.
    pub position: Position,
    /// The router that answered at that hop. Left out of what is shared, unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What it was found with.
    pub method: Method,
}

/// How a device stands to the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// In the path: packets go through it, and it drops or changes them.
    InPath,
    /// Beside the path: it sees a copy and injects; the original goes on.
    OnPath,
    /// At the target's own address, or in front of it.
    Endpoint,
    /// Seemingly beyond the target: an injector that copies the probe's TTL, where the copy could not be undone.
    PastEndpoint,
}

/// How a place was found: the tiers of privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// TTL-limited sends on an ordinary socket.
    PlainSocket,
    /// ICMP errors read from the socket's error queue.
    ErrorQueue,
    /// Own packets, with everything that came back captured.
    Raw,
}

/// A rule that fired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fired {
    /// The rule's id; stable across versions of the rules.
    pub rule: String,
    /// The state it speaks for.
    pub class: State,
    /// The mechanism it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<Mechanism>,
    /// The fields that the rule asked for as evidence, and what they held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// A field and its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The observation's field, as rules name it.
    pub field: String,
    /// What it held.
    pub value: Scalar,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Anything else.
    Text(String),
}

/// The observation that decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Witness {
    /// The rule that decided.
    pub rule: String,
    /// Where in the measurement's `test_keys` the observation stands, such as `tls_handshakes[3]`.
    pub path: String,
    /// What was observed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Scalar>,
}

/// Which rules were used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSet {
    /// The version that the file gives itself.
    pub version: String,
    /// SHA-256 of the rules and the fingerprints, in hexadecimal.
    pub sha256: String,
}

/// What OONI's own analysis says, in OONI's own keys; computed anew from the measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Classic {
    /// OONI's verdict.
    pub blocking: Blocking,
    /// Whether the page was reached; `null` when that could not be told.
    pub accessible: Option<bool>,
    /// Whether the probe's answers agree with the control's; `null` when that could not be told.
    pub dns_consistency: Option<DnsConsistency>,
    /// The shorter body's share of the longer, in [0, 1].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_proportion: Option<f64>,
    /// Whether that share is above OONI's limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_length_match: Option<bool>,
    /// Whether the headers are alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_match: Option<bool>,
    /// Whether the status codes are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code_match: Option<bool>,
    /// Whether the titles are alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title_match: Option<bool>,
}

/// OONI's `blocking`: false, a word, or null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Blocking {
    /// `null`: could not be told.
    #[default]
    Unknown,
    /// `false`.
    None,
    /// `"dns"`.
    Dns,
    /// `"tcp_ip"`.
    TcpIp,
    /// `"http-failure"`.
    HttpFailure,
    /// `"http-diff"`.
    HttpDiff,
}

impl Blocking {
    const WORDS: [(&'static str, Self); 4] = [
        ("dns", Self::Dns),
        ("tcp_ip", Self::TcpIp),
        ("http-failure", Self::HttpFailure),
        ("http-diff", Self::HttpDiff),
    ];

    /// From OONI's word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, blocking)| *blocking)
    }

    /// OONI's word, if it is one.
    pub fn word(self) -> Option<&'static str> {
        Self::WORDS.iter().find(|(_, blocking)| *blocking == self).map(|(word, _)| *word)
    }
}

impl Serialize for Blocking {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self, self.word()) {
            (_, Some(word)) => serializer.serialize_str(word),
            (Self::None, None) => serializer.serialize_bool(false),
            (_, None) => serializer.serialize_unit(),
        }
    }
}

impl<'de> Deserialize<'de> for Blocking {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Blocking;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("false, null, \"dns\", \"tcp_ip\", \"http-failure\" or \"http-diff\"")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Blocking, E> {
                if value {
                    Err(E::invalid_value(de::Unexpected::Bool(value), &self))
                } else {
                    Ok(Blocking::None)
                }
            }

            fn visit_unit<E: de::Error>(self) -> Result<Blocking, E> {
                Ok(Blocking::Unknown)
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Blocking, E> {
                Blocking::from_word(value).ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// OONI's `dns_consistency`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DnsConsistency {
    /// The probe's answers agree with the control's.
    Consistent,
    /// They don't.
    Inconsistent,
}

/// Equipment whose marks were seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vendor {
    /// The vendor or product.
    pub name: String,
    /// The independent features it is named on; two at least.
    pub features: Vec<String>,
}

/// Medians of how long the successful steps took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// A name's answer, by the system's resolver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<f64>,
    /// A connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<f64>,
    /// A handshake, without the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<f64>,
    /// A page, from the request to the end of its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<f64>,
}

/// Where a measurement is to be found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurement {
    /// OONI's id of the session; empty when nothing was uploaded.
    pub report_id: String,
    /// OONI's id of the measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The program that measured, with its version.
    pub software: String,
    /// The file, as it was named to the classifier.
    pub file: String,
    /// The line the measurement begins on, from 1.
    pub line: u64,
    /// SHA-256 of the measurement's bytes in the file, without the line's end; in hexadecimal.
    pub sha256: String,
}

/// Times as RFC 3339 texts.
mod rfc3339 {
    use super::{Deserialize, Deserializer, Serializer, Timestamp, de};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|_| {
            de::Error::custom(format_args!("`{text}` is no time: write it as in 2020-08-09T20:00:00Z"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            schema: SCHEMA,
            measured: "2020-08-09T20:00:00Z".parse().unwrap(),
            input: "https://example.org/".into(),
            target: "example.org".into(),
            category: Some("NEWS".into()),
            network: Network {
                asn: 64500,
                country: "ZZ".into(),
                name: None,
                resolver_asn: Some(64501),
                family: Some(Family::Ipv6),
            },
            probe: None,
            state: State::LikelyBlocked,
            mechanism: Some("tls.reset.sni".parse().unwrap()),
            layer: Some(Layer::Tls),
            place: Some(Place {
                hop: 4,
                of_hops: Some(11),
                position: Position::OnPath,
                address: None,
                method: Method::ErrorQueue,
            }),
            fired: vec![Fired {
                rule: "tls-reset-sni".into(),
                class: State::LikelyBlocked,
                mechanism: Some("tls.reset.sni".parse().unwrap()),
                evidence: vec![
                    Evidence { field: "tls.failure".into(), value: Scalar::Text("connection_reset".into()) },
                    Evidence { field: "tls.control_ok".into(), value: Scalar::Bool(true) },
                    Evidence { field: "tls.count".into(), value: Scalar::Int(3) },
                    Evidence { field: "rate.ratio".into(), value: Scalar::Float(0.25) },
                ],
            }],
            witness: Some(Witness {
                rule: "tls-reset-sni".into(),
                path: "tls_handshakes[3]".into(),
                values: BTreeMap::from([("failure".into(), Scalar::Text("connection_reset".into()))]),
            }),
            rules: RuleSet { version: "1".into(), sha256: "00".repeat(32) },
            classic: Classic {
                blocking: Blocking::HttpFailure,
                accessible: Some(false),
                ..Classic::default()
            },
            vendors: vec![Vendor { name: "example".into(), features: vec!["ip-id".into(), "window".into()] }],
            latency_ms: Some(Latency { tcp: Some(31.5), ..Latency::default() }),
            rate_ratio: None,
            measurement: Measurement {
                report_id: String::new(),
                uid: None,
                software: "daylight 0.1.0".into(),
                file: "a.jsonl".into(),
                line: 1,
                sha256: "11".repeat(32),
            },
        }
    }

    #[test]
    fn a_record_survives_its_line() {
        let line = serde_json::to_string(&record()).unwrap();
        assert!(!line.contains('\n'));
        let read: Record = serde_json::from_str(&line).unwrap();
        assert_eq!(read, record());
        assert_eq!(serde_json::to_string(&read).unwrap(), line);
        assert!(line.contains(r#""measured":"2020-08-09T20:00:00Z""#), "{line}");
        assert!(
            line.contains(r#""state":"likely-blocked","mechanism":"tls.reset.sni","layer":"tls""#),
            "{line}"
        );
    }

    #[test]
    fn unknown_keys_are_ignored_and_optional_ones_may_be_missing() {
        let line = r#"{"schema":1,"measured":"2020-08-09T20:00:00Z","input":"a","target":"a","later":[1],
            "network":{"asn":1,"country":"ZZ"},"state":"ok","rules":{"version":"1","sha256":""},
            "classic":{"blocking":false,"accessible":true,"dns_consistency":"consistent"},
            "measurement":{"report_id":"","software":"x","file":"f","line":1,"sha256":""}}"#;
        let read: Record = serde_json::from_str(line).unwrap();
        assert_eq!((read.state, read.classic.blocking), (State::Ok, Blocking::None));
    }

    #[test]
    fn blocking_is_false_a_word_or_null() {
        for (json, blocking) in [
            ("false", Blocking::None),
            ("null", Blocking::Unknown),
            (r#""dns""#, Blocking::Dns),
            (r#""tcp_ip""#, Blocking::TcpIp),
            (r#""http-failure""#, Blocking::HttpFailure),
            (r#""http-diff""#, Blocking::HttpDiff),
        ] {
            assert_eq!(serde_json::from_str::<Blocking>(json).unwrap(), blocking);
            assert_eq!(serde_json::to_string(&blocking).unwrap(), json);
        }
        assert!(serde_json::from_str::<Blocking>("true").is_err());
        assert!(serde_json::from_str::<Blocking>("1").is_err());
        assert!(serde_json::from_str::<Blocking>(r#""dnss""#).is_err());
    }

    #[test]
    fn words_are_those_of_the_json() {
        for state in State::ALL {
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
        }
        for layer in Layer::ALL {
            assert_eq!(serde_json::to_string(&layer).unwrap(), format!("\"{layer}\""));
        }
    }

    #[test]
    fn mechanisms_have_a_layer_and_lie_within_others() {
        let mechanism: Mechanism = "ip.blackhole".parse().unwrap();
        assert_eq!(mechanism.layer(), Layer::Tcp);
        assert!(mechanism.is_within("ip") && mechanism.is_within("ip.blackhole"));
        assert!(!mechanism.is_within("ip.black"));
        for bad in ["", "tls", "tls.", "tls..sni", "TLS.reset", "smtp.reset", "tls.reset sni"] {
            assert!(bad.parse::<Mechanism>().is_err(), "{bad}");
        }
    }
}
