//! All of it together: a spool, a thread for each destination, and what became of everything.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::alarm::otlp::Otlp;
use crate::alarm::syslog::Syslog;
use crate::alarm::webhook::Webhook;
use crate::alarm::{Alarms, Outlet, Rate, Throttle};
use crate::carry::{Carrier, Shared, Status, carry};
use crate::clickhouse::ClickHouse;
use crate::config::{AlarmOptions, Config, Kind, To};
use crate::ipfix::Ipfix;
use crate::kafka::Kafka;
use crate::nats::Nats;
use crate::s3::{Pass, S3, S3Options};
use crate::sink::Sink;
use crate::spool::{Limits, Spool, SpoolCounters, SpoolError};
use crate::tls::TlsError;

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// There is no place for records to wait.
    #[error("no folder for records to wait in: set `path` under [spool]")]
    NoSpool,
    /// The spool can't be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A destination can't be used.
    #[error("[[to]] {name}: {cause}")]
    To {
        /// Which.
        name: String,
        /// What is wrong with it.
        cause: TlsError,
    },
    /// It copies a store's files, and there is no store.
    #[error("[[to]] {name} copies the files of a store: name one with --store")]
    NoStore {
        /// Which.
        name: String,
    },
    /// The system gives no thread.
    #[error("can't start a thread: {0}")]
    Thread(std::io::Error),
}

/// Carries records to all destinations of a configuration.
pub struct Exporter {
    spool: Arc<Spool>,
    sensor: String,
    shared: Vec<Arc<Shared>>,
    uploads: Vec<Arc<Upload>>,
    threads: Vec<JoinHandle<()>>,
    over: Arc<AtomicBool>,
}

/// What a destination that copies files has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UploadStatus {
    /// The destination's name.
    pub name: String,
    /// All passes together.
    pub total: Pass,
    /// What went wrong last; `None` once all is well again.
    pub error: Option<String>,
}

struct Upload(Mutex<UploadStatus>);

impl Exporter {
    /// Opens the spool and starts a thread for each destination. `spool` is its folder if the configuration names none;
    /// `store` is the folder whose files are copied to object storage.
    ///
    /// Nothing connects before this returns: a destination that is away now is tried until it is there.
    ///
    /// # Errors
    /// If the spool or a destination's files can't be used.
    pub fn start(
        config: &Config,
        sensor: &str,
        spool: Option<&Path>,
        store: Option<&Path>,
    ) -> Result<Self, ExportError> {
        let folder = config.spool.as_deref().or(spool).ok_or(ExportError::NoSpool)?;
        let (copy, send): (Vec<&To>, Vec<&To>) =
            config.to.iter().partition(|to| matches!(to.kind, Kind::S3(_)));
        let names: Vec<&str> = send.iter().map(|to| &*to.name).collect();
        let spool = Spool::open(folder, config.budget_bytes, &names)?;
        let failed = |to: &To| {
            let name = to.name.clone();
            |cause| ExportError::To { name, cause }
        };
        let mut carriers = Vec::new();
        for to in send {
            let Some((carrier, limits)) = carrier(&to.kind).map_err(failed(to))? else { continue };
            carriers.push((to, carrier, limits));
        }
        let mut uploads = Vec::new();
        for to in copy {
            let Kind::S3(options) = &to.kind else { continue };
            let store = store.ok_or_else(|| ExportError::NoStore { name: to.name.clone() })?;
            uploads.push((
                to,
                S3::new(options, folder, &to.name).map_err(failed(to))?,
                options,
                store.to_owned(),
            ));
        }
        let mut exporter = Self {
            spool,
            sensor: sensor.to_owned(),
            shared: Vec::new(),
            uploads: Vec::new(),
            threads: Vec::new(),
            over: Arc::default(),
        };
        exporter.keep_synced()?;
        for (to, carrier, limits) in carriers {
            let Some(reader) = exporter.spool.reader(&to.name) else { continue };
            let shared = Shared::new(&to.name, to.kind.name());
            exporter.shared.push(Arc::clone(&shared));
            exporter.thread(&to.name, move || carry(reader, carrier, &limits, &shared))?;
        }
        for (to, s3, options, store) in uploads {
            exporter.copy(to, s3, options, store)?;
        }
        Ok(exporter)
    }

    fn thread(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), ExportError> {
        let thread = std::thread::Builder::new().name(format!("to-{name}")).spawn(run);
        self.threads.push(thread.map_err(ExportError::Thread)?);
        Ok(())
    }

