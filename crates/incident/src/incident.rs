//! From changes to incidents: what belongs together over targets, networks and time.
//!
//! A state that blocks eighty sites on four networks makes hundreds of changes, and is one incident. Changes belong
//! together if they began at about the same time, in one country, and are tied by a target or a network that they share.
//! Mechanisms are never pooled over networks: each network of an incident keeps its own.

use std::collections::{BTreeMap, BTreeSet};

use daylight_verdict::record::State;
use serde::Serialize;

use crate::detect::{Change, End, Kind, Seen};
use crate::rows::Rows;
use crate::when::{DAY_S, HOUR_S, Moment};

/// Changes with a longer pause than this between their beginnings belong to different incidents.
pub const ONSET_GAP_S: i64 = 24 * HOUR_S;
/// Beginnings over a longer time than this are not one incident: they are parted at their longest pause.
pub const ONSET_SPAN_S: i64 = 7 * DAY_S;

/// Changes that belong together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Incident {
    /// What it is: interference if any change is, then silence, then slowness.
    pub kind: Kind,
    /// ISO 3166-1 alpha-2, `ZZ` if not known.
    pub country: String,
    /// The networks, each with its own mechanisms; the most affected first.
    pub networks: Vec<NetworkPart>,
    /// The targets' numbers, sorted; empty for silence and slowness.
    pub targets: Vec<u32>,
    /// When it began.
    pub onset: Moment,
    /// How it ended.
    pub end: End,
    /// Its size.
    pub severity: Severity,
    /// Whether anything in it was `blocked` or `impaired`, and not only `likely-blocked`.
    pub certain: bool,
    /// The changes' places in the list that the incident was made of.
    pub changes: Vec<usize>,
}

/// What an incident is on one network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkPart {
    /// The network's number.
    pub network: u32,
    /// The targets' numbers, sorted.
    pub targets: Vec<u32>,
    /// The mechanisms, the most frequent first; empty for silence and slowness.
    pub mechanisms: Vec<Seen>,
    /// When it began here.
    pub onset: Moment,
    /// How it ended here.
    pub end: End,
    /// The mean of the changes' shares, weighted by their length.
    pub share: f64,
    /// The most probes that any of the changes rests on.
    pub probes: u32,
    /// Whether measuring itself fell silent here.
    pub silent: bool,
}

/// How large an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Severity {
    /// The sum, over all changes, of share × days: one target fully blocked on one network for a day is 1; so is a network
    /// that is silent for a day.
    pub target_network_days: f64,
    /// The same, as a word.
    pub level: Level,
    /// Networks affected.
    pub networks: u32,
    /// Networks of the country that were measured in the week before, or while it lasted.
    pub networks_measured: u32,
}

/// Severity as a word: by tens of target-network-days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Less than 1 target-network-day.
    Minor,
    /// Less than 10.
    Moderate,
    /// Less than 100.
    Major,
    /// 100 or more.
    Severe,
}

impl Incident {
    /// The networks on which it is what it is: those that only fell silent meanwhile are not among them.
    pub fn affected(&self) -> impl Iterator<Item = &NetworkPart> {
        self.networks.iter().filter(|part| self.kind != Kind::Interference || !part.targets.is_empty())
    }
}

impl Level {
    /// The level of so many target-network-days.
    pub fn of(target_network_days: f64) -> Self {
        match target_network_days {
            days if days < 1.0 => Self::Minor,
            days if days < 10.0 => Self::Moderate,
            days if days < 100.0 => Self::Major,
            _ => Self::Severe,
        }
    }

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minor => "minor",
            Self::Moderate => "moderate",
            Self::Major => "major",
            Self::Severe => "severe",
        }
    }
}

/// Puts changes together to incidents, in the order of their beginning. `until` is the end of the data.
pub fn cluster(rows: &Rows, changes: &[Change], until: i64) -> Vec<Incident> {
    let mut by_country: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, change) in changes.iter().enumerate() {
        let country = rows.networks.get(change.network as usize).map_or("ZZ", |n| n.country.as_str());
        by_country.entry(country).or_default().push(i);
    }
    let measured = measured_days(rows);
    let mut incidents = Vec::new();
    for (country, mut of) in by_country {
        of.sort_by_key(|i| (onset(changes, *i), *i));
        for group in part(&of, &|i| onset(changes, i)) {
            for together in tied(&group, changes) {
                let networks_measured = |from: i64, to: i64| {
                    let days = from.div_euclid(DAY_S)..=to.div_euclid(DAY_S);
                    let of_country = |network: u32| {
                        rows.networks.get(network as usize).is_some_and(|n| n.country == country)
                    };
                    measured
                        .iter()
                        .filter(|(network, at)| {
                            of_country(**network) && at.iter().any(|day| days.contains(day))
                        })
                        .count() as u32
                };
                incidents.push(incident(changes, together, country, until, &networks_measured));
            }
        }
    }
    incidents
        .sort_by(|a, b| (a.onset.best, &a.country, &a.targets).cmp(&(b.onset.best, &b.country, &b.targets)));
    incidents
}

