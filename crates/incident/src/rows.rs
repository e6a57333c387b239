//! Verdicts in memory: a row of some eighty bytes each, with numbers in place of names.

use daylight_verdict::record::{Layer, Place, Record, State, Vendor};
use serde::Serialize;

use crate::intern::{Interner, merge};
use crate::when::{DAY_S, hour_of};

/// The number that stands for "none".
pub(crate) const NONE: u32 = u32::MAX;
/// Rows further than this from nearly all others in time come from wrong clocks.
const CLOCK_SLACK_S: i64 = 30 * DAY_S;

/// One verdict. Numbers refer to the tables in [`Rows`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// SHA-256 of the measurement.
    pub hash: [u8; 32],
    /// The target's number.
    pub target: u32,
    /// The network's number.
    pub network: u32,
    /// When it was measured, in seconds since 1970.
    pub time: u32,
    /// The probe's number; where none is named, that of the report; where there is none either, the same for all.
    pub probe: u32,
    /// The number of the resolver's autonomous system, 0 if not known.
    pub resolver: u32,
    /// The mechanism's number, or `u32::MAX`.
    pub mechanism: u32,
    /// The place's number, or `u32::MAX`.
    pub place: u32,
    /// The number of the rule that decided, or `u32::MAX`.
    pub rule: u32,
    /// The number of the vendors that were named, or `u32::MAX`.
    pub vendors: u32,
    /// The number of the rule set.
    pub rules: u32,
    /// How long connecting took, in milliseconds; not a number if it isn't known.
    pub connect_ms: f32,
    /// The verdict.
    pub state: State,
    /// The layer of the verdict.
    pub layer: Option<Layer>,
}

impl Row {
    /// Whether the network is held to interfere: blocked, likely blocked or impaired.
    pub fn interferes(&self) -> bool {
        matches!(self.state, State::Blocked | State::LikelyBlocked | State::Impaired)
    }

    /// The hour, counted since 1970.
    pub fn hour(&self) -> u32 {
        hour_of(i64::from(self.time))
    }

    /// What puts rows into an order that doesn't depend on that of the input.
    fn order(&self) -> (u32, u32, u32, [u8; 32]) {
        (self.target, self.network, self.time, self.hash)
    }
}

/// A network: an autonomous system in a country. One that serves several countries is as many networks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct NetworkName {
    /// ISO 3166-1 alpha-2, `ZZ` if not known.
    pub country: String,
    /// The autonomous system's number.
    pub asn: u32,
}

/// A rule set: its version, and its hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct RuleSetName {
    /// The version.
    pub version: String,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// By the numbers in the version first: 10 comes after 9.
impl Ord for RuleSetName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let numbers = |name: &Self| -> Vec<u64> {
            name.version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
        };
        let whole = |name: &Self| (numbers(name), name.version.clone(), name.sha256.clone());
        whole(self).cmp(&whole(other))
    }
}

impl PartialOrd for RuleSetName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Rows, sorted by target, network and time, and what their numbers stand for. Each measurement is in it once.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// The rows.
    pub rows: Vec<Row>,
    /// Hosts, sorted.
    pub targets: Vec<String>,
    /// The targets' categories, where known; by the target's number.
    pub categories: Vec<Option<String>>,
    /// Networks, sorted by country and number.
    pub networks: Vec<NetworkName>,
    /// The networks' names, where known; by the network's number.
    pub network_names: Vec<Option<String>>,
    /// Mechanisms, sorted.
    pub mechanisms: Vec<String>,
    /// Places.
    pub places: Vec<Place>,
    /// Ids of rules.
    pub rule_ids: Vec<String>,
    /// Vendors that were named together.
    pub vendors: Vec<Vec<Vendor>>,
    /// Rule sets, the newest last.
    pub rule_sets: Vec<RuleSetName>,
    /// Whether probes are named; otherwise reports stand for them.
    pub probes_named: bool,
    /// How many rows were left out because the same measurement was there already.
    pub duplicates: u64,
    /// How many rows were left out because their clocks were wrong.
    pub bad_clocks: u64,
}

impl Rows {
    /// The time of the first and the last row, in seconds since 1970.
    pub fn period(&self) -> Option<(i64, i64)> {
        let times = self.rows.iter().map(|row| i64::from(row.time));
        Some((times.clone().min()?, times.max()?))
    }

    /// The rows of each target on each network, in order.
    pub fn pairs(&self) -> impl Iterator<Item = &[Row]> {
        self.rows.chunk_by(|a, b| a.target == b.target && a.network == b.network)
    }

