//! `daylight probe`

pub(crate) mod args;
mod measure;
mod packets;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use daylight_incident::bundle::{Limits, Scrub};
use daylight_incident::report::Written;
use daylight_incident::run as study;
use daylight_incident::study::Source;
use daylight_verdict::record::State;

use self::args::{Bundle, Classify, ProbeCommand, Report, Verify};

/// What was read has faults: it was read as far as it goes.
const DAMAGED: u8 = 3;
/// Evidence is not what its manifest says.
const DIFFERENT: u8 = 4;
/// So many notes are shown.
const NOTES_SHOWN: usize = 10;

pub(crate) fn run(command: &ProbeCommand) -> Result<ExitCode> {
    match command {
        ProbeCommand::Run(args) => measure::run(args),
        ProbeCommand::Services => measure::services(),
        ProbeCommand::Helper(args) => measure::helper(args),
        ProbeCommand::Pack(args) => measure::pack(args),
        ProbeCommand::Classify(args) => classify(args),
        ProbeCommand::Packets(args) => packets::run(args),
        ProbeCommand::Report(args) => report(args),
        ProbeCommand::Bundle(args) => bundle(args),
        ProbeCommand::Verify(args) => verify(args),
    }
}

fn classify(args: &Classify) -> Result<ExitCode> {
    let options = daylight_verdict::Options {
        inputs: args.inputs.clone(),
        rules: args.rules.clone(),
        fingerprints: args.fingerprints.clone(),
        explain: args.explain,
        keep_addresses: args.keep_addresses,
        threads: args.threads.map_or(0, usize::from),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let summary = match daylight_verdict::run(&options, &mut out) {
        Err(daylight_verdict::Error::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            return Ok(ExitCode::SUCCESS);
        }
        other => other?,
    };
    drop(out);
    let mut said = String::new();
    for finding in &summary.findings {
        said += &format!("fingerprints: {finding}\n");
    }
    for note in summary.notes.iter().take(NOTES_SHOWN) {
        said += &format!("{note}\n");
    }
    if summary.notes_total > NOTES_SHOWN as u64 {
        said += &format!("… and {} notes more\n", summary.notes_total - NOTES_SHOWN as u64);
    }
    let of = |state: &State| Some(format!("{} {state}", summary.states.get(state)?));
    let states: Vec<String> = State::ALL.iter().filter_map(of).collect();
    said += &format!("{} measurements in {} files", summary.records(), summary.files);
    if !states.is_empty() {
        said += &format!(": {}", states.join(", "));
    }
    if summary.other_tests > 0 {
        said += &format!("; {} of other tests were passed over", summary.other_tests);
    }
    let _ = writeln!(io::stderr(), "{said}");
    Ok(ExitCode::from(if summary.notes_total > 0 { DAMAGED } else { 0 }))
}

fn report(args: &Report) -> Result<ExitCode> {
    let options = study::Options {
        source: Source {
            folder: args.folder.clone(),
            until: args.until.map(jiff::Timestamp::as_second),
            ..Source::default()
        },
        output: args.output.clone(),
        written: Written { title: args.title.clone(), cells: args.cells },
    };
    let summary = study::report(&options, &mut io::stderr())?;
    Ok(ExitCode::from(if summary.problems > 0 { DAMAGED } else { 0 }))
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))
}

fn bundle(args: &Bundle) -> Result<ExitCode> {
    let options = study::BundleOptions {
        folder: args.folder.clone(),
        output: args.output.clone(),
        scrub: if args.keep_addresses { Scrub::Nothing } else { Scrub::Own(args.own.clone()) },
        key: args.key.as_deref().map(text).transpose()?,
    };
    study::bundle(&options, &mut io::stderr())?;
    Ok(ExitCode::SUCCESS)
}

fn verify(args: &Verify) -> Result<ExitCode> {
    let verified = study::verify(&args.file, &args.key, Limits::default(), &mut io::stdout())?;
    Ok(ExitCode::from(if verified.differences.is_empty() { 0 } else { DIFFERENT }))
}
