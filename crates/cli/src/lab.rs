//! `daylight lab`

mod probe;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use daylight_lab::score::{self, Visitor};
use daylight_lab::world::registry;
use daylight_lab::world::stage::{self, Privilege};
use daylight_lab::{LabError, Message, Options, Outcome, Scenario};

use crate::args::{LabCommand, LabRun, LabScore, LabScoreCommand, LabVisitor};
use crate::interrupt::{self, is_interrupted};
use crate::term::Style;

pub(crate) fn run(command: LabCommand) -> Result<ExitCode> {
    match command {
        LabCommand::Run(args) if args.dry_run => dry_run(&args),
        LabCommand::Run(args) => play(&args),
        LabCommand::List => list(),
        LabCommand::Clean { runs } => clean(&runs),
        LabCommand::Shell { run, host } => shell(&run, &host),
        LabCommand::Outer { privilege } => outer(&privilege, "world"),
        LabCommand::World => {
            daylight_lab::play_world()?;
            Ok(ExitCode::SUCCESS)
        }
        LabCommand::Score(LabScoreCommand::Tunnel(args)) => take_score(&args),
        LabCommand::Score(LabScoreCommand::Probe(args)) => probe::score(&args),
        LabCommand::ScoreOuter { privilege } => outer(&privilege, "score-world"),
        LabCommand::ScoreWorld => {
            score::score_process()?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The first step into namespaces, in which `inner` is the first process.
fn outer(privilege: &str, inner: &str) -> Result<ExitCode> {
    let privilege = match privilege {
        "root" => Privilege::Root,
        _ => Privilege::UserNamespace,
    };
    let status = stage::outer(privilege, &["lab".into(), inner.into()])?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn take_score(args: &LabScore) -> Result<ExitCode> {
    let names: Vec<&str> = score::names().collect();
    if let Some(wrong) = args.only.iter().find(|name| !names.contains(&name.as_str())) {
        bail!("there is nothing called {wrong:?} to score; there are {}", names.join(", "));
    }
    let visitor = match args.visitor {
        Some(LabVisitor::Chromium) => Visitor::Chromium,
        Some(LabVisitor::Curl) => Visitor::Curl,
        None if Visitor::Chromium.is_installed() => Visitor::Chromium,
        None => Visitor::Curl,
    };
    let program = std::env::current_exe().context("can't find this program's own file")?;
    let options = score::Options {
        outer: vec![program.display().to_string(), "lab".into(), "score-outer".into()],
        privilege: Privilege::of_process(),
        connections: args.connections as usize,
        visitor,
        subjects: if args.only.is_empty() {
            names.iter().map(|&name| name.into()).collect()
        } else {
            args.only.clone()
        },
        probes: !args.no_probes,
        captures: args.captures.clone(),
    };
    interrupt::watch()?;
    let score = score::score(&options, is_interrupted, |line| {
        let _ = writeln!(io::stderr(), "{line}");
    });
    if is_interrupted() {
        return Ok(ExitCode::from(130));
    }
    let score = score?;
    let text =
        if args.json { serde_json::to_string_pretty(&score)? + "\n" } else { score::table::render(&score) };
    crate::inspect::quiet_pipe(io::stdout().write_all(text.as_bytes()))?;
    Ok(ExitCode::from(if score.holds() { 0 } else { 4 }))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))
}

fn dry_run(args: &LabRun) -> Result<ExitCode> {
    let mut text = String::new();
    for path in &args.files {
        let scenario = Scenario::parse(&read(path)?, &path.display().to_string())?;
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&daylight_lab::scenario::draw::draw(&scenario));
    }
    crate::inspect::quiet_pipe(io::stdout().write_all(text.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}

fn play(args: &LabRun) -> Result<ExitCode> {
    if args.shell.is_some() && args.files.len() > 1 {
        bail!("--shell goes with one scenario");
    }
    // All of them are read before any is built.
    let scenarios: Vec<(PathBuf, String)> =
        args.files.iter().map(|path| Ok((path.clone(), read(path)?))).collect::<Result<_>>()?;
    for (path, text) in &scenarios {
        Scenario::parse(text, &path.display().to_string())?;
    }
    let privilege = if args.user_namespace { Privilege::UserNamespace } else { Privilege::of_process() };
    let program = std::env::current_exe().context("can't find this program's own file")?;
    let style = Style::new(args.colour, true);
    if !args.quiet {
        let what = match privilege {
            Privilege::Root => "as root",
            Privilege::UserNamespace => "without root, in a user namespace",
        };
        let _ = writeln!(io::stderr(), "running {what}");
    }
    interrupt::watch()?;
    let interrupted = AtomicBool::new(false);
    let finished = AtomicBool::new(false);
    let results: Vec<(String, Result<Outcome, LabError>)> = std::thread::scope(|scope| {
        let running: Vec<_> = scenarios
            .iter()
            .map(|(path, text)| {
                let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
                let options = Options {
                    outer: vec![program.display().to_string(), "lab".into(), "outer".into()],
                    privilege,
                    capture: args.capture,
                    keep: args.keep,
                    shell: args.shell.clone(),
                    report: args.report.as_ref().map(|to| match scenarios.len() {
                        1 => to.clone(),
                        _ => to.join(&name),
                    }),
                };
                let prefix = if scenarios.len() > 1 { format!("{name}  ") } else { String::new() };
                let quiet = args.quiet || args.shell.is_some();
                let interrupted = &interrupted;
                let work = move || {
                    daylight_lab::run(text, path, &options, interrupted, |message| {
                        if !quiet {
                            tell(&prefix, message, style);
                        }
                    })
                };
                (name, scope.spawn(work))
            })
            .collect();
        let (finished, interrupted) = (&finished, &interrupted);
        scope.spawn(move || pass_on(interrupted, finished));
        let results = running
            .into_iter()
            .map(|(name, thread)| {
                let result =
                    thread.join().unwrap_or_else(|_| Err(LabError::Ended("its thread panicked".into())));
                (name, result)
            })
            .collect();
        finished.store(true, Ordering::Relaxed);
        results
    });
    let mut out = String::new();
    let mut failed = false;
    let mut holds = true;
    for (name, result) in &results {
        match result {
            Ok(outcome) => {
                holds &= outcome.record.holds();
                out.push_str(&verdicts(outcome, style));
            }
            Err(error) => {
                failed = true;
                let _ = writeln!(io::stderr(), "daylight: {name}: {error}");
            }
        }
    }
    crate::inspect::quiet_pipe(io::stdout().write_all(out.as_bytes()))?;
    Ok(ExitCode::from(match () {
        () if is_interrupted() => 130,
        () if failed => 1,
        () if !holds => 4,
        () => 0,
    }))
}

/// Passes Ctrl-C on, until it is finished.
fn pass_on(interrupted: &AtomicBool, finished: &AtomicBool) {
    while !finished.load(Ordering::Relaxed) {
        interrupted.store(is_interrupted(), Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One line of what happens, to standard error.
fn tell(prefix: &str, message: &Message, style: Style) {
    let line = match message {
        Message::Built { ms } => format!("built in {ms:.0} ms"),
        Message::Ready { ms } => format!("every service answers after {ms:.0} ms; the timeline starts"),
        Message::Warning { text } => format!("{} {text}", style.paint("33", "warning:")),
        Message::Event { at_s, title } => format!("{at_s:7.1} s  {}", style.bold(title)),
        Message::Changed { at_s, client, from, to } => {
            let colour = if to.name() == "ok" { "32" } else { "31" };
            let from = from.map_or(String::new(), |f| format!("{} → ", f.name()));
            format!("{at_s:7.1} s  {client}: {from}{}", style.paint(colour, to.name()))
        }
        _ => return,
    };
    let _ = writeln!(io::stderr(), "{prefix}{line}");
}

/// The expectations as a list.
fn verdicts(outcome: &Outcome, style: Style) -> String {
    let record = &outcome.record;
    let held = record.expectations.iter().filter(|v| v.holds).count();
    let mut text = format!("{}: {held} of {} expectations held\n", record.title, record.expectations.len());
    for verdict in &record.expectations {
        let mark = if verdict.holds { style.paint("32", "✓") } else { style.paint("31", "✗") };
        text.push_str(&format!("  {mark} {}: {}\n", verdict.client, verdict.expected));
        if !verdict.holds {
            text.push_str(&format!("    observed: {}\n", verdict.observed));
        }
    }
    if record.played_s < record.duration_s {
        text.push_str(&format!("  stopped after {:.1} of {} s\n", record.played_s, record.duration_s));
    }
    if let Some(page) = &outcome.page {
        text.push_str(&format!("  report: {}\n", page.display()));
    }
    if let Some(run) = &outcome.kept {
        text.push_str(&format!(
            "  kept as {run}; daylight lab shell {run} HOST enters it, daylight lab clean {run} ends it\n"
        ));
    }
    text
}

fn list() -> Result<ExitCode> {
    let mut text = String::new();
    for run in registry::list()? {
        let state = match (&run.state, run.is_alive()) {
            (Some(state), true) if state.keep => "kept",
            (_, true) => "running",
            (_, false) => "left over",
        };
        let (title, started) = run
            .state
            .as_ref()
            .map_or(("", ""), |s| (s.title.as_str(), s.started.get(..19).unwrap_or_default()));
        text.push_str(&format!("{:<36} {state:<10} {started:<20} {title}\n", run.name));
    }
    crate::inspect::quiet_pipe(io::stdout().write_all(text.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}

fn shell(name: &str, host: &str) -> Result<ExitCode> {
    let runs = registry::list()?;
    let Some(run) = runs.iter().find(|run| run.name == name) else {
        bail!("there is no run {name:?}; `daylight lab list` shows them");
    };
    let status = daylight_lab::enter(run, host)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn clean(names: &[String]) -> Result<ExitCode> {
    let runs = registry::list()?;
    if let Some(wrong) = names.iter().find(|n| !runs.iter().any(|r| r.name == **n)) {
        bail!("there is no run {wrong:?}; `daylight lab list` shows them");
    }
    for run in &runs {
        let kept = run.state.as_ref().is_some_and(|s| s.keep);
        let wanted = if names.is_empty() { kept || !run.is_alive() } else { names.contains(&run.name) };
        if wanted {
            run.remove()?;
            crate::inspect::quiet_pipe(writeln!(io::stdout(), "{}", run.name))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
