//! The report: `report.json`, `report.html`, the captures, and the services' logs.

mod chart;
mod page;
mod topology;

use std::fs;
use std::path::{Path, PathBuf};

use crate::LabError;
use crate::record::Record;
pub use page::html;

/// Writes a run's report into a folder, and gives the page's name. `from` is the run's folder.
///
/// # Errors
/// If a file can't be written.
pub fn write(record: &Record, from: &Path, to: &Path) -> Result<PathBuf, LabError> {
    fs::create_dir_all(to).map_err(LabError::file("make", to))?;
    let page = to.join("report.html");
    fs::write(&page, html(record)).map_err(LabError::file("write", &page))?;
    for name in record.captures.iter().map(String::as_str).chain(["report.json", "network.txt"]) {
        copy(&from.join(name), &to.join(name))?;
    }
    let of_services = record.services.iter().map(|service| {
        (from.join("services").join(&service.name).join("log.txt"), format!("{}.txt", service.name))
    });
    let of_links = record.links.iter().map(|link| {
        let name = crate::world::log_of(&link.name);
        (from.join(&name), name)
    });
    let folder = to.join("logs");
    for (log, name) in of_services.chain(of_links).filter(|(log, _)| log.exists()) {
        fs::create_dir_all(&folder).map_err(LabError::file("make", &folder))?;
        copy(&log, &folder.join(name))?;
    }
    Ok(page)
}

fn copy(from: &Path, to: &Path) -> Result<(), LabError> {
    fs::copy(from, to).map(drop).map_err(LabError::file("write", to))
}

/// Text as it may stand in HTML, in an attribute too.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// A text of at most so many characters.
fn short(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length.saturating_sub(1)).chain(['…']).collect()
}
