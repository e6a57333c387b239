//! The report: a page, the same as text, and tables.

mod draw;
mod heat;
mod markdown;
mod page;
mod path;
mod tables;
mod timeline;
mod words;

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::incident::Incident;
use crate::study::Study;

/// So many incidents are told in the first sentences.
const LEADING_MAX: usize = 3;

/// What to write.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The report's title; otherwise what the largest incident is.
    pub title: Option<String>,
    /// Whether `cells.csv` is written too, which can be large.
    pub cells: bool,
}

/// The largest incidents, the largest first; those of interference before others.
fn leading(study: &Study) -> Vec<&Incident> {
    let mut all: Vec<&Incident> = study.incidents.iter().collect();
    all.sort_by(|a, b| {
        (a.kind.cmp(&b.kind)).then(b.severity.target_network_days.total_cmp(&a.severity.target_network_days))
    });
    all.truncate(LEADING_MAX);
    all
}

fn title(study: &Study, wanted: Option<&str>) -> String {
    match (wanted, leading(study).first()) {
        (Some(title), _) => title.to_owned(),
        (None, Some(incident)) => words::heading(study, incident),
        (None, None) => "No incident found".to_owned(),
    }
}

/// The report as a page of HTML that needs nothing else.
pub fn html(study: &Study, wanted: Option<&str>) -> String {
    page::html(study, &title(study, wanted))
}

/// The report as Markdown.
pub fn markdown(study: &Study, wanted: Option<&str>) -> String {
    markdown::markdown(study, &title(study, wanted))
}

/// Writes `report.html`, `report.md` and the tables into a folder, which is made if it isn't there. Gives the files.
///
/// # Errors
/// If a file can't be written.
pub fn write(study: &Study, folder: &Path, what: &Written) -> Result<Vec<PathBuf>, Error> {
    fs::create_dir_all(folder).map_err(Error::io("make the folder", folder))?;
    let title = what.title.as_deref();
    let mut files = Vec::new();
    for (name, text) in [
        ("report.html", html(study, title)),
        ("report.md", markdown(study, title)),
        ("incidents.csv", tables::incidents(study)),
        ("changes.csv", tables::changes(study)),
        ("mechanisms.csv", tables::mechanisms(study)),
        ("series.csv", tables::series(study)),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(Error::io("write", &path))?;
        files.push(path);
    }
    if what.cells {
        let path = folder.join("cells.csv");
        let file = fs::File::create(&path).map_err(Error::io("write", &path))?;
        let mut out = BufWriter::new(file);
        tables::write_cells(study, &mut out).and_then(|()| out.flush()).map_err(Error::io("write", &path))?;
        files.push(path);
    }
    Ok(files)
}

/// One line for each incident.
pub fn headlines(study: &Study) -> Vec<String> {
    let line = |incident: &Incident| {
        format!(
            "{}; began {}; {}",
            words::heading(study, incident),
            words::began(&incident.onset),
            words::ended(&incident.end)
        )
    };
    study.incidents.iter().map(line).collect()
}
