//! What we measure beyond OONI's tests: `test_keys.x_daylight` of a measurement. Written by the measurer, read here.
//!
//! All lists may be empty and all that is optional may be missing; a reader ignores keys it doesn't know. New keys may be
//! added; the meaning of a key never changes. Times are in milliseconds, `t` since the measurement began, as OONI's.

use serde::{Deserialize, Serialize};

use crate::ooni::Failure;
use crate::record::{Method, Position};

/// The extras of one measurement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extras {
    /// The layout's version: 1.
    pub version: u32,
    /// The test list's category of the target (`NEWS`, `HUMR` …).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The service group that the target belongs to, and the group's rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// When `control` was seen, if it comes out of a control pack and not from a helper just now; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_made: Option<String>,
    /// Every reply to every query, also late and duplicate ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<DnsReply>,
    /// Handshakes with this and that name, at this and that address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tls_matrix: Vec<TlsCell>,
    /// Requests other than a browser's: the target's `Host` at the control's address, and such.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpCell>,
    /// QUIC attempts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quic: Vec<QuicCell>,
    /// Transfers side by side, for throttling.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub throttling: Vec<ThrottlingPair>,
    /// Repetitions after a failure, for blocking that lingers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retests: Vec<Retest>,
    /// Visits to the control before and after: whether the network worked at all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<ControlVisit>,
    /// Searches for the hop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<Trace>,
    /// Packets that are not the server's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub injected: Vec<InjectedPacket>,
}

/// A service that has several endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The service: `telegram`, `signal` …
    pub name: String,
    /// How the endpoints' outcomes combine.
    pub combine: Combine,
}

/// How the endpoints of a service combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Combine {
    /// One that works is enough.
    AnyOf,
    /// All must work.
    AllOf,
}

/// Whose something is: the target's, the control's, or nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NameKind {
    /// The target's name.
    Target,
    /// An innocuous name.
    Control,
    /// No name at all.
    None,
    /// The target's name, in a ClientHello that is split over several segments.
    Split,
    /// The target's name with a dot at its end.
    TrailingDot,
    /// The target's name in front, with a GREASE `encrypted_client_hello` extension beside it.
    EchGrease,
    /// The target's name inside Encrypted Client Hello, the provider's in front.
    Ech,
}

/// Whose address a connection goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressKind {
    /// An address of the target's.
    Target,
    /// An address of the control server's.
    Control,
}

/// What a query was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResolverKind {
    /// The system's resolver.
    System,
    /// A public resolver over UDP.
    Udp,
    /// A public resolver over TCP.
    Tcp,
    /// A public resolver over TLS.
    Dot,
    /// A public resolver over HTTPS.
    Doh,
    /// An address where no resolver listens: an answer from there is an injector's.
    NonResolver,
}

/// What a query asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryKind {
    /// The target's name.
    #[default]
    Target,
    /// An innocuous name.
    Control,
    /// A name made up at random, which doesn't exist.
    Random,
}

/// A reply to a query, or that there was none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DnsReply {
    /// What was asked for.
    #[serde(default)]
    pub query: QueryKind,
    /// The name, as asked.
    pub hostname: String,
    /// `A`, `AAAA`.
    pub query_type: String,
    /// What kind of resolver it was sent to.
    pub resolver: ResolverKind,
    /// The resolver's address or URL; empty for the system's.
    #[serde(default)]
    pub resolver_address: String,
    /// Which reply to the same query this is, from 0. A second one to a UDP query is a sign of an injector.
    #[serde(default)]
    pub index: u32,
    /// The addresses in the answer, in its order.
    #[serde(default)]
    pub addrs: Vec<String>,
    /// The canonical names on the way, in the answer's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cnames: Vec<String>,
    /// The reply's RCODE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rcode: Option<u8>,
    /// The first Extended DNS Error's INFO-CODE (RFC 8914).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_error: Option<u16>,
    /// Why there is no answer.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// The IP TTL that the reply came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_ttl: Option<u8>,
    /// From the query to the reply.
    #[serde(default)]
    pub took_ms: f64,
    /// Whether it came after another one had been taken for the answer.
    #[serde(default)]
    pub late: bool,
}

