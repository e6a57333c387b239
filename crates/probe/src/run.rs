//! A run: the plan is made, its targets are measured some at a time, and each measurement is kept as soon as it is there.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::control::Helpers;
use crate::evidence::{self, Recorder};
use crate::measure::{Measured, Shared, find_control, measure};
use crate::output::{Journal, LIST_ANNOTATION, list_hash};
use crate::plan::{Entry, Item, List, ListError, Plan, Services, ServicesError, Skipped, Target};
use crate::settings::Settings;
use crate::tls::Roots;

/// How often it is looked whether the run is to stop.
const LOOK: Duration = Duration::from_millis(200);

/// What to measure, and where to put it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Targets named one by one.
    pub targets: Vec<Target>,
    /// Files of targets.
    pub lists: Vec<PathBuf>,
    /// Ids of services.
    pub services: Vec<String>,
    /// The text of another file of services than the built-in one.
    pub services_text: Option<String>,
    /// Codes of categories that are left out.
    pub without: HashSet<String>,
    /// What the order is drawn with; drawn itself if absent.
    pub seed: Option<u64>,
    /// The file that measurements are added to. What of this list is in it is not measured again.
    pub output: PathBuf,
    /// Targets that are measured at the same time.
    pub at_once: usize,
    /// How it is measured.
    pub settings: Settings,
    /// The authorities that are believed.
    pub roots: Roots,
    /// The control.
    pub helpers: Helpers,
    /// Whether the probe's own packets are heard, if the system lets it, and those that are not the servers' kept.
    pub packets: bool,
    /// The program's version, for the measurements.
    pub version: String,
}

