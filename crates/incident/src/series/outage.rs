//! What changed in a series: by IODA's rules, and by a baseline and a cumulative sum.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::{Series, Signal};
use crate::detect::adaptive::{Direction, shift_steps};
use crate::detect::baseline::median;
use crate::detect::cusum::segments;
use crate::detect::{End, Parameters, end_of};
use crate::when::{DAY_S, HOUR_S, Moment};

/// A series of days has a baseline from so many on; one of hours from a day on.
const DAYS_MIN: usize = 5;
/// The least deviation that says something, as a share of the median.
const SCALE_SHARE: f64 = 0.05;

/// IODA's rule for a signal: an alert if the value is below so much of the median of what came before.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct IodaRule {
    /// How much came before, in seconds.
    pub history_s: i64,
    /// The fraction below which it warns.
    pub warning: f64,
    /// The fraction below which it is critical.
    pub critical: f64,
}

/// IODA's rule for a signal, as the help page of its dashboard had it in 2021.
pub const fn ioda_rule(signal: Signal) -> Option<IodaRule> {
    match signal {
        Signal::Bgp => Some(IodaRule { history_s: DAY_S, warning: 0.99, critical: 0.5 }),
        Signal::ActiveProbing => Some(IodaRule { history_s: 7 * DAY_S, warning: 0.8, critical: 0.5 }),
        Signal::Telescope => Some(IodaRule { history_s: 7 * DAY_S, warning: 0.25, critical: 0.1 }),
        _ => None,
    }
}

/// An outage by IODA's rule: consecutive values below the warning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Outage {
    /// The first value's time, in seconds since 1970.
    pub from: i64,
    /// The end of the last value's step.
    pub until: i64,
    /// Whether any value was below the critical fraction.
    pub critical: bool,
    /// The lowest value as a fraction of the median before it.
    pub lowest: f64,
    /// The sum of drop in percent × minutes.
    pub severity: f64,
}

/// The outages of a series by IODA's rule; none for signals that it has no rule for. A value is judged once half of the
/// history is there.
pub fn ioda_outages(series: &Series) -> Vec<Outage> {
    let Some(rule) = ioda_rule(series.signal) else { return Vec::new() };
    let enough = usize::try_from(rule.history_s / series.step_s.max(1) / 2).unwrap_or(0).max(3);
    let mut history = RollingMedian::default();
    let mut found: Vec<Outage> = Vec::new();
    for (at, value) in &series.points {
        history.forget_before(at - rule.history_s);
        let usual = history.median().filter(|usual| *usual > 0.0 && history.order.len() >= enough);
        let fraction = usual.map(|usual| value / usual);
        if let Some(fraction) = fraction.filter(|fraction| *fraction < rule.warning) {
            let severity = (1.0 - fraction) * 100.0 * series.step_s as f64 / 60.0;
            let critical = fraction < rule.critical;
            let until = at + series.step_s;
            match found.last_mut().filter(|outage| outage.until == *at) {
                Some(outage) => {
                    outage.until = until;
                    outage.critical |= critical;
                    outage.lowest = outage.lowest.min(fraction);
                    outage.severity += severity;
                }
                None => found.push(Outage { from: *at, until, critical, lowest: fraction, severity }),
            }
        }
        history.add(*at, *value);
    }
    found
}

/// IODA's score of a period over several sources: the product of the severities that each saw in it (a source that saw
/// nothing does not count), and how many sources saw something.
pub fn ioda_score(outages: &[(Signal, Outage)], from: i64, until: i64) -> (f64, usize) {
    let mut by_signal: BTreeMap<Signal, f64> = BTreeMap::new();
    for (signal, outage) in outages.iter().filter(|(_, o)| o.from < until && o.until > from) {
        *by_signal.entry(*signal).or_default() += outage.severity;
    }
    (by_signal.values().product(), by_signal.len())
}

