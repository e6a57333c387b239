//! The world process: told what to play, it says what happens, and leaves a record.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::LabError;
use crate::player::Player;
use crate::scenario::Scenario;
use crate::scenario::model::Outcome;
use crate::service;
use crate::world::stage;

/// What the world process is told, as its first line of input.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Job {
    pub(crate) text: String,
    pub(crate) file: String,
    /// Relative paths in the scenario start here.
    pub(crate) base: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) capture_all: bool,
    pub(crate) privilege: String,
}

/// An order on a further line.
pub(crate) const STOP: &str = "stop";
/// An order: stay when the other end of the input is gone.
pub(crate) const KEEP: &str = "keep";

/// What the world process says, one JSON object a line.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// Namespaces, links and routes are there.
    Built {
        /// How long that took.
        ms: f64,
    },
    /// Every service answers; the timeline starts.
    Ready {
        /// How long that took.
        ms: f64,
    },
    /// Something that can't be done as the scenario asks.
    Warning {
        /// What.
        text: String,
    },
    /// An event of the timeline.
    Event {
        /// When, in seconds.
        at_s: f64,
        /// What.
        title: String,
    },
    /// A client's action ended otherwise than its last.
    Changed {
        /// When, in seconds.
        at_s: f64,
        /// The client's name.
        client: String,
        /// How its last ended.
        from: Option<Outcome>,
        /// How this one ended.
        to: Outcome,
    },
    /// The record is written.
    Done,
    /// It can't go on.
    Failed {
        /// Why.
        message: String,
    },
}

pub(crate) fn say(message: &Message) {
    if let Ok(mut line) = serde_json::to_vec(message) {
        line.push(b'\n');
        // Nobody listens any more: the thread that reads the orders will see it too.
        let _ = io::stdout().write_all(&line).and_then(|()| io::stdout().flush());
    }
}

/// The whole life of a world process: see [`stage`]. Reads orders from standard input, writes [`Message`]s to standard
/// output.
///
/// # Errors
/// If it could not be built, or its record not written; the message has been sent as well.
pub fn world_process() -> Result<(), LabError> {
    let result = live();
    if let Err(error) = &result {
        say(&Message::Failed { message: error.to_string() });
    }
    result
}

fn live() -> Result<(), LabError> {
    stage::inner()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(LabError::file("read", "the job"))?;
    let job: Job =
        serde_json::from_str(&line).map_err(|e| LabError::Ended(format!("its job can't be read: {e}")))?;
    let stop = Arc::new(AtomicBool::new(false));
    let keep = Arc::new(AtomicBool::new(false));
    listen(Arc::clone(&stop), Arc::clone(&keep));
    let scenario = Scenario::parse(&job.text, &job.file)?;
    let mut player = Player::build(&scenario, &job)?;
    player.play(&stop);
    let record = player.finish(&job, keep.load(Ordering::Relaxed))?;
    let file = job.folder.join("report.json");
    let text = serde_json::to_vec_pretty(&record)
        .map_err(|e| LabError::Failed { what: "writing report.json".into(), message: e.to_string() })?;
    service::write(&file, text)?;
    say(&Message::Done);
    // A kept world stands until `lab clean` kills it: there is nothing more to wait for. (A thread that is parked may wake.)
    while keep.load(Ordering::Relaxed) {
        std::thread::park();
    }
    player.end();
    Ok(())
}

/// Reads orders. When nobody can give any, the world ends at once, and the kernel ends what is in it.
fn listen(stop: Arc<AtomicBool>, keep: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            match line.as_deref() {
                Ok(STOP) => stop.store(true, Ordering::Relaxed),
                Ok(KEEP) => keep.store(true, Ordering::Relaxed),
                _ => {}
            }
        }
        if !keep.load(Ordering::Relaxed) {
            // The one way to end every thread, and with the first process everything else.
            #[expect(clippy::exit, reason = "nobody is left to return to")]
            std::process::exit(1);
        }
    });
}
