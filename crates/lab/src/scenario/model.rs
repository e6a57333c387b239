//! The schema: one type for each kind of table. The guide's key reference says the same in prose.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{Prefix, Time};

/// A name and where it stands in the file.
pub type Name = Spanned<String>;

/// A scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// What it is called in lists and on the report.
    pub title: String,
    /// What it shows, in a few sentences.
    #[serde(default)]
    pub about: String,
    /// Where its facts come from.
    #[serde(default)]
    pub sources: Vec<String>,
    /// How long the timeline runs.
    pub duration: Spanned<Time>,
    /// Which time the timeline stands for, if it is a compressed one.
    pub clock: Option<Clock>,
    /// Networks by name; each is a router with a local network behind it.
    pub network: BTreeMap<Name, Network>,
    /// Hosts by name.
    pub host: BTreeMap<Name, Host>,
    /// Links between networks, and between hosts and their networks where these need properties.
    #[serde(default)]
    pub link: Vec<Link>,
    /// DNS zones by name.
    #[serde(default)]
    pub zone: BTreeMap<Name, Zone>,
    /// Servers by name.
    #[serde(default)]
    pub service: BTreeMap<Name, Service>,
    /// What clients do.
    #[serde(default)]
    pub client: Vec<Client>,
    /// What happens when.
    #[serde(default)]
    pub event: Vec<Event>,
}

/// The time that the timeline stands for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Clock {
    /// The time at the timeline's start, RFC 3339.
    pub start: Spanned<String>,
    /// What one second of the run stands for.
    pub second: Time,
}

/// A provider, an exchange, a hosting company: a router with a local network behind it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Network {
    /// Its name on the report.
    pub title: Option<String>,
    /// What it is; it only decides how it is drawn.
    #[serde(default)]
    pub role: Role,
    /// Its IPv4 range; the router has the first address.
    pub ipv4: Option<Spanned<Prefix>>,
    /// Its IPv6 range; the router has the first address.
    pub ipv6: Option<Spanned<Prefix>>,
    /// Censors in its router: those that end connections themselves.
    #[serde(default)]
    pub adversary: Vec<Spanned<toml::Table>>,
    /// Daylight's filter in its router.
    pub filter: Option<Filter>,
    /// A program in its router: the command.
    pub program: Option<Spanned<Vec<String>>>,
}

/// Daylight's filter in a router, where it sees what the router passes on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Filter {
    /// The policy's file; relative to the scenario's folder.
    pub policy: Name,
    /// Further arguments of `daylight filter run`.
    #[serde(default)]
    pub arguments: Vec<String>,
}

/// What a network is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It connects customers.
    #[default]
    Provider,
    /// It carries others' traffic: a backbone, an exchange, a gateway abroad.
    Transit,
    /// It has servers.
    Hosting,
}

/// A computer: a network namespace with one interface, `eth0`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Host {
    /// Its name on the report.
    pub title: Option<String>,
    /// The network it is in.
    pub network: Name,
    /// Its IPv4 address; without it, the next free one.
    pub ipv4: Option<Spanned<Ipv4Addr>>,
    /// Its IPv6 address; without it, the next free one.
    pub ipv6: Option<Spanned<Ipv6Addr>>,
    /// Further addresses of its interface, such as those of the sites that share it.
    #[serde(default)]
    pub also: Vec<Spanned<std::net::IpAddr>>,
    /// The host whose `dns-recursive` service it asks.
    pub resolver: Option<Name>,
}

/// A link, and what stands in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Link {
    /// Its name; without it, `a--b`.
    pub name: Option<Name>,
    /// Its two ends: two networks, or a host and its network. The first is side `a`, where the censored people are.
    pub between: [Name; 2],
    /// What it adds to each packet's way, in each direction.
    #[serde(rename = "delay_ms")]
    pub delay_ms: Option<Spanned<f64>>,
    /// By how much the delay varies to either side.
    #[serde(rename = "jitter_ms")]
    pub jitter_ms: Option<Spanned<f64>>,
    /// Packets that get lost, in each direction.
    #[serde(rename = "loss_percent")]
    pub loss_percent: Option<Spanned<f64>>,
    /// Its rate in each direction.
    #[serde(rename = "rate_mbit")]
    pub rate_mbit: Option<Spanned<f64>>,
    /// How much waits when it is full.
    #[serde(rename = "queue_kb")]
    pub queue_kb: Option<Spanned<f64>>,
    /// Whether to write its packets to a file.
    #[serde(default)]
    pub capture: bool,
    /// A program between its two sides, which are bridged interfaces `a` and `b`: the command.
    pub program: Option<Spanned<Vec<String>>>,
    /// Censors on it: those that look at packets.
    #[serde(default)]
    pub adversary: Vec<Spanned<toml::Table>>,
}

/// A DNS zone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Zone {
    /// The `dns-authoritative` service that has it.
    pub service: Name,
    /// Names in it (`"www"`, `"@"` for the zone's own) and what they stand for: a host's name, or addresses. The names
    /// of services are added by themselves.
    #[serde(default)]
    pub names: BTreeMap<Name, Target>,
}