    /// A network for people: `AS6697 Beltelecom`.
    pub fn network_label(&self, network: u32) -> String {
        let Some(key) = self.networks.get(network as usize) else { return String::new() };
        let number = if key.asn == 0 { "unknown network".to_owned() } else { format!("AS{}", key.asn) };
        match self.network_names.get(network as usize).and_then(Option::as_deref) {
            Some(name) if !name.is_empty() => format!("{number} {name}"),
            _ => number,
        }
    }

    /// A target's name.
    pub fn target(&self, target: u32) -> &str {
        self.targets.get(target as usize).map_or("", String::as_str)
    }

    /// A mechanism's term; nothing for "none".
    pub fn mechanism(&self, mechanism: u32) -> Option<&str> {
        self.mechanisms.get(mechanism as usize).map(String::as_str)
    }
}

/// Makes rows of records. Several work side by side; [`finish`](Builder::finish) puts together what they made.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    rows: Vec<Row>,
    targets: Interner<String>,
    networks: Interner<NetworkName>,
    probes: Interner<String>,
    mechanisms: Interner<String>,
    places: Interner<String>,
    rule_ids: Interner<String>,
    vendors: Interner<String>,
    rule_sets: Interner<RuleSetName>,
    names: Interner<(NetworkName, String)>,
    categories: Interner<(String, String)>,
    probes_named: bool,
}

impl Builder {
    /// Takes a record. `own_hash` is the hash of its line, for records that don't say their measurement's.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn add(&mut self, record: &Record, own_hash: impl FnOnce() -> [u8; 32]) -> Result<(), String> {
        let Ok(time) = u32::try_from(record.measured.as_second()) else {
            return Err(format!("measured at {}, which is before 1970 or after 2106", record.measured));
        };
        if record.target.is_empty() {
            return Err("the target is empty; it must be the host that was tested".to_owned());
        }
        let network = NetworkName { country: record.network.country.clone(), asn: record.network.asn };
        if let Some(name) = &record.network.name {
            self.names.keep((network.clone(), name.clone()));
        }
        if let Some(category) = &record.category {
            self.categories.keep((record.target.clone(), category.clone()));
        }
        self.probes_named |= record.probe.is_some();
        let probe = record.probe.as_deref().unwrap_or(&record.measurement.report_id);
        let own = |text: &str| text.to_owned();
        let json = |value: Option<String>, interner: &mut Interner<String>| {
            value.map_or(NONE, |value| interner.keep(value))
        };
        let place = record.place.as_ref().and_then(|place| serde_json::to_string(place).ok());
        let vendors = Some(&record.vendors).filter(|vendors| !vendors.is_empty());
        let vendors = vendors.and_then(|vendors| serde_json::to_string(vendors).ok());
        let latency = record.latency_ms.and_then(|latency| latency.tcp.or(latency.tls));
        let row = Row {
            hash: unhex(&record.measurement.sha256).unwrap_or_else(own_hash),
            target: self.targets.number(record.target.as_str(), own),
            network: self.networks.keep(network),
            time,
            probe: self.probes.number(probe, own),
            resolver: record.network.resolver_asn.unwrap_or(0),
            mechanism: record.mechanism.as_ref().map_or(NONE, |m| self.mechanisms.number(m.as_str(), own)),
            place: json(place, &mut self.places),
            rule: record.witness.as_ref().map_or(NONE, |w| self.rule_ids.number(w.rule.as_str(), own)),
            vendors: json(vendors, &mut self.vendors),
            rules: self.rule_sets.keep(RuleSetName {
                version: record.rules.version.clone(),
                sha256: record.rules.sha256.clone(),
            }),
            connect_ms: latency.map_or(f32::NAN, |ms| ms as f32),
            state: record.state,
            layer: record.layer.or_else(|| record.mechanism.as_ref().map(|m| m.layer())),
        };
        self.rows.push(row);
        Ok(())
    }

    /// Puts together what several builders made. Which of them saw a record, and when, makes no difference.
    pub(crate) fn finish(builders: Vec<Self>) -> Rows {
        let probes_named = builders.iter().any(|b| b.probes_named);
        let mut parts = Vec::new();
        let (mut targets, mut networks, mut probes, mut mechanisms) = (vec![], vec![], vec![], vec![]);
        let (mut places, mut rule_ids, mut vendors, mut rule_sets) = (vec![], vec![], vec![], vec![]);
        let (mut names, mut categories) = (vec![], vec![]);
        for builder in builders {
            parts.push(builder.rows);
            targets.push(builder.targets);
            networks.push(builder.networks);
            probes.push(builder.probes);
            mechanisms.push(builder.mechanisms);
            places.push(builder.places);
            rule_ids.push(builder.rule_ids);
            vendors.push(builder.vendors);
            rule_sets.push(builder.rule_sets);
            names.push(builder.names);
            categories.push(builder.categories);
        }
        let (targets, target_ranks) = merge(targets);
        let (networks, network_ranks) = merge(networks);
        let (_, probe_ranks) = merge(probes);
        let (mechanisms, mechanism_ranks) = merge(mechanisms);
        let (places, place_ranks) = merge(places);
        let (rule_ids, rule_ranks) = merge(rule_ids);
        let (vendors, vendor_ranks) = merge(vendors);
        let (rule_sets, rule_set_ranks) = merge(rule_sets);
        let mut rows = Vec::with_capacity(parts.iter().map(Vec::len).sum());
        for (i, part) in parts.into_iter().enumerate() {
            let rank = |ranks: &[Vec<u32>], number: u32| {
                ranks.get(i).and_then(|ranks| ranks.get(number as usize)).copied().unwrap_or(NONE)
            };
            rows.extend(part.into_iter().map(|row| Row {
                target: rank(&target_ranks, row.target),
                network: rank(&network_ranks, row.network),
                probe: rank(&probe_ranks, row.probe),
                mechanism: rank(&mechanism_ranks, row.mechanism),
                place: rank(&place_ranks, row.place),
                rule: rank(&rule_ranks, row.rule),
                vendors: rank(&vendor_ranks, row.vendors),
                rules: rank(&rule_set_ranks, row.rules),
                ..row
            }));
        }
        let duplicates = keep_one_of_each(&mut rows);
        let bad_clocks = drop_bad_clocks(&mut rows);
        rows.sort_unstable_by_key(Row::order);
        // The first in the alphabet, where one has several.
        let (names, _) = merge(names);
        let network_names = networks
            .iter()
            .map(|network| names.iter().find(|(of, _)| of == network).map(|(_, name)| name.clone()))
            .collect();
        let (named, _) = merge(categories);
        let categories = targets
            .iter()
            .map(|target| {
                let first = named.partition_point(|(of, _)| of < target);
                named.get(first).filter(|(of, _)| of == target).map(|(_, category)| category.clone())
            })
            .collect();
        Rows {
            rows,
            targets,
            categories,
            networks,
            network_names,
            mechanisms,
            places: places.iter().filter_map(|json| serde_json::from_str(json).ok()).collect(),
            rule_ids,
            vendors: vendors.iter().filter_map(|json| serde_json::from_str(json).ok()).collect(),
            rule_sets,
            probes_named,
            duplicates,
            bad_clocks,
        }
    }
}