/// One handshake of the matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TlsCell {
    /// Which kind of name it was sent with.
    pub name: NameKind,
    /// The name itself; empty for none.
    #[serde(default)]
    pub server_name: String,
    /// Whose address it went to.
    pub at: AddressKind,
    /// Address and port.
    pub address: String,
    /// Which repetition of the same cell this is, from 0.
    #[serde(default)]
    pub attempt: u32,
    /// Whether the connection came about; the rest is about the handshake.
    pub connected: bool,
    /// Why the connection or the handshake failed. A certificate that doesn't fit `server_name` is no failure here.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// The alert that the peer sent, by its number (RFC 8446 §6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<u8>,
    /// Whether the certificate is valid for the target's name at that time; `null` when none came.
    #[serde(default)]
    pub valid_for_target: Option<bool>,
    /// SHA-256 of the certificate's DER, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The issuer's common name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// When it began.
    #[serde(default)]
    pub t_ms: f64,
    /// How long the connection took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_ms: Option<f64>,
    /// How long the handshake took, to its end or its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake_ms: Option<f64>,
}

/// One request with this or that `Host`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpCell {
    /// Whose name is in `Host`.
    pub name: NameKind,
    /// Whose address it went to.
    pub at: AddressKind,
    /// Address and port.
    pub address: String,
    /// Why there is no response.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// The response's status code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// The `Location` it points to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The first 8 KiB of the body, lossily as UTF-8.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Request headers that the helper at the control's address saw otherwise than they were sent: names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_headers: Vec<String>,
    /// From the request to the response's end.
    #[serde(default)]
    pub took_ms: f64,
}

/// What a QUIC packet was meant to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuicKind {
    /// A whole handshake.
    Handshake,
    /// A version negotiation packet, by an unknown version: tells UDP that is blocked from names that are.
    VersionNegotiation,
}

/// One QUIC attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuicCell {
    /// What was tried.
    pub kind: QuicKind,
    /// Which kind of name it was sent with; none for version negotiation.
    pub name: NameKind,
    /// Whose address it went to.
    pub at: AddressKind,
    /// Address and port.
    pub address: String,
    /// Which repetition of the same cell this is, from 0.
    #[serde(default)]
    pub attempt: u32,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// From the first packet to the outcome.
    #[serde(default)]
    pub took_ms: f64,
}

/// Two transfers, one after the other or side by side: the target's name and an innocuous one, at the same address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThrottlingPair {
    /// Which pair this is, from 0.
    pub index: u32,
    /// Address and port of both.
    pub address: String,
    /// With the target's name.
    pub target: Transfer,
    /// With an innocuous name.
    pub control: Transfer,
}

/// One transfer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Transfer {
    /// The name it was made with.
    pub server_name: String,
    /// Payload bytes that came.
    pub bytes: u64,
    /// From the first payload byte to the last.
    pub took_ms: f64,
    /// `bytes` over `took_ms`.
    pub rate_bytes_per_s: f64,
    /// Coefficient of variation of the rate on its plateau: below 0.15 a shaper is at work, above a policer or loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plateau_cv: Option<f64>,
    /// The connection's smoothed round-trip time at the end (`TCP_INFO`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// The connection's least round-trip time (`TCP_INFO`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_min_ms: Option<f64>,
    /// Segments sent again, of those sent, in [0, 1] (`TCP_INFO`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// How many bytes had come when nothing more did for longer than max(3 round trips, 1.5 s).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalled_at: Option<u64>,
    /// How it failed, if it did.
    pub failure: Option<Failure>,
}

/// What was repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// A connection.
    Tcp,
    /// A handshake.
    Tls,
    /// A request.
    Http,
    /// A QUIC handshake.
    Quic,
}

/// A repetition of what failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retest {
    /// What was repeated.
    pub step: Step,
    /// Whose name it was repeated with: the control's name failing right after the target's is blocking that lingers.
    pub name: NameKind,
    /// Address and port.
    pub address: String,
    /// Whether the local port was another one than before.
    pub fresh_port: bool,
    /// How long after the failure.
    pub after_ms: f64,
    /// Why it failed again.
    #[serde(default)]
    pub failure: Option<Failure>,
}

/// When a control was visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Before the target.
    Before,
    /// After it.
    After,
}

/// A visit to something that is never blocked: whether the network worked at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlVisit {
    /// Before or after the target.
    pub when: When,
    /// What was visited.
    pub url: String,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// Whether what came was what had to come. False with no failure is a captive portal.
    pub as_expected: bool,
    /// How long it took.
    #[serde(default)]
    pub took_ms: f64,
}