fn onset(changes: &[Change], i: usize) -> i64 {
    changes.get(i).map_or(0, |change| change.onset.best)
}

/// Parts what is sorted by time at every pause longer than the gap; what still takes too long at its longest pause.
fn part(sorted: &[usize], at: &dyn Fn(usize) -> i64) -> Vec<Vec<usize>> {
    let mut done = Vec::new();
    let mut todo: Vec<&[usize]> = sorted.chunk_by(|a, b| at(*b) - at(*a) <= ONSET_GAP_S).collect();
    todo.reverse();
    while let Some(run) = todo.pop() {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        if at(*last) - at(*first) <= ONSET_SPAN_S {
            done.push(run.to_vec());
            continue;
        }
        let pause = |i: usize| match (run.get(i), run.get(i + 1)) {
            (Some(a), Some(b)) => at(*b) - at(*a),
            _ => 0,
        };
        // Of equal pauses the first.
        let longest = (0..run.len() - 1).max_by_key(|i| (pause(*i), std::cmp::Reverse(*i))).unwrap_or(0);
        let (before, after) = run.split_at(longest + 1);
        todo.push(after);
        todo.push(before);
    }
    done
}

/// What ties changes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Tie {
    Network(u32),
    Target(u32),
    /// Silences tie with one another, as do slownesses.
    Whole(Kind),
}

/// The groups of changes that are tied, directly or through others.
fn tied(group: &[usize], changes: &[Change]) -> Vec<Vec<usize>> {
    let mut parent: Vec<usize> = (0..group.len()).collect();
    fn root(parent: &mut [usize], mut i: usize) -> usize {
        while let Some(up) = parent.get(i).copied().filter(|up| *up != i) {
            let above = parent.get(up).copied().unwrap_or(up);
            if let Some(link) = parent.get_mut(i) {
                *link = above;
            }
            i = above;
        }
        i
    }
    let mut holders: BTreeMap<Tie, usize> = BTreeMap::new();
    for (place, i) in group.iter().enumerate() {
        let Some(change) = changes.get(*i) else { continue };
        let other = change.target.map_or(Tie::Whole(change.kind), Tie::Target);
        for tie in [Tie::Network(change.network), other] {
            let holder = *holders.entry(tie).or_insert(place);
            let (a, b) = (root(&mut parent, holder), root(&mut parent, place));
            if let Some(link) = parent.get_mut(a.max(b)) {
                *link = a.min(b);
            }
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, i) in group.iter().enumerate() {
        groups.entry(root(&mut parent, place)).or_default().push(*i);
    }
    groups.into_values().collect()
}

/// When the first of several began: as the earliest of them says, but not after any of them did.
fn first_onset<'a>(changes: impl Iterator<Item = &'a Change>) -> Moment {
    let onsets: Vec<Moment> = changes.map(|change| change.onset).collect();
    let earliest = onsets.iter().min_by_key(|moment| (moment.best, moment.earliest));
    let latest = onsets.iter().map(|moment| moment.latest).min();
    let mut moment = earliest.copied().unwrap_or(Moment { earliest: None, best: 0, latest: 0 });
    moment.latest = latest.unwrap_or(moment.latest).max(moment.best);
    moment
}

/// The end of several: it continues if any does, and is not known if that of any isn't.
fn last_end<'a>(changes: impl Iterator<Item = &'a Change>) -> End {
    let rank = |end: &End| match end {
        End::Continues => (2, 0),
        End::NotMeasuredSince(at) => (1, *at),
        End::At(moment) => (0, moment.best),
    };
    changes.map(|change| change.end).max_by_key(rank).unwrap_or(End::Continues)
}

fn days(change: &Change, until: i64) -> f64 {
    (change.end.known_until(until) - change.onset.best).max(0) as f64 / DAY_S as f64
}

