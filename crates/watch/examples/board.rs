//! Shows a capture file as if it came from a link.
//!
//!     board FILE [--speed N] [--times N] [--lines text|jsonl] [--fail]
//!
//! Frames go through the real engine at N times their own pace (1 if not said), the file so many times over; with
//! `--speed 0` all at once, and then the display stands still. Seconds are those of the capture. With `--fail` the engine
//! panics when it is through.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use daylight_inspect::{Config, FlowRecord, Live, RecordSink};
use daylight_watch::board::{Counter, Gauges, Interface};
use daylight_watch::{Board, Feed, lines, terminal};

const SECOND_NS: i64 = 1_000_000_000;
/// Flows whose progress is told each second: the busiest.
const PROGRESS_MAX: usize = 1000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
struct Arguments {
    file: PathBuf,
    speed: f64,
    times: u32,
    lines: Option<lines::Format>,
    fail: bool,
}

fn arguments() -> Result<Arguments, Failure> {
    let mut found = Arguments { file: PathBuf::new(), speed: 1.0, times: 1, lines: None, fail: false };
    let mut all = std::env::args().skip(1);
    while let Some(argument) = all.next() {
        let mut value = || all.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--speed" => found.speed = value()?.parse()?,
            "--times" => found.times = value()?.parse()?,
            "--lines" if value()? == "jsonl" => found.lines = Some(lines::Format::Jsonl),
            "--lines" => found.lines = Some(lines::Format::Text),
            "--fail" => found.fail = true,
            file => found.file = file.into(),
        }
    }
    Ok(found)
}

fn main() -> Result<(), Failure> {
    let mut arguments = arguments()?;
    if !terminal::is_usable() {
        arguments.lines.get_or_insert_default();
    }
    let board = Board::new();
    let stop = Arc::new(AtomicBool::new(false));
    let on_signal = Arc::clone(&stop);
    ctrlc::set_handler(move || on_signal.store(true, Ordering::SeqCst))?;
    let engine = std::thread::spawn({
        let (arguments, board, stop) = (arguments.clone(), Arc::clone(&board), Arc::clone(&stop));
        move || {
            let ended = Ended(&stop);
            let result = Engine::new(&arguments, Board::feed(&board), &stop).run();
            assert!(!arguments.fail, "the engine has failed, as it was told to");
            if result.is_ok() && arguments.lines.is_none() {
                // There is still something to look at.
                std::mem::forget(ended);
            }
            result
        }
    });
    match arguments.lines {
        Some(format) => lines::run(&board, &stop, format, &mut io::stdout())?,
        None => terminal::run(board, stop)?,
    }
    engine.join().map_err(|_| "the engine has failed")?
}

/// Stops the display when the engine ends, however it does.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Engine<'a> {
    arguments: &'a Arguments,
    feed: Feed,
    stop: &'a AtomicBool,
    live: Live,
    config: Arc<Config>,
    /// Flows that had packets in this second.
    touched: HashMap<u64, Box<FlowRecord>>,
    /// When the next second is over, and when the first frame came, by the capture's clock and by ours.
    next_tick_ns: Option<i64>,
    began: Option<(i64, Instant)>,
}

impl<'a> Engine<'a> {
    fn new(arguments: &'a Arguments, feed: Feed, stop: &'a AtomicBool) -> Self {
        let config = Arc::new(Config { seed: Some(1), ..Config::default() });
        Self {
            arguments,
            feed,
            stop,
            live: Live::new(Arc::clone(&config), "demo"),
            config,
            touched: HashMap::new(),
            next_tick_ns: None,
            began: None,
        }
    }

    fn run(mut self) -> Result<(), Failure> {
        let mut shift_ns = 0;
        let mut last_ns = 0;
        for _ in 0..self.arguments.times {
            let mut source = daylight_capture::open(&self.arguments.file)?;
            let mut first_ns = None;
            while let Some(mut batch) = source.next_batch(16)? {
                for frame in &mut batch.frames {
                    frame.ts_ns += shift_ns;
                }
                let Some(now_ns) = batch.frames.last().map(|frame| frame.ts_ns) else { continue };
                first_ns.get_or_insert(now_ns - shift_ns);
                last_ns = now_ns.max(last_ns);
                if !self.wait_until(now_ns) {
                    return Ok(());
                }
                let Self { live, feed, touched, .. } = &mut self;
                live.packets(batch, feed, |packet| {
                    touched.insert(packet.flow_hash(), packet.record());
                });
            }
            // The next time round goes on a second after the last frame.
            shift_ns = last_ns + SECOND_NS - first_ns.unwrap_or(0);
        }
        if self.arguments.speed == 0.0 {
            // What the last second held is told, and then nothing more happens.
            self.tick(last_ns + SECOND_NS);
            return Ok(());
        }
        while self.arguments.lines.is_none() && self.wait_until(last_ns) {
            last_ns += SECOND_NS;
        }
        Ok(())
    }

    /// Lets time pass until then, with a tick each second; false if there is an end to it.
    fn wait_until(&mut self, now_ns: i64) -> bool {
        let (from_ns, from) = *self.began.get_or_insert_with(|| (now_ns, Instant::now()));
        let mut tick_ns = *self.next_tick_ns.get_or_insert(now_ns);
        while tick_ns <= now_ns && !self.stop.load(Ordering::SeqCst) {
            self.sleep_until(tick_ns - from_ns, from);
            self.tick(tick_ns);
            tick_ns += SECOND_NS;
            self.next_tick_ns = Some(tick_ns);
        }
        // The next frame may be years away; the next tick isn't.
        if self.stop.load(Ordering::SeqCst) {
            return false;
        }
        self.sleep_until(now_ns - from_ns, from);
        true
    }

    fn sleep_until(&self, gone_ns: i64, from: Instant) {
        if self.arguments.speed > 0.0 {
            let due = Duration::from_nanos(gone_ns.max(0) as u64).div_f64(self.arguments.speed);
            std::thread::sleep(due.saturating_sub(from.elapsed()));
        }
    }

    fn tick(&mut self, now_ns: i64) {
        let mut busiest: Vec<_> = self.touched.drain().map(|(_, record)| record).collect();
        busiest
            .sort_by_key(|record| (std::cmp::Reverse(record.src.bytes + record.dst.bytes), record.ends.uid));
        busiest.truncate(PROGRESS_MAX);
        busiest.into_iter().for_each(|record| self.feed.progress(record));
        self.live.advance(now_ns, &mut self.feed);
        let (frames, shards) = self.live.counters();
        let interface =
            Interface { name: "demo0".into(), is_up: true, received: frames.frames, ..Interface::default() };
        let not_ip =
            Counter { name: "frames that carry no IP".into(), value: frames.not_ip, ..Counter::default() };
        let gauges = Gauges {
            packets: frames.frames,
            bytes: frames.bytes,
            interfaces: vec![interface],
            flows_open: self.live.flows() as u64,
            flows_max: self.config.flows_max as u64,
            reassembly_bytes_max: self.config.reassembly_bytes_max as u64,
            fragment_bytes_max: self.config.fragment_bytes_max as u64,
            flows_over_budget: shards.flows_over_budget,
            parser_panics: shards.parser_panics,
            counters: vec![not_ip],
            ..Gauges::default()
        };
        self.feed.tick(now_ns, gauges);
    }
}
