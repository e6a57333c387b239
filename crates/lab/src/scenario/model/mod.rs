//! The schema: one type for each kind of table. The guide's key reference says the same in prose.

mod client;
mod event;
mod service;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{Prefix, Time};
pub use client::{Client, Expect, Outcome, Outcomes};
pub use event::{Change, Event, Run};
pub use service::{Answer, Certificate, Service, ServiceKind};

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
    /// What links' losses and adversaries' choices are drawn with: another number gives another run of the same scenario.
    #[serde(default)]
    pub seed: u64,
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