/// The days on which each network was measured, counted since 1970.
fn measured_days(rows: &Rows) -> BTreeMap<u32, BTreeSet<i64>> {
    let mut days: BTreeMap<u32, BTreeSet<i64>> = BTreeMap::new();
    for row in &rows.rows {
        days.entry(row.network).or_default().insert(i64::from(row.time).div_euclid(DAY_S));
    }
    days
}

fn incident(
    changes: &[Change],
    members: Vec<usize>,
    country: &str,
    until: i64,
    networks_measured: &dyn Fn(i64, i64) -> u32,
) -> Incident {
    let of: Vec<&Change> = members.iter().filter_map(|i| changes.get(*i)).collect();
    let kind = of.iter().map(|change| change.kind).min().unwrap_or(Kind::Interference);
    // Where names are interfered with by several resolvers, or at several layers, a target counts once on a network.
    let mut weights: BTreeMap<(u32, Option<u32>), f64> = BTreeMap::new();
    for change in &of {
        let weight = match change.kind {
            Kind::Interference | Kind::Silence => change.share * days(change, until),
            Kind::Slowness => 0.0,
        };
        let entry = weights.entry((change.network, change.target)).or_default();
        *entry = entry.max(weight);
    }
    let total: f64 = weights.values().sum();
    let mut by_network: BTreeMap<u32, Vec<&Change>> = BTreeMap::new();
    for change in &of {
        by_network.entry(change.network).or_default().push(change);
    }
    let mut networks: Vec<NetworkPart> =
        by_network.into_iter().map(|(network, of)| network_part(network, &of, kind, until)).collect();
    networks.sort_by_key(|part| (std::cmp::Reverse(part.targets.len()), part.network));
    let targets: BTreeSet<u32> = of.iter().filter_map(|change| change.target).collect();
    // What it is dates it: a silence that came with a block is told by network.
    let own = || of.iter().copied().filter(|change| change.kind == kind);
    let onset = first_onset(own());
    let end = last_end(own());
    let measured = networks_measured(onset.best - ONSET_SPAN_S, end.known_until(until));
    let networks_affected = own().map(|change| change.network).collect::<BTreeSet<u32>>().len() as u32;
    let certain =
        of.iter().flat_map(|change| &change.mechanisms).any(|seen| seen.state != State::LikelyBlocked);
    Incident {
        kind,
        country: country.to_owned(),
        targets: targets.into_iter().collect(),
        onset,
        end,
        severity: Severity {
            target_network_days: total,
            level: Level::of(total),
            networks: networks_affected,
            networks_measured: measured.max(networks.len() as u32),
        },
        certain,
        changes: members,
        networks,
    }
}

fn network_part(network: u32, changes: &[&Change], kind: Kind, until: i64) -> NetworkPart {
    let own: Vec<&Change> = changes.iter().copied().filter(|change| change.kind == kind).collect();
    let own = if own.is_empty() { changes.to_vec() } else { own };
    let targets: BTreeSet<u32> = own.iter().filter_map(|change| change.target).collect();
    let (mut share, mut weight) = (0.0, 0.0);
    for change in &own {
        let days = days(change, until).max(1.0 / 24.0);
        (share, weight) = (share + change.share * days, weight + days);
    }
    NetworkPart {
        network,
        targets: targets.into_iter().collect(),
        mechanisms: together(own.iter().flat_map(|change| &change.mechanisms)),
        onset: first_onset(own.iter().copied()),
        end: last_end(own.iter().copied()),
        share: if weight > 0.0 { share / weight } else { 0.0 },
        probes: own.iter().map(|change| change.probes).max().unwrap_or(0),
        silent: changes.iter().any(|change| change.kind == Kind::Silence),
    }
}

/// Adds up what several changes saw of the same mechanism.
fn together<'a>(seen: impl Iterator<Item = &'a Seen>) -> Vec<Seen> {
    let mut all: BTreeMap<u32, Seen> = BTreeMap::new();
    for one in seen {
        all.entry(one.mechanism)
            .and_modify(|sum| {
                sum.measurements += one.measurements;
                // The same probes measure several targets.
                sum.probes = sum.probes.max(one.probes);
                sum.state = sum.state.min(one.state);
                if (one.first, one.witness) < (sum.first, sum.witness) {
                    (sum.first, sum.witness) = (one.first, one.witness);
                }
                sum.last = sum.last.max(one.last);
            })
            .or_insert_with(|| one.clone());
    }
    let mut all: Vec<Seen> = all.into_values().collect();
    all.sort_by_key(|seen| (std::cmp::Reverse(seen.measurements), seen.mechanism));
    all
}
