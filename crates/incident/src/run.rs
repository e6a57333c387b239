//! The commands, as functions: what `daylight probe report` and its kin do.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use crate::bundle::{self, BundleError, Bundled, Limits, Scrub, Verified};
use crate::error::Error;
use crate::report::{self, Written};
use crate::study::{Source, Study};

/// What `report` is to do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What to report on.
    pub source: Source,
    /// Where the report goes.
    pub output: PathBuf,
    /// What to write.
    pub written: Written,
}

/// What `report` did.
#[derive(Clone, Debug)]
pub struct Summary {
    /// How many verdicts were read.
    pub verdicts: usize,
    /// How many lines or files were passed over.
    pub problems: u64,
    /// How many incidents there are.
    pub incidents: usize,
    /// The files that were written.
    pub files: Vec<PathBuf>,
}

/// Reads a folder, and writes a report on it. What it found goes to `out`, for people.
///
/// # Errors
/// As [`Study::of`], or if the report can't be written.
pub fn report(options: &Options, out: &mut dyn Write) -> Result<Summary, Error> {
    let study = Study::of(&options.source)?;
    let files = report::write(&study, &options.output, &options.written)?;
    let summary = Summary {
        verdicts: study.rows.rows.len(),
        problems: study.problem_count,
        incidents: study.incidents.len(),
        files,
    };
    let told = |error| Error::io("write to", "the terminal".as_ref())(error);
    tell(&study, &summary, out).map_err(told)?;
    Ok(summary)
}

fn tell(study: &Study, summary: &Summary, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{} verdicts, {} series, {} captures: {} incidents",
        summary.verdicts,
        study.series.len(),
        study.captures.len(),
        summary.incidents
    )?;
    for (i, line) in report::headlines(study).iter().enumerate() {
        writeln!(out, "{:>3}. {line}", i + 1)?;
    }
    for problem in study.problems.iter().take(5) {
        writeln!(out, "passed over: {problem}")?;
    }
    if summary.problems > 5 {
        writeln!(out, "passed over: {} in all", summary.problems)?;
    }
    for file in &summary.files {
        writeln!(out, "wrote {}", file.display())?;
    }
    Ok(())
}

/// What `bundle` is to do.
#[derive(Clone, Debug, Default)]
pub struct BundleOptions {
    /// What to pack.
    pub folder: PathBuf,
    /// Where the bundle goes.
    pub output: PathBuf,
    /// Which addresses are taken out.
    pub scrub: Scrub,
    /// The private key's text, if it is to be signed.
    pub key: Option<String>,
}

/// Packs a folder into a bundle.
///
/// # Errors
/// As [`bundle::write`]; or if verdicts in the folder can't be read.
pub fn bundle(options: &BundleOptions, out: &mut dyn Write) -> Result<Bundled, Error> {
    let records: Vec<PathBuf> = crate::study::files(&options.folder)?
        .into_iter()
        .filter(|path| path.to_string_lossy().contains(".jsonl"))
        .collect();
    let rules = crate::read::read_files(&records, None)?.rows.rule_sets;
    let file = File::create(&options.output).map_err(Error::io("write", &options.output))?;
    let bundled =
        bundle::write(&options.folder, BufWriter::new(file), &rules, &options.scrub, options.key.as_deref())?;
    let told = |error| Error::io("write to", "the terminal".as_ref())(error);
    writeln!(
        out,
        "{}: {} files, {} bytes, manifest {}{}",
        options.output.display(),
        bundled.files,
        bundled.bytes,
        bundled.manifest_sha256,
        bundled.signed_by.as_ref().map_or(String::new(), |key| format!(", signed by {key}"))
    )
    .map_err(told)?;
    Ok(bundled)
}

/// Verifies a bundle. What it found goes to `out`; [`Verified::differences`] says whether all is well.
///
/// # Errors
/// As [`bundle::verify()`].
pub fn verify(
    path: &std::path::Path,
    keys: &[String],
    limits: Limits,
    out: &mut dyn Write,
) -> Result<Verified, Error> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let verified = bundle::verify(std::io::BufReader::new(file), keys, limits)?;
    let mut told = || {
        writeln!(
            out,
            "{} files, {} bytes, manifest {}",
            verified.files, verified.bytes, verified.manifest_sha256
        )?;
        for key in &verified.signed_by {
            writeln!(out, "signed by {key}")?;
        }
        for difference in &verified.differences {
            writeln!(out, "{difference}")?;
        }
        writeln!(
            out,
            "{}",
            if verified.differences.is_empty() {
                "all as the manifest says"
            } else {
                "NOT as the manifest says"
            }
        )
    };
    told().map_err(|error| {
        Error::from(BundleError::Io { action: "write to", path: "the terminal".into(), source: error })
    })?;
    Ok(verified)
}
