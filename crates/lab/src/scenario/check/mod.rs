//! What a scenario must be beyond its schema: names that exist, addresses that fit, times within the timeline.

mod addresses;
mod adversaries;
mod clients;
mod links;
mod services;
mod timeline;

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;

use super::error::{Problem, Source, hint};
use super::model::{Name, Scenario};
pub(crate) use services::{in_zone, ports_of};

/// Hosts and networks that one scenario may have.
const NAMESPACES_MAX: usize = 250;

pub(super) fn check(scenario: &Scenario, source: &Source<'_>) -> Vec<Problem> {
    let mut check = Check { scenario, source, problems: Vec::new() };
    check.top();
    check.names();
    check.addresses();
    check.links();
    check.adversaries();
    check.services();
    check.clients();
    check.events();
    check.problems
}

struct Check<'a> {
    scenario: &'a Scenario,
    source: &'a Source<'a>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, span: Range<usize>, what: impl Into<String>) {
        self.problems.push(Problem { span, what: what.into() });
    }

    /// Reports a name that is not among those there are.
    fn known<'n>(
        &mut self,
        what: &str,
        name: &Name,
        mut there: impl Iterator<Item = &'n str> + Clone,
    ) -> bool {
        let wrong = name.get_ref();
        let found = there.clone().any(|n| n == wrong);
        if !found {
            let hint = hint(wrong, there.by_ref().collect::<Vec<_>>().into_iter());
            self.problem(name.span(), format!("there is no {what} {wrong:?}{hint}"));
        }
        found
    }

    fn host(&mut self, name: &Name) -> bool {
        let scenario = self.scenario;
        self.known("host", name, scenario.host.keys().map(|k| k.get_ref().as_str()))
    }

    fn within(&mut self, name: &str, value: Option<&Spanned<f64>>, least: f64, most: f64) {
        if let Some(value) = value
            && !(least..=most).contains(value.get_ref())
        {
            self.problem(value.span(), format!("{name} must lie between {least} and {most}"));
        }
    }

    fn top(&mut self) {
        let scenario = self.scenario;
        if scenario.duration.get_ref().seconds <= 0.0 {
            self.problem(scenario.duration.span(), "the duration must be longer than nothing");
        }
        if scenario.network.is_empty() || scenario.host.is_empty() {
            self.problem(0..0, "a scenario needs at least one network and one host");
        }
        let boxes = scenario.network.len() + scenario.host.len() + scenario.link.len();
        if boxes > NAMESPACES_MAX {
            self.problem(0..0, format!("{boxes} networks, hosts and links are more than {NAMESPACES_MAX}"));
        }
        if let Some(clock) = &scenario.clock
            && clock.start.get_ref().parse::<jiff::Timestamp>().is_err()
        {
            self.problem(clock.start.span(), "the clock's start must be as in \"2020-08-08T00:00:00Z\"");
        }
    }

    /// Names that become namespaces, and those that become file names.
    fn names(&mut self) {
        let scenario = self.scenario;
        let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
        for name in scenario.network.keys().chain(scenario.host.keys()).chain(scenario.service.keys()) {
            self.well_formed(name);
        }
        for name in scenario.network.keys().chain(scenario.host.keys()) {
            if let Some(first) = seen.insert(name.get_ref(), name.span()) {
                let (line, _) = self.source.position(first.start);
                self.problem(
                    name.span(),
                    format!(
                        "{:?} is in line {line} already: a host and a network can't share it",
                        name.get_ref()
                    ),
                );
            }
        }
        for zone in scenario.zone.keys() {
            self.domain(zone);
        }
    }

    fn well_formed(&mut self, name: &Name) {
        let good = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '.');
        let text = name.get_ref();
        if text.is_empty() || text.len() > 40 || !text.chars().all(good) || text.starts_with(['-', '.']) {
            self.problem(
                name.span(),
                format!("{text:?}: a name is 1 to 40 of a-z, 0-9, -, _ and ., with a letter or digit first"),
            );
        }
    }

    fn domain(&mut self, name: &Name) {
        let text = name.get_ref();
        let good = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '.');
        let labels = text.split('.').all(|l| !l.is_empty() && l.len() <= 63);
        if text.len() > 250 || !text.chars().all(good) || !labels {
            self.problem(
                name.span(),
                format!("{text:?} is no domain name: write it in lower case, IDNs in ASCII (xn--…), without a dot at its end"),
            );
        }
    }
}
