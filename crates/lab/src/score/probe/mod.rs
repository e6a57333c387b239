//! The probe's score: censors whose mechanism and place are known, and what only looks like blocking.
//!
//! Each run of a [`Case`] is a world of its own, a scenario, in which `daylight probe run` measures; `daylight probe classify`
//! judges the measurement, and what it says is compared with the truth. Runs differ by what their seed draws: loss, delays,
//! and the link that the censor stands in. [`table`] prints it.

mod case;
mod compose;
#[cfg(test)]
mod reference;
mod run;
pub mod table;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;

pub use case::{Case, Stands, own, read};
pub use run::{Place, Run, Said};
use serde::Serialize;

use crate::LabError;
use crate::world::stage::Privilege;

/// At least this share of a censor's runs has the mechanism right.
pub const MECHANISM_FLOOR: f64 = 0.98;
/// At least this share of those whose place is judged has it right.
pub const PLACE_FLOOR: f64 = 0.95;
/// At most this share of the look-alikes' runs is called blocked or likely-blocked.
pub const CALLED_BLOCKED_CEILING: f64 = 0.01;

/// How to score.
#[derive(Clone, Debug)]
pub struct Options {
    /// Command line of this program that calls [`stage::outer`](crate::world::stage::outer); its first word is also run as the
    /// probe.
    pub outer: Vec<String>,
    /// What it may do.
    pub privilege: Privilege,
    /// What is measured.
    pub cases: Vec<Case>,
    /// Runs of each case, at least 1.
    pub runs: u32,
    /// What runs draw with.
    pub seed: u64,
    /// Up to this loss is drawn, in per cent and in each direction.
    pub loss_percent_max: f64,
    /// Worlds at the same time, at least 1.
    pub jobs: usize,
    /// The folder of measurements and logs.
    pub output: PathBuf,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProbeScore {
    /// What runs drew with.
    pub seed: u64,
    /// Up to which loss, in per cent.
    pub loss_percent_max: f64,
    /// Each case's runs.
    pub cases: Vec<CaseScore>,
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CaseScore {
    /// Its name.
    pub name: String,
    /// What happens in it.
    pub about: String,
    /// The mechanism, or the rule that is to decide; none of a look-alike.
    pub truth: Option<String>,
    /// Its runs, in their order.
    pub runs: Vec<Run>,
}

/// Right ones of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// How many are right.
    pub right: usize,
    /// Of how many.
    pub of: usize,
}

impl Share {
    fn of(all: impl Iterator<Item = bool>) -> Self {
        all.fold(Self::default(), |share, right| Self {
            right: share.right + usize::from(right),
            of: share.of + 1,
        })
    }

    /// Whether at least this part is right. Nothing at all is no failure.
    pub fn reaches(self, floor: f64) -> bool {
        self.of == 0 || self.right as f64 >= floor * self.of as f64
    }
}

impl CaseScore {
    /// Whether it only looks like blocking.
    pub fn is_look_alike(&self) -> bool {
        self.truth.is_none()
    }

    /// Runs whose mechanism is right; of a look-alike those that are not called blocked.
    pub fn mechanism(&self) -> Share {
        Share::of(self.runs.iter().map(|run| run.mechanism_right))
    }

    /// Runs whose place is right, of those in which it is judged.
    pub fn place(&self) -> Share {
        Share::of(self.runs.iter().filter_map(|run| run.place_right))
    }
}

impl ProbeScore {
    /// Mechanisms of all censors' runs.
    pub fn mechanisms(&self) -> Share {
        Share::of(self.runs(false).map(|run| run.mechanism_right))
    }

    /// Places of those that are judged.
    pub fn places(&self) -> Share {
        Share::of(self.runs(false).filter_map(|run| run.place_right))
    }

    /// Look-alikes that are not called blocked.
    pub fn look_alikes(&self) -> Share {
        Share::of(self.runs(true).map(|run| run.mechanism_right))
    }

    fn runs(&self, look_alikes: bool) -> impl Iterator<Item = &Run> {
        self.cases.iter().filter(move |case| case.is_look_alike() == look_alikes).flat_map(|case| &case.runs)
    }

    /// Whether every floor is met.
    pub fn holds(&self) -> bool {
        self.mechanisms().reaches(MECHANISM_FLOOR)
            && self.places().reaches(PLACE_FLOOR)
            && self.look_alikes().reaches(1.0 - CALLED_BLOCKED_CEILING)
    }
}

/// Why there is no score.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeScoreError {
    /// A file of cases.
    #[error("{file}: {message}")]
    Cases {
        /// The file.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// One case.
    #[error("case {name:?}: {message}")]
    Case {
        /// Its name.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// The lab.
    #[error(transparent)]
    Lab(#[from] LabError),
}

/// Takes a score. `interrupted` is looked at between runs and in them; `tell` gets each run as it ends.
///
/// # Errors
/// If a case is no scenario, or the folder can't be made. A run that fails is a run that is wrong, and says why.
pub fn score(
    options: &Options,
    interrupted: &AtomicBool,
    mut tell: impl FnMut(&str, &Run),
) -> Result<ProbeScore, ProbeScoreError> {
    std::fs::create_dir_all(&options.output).map_err(LabError::file("make", &options.output))?;
    let mut jobs = Vec::new();
    // Round by round, so that what is interrupted has something of every case.
    for n in 0..options.runs.max(1) {
        for (at, case) in options.cases.iter().enumerate() {
            jobs.push((at, run::Job::new(case, n, options)?));
        }
    }
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, Run)> = Vec::new();
    std::thread::scope(|scope| {
        let (give, take) = channel();
        for _ in 0..options.jobs.clamp(1, jobs.len().max(1)) {
            let (give, next, jobs) = (give.clone(), &next, &jobs);
            scope.spawn(move || {
                while let Some((at, job)) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
                    && !interrupted.load(Ordering::Relaxed)
                {
                    let run = job.run(options, interrupted);
                    // What was cut short says nothing.
                    if interrupted.load(Ordering::Relaxed) || give.send((*at, run)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(give);
        for (at, run) in take {
            if let Some(case) = options.cases.get(at) {
                tell(&case.name, &run);
            }
            done.push((at, run));
        }
    });
    done.sort_by_key(|(at, run)| (*at, run.number));
    let cases = options.cases.iter().enumerate().map(|(at, case)| CaseScore {
        name: case.name.clone(),
        about: case.about.clone(),
        truth: case.mechanism.clone().or_else(|| case.rule.clone()),
        runs: done.iter().filter(|(of, _)| *of == at).map(|(_, run)| run.clone()).collect(),
    });
    Ok(ProbeScore { seed: options.seed, loss_percent_max: options.loss_percent_max, cases: cases.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floors() {
        let share = |right, of| Share { right, of };
        assert!(share(98, 100).reaches(MECHANISM_FLOOR) && !share(97, 100).reaches(MECHANISM_FLOOR));
        assert!(share(99, 100).reaches(1.0 - CALLED_BLOCKED_CEILING));
        assert!(!share(98, 100).reaches(1.0 - CALLED_BLOCKED_CEILING));
        assert!(share(0, 0).reaches(PLACE_FLOOR));
    }
}
