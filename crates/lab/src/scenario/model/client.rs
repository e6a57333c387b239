//! What clients do, how it ends, and what is expected of it.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::Name;
use crate::scenario::Time;

/// What a client does, again and again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Client {
    /// Its name; without it, made from the host and what it does.
    pub name: Option<Name>,
    /// Where it runs.
    pub host: Name,
    /// What the report groups it under.
    pub category: Option<String>,
    /// Gets a URL: resolve, connect, TLS, HTTP.
    pub fetch: Option<Name>,
    /// `fetch`: which HTTP to speak, `"1.1"`, `"2"` or `"3"` (1.1 or 2, as both agree, without it).
    pub http: Option<Name>,
    /// `fetch`: trust any certificate.
    #[serde(default)]
    pub insecure: bool,
    /// All but `program`: IPv6 only (`6`) or IPv4 only (`4`, the default).
    pub ip: Option<Spanned<u8>>,
    /// Asks for a name's addresses.
    pub resolve: Option<Name>,
    /// `resolve`: the address to ask; without it, the host's resolver.
    pub server: Option<Spanned<std::net::IpAddr>>,
    /// Sends an ICMP echo request to a host or an address.
    pub ping: Option<Name>,
    /// Opens a TCP connection: `host:port`.
    pub connect: Option<Name>,
    /// Sends a datagram that must come back: `host:port`.
    pub datagram: Option<Name>,
    /// Opens a QUIC connection to a `quic-echo`, and sends something that must come back: `name:port`.
    pub quic: Option<Name>,
    /// Runs a command; it is well if its exit status is 0.
    pub program: Option<Spanned<Vec<String>>>,
    /// From when on; without it, the start.
    #[serde(default)]
    pub from: Time,
    /// Until when; without it, the end.
    pub until: Option<Spanned<Time>>,
    /// How often; without it, once.
    pub every: Option<Spanned<Time>>,
    /// How long it waits for each. Default 3 s.
    pub timeout: Option<Spanned<Time>>,
    /// What must come out.
    #[serde(default)]
    pub expect: Vec<Expect>,
}

/// What must come out of a client's actions. All that is given must hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// Of the actions that began from then on.
    pub from: Option<Spanned<Time>>,
    /// And before then.
    pub until: Option<Spanned<Time>>,
    /// How they ended: one outcome, or any of several.
    pub outcome: Option<Spanned<Outcomes>>,
    /// What share of them must have ended so. Default 100.
    #[serde(rename = "share_percent_min")]
    pub share_percent_min: Option<Spanned<f64>>,
    /// And what share at most.
    #[serde(rename = "share_percent_max")]
    pub share_percent_max: Option<Spanned<f64>>,
    /// The median time of those that ended well, at least.
    #[serde(rename = "latency_ms_min")]
    pub latency_ms_min: Option<Spanned<f64>>,
    /// The median time of those that ended well, at most.
    #[serde(rename = "latency_ms_max")]
    pub latency_ms_max: Option<Spanned<f64>>,
    /// The median rate of those that ended well, at least.
    #[serde(rename = "rate_mbit_min")]
    pub rate_mbit_min: Option<Spanned<f64>>,
    /// The median rate of those that ended well, at most.
    #[serde(rename = "rate_mbit_max")]
    pub rate_mbit_max: Option<Spanned<f64>>,
    /// Why this is expected; shown on the report.
    pub because: Option<String>,
}

/// One outcome or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Outcomes {
    /// This one.
    One(Outcome),
    /// Any of these.
    Any(Vec<Outcome>),
}

impl Outcomes {
    /// As a list.
    pub fn all(&self) -> &[Outcome] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Any(many) => many,
        }
    }
}

/// How a client's action ended.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// As it should.
    Ok,
    /// The name doesn't exist, says the resolver; the scenario's zones have it.
    DnsNxdomain,
    /// The name has other addresses than the scenario's zones say.
    DnsForged,
    /// The resolver refused or failed.
    DnsRefused,
    /// The answer says that the name is blocked, and owns to it: an Extended DNS Error 15, 16 or 17 (RFC 8914).
    DnsBlocked,
    /// No answer from the resolver.
    DnsTimeout,
    /// No way to the address, say the host or a router.
    Unreachable,
    /// The connection was refused: a reset in answer to the SYN.
    Refused,
    /// The connection was reset after it was open.
    Reset,
    /// The connection was closed before the answer was there.
    Closed,
    /// Nothing came for as long as the action waits.
    Timeout,
    /// A notice came in place of the page: status 451 with the address of who blocked it (RFC 7725).
    #[serde(rename = "http-451")]
    Http451,
    /// Another page came that is not the site's.
    BlockPage,
    /// The certificate isn't one of the scenario's CA.
    TlsCertificate,
    /// Another failure of the handshake.
    TlsError,
    /// The site answered with an error.
    HttpError,
    /// Something else; the report has the message.
    Failed,
}

impl Outcome {
    /// All, in the order of the legend.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::DnsNxdomain,
        Self::DnsForged,
        Self::DnsRefused,
        Self::DnsBlocked,
        Self::DnsTimeout,
        Self::Unreachable,
        Self::Refused,
        Self::Reset,
        Self::Closed,
        Self::Timeout,
        Self::Http451,
        Self::BlockPage,
        Self::TlsCertificate,
        Self::TlsError,
        Self::HttpError,
        Self::Failed,
    ];

    /// The name in a scenario.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::DnsNxdomain => "dns-nxdomain",
            Self::DnsForged => "dns-forged",
            Self::DnsRefused => "dns-refused",
            Self::DnsBlocked => "dns-blocked",
            Self::DnsTimeout => "dns-timeout",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Http451 => "http-451",
            Self::BlockPage => "block-page",
            Self::TlsCertificate => "tls-certificate",
            Self::TlsError => "tls-error",
            Self::HttpError => "http-error",
            Self::Failed => "failed",
        }
    }
}

impl Client {
    /// Its name, given or made.
    pub fn name(&self) -> String {
        self.name.as_ref().map_or_else(
            || format!("{}: {}", self.host.get_ref(), self.what()),
            |name| name.get_ref().clone(),
        )
    }

    /// What it does, in words.
    pub fn what(&self) -> String {
        let of = |verb: &str, name: &Name| format!("{verb} {}", name.get_ref());
        None::<String>
            .or_else(|| self.fetch.as_ref().map(|n| of("fetch", n)))
            .or_else(|| self.resolve.as_ref().map(|n| of("resolve", n)))
            .or_else(|| self.ping.as_ref().map(|n| of("ping", n)))
            .or_else(|| self.connect.as_ref().map(|n| of("connect", n)))
            .or_else(|| self.datagram.as_ref().map(|n| of("datagram", n)))
            .or_else(|| self.quic.as_ref().map(|n| of("quic", n)))
            .or_else(|| self.program.as_ref().map(|p| format!("run {}", p.get_ref().join(" "))))
            .unwrap_or_default()
    }
}
