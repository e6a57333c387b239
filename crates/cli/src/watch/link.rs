//! Links that are listened to, whose records go where they are wanted: what `watch` shows on a terminal and `serve` in a
//! browser.

use std::io::{self, Write};
use std::os::unix::fs::chown;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use daylight_capture::live::{self, Filter, Means};
use daylight_export::Exporter;
use daylight_expr::Program;
use daylight_inspect::{KeepLimits, RecordSink};
use daylight_sensor::evidence::{Evidence, INTERESTING};
use daylight_sensor::rights::{self, Account};
use daylight_sensor::{Running, Sensor, SensorOptions, Status};
use daylight_store::Writer;
use daylight_store::folder::{Behind, Failing, Keeper, KeeperOptions, Privacy, StoreWriter};
use daylight_watch::Board;
use daylight_web::metrics::Metrics;

use super::args::{Capture, Link};
use super::sinks::Sinks;
use super::totals::Totals;
use crate::inspect::chosen_columns;

/// Interfaces that are open. All rights are given up but those that listening takes.
pub(crate) struct Opened<'a> {
    link: &'a Link,
    interfaces: &'a [String],
    store: Option<&'a Path>,
    sensor: Sensor,
    interesting: Program,
    /// The most flows, bytes of segments and bytes of fragments there may be.
    limits: [usize; 3],
}

impl<'a> Opened<'a> {
    /// Opens them, and gives up rights: of threads, those that are started later have none.
    pub(crate) fn new(link: &'a Link, interfaces: &'a [String], store: Option<&'a Path>) -> Result<Self> {
        let interesting = link.write_where.as_deref().unwrap_or(INTERESTING);
        let interesting = match daylight_inspect::compile(interesting) {
            Ok(condition) => condition,
            Err(error) => bail!("--write-where: {}", error.report()),
        };
        let options = sensor_options(link, interfaces, &interesting)?;
        let limits = [
            options.config.flows_max,
            options.config.reassembly_bytes_max,
            options.config.fragment_bytes_max,
        ];
        let sensor = Sensor::open(options)?;
        give_up_rights(link, store, &sensor.status())?;
        Ok(Self { link, interfaces, store, sensor, interesting, limits })
    }

