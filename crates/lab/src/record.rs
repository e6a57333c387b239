//! What a run leaves: `report.json`, and what the page is drawn from.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::expect::Verdict;
use crate::scenario::Scenario;
use crate::scenario::model::{Link, Name, Outcome, Role};

/// The format of `report.json`; it changes when a key's meaning does.
pub const FORMAT: u32 = 1;

/// A run, as `report.json` has it. Times are seconds since the timeline's start unless they say otherwise.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Record {
    /// [`FORMAT`].
    pub format: u32,
    /// The scenario's title.
    pub title: String,
    /// What it shows.
    pub about: String,
    /// Where its facts come from.
    pub sources: Vec<String>,
    /// When it ran, RFC 3339.
    pub started: String,
    /// How long the timeline is.
    pub duration_s: f64,
    /// How far the timeline was played; less than `duration_s` if the run was stopped.
    pub played_s: f64,
    /// The time the timeline stands for: its start in seconds since 1970, and what one second stands for.
    pub clock: Option<Clock>,
    /// What it ran as: `root` or `user namespace`.
    pub privilege: String,
    /// How long namespaces, links, addresses and routes took.
    pub build_ms: f64,
    /// How long it took until the last service answered.
    pub ready_ms: f64,
    /// Networks.
    pub networks: Vec<NetworkRecord>,
    /// Hosts.
    pub hosts: Vec<HostRecord>,
    /// Links.
    pub links: Vec<LinkRecord>,
    /// Services.
    pub services: Vec<ServiceRecord>,
    /// Clients, in the scenario's order.
    pub clients: Vec<ClientRecord>,
    /// What happened when.
    pub events: Vec<EventRecord>,
    /// What clients saw.
    pub observations: Vec<Observation>,
    /// Expectations.
    pub expectations: Vec<Verdict>,
    /// Files of the captures, relative to the report.
    #[serde(default)]
    pub captures: Vec<String>,
    /// Packets worth a look, from the captures.
    pub packets: Vec<PacketRecord>,
    /// What could not be done as the scenario asks.
    pub warnings: Vec<String>,
}

impl Record {
    /// Whether every expectation held, and the timeline was played to its end.
    pub fn holds(&self) -> bool {
        self.expectations.iter().all(|v| v.holds) && self.played_s >= self.duration_s
    }
}

impl Record {
    /// What is known of a run before it starts.
    pub(crate) fn of_scenario(scenario: &Scenario, addresses: &BTreeMap<String, Vec<IpAddr>>) -> Self {
        let title = |title: &Option<String>, name: &str| title.clone().unwrap_or_else(|| name.to_owned());
        let mut networks: Vec<_> = scenario.network.iter().collect();
        networks.sort_by_key(|(name, _)| name.span().start);
        let mut hosts: Vec<_> = scenario.host.iter().collect();
        hosts.sort_by_key(|(name, _)| name.span().start);
        let mut services: Vec<_> = scenario.service.iter().collect();
        services.sort_by_key(|(name, _)| name.span().start);
        let text = |name: &Option<Name>| name.as_ref().map(|n| n.get_ref().clone());
        Self {
            format: FORMAT,
            title: scenario.title.clone(),
            about: scenario.about.clone(),
            sources: scenario.sources.clone(),
            started: String::new(),
            duration_s: scenario.duration.get_ref().seconds,
            played_s: 0.0,
            clock: scenario.clock.as_ref().map(|clock| Clock {
                start_unix_s: clock
                    .start
                    .get_ref()
                    .parse::<jiff::Timestamp>()
                    .map_or(0, jiff::Timestamp::as_second),
                factor: clock.second.seconds,
            }),
            privilege: String::new(),
            build_ms: 0.0,
            ready_ms: 0.0,
            networks: networks
                .into_iter()
                .map(|(name, n)| NetworkRecord {
                    name: name.get_ref().clone(),
                    title: title(&n.title, name.get_ref()),
                    role: n.role,
                    ranges: n.ipv4.iter().chain(&n.ipv6).map(|p| p.get_ref().to_string()).collect(),
                    adversaries: AdversaryRecord::all(&n.adversary),
                    counters: serde_json::Value::Null,
                    middlebox: match (&n.filter, &n.program) {
                        (Some(_), _) => Some("filter".to_owned()),
                        (None, Some(_)) => Some("program".to_owned()),
                        (None, None) => None,
                    },
                })
                .collect(),
            hosts: hosts
                .into_iter()
                .map(|(name, h)| HostRecord {
                    name: name.get_ref().clone(),
                    title: title(&h.title, name.get_ref()),
                    network: h.network.get_ref().clone(),
                    addresses: addresses
                        .get(name.get_ref())
                        .into_iter()
                        .flatten()
                        .map(ToString::to_string)
                        .collect(),
                    resolver: text(&h.resolver),
                })
                .collect(),
            links: scenario.link.iter().map(LinkRecord::of).collect(),
            services: services
                .into_iter()
                .map(|(name, s)| ServiceRecord {
                    name: name.get_ref().clone(),
                    kind: s.kind.get_ref().name().to_owned(),
                    host: s.host.get_ref().clone(),
                    names: s.names.iter().map(|n| n.get_ref().clone()).collect(),
                    category: s.category.clone(),
                })
                .collect(),
            clients: scenario
                .client
                .iter()
                .map(|c| ClientRecord {
                    name: c.name(),
                    host: c.host.get_ref().clone(),
                    network: scenario
                        .host
                        .get(c.host.get_ref().as_str())
                        .map(|h| h.network.get_ref().clone())
                        .unwrap_or_default(),
                    what: c.what(),
                    category: c.category.clone(),
                })
                .collect(),
            events: Vec::new(),
            observations: Vec::new(),
            expectations: Vec::new(),
            captures: Vec::new(),
            packets: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// See [`Record::clock`].
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Clock {
    /// Seconds since 1970.
    pub start_unix_s: i64,
    /// Seconds that one second of the run stands for.
    pub factor: f64,
}

/// A network.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct NetworkRecord {
    /// Its name in the scenario.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What it is.
    pub role: Role,
    /// Its ranges.
    pub ranges: Vec<String>,
    /// The adversaries in its router.
    #[serde(default)]
    pub adversaries: Vec<AdversaryRecord>,
    /// What these counted, by name.
    #[serde(default)]
    pub counters: serde_json::Value,
    /// Whether a filter or a program stands in its router.
    #[serde(default)]
    pub middlebox: Option<String>,
}

/// A host.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct HostRecord {
    /// Its name in the scenario.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// Its network.
    pub network: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The host it asks for names.
    pub resolver: Option<String>,
}

/// A link.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LinkRecord {
    /// Its name.
    pub name: String,
    /// Its ends.
    pub ends: [String; 2],
    /// Its properties in words.
    pub properties: String,
    /// The adversaries on it.
    pub adversaries: Vec<AdversaryRecord>,
    /// Whether a program stands in it.
    pub middlebox: Option<String>,
    /// Its capture, relative to the report.
    pub capture: Option<String>,
    /// What its middlebox counted.
    #[serde(default)]
    pub counters: serde_json::Value,
}

