//! Runs a filter in the test's process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use daylight_filter::daemon::{self, Settings};
use daylight_filter::gate::{Ruling, Witness};
use daylight_filter::ledger::Ledger;
use daylight_filter::worker::Shared;
use daylight_inspect::FlowRecord;
use daylight_policy::audit::Signer;
use daylight_policy::{Policy, Verdict};
use daylight_protocols::common;

use crate::namespace::run;
use crate::net::{Net, wait};

/// Flows and questions stopped so far, by the name that was asked for.
#[derive(Clone, Default)]
struct Stopped(Arc<Mutex<BTreeMap<String, u64>>>, Arc<AtomicBool>, Arc<AtomicU64>);

/// A decision about this name is a fault of the filter's.
pub(crate) const FAULTY: &str = "faulty.example.org";
/// A decision about this name takes some seconds.
pub(crate) const SLOW: &str = "slow.example.org";

impl Witness for Stopped {
    fn ruled(&mut self, _: &Policy, ruling: Ruling) {
        match ruling.asked.as_deref() {
            Some(FAULTY) => panic!("as the test wants it"),
            Some(SLOW) => {
                self.1.store(true, Ordering::Release);
                std::thread::sleep(Duration::from_secs(8));
                self.1.store(false, Ordering::Release);
            }
            _ => {}
        }
        if matches!(ruling.verdict, Verdict::Drop | Verdict::Reject) {
            let hostname = ruling.record.text(common::HOSTNAME).map(str::to_owned);
            let name = ruling.asked.or(hostname).unwrap_or_default();
            *self.0.lock().unwrap().entry(name.trim_end_matches('.').to_lowercase()).or_default() += 1;
        }
    }

    fn ended(&mut self, _: &Policy, _: Box<FlowRecord>, logged: &[u32]) {
        self.2.fetch_add(u64::from(!logged.is_empty()), Ordering::Relaxed);
    }
}

/// A filter at work.
pub(crate) struct Filter<'a> {
    pub(crate) shared: &'a Shared,
    stopped: Stopped,
    policy: &'a Path,
    /// The policy is to be loaded anew.
    reload: &'a AtomicBool,
}

impl Filter<'_> {
    /// How many flows or questions were stopped so far because of this name.
    pub(crate) fn stopped(&self, name: &str) -> u64 {
        let stopped = self.stopped.0.lock().unwrap();
        stopped.get(name).copied().unwrap_or_default()
    }

    /// True while a decision takes its time.
    pub(crate) fn is_slow(&self) -> bool {
        self.stopped.1.load(Ordering::Acquire)
    }

    /// Puts another policy into force.
    pub(crate) fn reload(&self, policy: &str) {
        std::fs::write(self.policy, policy).unwrap();
        self.reload.store(true, Ordering::Release);
        wait(|| !self.reload.load(Ordering::Acquire));
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

/// Runs `test` while a filter with this policy is at work; gives how many flows its `log` rules told of.
pub(crate) fn with_filter(net: &Net, policy: &str, test: impl FnOnce(&Filter<'_>)) -> u64 {
    with_settings(net, policy, |_| {}, test)
}

/// As [`with_filter`], with other settings.
pub(crate) fn with_settings(
    net: &Net,
    policy: &str,
    change: impl FnOnce(&mut Settings),
    test: impl FnOnce(&Filter<'_>),
) -> u64 {
    let path = net.folder.path().join("policy.toml");
    std::fs::write(&path, policy).unwrap();
    let mut settings = Settings::new(path.clone(), "test");
    change(&mut settings);
    let shared = Arc::new(Shared::new(daemon::load(&path).unwrap()));
    let (mut ledger, stopped) = (ledger(net.folder.path()), Stopped::default());
    let reload = AtomicBool::new(false);
    let meanwhile = |ledger: &mut Ledger| {
        if reload.load(Ordering::Acquire) {
            daemon::reload(&path, &shared, ledger).unwrap();
            reload.store(false, Ordering::Release);
        }
    };
    std::thread::scope(|scope| {
        let running =
            scope.spawn(|| daemon::run(&settings, &shared, &mut ledger, || stopped.clone(), meanwhile));
        // Ends it also if the test fails.
        let ender = Ender(&shared);
        let ready = || settings.mirror.is_some() || run("ip6tables-save").contains("NFQUEUE");
        wait(|| running.is_finished() || ready());
        test(&Filter { shared: &shared, stopped: stopped.clone(), policy: &path, reload: &reload });
        drop(ender);
        running.join().unwrap().unwrap();
    });
    assert!(!run("iptables-save; ip6tables-save").contains("DAYLIGHT"));
    stopped.2.load(Ordering::Relaxed)
}

/// A public log in this folder, with its key.
pub(crate) fn ledger(folder: &Path) -> Ledger {
    let key = folder.join("key");
    let signer = if key.exists() { Signer::open(&key) } else { Signer::generate(&key, "filter.test/log") };
    Ledger::open(&folder.join("log"), signer.unwrap()).unwrap()
}

struct Ender<'a>(&'a Shared);

impl Drop for Ender<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
