//! One of Zeek's log files: opened with the first row, headed as Zeek heads it.

use std::path::{Path, PathBuf};

use super::json;
use crate::out::{Destination, Out};
use crate::{StoreError, rfc3339};

/// A file that comes into being with its first row.
pub(super) struct Log {
    path: &'static str,
    file: PathBuf,
    /// Names and types.
    columns: Vec<(&'static str, &'static str)>,
    out: Option<Out>,
    error: Option<StoreError>,
    last_ns: i64,
    line: Vec<u8>,
    /// Each row is a JSON object, and there is no header.
    is_json: bool,
    object: Vec<u8>,
}

impl Log {
    pub(super) fn new(
        folder: &Path,
        path: &'static str,
        columns: impl Iterator<Item = (&'static str, &'static str)>,
        is_json: bool,
    ) -> Self {
        Self {
            path,
            file: folder.join(format!("{path}.log")),
            columns: columns.collect(),
            out: None,
            error: None,
            last_ns: 0,
            line: Vec::new(),
            is_json,
            object: Vec::new(),
        }
    }

    /// Adds a row: `write` appends the cells with tabs between them. `flows` are complete with it.
    pub(super) fn row(&mut self, ts_ns: i64, flows: u64, write: impl FnOnce(&mut Vec<u8>)) {
        if self.error.is_some() {
            return;
        }
        let out = match &mut self.out {
            Some(out) => out,
            None => match Destination::Path(self.file.clone()).writer() {
                Ok(mut out) => {
                    if !self.is_json {
                        out.write(header(self.path, &self.columns, ts_ns).as_bytes(), 0);
                    }
                    self.last_ns = ts_ns;
                    self.out.insert(out)
                }
                Err(error) => {
                    self.error = Some(error);
                    return;
                }
            },
        };
        self.last_ns = self.last_ns.max(ts_ns);
        self.line.clear();
        write(&mut self.line);
        if self.is_json {
            self.object.clear();
            json::row(&self.columns, &self.line, &mut self.object);
            std::mem::swap(&mut self.line, &mut self.object);
        }
        self.line.push(b'\n');
        out.write(&self.line, flows);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.error.is_some() || self.out.as_ref().is_some_and(Out::is_closed)
    }

    pub(super) fn finish(&mut self) -> Result<u64, StoreError> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let Some(mut out) = self.out.take() else { return Ok(0) };
        if !self.is_json {
            out.write(format!("#close\t{}\n", stamp(self.last_ns)).as_bytes(), 0);
        }
        out.finish()
    }
}

fn header(path: &str, columns: &[(&str, &str)], ts_ns: i64) -> String {
    let mut text = format!(
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\t{path}\n#open\t{}\n#fields",
        stamp(ts_ns)
    );
    for (name, _) in columns {
        text.push('\t');
        text.push_str(name);
    }
    text.push_str("\n#types");
    for (_, ty) in columns {
        text.push('\t');
        text.push_str(ty);
    }
    text.push('\n');
    text
}

/// `2024-01-31-23-59-59`. Where Zeek takes the clock, this is the capture's time, so that the same capture always gives
/// the same files.
fn stamp(ns: i64) -> String {
    let mut text = Vec::new();
    rfc3339(ns, &mut text);
    let text = String::from_utf8_lossy(&text);
    let seconds = text.split('.').next().unwrap_or_default();
    seconds.replace(['T', ':'], "-")
}
