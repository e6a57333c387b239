//! `daylight watch`

pub(crate) mod args;
mod sinks;
mod totals;

use std::io::{self, Write};
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use daylight_capture::live::{self, Filter, Means};
use daylight_export::Exporter;
use daylight_expr::Program;
use daylight_inspect::{KeepLimits, RecordSink};
use daylight_sensor::evidence::{Evidence, INTERESTING};
use daylight_sensor::rights::{self, Account};
use daylight_sensor::{Sensor, SensorOptions, Status};
use daylight_store::folder::{Behind, Failing, Keeper, KeeperOptions, Privacy, StoreWriter};
use daylight_store::{Destination, Format};
use daylight_watch::{Board, lines, terminal};
use daylight_web::metrics::Metrics;

use crate::inspect::{chosen_columns, quiet_pipe};
use crate::interrupt;
use args::{Capture, Show, Watch};
use sinks::Sinks;
use totals::Totals;

pub(crate) fn run(args: &Watch) -> Result<ExitCode> {
    let interesting = args.write_where.as_deref().unwrap_or(INTERESTING);
    let interesting = match daylight_inspect::compile(interesting) {
        Ok(condition) => condition,
        Err(error) => bail!("--write-where: {}", error.report()),
    };
    let options = sensor_options(args, &interesting)?;
    let (flows_max, reassembly_max) = (options.config.flows_max, options.config.reassembly_bytes_max);
    let fragments_max = options.config.fragment_bytes_max;
    let sensor = Sensor::open(options)?;
    give_up_rights(args, &sensor.status())?;

    let store = args.store.as_deref().map(|folder| open_store(args, folder)).transpose()?;
    let evidence = args
        .write
        .as_deref()
        .map(|file| Evidence::new(file, args.write_budget * 1_000_000, interesting, args.interfaces.clone()))
        .transpose()?;
    let export = args.to.as_deref().map(|file| start_export(args, file)).transpose()?;
    let totals = Totals::new(&args.kept.sensor);
    let metrics = args.metrics.map(|listen| Metrics::bind(listen, totals.text())).transpose()?;
    let records = match args.show {
        Show::Records => {
            Some(daylight_store::open(Format::Jsonl, chosen_columns(&args.fields)?, &Destination::Stdout)?)
        }
        _ => None,
    };
    // On threads from here on, which have no rights any more.
    interrupt::watch()?;
    let _keeper = args.store.as_deref().map(|folder| start_keeper(args, folder)).transpose()?;
    let board = Board::new();
    let stop = Arc::new(AtomicBool::new(false));
    let export = export.map(|export| (export.sink(), export));
    let mut sinks = Sinks {
        feed: Board::feed(&board),
        store,
        evidence,
        export,
        records,
        totals,
        told: Default::default(),
    };
    let (running, exit) = sensor.start().context("there is no room for threads")?;
    let limits = [flows_max, reassembly_max, fragments_max];
    let (observer, closed) = (running.observer(), Arc::clone(&stop));
    let sinking = std::thread::Builder::new().name("sinks".into()).spawn(move || {
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
    let timer = watch_for_the_end(args.duration, &stop)?;
    let over = Arc::clone(&stop);
    let serving = metrics.map(|metrics| {
        std::thread::Builder::new().name("metrics".into()).spawn(move || {
            if let Err(error) = metrics.run(|| over.load(Ordering::Relaxed)) {
                let _ = writeln!(io::stderr(), "daylight: no metrics: {error}");
            }
        })
    });
    let serving = serving.transpose()?;
    show(args, &board, &stop)?;
    stop.store(true, Ordering::Relaxed);
    let _ = timer.join();
    let _ = serving.map(std::thread::JoinHandle::join);
    let status = running.stop();
    let finished = sinking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    tell_losses(&status);
    match finished {
        Ok(()) if interrupt::is_interrupted() => Ok(ExitCode::from(130)),
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
    }
}

fn sensor_options(args: &Watch, interesting: &Program) -> Result<SensorOptions> {
    let mut config = args.engine.config(args.active_timeout, false)?;
    // Of transactions nobody is told.
    config.wanted.set_events(false);
    if !args.fields.is_empty() {
        let needed = args.write.iter().flat_map(|_| daylight_inspect::columns_of(interesting));
        config.want_columns(chosen_columns(&args.fields)?.into_iter().map(|column| column.id).chain(needed));
    }
    let config = Arc::new(config);
    let live = live::Options {
        means: match args.capture {
            Capture::Auto => Means::Auto,
            Capture::Packet => Means::Packet,
            Capture::Xdp => Means::Xdp,
        },
        filter: args.filter.as_deref().map(Filter::new).transpose()?,
        promiscuous: !args.no_promiscuous,
        ring_bytes: (args.buffer as usize) << 20,
        snap_len: args.snap_len.unwrap_or(u32::MAX),
    };
    let mut interfaces = args.interfaces.clone();
    interfaces.sort();
    interfaces.dedup();
    if interfaces.len() < args.interfaces.len() {
        bail!("an interface is named twice: its packets would be counted twice");
    }
    Ok(SensorOptions {
        interfaces: args.interfaces.clone(),
        live,
        config,
        // Flows of one run must not have the names of another's.
        salt: now_ns() as u64 ^ u64::from(std::process::id()) << 48,
        reports: true,
        keep: args.write.is_some().then(KeepLimits::default),
    })
}

/// Gives up what listening does not take. Before, makes the folders that the one to go on as could not make.
fn give_up_rights(args: &Watch, status: &Status) -> Result<()> {
    let writes = args.store.is_some() || args.write.is_some();
    let account = Account::choose(args.user.as_deref(), writes)?;
    if let (Some(account), Some(folder)) = (&account, &args.store)
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

fn open_store(args: &Watch, folder: &Path) -> Result<StoreWriter> {
    let mut options = crate::store::options(folder, &args.kept)?;
    options.behind = Behind::Lose;
    options.failing = Failing::GoOn;
    StoreWriter::new(&options).with_context(|| {
        "records can't be kept (of another user's folder? `--user` says whom to go on as)".to_owned()
    })
}

/// Starts to send what this file says where it says.
fn start_export(args: &Watch, file: &Path) -> Result<Exporter> {
    let config = daylight_export::Config::read(file)?;
    Ok(Exporter::start(&config, &args.kept.sensor, None, args.store.as_deref())?)
}

/// Merges files, and removes what is too old or too much.
fn start_keeper(args: &Watch, folder: &Path) -> Result<daylight_store::folder::Running> {
    let key_file = match crate::store::options(folder, &args.kept)?.privacy {
        Privacy::Pseudonyms(how) => Some(how.key_file),
        Privacy::KeepAddresses => None,
    };
    let keeper = Keeper::new(KeeperOptions {
        keep_for: Some(Duration::from_secs(u64::from(args.keep_days) * 86_400)),
        keep_bytes: args.keep_size.map(|gb| gb.saturating_mul(1_000_000_000)),
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

/// Sets `stop` when it was interrupted, or the time is over.
fn watch_for_the_end(
    duration_s: Option<u64>,
    stop: &Arc<AtomicBool>,
) -> io::Result<std::thread::JoinHandle<()>> {
    let (start, stop) = (Instant::now(), Arc::clone(stop));
    let is_over = move || duration_s.is_some_and(|seconds| start.elapsed() >= Duration::from_secs(seconds));
    std::thread::Builder::new().name("end".into()).spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            if interrupt::is_interrupted() || is_over() {
                stop.store(true, Ordering::Relaxed);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    })
}

fn show(args: &Watch, board: &Arc<Board>, stop: &Arc<AtomicBool>) -> Result<()> {
    let lines = |format| lines::run(board, stop, format, &mut io::stdout());
    let shown = match args.show {
        Show::Auto if terminal::is_usable() => terminal::run(Arc::clone(board), Arc::clone(stop)),
        Show::Auto | Show::Lines => lines(lines::Format::Text),
        Show::Jsonl => lines(lines::Format::Jsonl),
        Show::Records | Show::Nothing => {
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        }
    };
    quiet_pipe(shown)
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