    /// Bounds what a power cut takes.
    fn keep_synced(&mut self) -> Result<(), ExportError> {
        let (spool, over) = (Arc::clone(&self.spool), Arc::clone(&self.over));
        self.thread("disk", move || {
            while !over.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_secs(1));
                // A disk that fails to write fails to append too, and that is counted.
                let _ = spool.sync();
            }
        })
    }

    fn copy(&mut self, to: &To, mut s3: S3, options: &S3Options, store: PathBuf) -> Result<(), ExportError> {
        let upload =
            Arc::new(Upload(Mutex::new(UploadStatus { name: to.name.clone(), ..UploadStatus::default() })));
        self.uploads.push(Arc::clone(&upload));
        let over = Arc::clone(&self.over);
        let pause = (options.settle / 10).clamp(Duration::from_secs(1), Duration::from_secs(60));
        self.thread(&to.name, move || {
            while !over.load(Ordering::Relaxed) {
                let pass = s3.pass(&store);
                upload.add(pass);
                let until = Instant::now() + pause;
                while !over.load(Ordering::Relaxed) && Instant::now() < until {
                    std::thread::park_timeout(until - Instant::now());
                }
            }
        })
    }

    /// A sink for records; one for each thread that makes them.
    pub fn sink(&self) -> Sink {
        Sink::new(Arc::clone(&self.spool), &self.sensor)
    }

    /// What the spool has seen.
    pub fn spool(&self) -> SpoolCounters {
        self.spool.counters()
    }

    /// Why something could last not be written to the spool.
    pub fn spool_error(&self) -> Option<String> {
        self.spool.error()
    }

    /// What became of each destination's records.
    pub fn statuses(&self) -> Vec<Status> {
        self.shared.iter().map(|shared| shared.status(&self.spool)).collect()
    }

    /// What was copied to object storage.
    pub fn uploads(&self) -> Vec<UploadStatus> {
        self.uploads
            .iter()
            .map(|upload| upload.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .collect()
    }

    /// Ends: waits for everything to arrive, at most so long, and says what became of it. What has not arrived waits in the
    /// spool for the next start. A destination that hangs may take its own time-out longer.
    pub fn finish(mut self, patience: Duration) -> Vec<Status> {
        self.spool.close();
        let deadline = Instant::now() + patience;
        let waits = || self.statuses().iter().any(|status| status.reader.lag > 0);
        while waits() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.stop();
        for thread in std::mem::take(&mut self.threads) {
            // A destination whose thread panicked has not acknowledged, and that is in its status.
            let _ = thread.join();
        }
        let _ = self.spool.sync();
        self.statuses()
    }

    fn stop(&self) {
        self.spool.close();
        self.over.store(true, Ordering::Relaxed);
        self.shared.iter().for_each(|shared| shared.stop());
        self.threads.iter().for_each(|thread| thread.thread().unpark());
    }
}

/// Whoever forgets to finish waits for nothing; what has not arrived is in the spool.
impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Upload {
    fn add(&self, pass: Result<Pass, crate::SendError>) {
        let mut status = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match pass {
            Ok(pass) => {
                status.error =
                    pass.conflicts.first().map(|key| format!("{key} is there already, and is another file"));
                status.total.copied += pass.copied;
                status.total.bytes += pass.bytes;
                status.total.present += pass.present;
                status.total.removed += pass.removed;
                status.total.conflicts = pass.conflicts;
            }
            Err(error) => status.error = Some(error.to_string()),
        }
    }
}

type Made = Option<(Box<dyn Carrier>, Limits)>;

/// Who carries to a destination, and how much at a time; nobody to where files go.
fn carrier(kind: &Kind) -> Result<Made, TlsError> {
    let few = Limits::default();
    let alarms = Limits { records_max: 10_000, bytes_max: 8 << 20, risks_only: true, ..few };
    Ok(Some(match kind {
        Kind::Nats(options) => (Box::new(Nats::new(options.clone())?), few),
        Kind::Kafka(options) => (Box::new(Kafka::new(options.clone())?), few),
        // A part on the server's disk for each batch: few and large ones.
        Kind::ClickHouse(options) => {
            let many =
                Limits { records_max: 50_000, bytes_max: 32 << 20, linger: Duration::from_secs(2), ..few };
            (Box::new(ClickHouse::new(options)?), many)
        }
        Kind::Ipfix(options) => (Box::new(Ipfix::new(options.clone())), few),
        Kind::Syslog(to, options) => (made(Syslog::new(to.clone())?, options), alarms),
        Kind::Webhook(to, options) => (made(Webhook::new(to)?, options), alarms),
        Kind::Otlp(to, options) => (made(Otlp::new(to.clone())?, options), alarms),
        Kind::S3(_) => return Ok(None),
    }))
}

fn made(outlet: impl Outlet + 'static, options: &AlarmOptions) -> Box<dyn Carrier> {
    let throttle = Throttle::new(options.same, options.window, Rate::per_minute(options.per_minute));
    Box::new(Alarms::new(outlet, throttle, options.severity_min))
}