/// What a name in a zone stands for.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Target {
    /// A host or an address.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Target {
    /// As a list.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// A server on a host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    /// What it speaks.
    pub kind: Spanned<ServiceKind>,
    /// Where it runs.
    pub host: Name,
    /// Names it answers to.
    #[serde(default)]
    pub names: Vec<Name>,
    /// What it is for, on the report: `news`, `messenger`.
    pub category: Option<String>,
    /// `web`: the page's size. Larger ones are better to see throttling with.
    #[serde(rename = "page_kb")]
    pub page_kb: Option<Spanned<u32>>,
    /// `web`: a file to serve instead of the generated page.
    pub page: Option<Name>,
    /// `web`: answer on port 80 (default) and on 443 with a certificate of the scenario's CA (default).
    pub plain: Option<bool>,
    /// `web`: see `plain`.
    pub tls: Option<bool>,
    /// `web`: answer on UDP port 443, over HTTP/3, too.
    #[serde(default)]
    pub http3: bool,
    /// Another port than the kind's usual.
    pub port: Option<Spanned<u16>>,
    /// `program`: the command.
    pub program: Option<Spanned<Vec<String>>>,
    /// Whether it runs from the start.
    #[serde(default = "yes")]
    pub started: bool,
}

fn yes() -> bool {
    true
}

/// What a service speaks.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceKind {
    /// DNS for the zones that name it.
    DnsAuthoritative,
    /// DNS for clients; it asks the authoritative servers.
    DnsRecursive,
    /// HTTP/1.1 on port 80; HTTP/1.1 and HTTP/2 over TLS on port 443.
    Web,
    /// SMTP that takes every message and keeps none of its text.
    Mail,
    /// SSH.
    Ssh,
    /// UDP that sends every datagram back.
    UdpEcho,
    /// TCP that sends everything back.
    TcpEcho,
    /// QUIC that sends back what each stream has sent.
    QuicEcho,
    /// A program of the user's.
    Program,
}

impl ServiceKind {
    /// The name in a scenario.
    pub fn name(self) -> &'static str {
        match self {
            Self::DnsAuthoritative => "dns-authoritative",
            Self::DnsRecursive => "dns-recursive",
            Self::Web => "web",
            Self::Mail => "mail",
            Self::Ssh => "ssh",
            Self::UdpEcho => "udp-echo",
            Self::TcpEcho => "tcp-echo",
            Self::QuicEcho => "quic-echo",
            Self::Program => "program",
        }
    }

    /// Whether it answers over UDP; else TCP. (DNS answers over both.)
    pub fn is_udp(self) -> bool {
        matches!(self, Self::DnsAuthoritative | Self::DnsRecursive | Self::UdpEcho | Self::QuicEcho)
    }

    /// The port it has unless the scenario says otherwise.
    pub fn port(self) -> Option<u16> {
        match self {
            Self::DnsAuthoritative | Self::DnsRecursive => Some(53),
            Self::Mail => Some(25),
            Self::Ssh => Some(22),
            Self::UdpEcho | Self::TcpEcho => Some(7),
            Self::QuicEcho => Some(443),
            Self::Web | Self::Program => None,
        }
    }
}

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

/// Something that happens at a time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Event {
    /// When.
    pub at: Spanned<Time>,
    /// What the timeline says; without it, made from what happens.
    pub title: Option<String>,
    /// Adversaries to switch on, by name.
    #[serde(default)]
    pub enable: Vec<Name>,
    /// Adversaries to switch off, by name.
    #[serde(default)]
    pub disable: Vec<Name>,
    /// Links to cut: they carry nothing.
    #[serde(default)]
    pub cut: Vec<Name>,
    /// Links to mend.
    #[serde(default)]
    pub mend: Vec<Name>,
    /// Links to change, with what changes.
    #[serde(default)]
    pub change: BTreeMap<Name, Change>,
    /// Services to start.
    #[serde(default)]
    pub start: Vec<Name>,
    /// Services to stop.
    #[serde(default)]
    pub stop: Vec<Name>,
    /// A command to run on a host.
    pub run: Option<Run>,
}

/// A command on a host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Run {
    /// Where: a host, or a network for its router.
    pub host: Name,
    /// What.
    pub program: Spanned<Vec<String>>,
}

/// What changes of a link; the rest stays.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// See [`Link::delay_ms`].
    pub delay_ms: Option<f64>,
    /// See [`Link::jitter_ms`].
    pub jitter_ms: Option<f64>,
    /// See [`Link::loss_percent`].
    pub loss_percent: Option<f64>,
    /// See [`Link::rate_mbit`].
    pub rate_mbit: Option<f64>,
    /// See [`Link::queue_kb`].
    pub queue_kb: Option<f64>,
}

impl Network {
    /// What stands in its router beside adversaries, in words.
    pub fn middlebox(&self) -> Option<String> {
        let filter = self.filter.as_ref().map(|filter| format!("filter with {}", filter.policy.get_ref()));
        filter.or_else(|| self.program.as_ref().map(|program| program.get_ref().join(" ")))
    }
}

impl Link {
    /// Its name, given or made.
    pub fn name(&self) -> String {
        match &self.name {
            Some(name) => name.get_ref().clone(),
            None => format!("{}--{}", self.between[0].get_ref(), self.between[1].get_ref()),
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
