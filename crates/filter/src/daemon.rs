//! The filter as a whole: rules in the kernel, a worker for each queue, and the end of both.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use daylight_capture::nfqueue::{self, Options, Queue};
use daylight_capture::raw_socket::RawSocket;
use daylight_inspect::Config;
use daylight_policy::{LoadError, Policy};

use crate::control::ControlError;
use crate::gate::Witness;
use crate::kernel::{self, KernelError, KernelRules};
use crate::ledger::{Ledger, LedgerError};
use crate::memory;
use crate::mirror::Listener;
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
    /// The interface that is listened to.
    #[error("{interface} can't be listened to: {cause}; `ip link` shows what interfaces there are")]
    Mirror {
        /// Its name.
        interface: String,
        /// Why.
        cause: std::io::Error,
    },
    /// The sockets for notices.
    #[error("notices can't be sent: {0}; it takes CAP_NET_RAW and CAP_NET_ADMIN (run as root)")]
    Notices(std::io::Error),
    /// The socket by which the filter is asked.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The public log: nothing is filtered that can't be told.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A worker has ended by a fault of its own.
    #[error("a worker of the filter failed; its queue's packets went on without it")]
    Worker,
}

/// How a filter is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The policy's file.
    pub policy: PathBuf,
    /// Only listens to this interface, to which something else sends copies of all packets, and ends what is forbidden by
    /// resets. Nothing is put into the kernel then.
    pub mirror: Option<String>,
    /// Its rules in the kernel.
    pub kernel: KernelRules,
    /// How its queues are read.
    pub queue: Options,
    /// If the engine fails, packets go on (or are dropped).
    pub open_on_fault: bool,
    /// How much memory the process may take, in bytes. Beyond, what is known of flows is forgotten.
    pub memory_max: Option<u64>,
    /// Until there is memory again, packets that need looking at go on (or are dropped).
    pub open_on_memory: bool,
    /// The address of the public page, for notices.
    pub page: Option<String>,
}

impl Settings {
    /// What becomes of packets when something fails: the cause, and true if they go on.
    pub fn on_failure(&self) -> [(&'static str, bool); 4] {
        [
            ("a queue is full", self.queue.fail_open),
            ("the engine fails", self.open_on_fault),
            ("memory is short", self.open_on_memory),
            ("the filter is gone", self.kernel.open_if_gone),
        ]
    }

    /// For a policy's file and a filter of this name: one queue, open on every failure, everything left to the kernel
    /// that can be.
    pub fn new(policy: PathBuf, name: &str) -> Self {
        Self {
            policy,
            mirror: None,
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
            memory_max: None,
            open_on_memory: true,
            page: None,
        }
    }
}

/// How often it is looked for what is to be done besides packets.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Between two looks at counts and memory.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Runs a filter until `shared` is told to [end](Shared::end). `witness` makes a witness for each worker; `meanwhile` is
/// called some times a second.
///
/// Before anything, the ledger is told: what it can't tell is not run. The rules are put into the kernel when everything
/// else is ready, and are taken out before anything ends.
///
/// # Errors
/// If something can't be set up (then nothing is left behind), or a queue fails.
pub fn run<W: Witness + Send>(
    settings: &Settings,
    shared: &Shared,
    ledger: &mut Ledger,
    mut witness: impl FnMut() -> W,
    mut meanwhile: impl FnMut(&mut Ledger),
) -> Result<(), FilterError> {
    let config = Config::default();
    let sender = || NoticeSender::open(settings.kernel.mark).map_err(FilterError::Notices);
    let mut works: Vec<Box<dyn FnOnce() -> Result<(), FilterError> + Send + '_>> = Vec::new();
    if let Some(interface) = &settings.mirror {
        let open = RawSocket::listening(interface);
        let listener = Listener {
            socket: open.map_err(|cause| FilterError::Mirror { interface: interface.clone(), cause })?,
            interface: interface.clone(),
            config: config.clone(),
            sender: sender()?,
            witness: witness(),
        };
        let failed = |cause| FilterError::Mirror { interface: interface.clone(), cause };
        works.push(Box::new(move || listener.run(shared).map_err(failed)));
    }
    let queues = if settings.mirror.is_some() { None } else { Some(settings.kernel.queues.clone()) };
    for number in queues.into_iter().flatten() {
        let worker = Worker {
            queue: Queue::open(number.into(), settings.queue.clone())?,
            config: config.clone(),
            mark: settings.kernel.mark,
            offload: settings.kernel.offload,
            open_on_fault: settings.open_on_fault,
            open_on_memory: settings.open_on_memory,
            sender: sender()?,
            page: settings.page.clone(),
            witness: witness(),
        };
        works.push(Box::new(move || worker.run(shared).map_err(FilterError::from)));
    }
    ledger.begun(&shared.policy())?;
    let result = std::thread::scope(|scope| {
        let running: Vec<ScopedJoinHandle<'_, _>> = works.into_iter().map(|work| scope.spawn(work)).collect();
        let inline = settings.mirror.is_none();
        let result = if inline { settings.kernel.install().map_err(FilterError::from) } else { Ok(()) };
        if result.is_ok() {
            let mut counted = Instant::now();
            while !shared.is_ending() && !running.iter().any(ScopedJoinHandle::is_finished) {
                std::thread::sleep(LOOK_EVERY);
                meanwhile(ledger);
                if counted.elapsed() >= COUNT_EVERY {
                    counted = Instant::now();
                    ledger.count(shared.take_tally());
                    shared.press(settings.memory_max.is_some_and(memory::is_beyond));
                }
            }
        }
        let removed = if inline { kernel::remove(&settings.kernel.name) } else { Ok(false) };
        shared.stop();
        let mut result = result.and_then(|()| removed.map(drop).map_err(FilterError::from));
        for worker in running {
            let ended = match worker.join() {
                Ok(ended) => ended,
                Err(_) => Err(FilterError::Worker),
            };
            result = result.and(ended);
        }
        result
    });
    ledger.count(shared.take_tally());
    let why = result.as_ref().map_or_else(ToString::to_string, |()| "it was asked to".to_owned());
    let told = ledger.ended(&why).map_err(FilterError::from);
    result.and(told)
}

/// Loads the policy of a filter that begins.
///
/// # Errors
/// With everything that is wrong with it.
pub fn load(path: &Path) -> Result<Arc<Policy>, FilterError> {
    Ok(Arc::new(Policy::load(path, None)?))
}

/// Loads the policy anew and puts it into force, once that is told. Lists that are what they were are shared with the
/// old one.
///
/// # Errors
/// If it doesn't load, or can't be told: the old one stays in force then, and the log says that another was refused.
pub fn reload(path: &Path, shared: &Shared, ledger: &mut Ledger) -> Result<(), FilterError> {
    let old = shared.policy();
    match Policy::load(path, Some(&old)) {
        Ok(policy) => {
            ledger.loaded(&policy)?;
            shared.exchange(Arc::new(policy));
            Ok(())
        }
        Err(error) => {
            ledger.refused(old.name(), &std::fs::read(path).unwrap_or_default(), &error)?;
            Err(error.into())
        }
    }
}
