//! The report: `report.json`, `report.html`, the captures, the services' logs, and what programs left to be kept.

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
    let beside = |name: String| (from.join(&name), name);
    let of_links = record.links.iter().map(|link| beside(format!("link-{}.txt", link.name)));
    let of_routers = record
        .networks
        .iter()
        .flat_map(|network| ["router", "filter"].map(|what| beside(format!("{what}-{}.txt", network.name))));
    let logs = of_services.chain(of_links).chain(of_routers);
    for (log, name) in logs.filter(|(log, _)| log.exists()) {
        copy(&log, &to.join("logs").join(name))?;
    }
    copy_folder(&from.join(crate::service::FILES), &to.join(crate::service::FILES))?;
    for network in &record.networks {
        let name = format!("filter-{}", network.name);
        copy_folder(&from.join(&name), &to.join(&name))?;
    }
    Ok(page)
}

/// Copies a file, and makes the folder that it goes to.
fn copy(from: &Path, to: &Path) -> Result<(), LabError> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(LabError::file("make", folder))?;
    }
    fs::copy(from, to).map(drop).map_err(LabError::file("write", to))
}

/// Copies a folder, if it is there, with the files in it and below.
fn copy_folder(from: &Path, to: &Path) -> Result<(), LabError> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for entry in entries.filter_map(Result::ok) {
        let target = to.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => copy_folder(&entry.path(), &target)?,
            Ok(kind) if kind.is_file() => copy(&entry.path(), &target)?,
            _ => {}
        }
    }
    Ok(())
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
