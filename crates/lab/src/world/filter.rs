//! Daylight's filter in a router: this very program, with a public log of the run's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::Namespace;
use super::program::Program;
use crate::LabError;
use crate::scenario::model::Filter;

/// How long a filter may take until everything is in force.
const READY_MAX: Duration = Duration::from_secs(20);

/// A filter at work.
#[derive(Debug)]
pub(super) struct FilterBox {
    namespace: Namespace,
    program: Program,
    /// Where it can be asked.
    control: PathBuf,
    /// The folder of what it writes: the public log with the key that verifies it, decisions, and its last status.
    records: PathBuf,
}

impl FilterBox {
    /// Makes a public log, starts the filter, and returns when its policy is in force. `folder` is that of the run; the policy's
    /// path starts at `base`.
    ///
    /// # Errors
    /// If the log can't be made, or the filter ends: then with what it said.
    pub(super) fn start(
        namespace: &Namespace,
        filter: &Filter,
        folder: &Path,
        base: &Path,
    ) -> Result<Self, LabError> {
        let name = &namespace.name;
        let records = folder.join(format!("filter-{name}"));
        fs::create_dir_all(&records).map_err(LabError::file("make", &records))?;
        // Beside the folder that goes into the report: it signs.
        let key = folder.join(format!("filter-{name}.key"));
        let log = records.join("log");
        let origin = format!("{name}.lab.invalid/log");
        let verifier = daylight(
            namespace,
            &["audit", "create", &text(&log), "--key", &text(&key), "--origin", &origin],
        )?;
        let file = records.join("verifier.txt");
        fs::write(&file, &verifier.stdout).map_err(LabError::file("write", &file))?;
        let control = PathBuf::from(format!("/run/filter-{name}.sock"));
        let policy = base.join(filter.policy.get_ref());
        let mut command = vec![text(&this_program()?)];
        command.extend(["filter", "run"].map(str::to_owned));
        command.push(text(&policy));
        for (option, path) in [
            ("--log", &log),
            ("--key", &key),
            ("--control", &control),
            ("--decisions", &records.join("decisions.jsonl")),
        ] {
            command.extend([option.to_owned(), text(path)]);
        }
        command.extend(filter.arguments.iter().cloned());
        let program = Program::start(namespace, &command, &folder.join(format!("filter-{name}.txt")))?;
        let mut this = Self { namespace: namespace.clone(), program, control, records };
        let (namespace, control) = (&this.namespace, text(&this.control));
        // It answers when all its rules and queues are there.
        this.program
            .wait(READY_MAX, || daylight(namespace, &["filter", "status", "--control", &control]).is_ok())?;
        Ok(this)
    }

    /// What went wrong by itself.
    pub(super) fn trouble(&mut self) -> Option<String> {
        self.program.trouble()
    }

    /// Notes how it is, and ends it.
    pub(super) fn end(mut self) {
        let asked =
            daylight(&self.namespace, &["filter", "status", "--json", "--control", &text(&self.control)]);
        // One that has ended by itself can't be asked: that is told as its trouble.
        if let Ok(status) = asked {
            let _ = fs::write(self.records.join("status.json"), status.stdout);
        }
        self.program.end();
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn this_program() -> Result<PathBuf, LabError> {
    std::env::current_exe().map_err(LabError::file("find", "this program"))
}

/// Runs a short command of this program in a namespace.
fn daylight(namespace: &Namespace, arguments: &[&str]) -> Result<Output, LabError> {
    let mut command = Command::new(this_program()?);
    command.args(arguments).stdin(Stdio::null());
    let what = format!("daylight {}", arguments.iter().take(2).copied().collect::<Vec<_>>().join(" "));
    let failed = |message: String| LabError::Failed { what: what.clone(), message };
    let output = namespace
        .run(move || command.output())
        .and_then(|output| output)
        .map_err(|e| failed(e.to_string()))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