impl LinkRecord {
    fn of(link: &Link) -> Self {
        Self {
            name: link.name(),
            ends: [link.between[0].get_ref().clone(), link.between[1].get_ref().clone()],
            properties: crate::scenario::draw::describe(link),
            adversaries: AdversaryRecord::all(&link.adversary),
            middlebox: link.program.as_ref().map(|_| "program".to_owned()),
            capture: None,
            counters: serde_json::Value::Null,
        }
    }
}

/// An adversary.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AdversaryRecord {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// When it was on: from, until.
    pub on: Vec<(f64, f64)>,
    /// Whether this build could start it.
    pub enacted: bool,
}

impl AdversaryRecord {
    fn all(tables: &[toml::Spanned<toml::Table>]) -> Vec<Self> {
        crate::scenario::adversary::named(tables)
            .map(|(name, kind, _)| Self {
                name: name.to_owned(),
                kind: kind.to_owned(),
                on: Vec::new(),
                enacted: false,
            })
            .collect()
    }
}

/// A service.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ServiceRecord {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its host.
    pub host: String,
    /// Its names.
    pub names: Vec<String>,
    /// What it is for.
    pub category: Option<String>,
}

/// A client.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ClientRecord {
    /// Its name.
    pub name: String,
    /// Its host.
    pub host: String,
    /// Its host's network.
    pub network: String,
    /// What it does.
    pub what: String,
    /// What it is grouped under.
    pub category: Option<String>,
}

/// Something that happened.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct EventRecord {
    /// When.
    pub at_s: f64,
    /// What.
    pub title: String,
    /// Why it could not be done, if so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
}

/// What a client saw once.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Observation {
    /// The client's name.
    pub client: String,
    /// When the action began.
    pub at_s: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed_ms: f64,
    /// Bytes of the body that arrived, for a fetch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
    /// Their rate from the first byte on, for a fetch of more than 16 kB.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rate_mbit: Option<f64>,
    /// The evidence: an error's text, a status, addresses.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub detail: String,
}

/// A packet worth a look.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PacketRecord {
    /// When.
    pub at_s: f64,
    /// The link.
    pub link: String,
    /// From whom to whom.
    pub who: String,
    /// What it is.
    pub what: String,
    /// How many like it followed within the run.
    pub count: u64,
    /// Where in the capture it stands, counted from 1.
    pub number: u64,
}
