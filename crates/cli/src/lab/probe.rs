//! `daylight lab score probe`

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use daylight_lab::score::probe::{self, Case, Run};
use daylight_lab::world::stage::Privilege;

use super::{pass_on, read};
use crate::args::LabScoreProbe;
use crate::interrupt::{self, is_interrupted};

pub(super) fn score(args: &LabScoreProbe) -> Result<ExitCode> {
    let program = std::env::current_exe().context("can't find this program's own file")?;
    let options = probe::Options {
        outer: vec![program.display().to_string(), "lab".into(), "outer".into()],
        privilege: Privilege::of_process(),
        cases: cases(args)?,
        runs: args.runs,
        seed: args.seed,
        loss_percent_max: args.loss,
        jobs: args.jobs.into(),
        output: args.output.clone(),
    };
    interrupt::watch()?;
    let (interrupted, finished) = (AtomicBool::new(false), AtomicBool::new(false));
    let of = options.cases.len() * options.runs as usize;
    let mut done = 0;
    let score = std::thread::scope(|scope| {
        scope.spawn(|| pass_on(&interrupted, &finished));
        let score = probe::score(&options, &interrupted, |case, run| {
            done += 1;
            let _ = writeln!(io::stderr(), "{done}/{of} {case} {}: {}", run.number, outcome(run));
        });
        finished.store(true, Ordering::Relaxed);
        score
    })?;
    let text =
        if args.json { serde_json::to_string_pretty(&score)? + "\n" } else { probe::table::render(&score) };
    crate::inspect::quiet_pipe(io::stdout().write_all(text.as_bytes()))?;
    Ok(match () {
        () if is_interrupted() => ExitCode::from(130),
        () if score.holds() => ExitCode::SUCCESS,
        () => ExitCode::FAILURE,
    })
}

fn cases(args: &LabScoreProbe) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for path in &args.cases {
        cases.extend(probe::read(&read(path)?, &path.display().to_string())?);
    }
    if args.cases.is_empty() {
        cases = probe::own()?;
    }
    let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
    if let Some(wrong) = args.only.iter().find(|name| !names.contains(name)) {
        bail!("there is no case {wrong:?}; there are {}", names.join(", "));
    }
    cases.retain(|case| args.only.is_empty() || args.only.contains(&case.name));
    Ok(cases)
}

/// A run in a few words.
fn outcome(run: &Run) -> String {
    let Some(said) = &run.said else { return run.problem.clone().unwrap_or_default() };
    let right = |right: bool| if right { "right" } else { "WRONG" };
    let place = run.place_right.map(|place| format!(", place {}", right(place))).unwrap_or_default();
    let mechanism = said.mechanism.as_deref().unwrap_or("no mechanism");
    format!("{} {mechanism}: {}{place}", said.state, right(run.mechanism_right))
}
