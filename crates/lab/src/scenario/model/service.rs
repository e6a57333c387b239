//! Servers.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::Name;

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
    /// `web`: what is wrong with its certificate.
    pub certificate: Option<Spanned<Certificate>>,
    /// `web`: what it says instead of its page, the first that fits.
    #[serde(default)]
    pub answer: Vec<Answer>,
    /// `web`: a server of somebody else's: its pages don't carry what clients know the scenario's own sites by.
    #[serde(default)]
    pub foreign: bool,
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

/// A certificate that a browser warns of.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certificate {
    /// Its time is over.
    Expired,
    /// For another name.
    OtherName,
    /// Signed by itself.
    SelfSigned,
}

/// What a site says instead of its page.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Answer {
    /// To whom: a range of addresses; everybody without it.
    pub from: Option<Spanned<crate::scenario::Prefix>>,
    /// HTTP status; 200 without it.
    pub status: Option<Spanned<u16>>,
    /// Where to, for a redirect.
    pub location: Option<String>,
    /// The page, as HTML.
    #[serde(default)]
    pub body: String,
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
