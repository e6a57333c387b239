//! Runs a filter in the test's process.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use daylight_filter::daemon::{self, Settings};
use daylight_filter::gate::{Ruling, Witness};
use daylight_filter::worker::Shared;
use daylight_policy::Policy;

use crate::namespace::run;
use crate::net::{Net, wait};

struct Quiet;

impl Witness for Quiet {
    fn ruled(&mut self, _: &Policy, _: Ruling) {}
}

/// A filter at work.
pub(crate) struct Filter<'a> {
    pub(crate) shared: &'a Shared,
    /// Flows and questions stopped so far, by target.
    stopped: RefCell<BTreeMap<String, u64>>,
}

impl Filter<'_> {
    /// How many flows or questions were stopped so far because of this name.
    pub(crate) fn stopped(&self, name: &str) -> u64 {
        let mut stopped = self.stopped.borrow_mut();
        for (_, target, some) in self.shared.take_totals().iter() {
            *stopped.entry(target.to_owned()).or_default() += some.flows;
        }
        stopped.get(name).copied().unwrap_or_default()
    }
}

/// A policy that allows what no rule forbids.
pub(crate) fn policy(rules: &str) -> String {
    format!("[policy]\nname = \"test\"\nmatch = \"first\"\ndefault = \"allow\"\n{rules}")
}

/// A rule. `action` may be followed by more lines: `limit"\nrate = "3 packets/s`.
pub(crate) fn rule(name: &str, when: &str, action: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nwhen = '{when}'\naction = \"{action}\"\nreason = \"A test\"\n\
         authority = \"The tests\"\nexpires = \"2100-01-01\"\n"
    )
}

/// Runs `test` while a filter with this policy is at work.
pub(crate) fn with_filter(net: &Net, policy: &str, test: impl FnOnce(&Filter<'_>)) {
    with_settings(net, policy, |_| {}, test);
}

/// As [`with_filter`], with other settings.
pub(crate) fn with_settings(
    net: &Net,
    policy: &str,
    change: impl FnOnce(&mut Settings),
    test: impl FnOnce(&Filter<'_>),
) {
    let path = net.folder.path().join("policy.toml");
    std::fs::write(&path, policy).unwrap();
    let mut settings = Settings::new(path.clone(), "test");
    change(&mut settings);
    let shared = Arc::new(Shared::new(daemon::load(&path, None).unwrap()));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| daemon::run(&settings, &shared, || Quiet, || {}));
        // Ends it also if the test fails.
        let ender = Ender(&shared);
        wait(|| running.is_finished() || run("ip6tables-save").contains("NFQUEUE"));
        test(&Filter { shared: &shared, stopped: RefCell::default() });
        drop(ender);
        running.join().unwrap().unwrap();
    });
    assert!(!run("iptables-save; ip6tables-save").contains("DAYLIGHT"));
}

struct Ender<'a>(&'a Shared);

impl Drop for Ender<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
