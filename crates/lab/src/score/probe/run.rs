//! One run of a case: its world, the measurement, the verdict, and what is right of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use super::case::{Case, Stands};
use super::compose::{self, Drawn, Files};
use super::{Options, ProbeScoreError};
use crate::LabError;

/// A world that can't be built, mostly because the machine is busy, is built again this often.
const ATTEMPTS: usize = 2;

/// What came of one run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Which of its case, from 0.
    pub number: u32,
    /// What the world was drawn with.
    pub seed: u64,
    /// Packets lost in the home's line, in per cent and in each direction.
    pub loss_percent: f64,
    /// The link or router that the censor stood in.
    pub at: String,
    /// What was said, if anything was.
    pub said: Option<Said>,
    /// Whether the mechanism is right; of a look-alike, whether it isn't called blocked.
    pub mechanism_right: bool,
    /// Whether hop and position are right, if they are judged.
    pub place_right: Option<bool>,
    /// Where the measurement lies.
    pub measurement: PathBuf,
    /// Why there is no verdict.
    pub problem: Option<String>,
}

/// A verdict, as far as it is compared.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Said {
    /// The state.
    pub state: String,
    /// The mechanism.
    pub mechanism: Option<String>,
    /// The place.
    pub place: Option<Place>,
    /// What decided.
    pub witness: Option<Witness>,
}

/// Where on the path.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The hop, from 1.
    pub hop: u8,
    /// How far the server is.
    pub of_hops: Option<u8>,
    /// How the device stands to the path.
    pub position: String,
}

/// What decided.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// The rule.
    pub rule: String,
}

/// A run that is to be made.
pub(super) struct Job {
    number: u32,
    drawn: Drawn,
    text: String,
    mechanism: Option<String>,
    rule: Option<String>,
    place: Option<(u8, Stands)>,
    measurement: PathBuf,
    scenario: PathBuf,
}

impl Job {
    pub(super) fn new(case: &Case, number: u32, options: &Options) -> Result<Self, ProbeScoreError> {
        let drawn = Drawn::new(case, number, options.seed, options.loss_percent_max);
        let folder = std::path::absolute(&options.output).map_err(LabError::file("find", &options.output))?;
        let named = |end: &str| folder.join(format!("{}-{number}.{end}", case.name));
        let (measurement, log) = (named("jsonl"), named("txt"));
        let text = compose::compose(case, &drawn, &Files { measurement: &measurement, log: &log })?;
        crate::Scenario::parse(&text, &case.name).map_err(LabError::from)?;
        Ok(Self {
            number,
            text,
            mechanism: case.mechanism.clone(),
            rule: case.rule.clone(),
            place: compose::place(case, &drawn),
            drawn,
            measurement,
            scenario: named("toml"),
        })
    }

    pub(super) fn run(&self, options: &Options, interrupted: &AtomicBool) -> Run {
        let mut result = self.verdict(options, interrupted);
        for _ in 1..ATTEMPTS {
            if result.is_ok() || interrupted.load(std::sync::atomic::Ordering::Relaxed) {
                break;
            }
            result = self.verdict(options, interrupted);
        }
        let (said, problem) = match result {
            Ok(said) => (Some(said), None),
            Err(problem) => (None, Some(problem)),
        };
        Run {
            number: self.number,
            seed: self.drawn.seed,
            loss_percent: self.drawn.loss_percent,
            at: self.drawn.at.clone(),
            mechanism_right: said.as_ref().is_some_and(|said| self.is_right(said)),
            place_right: self.place.map(|truth| said.as_ref().is_some_and(|said| is_there(said, truth))),
            said,
            measurement: self.measurement.clone(),
            problem,
        }
    }

    fn is_right(&self, said: &Said) -> bool {
        match (&self.mechanism, &self.rule) {
            (Some(mechanism), _) => said.mechanism.as_ref() == Some(mechanism),
            (None, Some(rule)) => said.witness.as_ref().is_some_and(|witness| witness.rule == *rule),
            (None, None) => !matches!(said.state.as_str(), "blocked" | "likely-blocked"),
        }
    }

    /// Measures and judges; with why not, in words.
    fn verdict(&self, options: &Options, interrupted: &AtomicBool) -> Result<Said, String> {
        let io = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
        // The probe doesn't measure again what a file has.
        if self.measurement.exists() {
            fs::remove_file(&self.measurement).map_err(|error| io(&self.measurement, error))?;
        }
        fs::write(&self.scenario, &self.text).map_err(|error| io(&self.scenario, error))?;
        let lab = crate::Options {
            outer: options.outer.clone(),
            privilege: options.privilege,
            capture: false,
            keep: false,
            shell: None,
            report: None,
        };
        let outcome = crate::run(&self.text, &self.scenario, &lab, interrupted, |_| {})
            .map_err(|error| error.to_string())?;
        if let Some(warning) = outcome.record.warnings.first() {
            return Err(format!("the world is not as it should be: {warning}"));
        }
        let ended = outcome.record.observations.first().map(|seen| seen.detail.as_str());
        if !self.measurement.exists() {
            return Err(format!("the probe measured nothing: {}", ended.unwrap_or("it was not started")));
        }
        let program = options.outer.first().map(String::as_str).unwrap_or_default();
        let output = Command::new(program)
            .args(["probe", "classify"])
            .arg(&self.measurement)
            .output()
            .map_err(|error| io(program.as_ref(), error))?;
        let first = output.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
        serde_json::from_slice(first).map_err(|error| {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("the verdict can't be read ({error}): {}", said.trim())
        })
    }
}

fn is_there(said: &Said, (hop, stands): (u8, Stands)) -> bool {
    said.place.as_ref().is_some_and(|place| place.hop == hop && place.position == stands.as_str())
}
