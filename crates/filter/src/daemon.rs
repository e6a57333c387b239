//! The filter as a whole: rules in the kernel, a worker for each queue, and the end of both.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use daylight_capture::nfqueue::{self, Options, Queue};
use daylight_inspect::Config;
use daylight_policy::{LoadError, Policy};

use crate::gate::Witness;
use crate::kernel::{self, KernelError, KernelRules};
use crate::send::NoticeSender;
use crate::worker::{Shared, Worker};

/// Why a filter could not be run, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The kernel's rules.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The policy.
    #[error(transparent)]
    Policy(#[from] LoadError),
    /// A packet queue.
    #[error(transparent)]
    Queue(#[from] nfqueue::Error),
    /// The sockets for notices.
    #[error("notices can't be sent: {0}; it takes CAP_NET_RAW and CAP_NET_ADMIN (run as root)")]
    Notices(std::io::Error),
    /// A worker has ended by a fault of its own.
    #[error("a worker of the filter failed; its queue's packets went on without it")]
    Worker,
}

/// How a filter is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The policy's file.
    pub policy: PathBuf,
    /// Its rules in the kernel.
    pub kernel: KernelRules,
    /// How its queues are read.
    pub queue: Options,
    /// If the engine fails, packets go on (or are dropped).
    pub open_on_fault: bool,
    /// The address of the public page, for notices.
    pub page: Option<String>,
}

impl Settings {
    /// For a policy's file and a filter of this name: one queue, open on every failure, everything left to the kernel
    /// that can be.
    pub fn new(policy: PathBuf, name: &str) -> Self {
        Self {
            policy,
            kernel: KernelRules {
                name: name.to_owned(),
                queues: 0..=0,
                mark: kernel::MarkBits::default(),
                open_if_gone: true,
                own_traffic: false,
                offload: true,
            },
            // A TLS record with its headers: a hello that came in one large segment is read whole.
            queue: Options { copy_range: 17 << 10, ..Options::default() },
            open_on_fault: true,
            page: None,
        }
    }
}

/// Runs a filter until `shared` is told to [end](Shared::end). `witness` makes a witness for each worker; `meanwhile` is called some times
/// a second.
///
/// The rules are put into the kernel when everything else is ready, and are taken out before anything ends.
///
/// # Errors
/// If something can't be set up (then nothing is left behind), or a queue fails.
pub fn run<W: Witness + Send>(
    settings: &Settings,
    shared: &Shared,
    mut witness: impl FnMut() -> W,
    mut meanwhile: impl FnMut(),
) -> Result<(), FilterError> {
    let config = Config::default();
    let mut workers = Vec::new();
    for number in settings.kernel.queues.clone() {
        workers.push(Worker {
            queue: Queue::open(number.into(), settings.queue.clone())?,
            config: config.clone(),
            mark: settings.kernel.mark,
            offload: settings.kernel.offload,
            open_on_fault: settings.open_on_fault,
            sender: NoticeSender::open(settings.kernel.mark).map_err(FilterError::Notices)?,
            page: settings.page.clone(),
            witness: witness(),
        });
    }
    std::thread::scope(|scope| {
        let running: Vec<ScopedJoinHandle<'_, _>> =
            workers.into_iter().map(|worker| scope.spawn(move || worker.run(shared))).collect();
        let result = settings.kernel.install().map_err(FilterError::from);
        if result.is_ok() {
            while !shared.is_ending() && !running.iter().any(ScopedJoinHandle::is_finished) {
                std::thread::sleep(Duration::from_millis(50));
                meanwhile();
            }
        }
        let removed = kernel::remove(&settings.kernel.name);
        shared.stop();
        let mut result = result.and_then(|()| removed.map(drop).map_err(FilterError::from));
        for worker in running {
            let ended = match worker.join() {
                Ok(ended) => ended.map_err(FilterError::from),
                Err(_) => Err(FilterError::Worker),
            };
            result = result.and(ended);
        }
        meanwhile();
        result
    })
}

/// Loads a policy, sharing what `previous` has of its lists.
///
/// # Errors
/// With everything that is wrong with it.
pub fn load(path: &Path, previous: Option<&Policy>) -> Result<Arc<Policy>, FilterError> {
    Ok(Arc::new(Policy::load(path, previous)?))
}