/// Of several verdicts on one measurement the one by the newest rules stays. Gives how many went.
fn keep_one_of_each(rows: &mut Vec<Row>) -> u64 {
    // Under equal rules the verdicts are equal; the rest of the key only makes sure.
    let key = |row: &Row| (row.rules, row.state, row.layer, row.mechanism, row.target, row.network, row.time);
    rows.sort_unstable_by(|a, b| a.hash.cmp(&b.hash).then_with(|| key(b).cmp(&key(a))));
    let before = rows.len();
    rows.dedup_by_key(|row| row.hash);
    (before - rows.len()) as u64
}

/// Drops rows that are a month away from all but one in a thousand. Gives how many went.
fn drop_bad_clocks(rows: &mut Vec<Row>) -> u64 {
    let mut times: Vec<u32> = rows.iter().map(|row| row.time).collect();
    times.sort_unstable();
    let rest = times.len() / 1000;
    let (Some(&low), Some(&high)) = (times.get(rest), times.get(times.len().saturating_sub(1 + rest))) else {
        return 0;
    };
    let plausible = i64::from(low) - CLOCK_SLACK_S..=i64::from(high) + CLOCK_SLACK_S;
    let before = rows.len();
    rows.retain(|row| plausible.contains(&i64::from(row.time)));
    (before - rows.len()) as u64
}

/// Reads 64 hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |b: u8| (b as char).to_digit(16);
        *byte = match digits {
            [high, low] => (digit(*high)? << 4 | digit(*low)?) as u8,
            _ => return None,
        };
    }
    Some(hash)
}

/// Writes bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
