//! `daylight watch`

pub(crate) mod args;
pub(crate) mod link;
mod sinks;
mod totals;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use daylight_store::{Destination, Format};
use daylight_watch::{Board, lines, terminal};

use crate::inspect::{chosen_columns, quiet_pipe};
use crate::interrupt;
use args::{Show, Watch};
use link::Opened;

pub(crate) fn run(args: &Watch) -> Result<ExitCode> {
    let opened = Opened::new(&args.link, &args.interfaces, args.store.as_deref())?;
    let records = match args.show {
        Show::Records => Some(daylight_store::open(
            Format::Jsonl,
            chosen_columns(&args.link.fields)?,
            &Destination::Stdout,
        )?),
        _ => None,
    };
    interrupt::watch()?;
    let board = Board::new();
    let stop = Arc::new(AtomicBool::new(false));
    let listening = opened.start(records, &board, &stop)?;
    let timer = watch_for_the_end(args.duration, &stop)?;
    show(args, &board, &stop)?;
    stop.store(true, Ordering::Relaxed);
    let _ = timer.join();
    listening.finish()?;
    Ok(if interrupt::is_interrupted() { ExitCode::from(130) } else { ExitCode::SUCCESS })
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