/// A search for the hop at which something happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// What was sent with a limited TTL.
    pub step: TraceStep,
    /// Address and port it was sent to.
    pub address: String,
    /// What it was found with.
    pub method: Method,
    /// The TTL at which the target's name got its fate: a reply that isn't the server's, or silence.
    #[serde(default)]
    pub hop: Option<u8>,
    /// The TTL at which the control's name got the server's reply.
    #[serde(default)]
    pub of_hops: Option<u8>,
    /// How the device stands to the path.
    #[serde(default)]
    pub position: Option<Position>,
    /// Whether the hop was corrected for an injector that copies the probe's TTL.
    #[serde(default)]
    pub ttl_copied: bool,
    /// How many repetitions agree, of how many.
    #[serde(default)]
    pub agreeing: (u32, u32),
    /// The hops seen on the way.
    #[serde(default)]
    pub hops: Vec<Hop>,
}

/// What a trace sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceStep {
    /// A query.
    Dns,
    /// A SYN.
    Tcp,
    /// A ClientHello.
    Tls,
    /// A request.
    Http,
    /// A QUIC Initial.
    Quic,
}

/// One hop of a trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hop {
    /// The TTL sent with.
    pub ttl: u8,
    /// The router that said the TTL ran out; scrubbed to `null` in what is shared.
    pub address: Option<String>,
    /// From the probe to its answer.
    pub rtt_ms: Option<f64>,
    /// What came for the target's name: `ttl-exceeded`, `reset`, `fin`, `page`, `answer`, `alert`, `silence`.
    pub target: Option<String>,
    /// What came for the control's name.
    pub control: Option<String>,
}

/// A packet that came in the server's name and is not the server's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InjectedPacket {
    /// Which step it broke.
    pub step: TraceStep,
    /// Address and port it pretends to be from.
    pub address: String,
    /// `rst`, `rst-ack`, `fin-ack`, `fin-data`, `data`, `dns-answer`.
    pub kind: String,
    /// The name that the connection was for: in its ClientHello, its `Host`, its query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The port it came to: by it, the connection is found in the capture beside the measurements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_port: Option<u16>,
    /// `injected`, or `suspect` if one harmless cause would explain all of its tells.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verdict: String,
    /// Its IP TTL.
    #[serde(default)]
    pub ip_ttl: Option<u8>,
    /// The TTL of the server's own packets (SYN/ACK).
    #[serde(default)]
    pub server_ip_ttl: Option<u8>,
    /// Its IP identification.
    #[serde(default)]
    pub ip_id: Option<u16>,
    /// Its don't-fragment flag.
    #[serde(default)]
    pub dont_fragment: Option<bool>,
    /// Its TCP window, as in the header.
    #[serde(default)]
    pub window: Option<u16>,
    /// How many packets like it came.
    #[serde(default)]
    pub copies: u32,
    /// From our packet to this one.
    #[serde(default)]
    pub after_ms: Option<f64>,
    /// The vendor-independent tells: `ttl-gap`, `ip-id-jump`, `too-fast`, `server-went-on` …
    #[serde(default)]
    pub tells: Vec<String>,
    /// What signatures it fits, each with the features that do.
    #[serde(default)]
    pub signatures: Vec<SignatureMatch>,
}

/// A signature that an injected packet fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureMatch {
    /// The signature's id.
    pub id: String,
    /// The vendor or system, if the signature names one.
    #[serde(default)]
    pub vendor: Option<String>,
    /// The independent features that fit: `ip-id=0x3412`, `window=502` …
    pub features: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_object_is_extras_and_unknown_keys_are_ignored() {
        assert_eq!(serde_json::from_str::<Extras>("{}").unwrap(), Extras::default());
        assert_eq!(serde_json::from_str::<Extras>(r#"{"later":[1,2]}"#).unwrap(), Extras::default());
    }

    #[test]
    fn a_cell_survives_its_json() {
        let json = r#"{"name":"target","at":"control","address":"192.0.2.1:443","connected":true,
            "failure":"connection_reset"}"#;
        let cell: TlsCell = serde_json::from_str(json).unwrap();
        assert_eq!((cell.name, cell.at), (NameKind::Target, AddressKind::Control));
        assert_eq!(cell.failure, Some(Failure::ConnectionReset));
        let again: TlsCell = serde_json::from_str(&serde_json::to_string(&cell).unwrap()).unwrap();
        assert_eq!(again, cell);
    }
}
