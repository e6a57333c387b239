//! Links between ends that exist, what stands in them, and whether every network can be reached.

use std::collections::HashSet;

use toml::Spanned;

use super::Check;
use crate::scenario::model::{Link, Name};

impl Check<'_> {
    pub(super) fn links(&mut self) {
        let scenario = self.scenario;
        let mut names = HashSet::new();
        let mut ends = HashSet::new();
        for link in &scenario.link {
            let [a, b] = &link.between;
            let span = a.span().start..b.span().end;
            if !names.insert(link.name()) {
                let at = link.name.as_ref().map_or_else(|| span.clone(), Spanned::span);
                self.problem(
                    at,
                    format!("there are two links {:?}: give each a name of its own", link.name()),
                );
            }
            if let Some(name) = &link.name {
                self.well_formed(name);
            }
            let there: Vec<&str> =
                scenario.network.keys().chain(scenario.host.keys()).map(|k| k.get_ref().as_str()).collect();
            let both = link
                .between
                .iter()
                .filter(|end| self.known("network or host", end, there.iter().copied()))
                .count();
            if both < 2 {
                continue;
            }
            let mut pair = [a.get_ref(), b.get_ref()];
            pair.sort();
            if pair[0] == pair[1] {
                self.problem(span.clone(), "a link needs two different ends");
            } else if !ends.insert(pair) {
                self.problem(
                    span.clone(),
                    format!("{:?} and {:?} are linked already", a.get_ref(), b.get_ref()),
                );
            }
            let network_of =
                |end: &Name| scenario.host.get(end.get_ref().as_str()).map(|h| h.network.get_ref());
            match (network_of(a), network_of(b)) {
                (Some(_), Some(_)) => {
                    self.problem(span, "two hosts can't be linked: each is linked to its network")
                }
                (Some(n), None) if n != b.get_ref() => {
                    self.problem(b.span(), format!("host {:?} is in network {n:?}", a.get_ref()));
                }
                (None, Some(n)) if n != a.get_ref() => {
                    self.problem(a.span(), format!("host {:?} is in network {n:?}", b.get_ref()));
                }
                _ => {}
            }
            self.figures(link);
            self.middlebox(link);
        }
        for network in scenario.network.values() {
            if let Some(program) = &network.program {
                self.command(program);
            }
        }
        self.reachable();
    }

    fn figures(&mut self, link: &Link) {
        for (name, value, least, most) in [
            ("delay_ms", &link.delay_ms, 0.0, 10_000.0),
            ("jitter_ms", &link.jitter_ms, 0.0, 10_000.0),
            ("loss_percent", &link.loss_percent, 0.0, 100.0),
            ("rate_mbit", &link.rate_mbit, 0.01, 10_000.0),
            ("queue_kb", &link.queue_kb, 1.0, 1_000_000.0),
        ] {
            self.within(name, value.as_ref(), least, most);
        }
    }

    fn middlebox(&mut self, link: &Link) {
        let Some(program) = &link.program else { return };
        self.command(program);
        if let Some(adversary) = link.adversary.first() {
            self.problem(
                adversary.span(),
                "a link has a program or adversaries, not both: put a network between",
            );
        }
    }

    /// Every network can be reached from the first.
    fn reachable(&mut self) {
        let scenario = self.scenario;
        let Some(first) = scenario.network.keys().min_by_key(|k| k.span().start) else { return };
        let mut reached: HashSet<&str> = HashSet::from([first.get_ref().as_str()]);
        loop {
            let before = reached.len();
            for link in &scenario.link {
                let [a, b] = [link.between[0].get_ref().as_str(), link.between[1].get_ref().as_str()];
                if reached.contains(a) || reached.contains(b) {
                    reached.extend([a, b]);
                }
            }
            if reached.len() == before {
                break;
            }
        }
        for name in scenario.network.keys().filter(|k| !reached.contains(k.get_ref().as_str())) {
            let what = format!(
                "network {:?} can't be reached from {:?}: add a [[link]]",
                name.get_ref(),
                first.get_ref()
            );
            self.problem(name.span(), what);
        }
    }
}