/// A change of a series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SeriesChange {
    /// The series' place in the list it was found in.
    pub series: usize,
    /// Which way.
    pub direction: Direction,
    /// When it began.
    pub onset: Moment,
    /// How it ended.
    pub end: End,
    /// What was usual when it began.
    pub usual: f64,
    /// The median while it lasted.
    pub level: f64,
}

impl SeriesChange {
    /// By how much it changed, as a fraction of what was usual: −0.5 is half of it gone. Nothing if nothing was usual.
    pub fn relative(&self) -> Option<f64> {
        (self.usual != 0.0).then(|| (self.level - self.usual) / self.usual.abs())
    }
}

/// The changes of all series, by our own baseline, in the order of their beginning. `until` is the end of the data, in
/// seconds since 1970.
pub fn changes(all: &[Series], until: i64, parameters: &Parameters) -> Vec<SeriesChange> {
    let mut found: Vec<SeriesChange> = Vec::new();
    for (i, series) in all.iter().enumerate() {
        let (points, step_s) = hourly(series);
        let values_min = if step_s >= DAY_S { DAYS_MIN } else { (DAY_S / step_s.max(1)) as usize };
        let scale_min = |usual: f64| match series.signal {
            Signal::Share => SCALE_SHARE,
            Signal::Other => (SCALE_SHARE * usual.abs()).max(1e-9),
            // A count strays by its square root at least.
            _ => (SCALE_SHARE * usual.abs()).max(usual.abs().sqrt()).max(1.0),
        };
        let last = points.last().map_or(0, |(at, _)| at + step_s);
        for direction in [Direction::Down, Direction::Up] {
            let (steps, usual) = shift_steps(&points, step_s, direction, values_min, &scale_min, parameters);
            for segment in segments(&steps, parameters.series) {
                let inside = points.get(segment.first..segment.past).unwrap_or_default();
                let level = median(inside.iter().map(|(_, value)| *value).collect());
                let (Some(level), Some(Some(usual))) = (level, usual.get(segment.first)) else { continue };
                found.push(SeriesChange {
                    series: i,
                    direction,
                    onset: segment.onset,
                    end: end_of(&segment, last, until, parameters),
                    usual: *usual,
                    level,
                });
            }
        }
    }
    found.sort_by_key(|change| (change.onset.best, change.series, change.direction));
    found
}

/// The points of a series; of steps below an hour the medians of hours, as values so near to one another are not
/// independent.
fn hourly(series: &Series) -> (Vec<(i64, f64)>, i64) {
    if series.step_s >= HOUR_S {
        return (series.points.clone(), series.step_s);
    }
    let hour = |at: i64| at.div_euclid(HOUR_S) * HOUR_S;
    let points = series
        .points
        .chunk_by(|a, b| hour(a.0) == hour(b.0))
        .filter_map(|same| {
            Some((hour(same.first()?.0), median(same.iter().map(|(_, value)| *value).collect())?))
        })
        .collect();
    (points, HOUR_S)
}

/// The median of what came in a window.
#[derive(Default)]
struct RollingMedian {
    order: VecDeque<(i64, f64)>,
    sorted: Vec<f64>,
}

impl RollingMedian {
    fn place(&self, value: f64) -> usize {
        self.sorted.partition_point(|other| other.total_cmp(&value).is_lt())
    }

    fn add(&mut self, at: i64, value: f64) {
        self.sorted.insert(self.place(value), value);
        self.order.push_back((at, value));
    }

    fn forget_before(&mut self, time: i64) {
        while let Some((_, value)) = self.order.pop_front_if(|(at, _)| *at < time) {
            let place = self.place(value);
            if place < self.sorted.len() {
                self.sorted.remove(place);
            }
        }
    }

    fn median(&self) -> Option<f64> {
        let middle = self.sorted.len() / 2;
        let high = *self.sorted.get(middle)?;
        if self.sorted.len() % 2 == 1 {
            return Some(high);
        }
        self.sorted.get(middle.checked_sub(1)?).map(|low| low + (high - low) / 2.0)
    }
}
