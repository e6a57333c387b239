//! A filter that can be asked, told and watched while it runs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use daylight_capture::nfqueue;
use daylight_policy::Policy;
use jiff::Timestamp;

use crate::control::{Answer, Control, Request};
use crate::daemon::{self, FilterError, Settings};
use crate::decisions::Decisions;
use crate::ledger::Ledger;
use crate::memory;
use crate::status::{LogStatus, PolicyStatus, QueueStatus, Status, StoppedByRule};
use crate::worker::Shared;

/// How old the status that is read from outside may be.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// What signals ask for.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// To load the policy anew.
    pub reload: Arc<AtomicBool>,
    /// To end.
    pub end: Arc<AtomicBool>,
}

/// A filter and what is around it.
pub struct Service {
    /// How it is run.
    pub settings: Settings,
    /// Where it can be asked.
    pub control: PathBuf,
    /// The operator's log of decisions.
    pub decisions: Option<Decisions>,
    /// What signals ask for.
    pub wishes: Wishes,
    /// Where its status is put once a second.
    pub status: Arc<Mutex<Status>>,
}

impl Service {
    /// Runs it until it is asked to end. `ready` is called once, when everything is in force.
    ///
    /// # Errors
    /// If it can't be set up, or fails.
    pub fn run(
        self,
        policy: Arc<Policy>,
        ledger: &mut Ledger,
        mut ready: impl FnMut(),
    ) -> Result<(), FilterError> {
        let control = Control::listen(&self.control)?;
        let shared = Shared::new(policy);
        let mut running =
            Running { service: &self, shared: &shared, since: now(), in_force: now(), refused: None };
        let mut shown: Option<Instant> = None;
        let witness = || self.decisions.as_ref().map(Decisions::witness);
        daemon::run(&self.settings, &shared, ledger, witness, |ledger| {
            if self.wishes.end.load(Ordering::Acquire) {
                shared.end();
            }
            if self.wishes.reload.swap(false, Ordering::AcqRel) {
                // What went wrong stands in the status.
                let _ = running.reload(ledger);
                shown = None;
            }
            control.answer(|request| match request {
                Request::Status => {
                    ledger.count(shared.take_tally());
                    Answer::Status(Box::new(running.status(ledger)))
                }
                Request::Reload => match running.reload(ledger) {
                    Ok(()) => Answer::Done,
                    Err(error) => Answer::Failed(error.to_string()),
                },
            });
            if shown.is_none_or(|at| at.elapsed() >= STATUS_EVERY) {
                if shown.is_none() {
                    ready();
                }
                shown = Some(Instant::now());
                *self.status.lock().unwrap_or_else(PoisonError::into_inner) = running.status(ledger);
            }
        })
    }
}

struct Running<'a> {
    service: &'a Service,
    shared: &'a Shared,
    /// When the filter began.
    since: String,
    /// Since when its policy is in force.
    in_force: String,
    /// Why the last reload was refused.
    refused: Option<String>,
}

impl Running<'_> {
    fn reload(&mut self, ledger: &mut Ledger) -> Result<(), FilterError> {
        if let Some(decisions) = &self.service.decisions {
            decisions.reopen();
        }
        let result = daemon::reload(&self.service.settings.policy, self.shared, ledger);
        self.refused = result.as_ref().err().map(ToString::to_string);
        if result.is_ok() {
            self.in_force = now();
        }
        result
    }

    fn status(&self, ledger: &Ledger) -> Status {
        let settings = &self.service.settings;
        let policy = self.shared.policy();
        let counters = &self.shared.counters;
        let queue = |number: u16| {
            // Without the kernel's table its counters are not known; the rest is.
            let found = nfqueue::kernel_counters(number).ok().flatten().unwrap_or_default();
            QueueStatus {
                number,
                waiting: found.waiting.into(),
                dropped_full: found.dropped_full.into(),
                overruns: found.dropped_overrun.into(),
            }
        };
        let queues = settings.mirror.is_none().then(|| settings.kernel.queues.clone()).into_iter();
        let way = |is_open| if is_open { "open" } else { "closed" };
        let on_failure = settings.on_failure().into_iter().filter(|_| settings.mirror.is_none());
        let stopped = ledger.stopped().map(|((policy, rule), counts)| StoppedByRule {
            policy: policy.to_string(),
            rule: rule.to_string(),
            flows: counts.flows,
            packets: counts.packets,
        });
        Status {
            name: settings.kernel.name.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: self.since.clone(),
            policy: PolicyStatus {
                name: policy.name().to_string(),
                version: policy.digest().to_string(),
                since: self.in_force.clone(),
                rules: policy.rules().len() as u64,
                list_entries: policy.lists().iter().map(|list| list.report().entries as u64).sum(),
                refused: self.refused.clone(),
            },
            counters: counters.named().map(|(name, count)| (name.to_owned(), count)).into(),
            flows: counters.flows.load(Ordering::Relaxed),
            memory_bytes: memory::resident_bytes(),
            memory_is_short: self.shared.is_pressed(),
            queues: queues.flatten().map(queue).collect(),
            on_failure: on_failure.map(|(cause, open)| (cause.to_owned(), way(open).to_owned())).collect(),
            stopped: stopped.collect(),
            log: LogStatus {
                entries: ledger.len(),
                key: ledger.key().to_string(),
                trouble: ledger.trouble().map(ToString::to_string),
            },
            decisions_lost: self.service.decisions.as_ref().map_or(0, Decisions::lost),
        }
    }
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