    /// Begins to listen. What passes is counted on the board; records also go to `records`, and when that wants no more, `stop`
    /// is set.
    pub(crate) fn start(
        self,
        records: Option<Box<dyn Writer>>,
        board: &Arc<Board>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Listening> {
        let Self { link, interfaces, store: folder, sensor, interesting, limits } = self;
        let store = folder.map(|folder| open_store(link, folder)).transpose()?;
        let evidence = link
            .write
            .as_deref()
            .map(|file| Evidence::new(file, link.write_budget * 1_000_000, interesting, interfaces.to_vec()))
            .transpose()?;
        let export = link.to.as_deref().map(|file| start_export(link, file, folder)).transpose()?;
        let totals = Totals::new(&link.kept.sensor);
        let metrics = link.metrics.map(|listen| Metrics::bind(listen, totals.text())).transpose()?;
        let keeper = folder.map(|folder| start_keeper(link, folder)).transpose()?;
        let export = export.map(|export| (export.sink(), export));
        let feed = Board::feed(board);
        let mut sinks = Sinks { feed, store, evidence, export, records, totals, told: Default::default() };
        let (running, exit) = sensor.start().context("there is no room for threads")?;
        let (observer, closed) = (running.observer(), Arc::clone(stop));
        let sinking = Builder::new().name("sinks".into()).spawn(move || {
            exit.run(&mut sinks, Duration::from_secs(1), |sinks| {
                if let Some(status) = observer.status() {
                    sinks.tick(now_ns(), &status, limits);
                }
                if sinks.is_closed() {
                    closed.store(true, Ordering::Relaxed);
                }
            });
            sinks.finish()
        })?;
        let over = Arc::clone(stop);
        let serving = metrics.map(|metrics| {
            Builder::new().name("metrics".into()).spawn(move || {
                if let Err(error) = metrics.run(|| over.load(Ordering::Relaxed)) {
                    let _ = writeln!(io::stderr(), "daylight: no metrics: {error}");
                }
            })
        });
        let metrics = serving.transpose()?;
        Ok(Listening { running, sinking, metrics, stop: Arc::clone(stop), _keeper: keeper })
    }
}

/// Links that are listened to.
pub(crate) struct Listening {
    running: Running,
    sinking: JoinHandle<Result<()>>,
    metrics: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    _keeper: Option<daylight_store::folder::Running>,
}

impl Listening {
    /// Ends it: records of flows that go on are written, and what was lost is told.
    pub(crate) fn finish(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.metrics.map(JoinHandle::join);
        let status = self.running.stop();
        let finished = self.sinking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        tell_losses(&status);
        finished
    }
}

fn sensor_options(link: &Link, interfaces: &[String], interesting: &Program) -> Result<SensorOptions> {
    let mut config = link.engine.config(link.active_timeout, false)?;
    // Of transactions nobody is told.
    config.wanted.set_events(false);
    if !link.fields.is_empty() {
        let needed = link.write.iter().flat_map(|_| daylight_inspect::columns_of(interesting));
        config.want_columns(chosen_columns(&link.fields)?.into_iter().map(|column| column.id).chain(needed));
    }
    let config = Arc::new(config);
    let live = live::Options {
        means: match link.capture {
            Capture::Auto => Means::Auto,
            Capture::Packet => Means::Packet,
            Capture::Xdp => Means::Xdp,
        },
        filter: link.filter.as_deref().map(Filter::new).transpose()?,
        promiscuous: !link.no_promiscuous,
        ring_bytes: (link.buffer as usize) << 20,
        snap_len: link.snap_len.unwrap_or(u32::MAX),
    };
    let mut each = interfaces.to_vec();
    each.sort();
    each.dedup();
    if each.len() < interfaces.len() {
        bail!("an interface is named twice: its packets would be counted twice");
    }
    Ok(SensorOptions {
        interfaces: interfaces.to_vec(),
        live,
        config,
        // Flows of one run must not have the names of another's.
        salt: now_ns() as u64 ^ u64::from(std::process::id()) << 48,
        reports: true,
        keep: link.write.is_some().then(KeepLimits::default),
    })
}

/// Gives up what listening does not take. Before, makes the folders that the one to go on as could not make.
fn give_up_rights(link: &Link, store: Option<&Path>, status: &Status) -> Result<()> {
    let writes = store.is_some() || link.write.is_some();
    let account = Account::choose(link.user.as_deref(), writes)?;
    if let (Some(account), Some(folder)) = (&account, store)
        && !folder.exists()
    {
        std::fs::create_dir_all(folder)
            .and_then(|()| chown(folder, Some(account.uid), Some(account.gid)))
            .with_context(|| format!("can't make {} for {}", folder.display(), account.name))?;
    }
    let xdp = status.interfaces.iter().any(|interface| interface.means == Means::Xdp);
    rights::give_up(account.as_ref(), xdp)?;
    if let Some(account) = account {
        let _ = writeln!(io::stderr(), "daylight: goes on as {}", account.name);
    }
    Ok(())
}

fn open_store(link: &Link, folder: &Path) -> Result<StoreWriter> {
    let mut options = crate::store::options(folder, &link.kept)?;
    options.behind = Behind::Lose;
    options.failing = Failing::GoOn;
    StoreWriter::new(&options).with_context(|| {
        "records can't be kept (of another user's folder? `--user` says whom to go on as)".to_owned()
    })
}

/// Starts to send what this file says where it says.
fn start_export(link: &Link, file: &Path, store: Option<&Path>) -> Result<Exporter> {
    let config = daylight_export::Config::read(file)?;
    Ok(Exporter::start(&config, &link.kept.sensor, None, store)?)
}

/// Merges files, and removes what is too old or too much.
fn start_keeper(link: &Link, folder: &Path) -> Result<daylight_store::folder::Running> {
    let key_file = match crate::store::options(folder, &link.kept)?.privacy {
        Privacy::Pseudonyms(how) => Some(how.key_file),
        Privacy::KeepAddresses => None,
    };
    let keeper = Keeper::new(KeeperOptions {
        keep_for: Some(Duration::from_secs(u64::from(link.keep_days) * 86_400)),
        keep_bytes: link.keep_size.map(|gb| gb.saturating_mul(1_000_000_000)),
        key_file,
        ..KeeperOptions::new(folder)
    });
    let mut last = String::new();
    let keeper = keeper.start(move |result| {
        if let Err(error) = result {
            let message = error.to_string();
            if message != last {
                let _ = writeln!(io::stderr(), "daylight: {message}");
                last = message;
            }
        }
    })?;
    Ok(keeper)
}

/// What a person should know who looked at something else.
fn tell_losses(status: &Status) {
    for interface in &status.interfaces {
        let counters = interface.counters;
        if counters.dropped > 0 {
            let share = counters.dropped as f64 * 100.0 / (counters.dropped + counters.received) as f64;
            let _ = writeln!(
                io::stderr(),
                "daylight: {}: {} packets ({share:.3} %) were dropped by the kernel: a larger --buffer helps against bursts, \
                 more --threads or a --filter in the long run",
                interface.name,
                counters.dropped
            );
        }
    }
    if status.records_lost > 0 {
        let _ = writeln!(
            io::stderr(),
            "daylight: {} records were lost: what they were to be written to is too slow",
            status.records_lost
        );
    }
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
