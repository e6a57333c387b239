//! Events and times within the timeline.

use toml::Spanned;

use super::Check;
use crate::scenario::model::Link;
use crate::scenario::{Time, adversary};

impl Check<'_> {
    pub(super) fn events(&mut self) {
        let scenario = self.scenario;
        let links: Vec<String> = scenario.link.iter().map(Link::name).collect();
        let adversaries: Vec<&str> = adversary::all(scenario).map(|(name, _, _)| name).collect();
        for event in &scenario.event {
            self.in_time(&event.at);
            for name in event.enable.iter().chain(&event.disable) {
                self.known("adversary", name, adversaries.iter().copied());
            }
            for name in event.cut.iter().chain(&event.mend).chain(event.change.keys()) {
                self.known("link", name, links.iter().map(String::as_str));
            }
            for name in event.start.iter().chain(&event.stop) {
                self.known("service", name, scenario.service.keys().map(|k| k.get_ref().as_str()));
            }
            if let Some(run) = &event.run {
                let there = scenario.host.keys().chain(scenario.network.keys()).map(|k| k.get_ref().as_str());
                self.known("host or network", &run.host, there);
                self.command(&run.program);
            }
        }
    }

    pub(super) fn command(&mut self, program: &Spanned<Vec<String>>) {
        if program.get_ref().is_empty() {
            self.problem(program.span(), "program needs a command: program = [\"command\", \"argument\", …]");
        }
    }

    pub(super) fn in_time(&mut self, time: &Spanned<Time>) {
        let end = *self.scenario.duration.get_ref();
        if *time.get_ref() > end {
            self.problem(time.span(), format!("{} is after the end: the duration is {end}", time.get_ref()));
        }
    }
}
