//! Plays one scenario: the least that a program needs that embeds the lab.
//!
//!     cargo run -p daylight-lab --example play -- data/scenarios/hello.toml reports/

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use daylight_lab::world::stage::{self, Privilege};
use daylight_lab::{LabError, Options, play_world, run};

fn main() -> Result<(), LabError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        // The two steps into a run's namespaces, which `Options::outer` starts.
        ["outer", "root"] => stage::outer(Privilege::Root, &["world".into()]).map(drop),
        ["outer", _] => stage::outer(Privilege::UserNamespace, &["world".into()]).map(drop),
        ["world"] => play_world(),
        [file, report] => {
            let path = Path::new(file);
            let text = std::fs::read_to_string(path).map_err(|source| LabError::File {
                what: "read",
                path: path.into(),
                source,
            })?;
            let options = Options {
                outer: vec![std::env::args().next().unwrap_or_default(), "outer".into()],
                privilege: Privilege::of_process(),
                capture: false,
                keep: false,
                shell: None,
                report: Some(PathBuf::from(report)),
            };
            let outcome =
                run(&text, path, &options, &AtomicBool::new(false), |message| eprintln!("{message:?}"))?;
            for verdict in &outcome.record.expectations {
                eprintln!(
                    "{} {}: {} ({})",
                    verdict.holds, verdict.client, verdict.expected, verdict.observed
                );
            }
            Ok(())
        }
        _ => Err(LabError::Ended("usage: play SCENARIO REPORT_FOLDER".into())),
    }
}
