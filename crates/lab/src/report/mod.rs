//! The report: `report.json`, `report.html`, the captures, and the services' logs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::LabError;
use crate::record::Record;

/// Writes a run's report into a folder, and gives the page's name. `from` is the run's folder.
///
/// # Errors
/// If a file can't be written.
pub fn write(record: &Record, from: &Path, to: &Path) -> Result<PathBuf, LabError> {
    fs::create_dir_all(to).map_err(LabError::file("make", to))?;
    let page = to.join("report.html");
    fs::write(&page, html(record)).map_err(LabError::file("write", &page))?;
    let captures = record.links.iter().filter_map(|l| l.capture.as_deref());
    for name in captures.chain(["report.json", "network.txt"]) {
        copy(&from.join(name), &to.join(name))?;
    }
    for service in &record.services {
        let log = from.join("services").join(&service.name).join("log.txt");
        if log.exists() {
            let folder = to.join("logs");
            fs::create_dir_all(&folder).map_err(LabError::file("make", &folder))?;
            copy(&log, &folder.join(format!("{}.txt", service.name)))?;
        }
    }
    Ok(page)
}

fn copy(from: &Path, to: &Path) -> Result<(), LabError> {
    fs::copy(from, to).map(drop).map_err(LabError::file("write", to))
}

/// The page.
pub fn html(record: &Record) -> String {
    record.title.clone()
}
