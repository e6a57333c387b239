//! Scores: what a censor's detectors make of ways to carry traffic, beside ordinary HTTPS.
//!
//! [`score`] starts a process in namespaces of its own, in which a [`Visitor`] visits an ordinary site, the control, and then a
//! site further away through each subject. What a censor at home captured of each goes through every
//! [detector](crate::adversary::detect), and each server is [probed](crate::adversary::active_probe) beside what it is to be
//! taken for. [`table`] prints it.

mod browser;
mod place;
pub mod probe;
mod run;
mod site;
mod subject;
pub mod table;
mod tunnel;
mod visitor;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

pub use run::score_process;
use serde::{Deserialize, Serialize};
pub use subject::names;
use subject::{Expected, Subject};
pub use visitor::Visitor;

use crate::LabError;
use crate::adversary::active_probe::compare::DELAY_SIGNIFICANCE;
use crate::adversary::detect::Finding;
use crate::world::stage::Privilege;

/// How to score.
#[derive(Clone, Debug)]
pub struct Options {
    /// Command line of this program that calls [`stage::outer`](crate::world::stage::outer) and from there
    /// [`score_process`]; the words `root` or `user-namespace` follow.
    pub outer: Vec<String>,
    /// What it may do.
    pub privilege: Privilege,
    /// Visits to the control, and through each subject; at least 1.
    pub connections: usize,
    /// Who visits.
    pub visitor: Visitor,
    /// Names of what is scored.
    pub subjects: Vec<String>,
    /// Whether servers are probed as well.
    pub probes: bool,
    /// Where the captures and the programs' logs go; nowhere without it.
    pub captures: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The program that visited.
    pub visitor: String,
    /// Connections of the control.
    pub connections: usize,
    /// Each subject's.
    pub subjects: Vec<SubjectScore>,
}

impl Score {
    /// Whether what is meant to pass does, and what is known to be found is.
    pub fn holds(&self) -> bool {
        self.subjects.iter().all(SubjectScore::holds)
    }
}

/// What came of one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubjectScore {
    /// Its name.
    pub name: String,
    /// What it is.
    pub about: String,
    /// Why it was not scored, if it was not.
    pub skipped: Option<String>,
    /// Detectors that are known to find it; none if it is meant to pass.
    pub found_by: Vec<String>,
    /// Detectors that it is meant to pass, beside all probes; none if it is known to be found.
    pub passes: Vec<String>,
    /// Its connections, as the censor saw them.
    pub connections: usize,
    /// What each detector found, by name; those that had nothing to judge by are absent.
    pub findings: BTreeMap<String, Finding>,
    /// What probes found, if there were any.
    pub probes: Option<ProbeScore>,
}

impl SubjectScore {
    fn of(
        subject: &dyn Subject,
        visitor: Visitor,
        connections: usize,
        findings: BTreeMap<String, Finding>,
    ) -> Self {
        let own = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
        let (found_by, passes) = match subject.expected(visitor) {
            Expected::FoundBy(names) => (own(names), Vec::new()),
            Expected::Passes(names) => (Vec::new(), own(names)),
        };
        Self {
            name: subject.name().into(),
            about: subject.about().into(),
            skipped: None,
            found_by,
            passes,
            connections,
            findings,
            probes: None,
        }
    }

    fn skipped(subject: &dyn Subject, visitor: Visitor, why: String) -> Self {
        Self { skipped: Some(why), ..Self::of(subject, visitor, 0, BTreeMap::new()) }
    }

    /// Whether it passes, if it is meant to; whether it is found, if it is known to be.
    pub fn holds(&self) -> bool {
        let is_found = |name: &String| self.findings.get(name).is_some_and(Finding::is_excess);
        match (&self.skipped, self.found_by.is_empty()) {
            (Some(_), _) => true,
            (None, false) => self.found_by.iter().all(is_found),
            (None, true) => {
                !self.passes.iter().any(is_found) && self.probes.as_ref().is_none_or(ProbeScore::holds)
            }
        }
    }
}

/// What probes found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeScore {
    /// How many different ones were sent.
    pub sent: usize,
    /// By which of them the server can be told from what it is to be taken for.
    pub told_apart: Vec<String>,
    /// The probability of such delays, or more different ones, if both were the same.
    pub delay_p_value: f64,
}

impl ProbeScore {
    /// Whether no probe and no delay tells.
    pub fn holds(&self) -> bool {
        self.told_apart.is_empty() && self.delay_p_value > DELAY_SIGNIFICANCE
    }
}

/// Takes a score. `interrupted` is asked ten times a second; `tell` gets a line for each step.
///
/// # Errors
/// If the place can't be built, a program fails, or it was interrupted.
pub fn score(
    options: &Options,
    interrupted: impl Fn() -> bool,
    mut tell: impl FnMut(&str),
) -> Result<Score, LabError> {
    let folder = crate::run::new_folder("score".as_ref())?;
    let mut outer = options.outer.clone();
    outer.push(options.privilege.argument().into());
    let job = run::Job {
        folder: folder.clone(),
        connections: options.connections.max(1),
        visitor: options.visitor,
        subjects: options.subjects.clone(),
        probes: options.probes,
    };
    let result = run::follow(&outer, &job, &interrupted, &mut tell);
    if let Some(to) = &options.captures {
        keep(&folder, to)?;
    }
    // What could not be removed is left to `lab clean`.
    let _ = fs::remove_dir_all(&folder);
    result
}

/// Copies captures and logs.
fn keep(folder: &Path, to: &Path) -> Result<(), LabError> {
    fs::create_dir_all(to).map_err(LabError::file("make", to))?;
    for entry in fs::read_dir(folder).map_err(LabError::file("read", folder))?.filter_map(Result::ok) {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "pcap" || end == "log") {
            let at = to.join(entry.file_name());
            fs::copy(&path, &at).map_err(LabError::file("write", at))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::subject::SUBJECTS;
    use super::*;

    #[test]
    fn what_is_known_to_be_found_has_to_be() {
        let found = Finding::rate((10, 10), (0, 10));
        let passed = Finding::rate((0, 10), (0, 10));
        let with = |finding| BTreeMap::from([("fully-encrypted".to_owned(), finding)]);
        let named = |name: &str| *SUBJECTS.iter().find(|subject| subject.name() == name).unwrap();
        assert!(SubjectScore::of(named("ss"), Visitor::Curl, 10, with(found)).holds());
        assert!(!SubjectScore::of(named("ss"), Visitor::Curl, 10, with(passed)).holds());
        assert!(!SubjectScore::of(named("plain"), Visitor::Curl, 10, with(found)).holds());
        let mut plain = SubjectScore::of(named("plain"), Visitor::Curl, 10, with(passed));
        assert!(plain.holds());
        plain.probes =
            Some(ProbeScore { sent: 9, told_apart: vec!["imc20 R1 0".into()], delay_p_value: 1.0 });
        assert!(!plain.holds());
    }
}
