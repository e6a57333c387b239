//! Expectations: what was to come out of a client's actions, and whether it did.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::record::Observation;
use crate::scenario::Time;
use crate::scenario::model::{Expect, Outcome, Scenario};

/// An expectation and what was observed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Verdict {
    /// The client's name.
    pub client: String,
    /// The expectation in words.
    pub expected: String,
    /// What was observed, in words.
    pub observed: String,
    /// Whether it held.
    pub holds: bool,
    /// Why it was expected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub because: Option<String>,
    /// The start of the time it is about, in seconds.
    pub from_s: f64,
    /// The end of that time, in seconds.
    pub until_s: f64,
    /// How many actions it is about.
    pub actions: usize,
}

/// An expectation in words.
pub fn describe(expect: &Expect) -> String {
    let mut parts = Vec::new();
    let value = |v: &Option<Spanned<f64>>| v.as_ref().map(|v| *v.get_ref());
    if let Some(outcomes) = &expect.outcome {
        let names: Vec<&str> = outcomes.get_ref().all().iter().map(|o| o.name()).collect();
        let (least, most) = shares(expect);
        let share = match (least, most) {
            (Some(least), None) if least >= 100.0 => "always".to_owned(),
            (Some(least), None) => format!("≥ {least} %"),
            (None, Some(0.0)) => "never".to_owned(),
            (None, Some(most)) => format!("≤ {most} %"),
            (Some(least), Some(most)) => format!("{least} to {most} %"),
            (None, None) => String::new(),
        };
        parts.push(format!("{} {share}", names.join(" or ")).trim_end().to_owned());
    }
    for (least, most, what, unit) in [
        (value(&expect.latency_ms_min), value(&expect.latency_ms_max), "median time", "ms"),
        (value(&expect.rate_mbit_min), value(&expect.rate_mbit_max), "median rate", "Mbit/s"),
    ] {
        match (least, most) {
            (Some(least), Some(most)) => parts.push(format!("{what} {least} to {most} {unit}")),
            (Some(least), None) => parts.push(format!("{what} ≥ {least} {unit}")),
            (None, Some(most)) => parts.push(format!("{what} ≤ {most} {unit}")),
            (None, None) => {}
        }
    }
    match (&expect.from, &expect.until) {
        (Some(from), Some(until)) => parts.push(format!("from {} to {}", from.get_ref(), until.get_ref())),
        (Some(from), None) => parts.push(format!("from {} on", from.get_ref())),
        (None, Some(until)) => parts.push(format!("until {}", until.get_ref())),
        (None, None) => {}
    }
    parts.join(", ")
}

fn shares(expect: &Expect) -> (Option<f64>, Option<f64>) {
    let least = expect.share_percent_min.as_ref().map(|s| *s.get_ref());
    let most = expect.share_percent_max.as_ref().map(|s| *s.get_ref());
    match (least, most) {
        (None, None) => (Some(100.0), None),
        both => both,
    }
}

/// Compares all expectations with what was observed. An expectation about no action at all doesn't hold.
pub fn evaluate(scenario: &Scenario, observations: &[Observation]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for client in &scenario.client {
        let name = client.name();
        for expect in &client.expect {
            let from = expect.from.as_ref().map_or(0.0, |t| t.get_ref().seconds);
            let until = expect
                .until
                .as_ref()
                .map_or_else(|| scenario.duration.get_ref().seconds, |t| t.get_ref().seconds);
            let mine: Vec<&Observation> = observations
                .iter()
                .filter(|o| o.client == name && o.at_s >= from && o.at_s < until)
                .collect();
            let (holds, observed) = compare(expect, &mine);
            verdicts.push(Verdict {
                client: name.clone(),
                expected: describe(expect),
                observed,
                holds,
                because: expect.because.clone(),
                from_s: from,
                until_s: until,
                actions: mine.len(),
            });
        }
    }
    verdicts
}

fn compare(expect: &Expect, mine: &[&Observation]) -> (bool, String) {
    if mine.is_empty() {
        return (false, "nothing: no action began in that time".into());
    }
    let mut holds = true;
    let mut parts = vec![tally(mine)];
    if let Some(outcomes) = &expect.outcome {
        let wanted = outcomes.get_ref().all();
        let hits = mine.iter().filter(|o| wanted.contains(&o.outcome)).count();
        let share = hits as f64 * 100.0 / mine.len() as f64;
        let (least, most) = shares(expect);
        holds &= least.is_none_or(|l| share >= l - 1e-9) && most.is_none_or(|m| share <= m + 1e-9);
    }
    let bound = |value: &Option<Spanned<f64>>| value.as_ref().map(|v| *v.get_ref());
    for (least, most, unit, values) in [
        (
            bound(&expect.latency_ms_min),
            bound(&expect.latency_ms_max),
            "ms",
            mine.iter().filter(|o| o.outcome == Outcome::Ok).map(|o| o.elapsed_ms).collect::<Vec<f64>>(),
        ),
        (
            bound(&expect.rate_mbit_min),
            bound(&expect.rate_mbit_max),
            "Mbit/s",
            mine.iter().filter(|o| o.outcome == Outcome::Ok).filter_map(|o| o.rate_mbit).collect(),
        ),
    ] {
        if least.is_none() && most.is_none() {
            continue;
        }
        match median(values) {
            Some(median) => {
                holds &= least.is_none_or(|l| median >= l) && most.is_none_or(|m| median <= m);
                parts.push(format!("median {} {unit}", (median * 100.0).round() / 100.0));
            }
            None => {
                holds = false;
                parts.push(format!("no {unit}, as nothing ended well"));
            }
        }
    }
    (holds, parts.join(", "))
}

/// "9 ok, 1 timeout"
fn tally(mine: &[&Observation]) -> String {
    let mut counts: Vec<(usize, Outcome)> = Outcome::ALL
        .into_iter()
        .map(|outcome| (mine.iter().filter(|o| o.outcome == outcome).count(), outcome))
        .filter(|(count, _)| *count > 0)
        .collect();
    counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    counts.iter().map(|(count, outcome)| format!("{count} {}", outcome.name())).collect::<Vec<_>>().join(", ")
}

/// The middle value; of an even number the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values.get(values.len() / 2 - 1).map(|lower| (lower + upper) / 2.0)
}

/// The time an action may take unless the scenario says otherwise.
pub(crate) const TIMEOUT: Time = Time::from_seconds(3.0);