/// What happens, for whoever shows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A row of a list was left out.
    Skipped {
        /// The list.
        list: PathBuf,
        /// The row, and why.
        row: Skipped,
    },
    /// Packets can't be heard: there will be none as evidence.
    NoPackets {
        /// Why.
        why: String,
    },
    /// The plan is there.
    Planned {
        /// Targets that will be measured.
        targets: usize,
        /// Targets that were measured before.
        before: usize,
        /// What the order was drawn with.
        seed: u64,
    },
    /// A target is begun.
    Begun {
        /// Which.
        input: String,
    },
    /// A target was measured, and the measurement is safe.
    Measured {
        /// Which.
        input: String,
        /// How many are done.
        done: usize,
        /// Of how many.
        of: usize,
        /// How long it took.
        took: Duration,
        /// How the visit ended: a failure's word, or a status code.
        outcome: String,
    },
    /// The run was told to stop: what is not done is left out.
    Stopped {
        /// How many are left.
        left: usize,
    },
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Targets measured now.
    pub measured: usize,
    /// Targets that were measured before.
    pub before: usize,
    /// Targets left, if the run was stopped.
    pub left: usize,
    /// Packets that were kept as evidence, in the capture beside the measurements.
    pub packets: u64,
}

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A list.
    #[error(transparent)]
    List(#[from] ListError),
    /// The services.
    #[error(transparent)]
    Services(#[from] ServicesError),
    /// A service that is not in the file.
    #[error("there is no service {name:?}; there are: {known}")]
    NoService {
        /// Its name.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// Nothing to do.
    #[error("nothing to measure: name a target, a list or a service")]
    Nothing,
    /// The file of measurements.
    #[error("{path} can't be written")]
    Output {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The runtime.
    #[error("the run can't be started: {0}")]
    Start(std::io::Error),
}

/// Makes the plan, without measuring: for the preview.
///
/// # Errors
/// If a list or a service can't be had, or nothing is left.
pub fn plan_of(options: &Options, events: &dyn Fn(Event)) -> Result<Plan, Error> {
    let mut plan = Plan::new();
    let named = options.targets.iter().map(|target| Entry { target: target.clone(), category: None });
    plan.add(named, &HashSet::new());
    for path in &options.lists {
        let list = List::open(path)?;
        for row in list.skipped {
            events(Event::Skipped { list: path.clone(), row });
        }
        plan.add(list.entries, &options.without);
    }
    if !options.services.is_empty() {
        let services = match &options.services_text {
            Some(text) => Services::parse(text)?,
            None => Services::built_in()?,
        };
        for name in &options.services {
            let service = services.named(name).ok_or_else(|| Error::NoService {
                name: name.clone(),
                known: services
                    .services
                    .iter()
                    .map(|service| service.id.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            })?;
            plan.add_service(service);
        }
    }
    if plan.items.is_empty() {
        return Err(Error::Nothing);
    }
    plan.shuffle(options.seed.unwrap_or_else(rand::random));
    Ok(plan)
}

/// Measures everything, until it is done or `stop` is set. What was measured is kept in either case.
///
/// # Errors
/// If there is no plan, or a measurement can't be written.
pub fn run(options: &Options, events: &dyn Fn(Event), stop: &AtomicBool) -> Result<Summary, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?;
    let summary = runtime.block_on(run_all(options, events, stop));
    // A lookup that hangs in the system's resolver is not waited for.
    runtime.shutdown_background();
    summary
}

async fn run_all(options: &Options, events: &dyn Fn(Event), stop: &AtomicBool) -> Result<Summary, Error> {
    let plan = plan_of(options, events)?;
    let output = |source| Error::Output { path: options.output.clone(), source };
    let list = list_hash(&plan);
    let mut journal = Journal::open(&options.output, &list).map_err(output)?;
    let mut todo: VecDeque<&Item> =
        plan.items.iter().filter(|item| !journal.has(item.target.input())).collect();
    let of = todo.len();
    let mut summary = Summary { before: plan.items.len() - of, ..Summary::default() };
    events(Event::Planned { targets: of, before: summary.before, seed: plan.seed });

    let mut capture = evidence::File::beside(&options.output);
    let mut shared = Shared {
        settings: options.settings.clone(),
        roots: options.roots.clone(),
        helpers: options.helpers.clone(),
        recorder: (options.packets && of > 0).then(|| recorder(events)).flatten(),
        started: Timestamp::now(),
        version: options.version.clone(),
        annotations: BTreeMap::from([
            (LIST_ANNOTATION.to_owned(), list),
            ("daylight_seed".to_owned(), plan.seed.to_string()),
        ]),
    };
    let asked_to_stop = async {
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::pin!(asked_to_stop);
    if of > 0 {
        tokio::select! {
            () = find_control(&mut shared.settings, &options.roots) => {}
            () = &mut asked_to_stop => todo.clear(),
        }
    }
    let shared = &shared;
    let mut running = Running::default();
    let at_once = options.at_once.max(1);
    loop {
        while running.len() < at_once
            && let Some(item) = todo.pop_front()
        {
            // The first goes at once; the pause is between targets.
            let pause = if of == todo.len() + 1 { Duration::ZERO } else { shared.settings.waits.between };
            running.add(async move {
                tokio::time::sleep(pause).await;
                events(Event::Begun { input: item.target.input().to_owned() });
                let begun = std::time::Instant::now();
                (measure(item, shared).await, begun.elapsed())
            });
        }
        if running.len() == 0 {
            break;
        }
        tokio::select! {
            (measured, took) = running.next() => {
                let keep_own = options.settings.keep_own_addresses;
                // First, so that no measurement speaks of packets that are not there.
                let added = capture.add(&measured.evidence, keep_own);
                added.map_err(|source| Error::Output { path: capture.path().to_owned(), source })?;
                journal.add(&measured, keep_own).map_err(output)?;
                summary.measured += 1;
                let input = measured.measurement.input.clone().unwrap_or_default();
                let outcome = outcome(&measured);
                events(Event::Measured { input, done: summary.measured, of, took, outcome });
            }
            () = &mut asked_to_stop => break,
        }
    }
    summary.left = of - summary.measured;
    summary.packets = capture.packets();
    if summary.left > 0 {
        events(Event::Stopped { left: summary.left });
    }
    Ok(summary)
}

/// What hears packets; says once why it can't.
fn recorder(events: &dyn Fn(Event)) -> Option<Arc<Recorder>> {
    match Recorder::start() {
        Ok(recorder) => Some(Arc::new(recorder)),
        Err(error) => {
            events(Event::NoPackets { why: error.to_string() });
            None
        }
    }
}

/// How the visit ended, in a word.
fn outcome(measured: &Measured) -> String {
    let keys = &measured.measurement.test_keys;
    if let Some(last) = keys.requests.first() {
        return match &last.failure {
            Some(failure) => failure.to_string(),
            None => last.response.code.to_string(),
        };
    }
    let failures = keys
        .tls_handshakes
        .iter()
        .map(|one| &one.failure)
        .chain(keys.tcp_connect.iter().map(|one| &one.status.failure))
        .chain(keys.queries.iter().map(|one| &one.failure));
    failures.flatten().next().map_or_else(|| "ok".to_owned(), ToString::to_string)
}

/// Futures that run together, of which the first that is done is taken out.
struct Running<F>(Vec<std::pin::Pin<Box<F>>>);

impl<F> Default for Running<F> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<F: Future> Running<F> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn add(&mut self, work: F) {
        self.0.push(Box::pin(work));
    }

    /// Waits for one; for ever, if there is none.
    async fn next(&mut self) -> F::Output {
        std::future::poll_fn(|cx| {
            for n in 0..self.0.len() {
                if let Some(work) = self.0.get_mut(n)
                    && let std::task::Poll::Ready(output) = work.as_mut().poll(cx)
                {
                    drop(self.0.swap_remove(n));
                    return std::task::Poll::Ready(output);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}
