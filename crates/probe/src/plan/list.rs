//! The Citizen Lab's test lists: CSV with the columns `url, category_code, category_description, date_added, source, notes`.
//!
//! A plain text file with one target a line is read too. What can't be read is told with its line, and the rest is kept:
//! a list of a thousand sites has a typing error now and then.

use std::collections::HashSet;
use std::path::Path;

use super::target::{Target, TargetError};

/// No list file is longer.
pub const LIST_BYTES_MAX: u64 = 32 << 20;

/// One row of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What to measure.
    pub target: Target,
    /// Its category's code, such as `NEWS`, if the list says.
    pub category: Option<String>,
}

/// A list that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// The rows, each target once, in the list's order.
    pub entries: Vec<Entry>,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
}

/// A row that was left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Skipped {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

/// Why a list can't be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The file can't be read.
    #[error("{path} can't be read")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is more than [`LIST_BYTES_MAX`].
    #[error("{path} has more than 32 MiB; split it")]
    TooLong {
        /// The file.
        path: String,
    },
    /// No row has a target.
    #[error("{path} holds no target; it needs the columns url,category_code,… or one target a line")]
    Empty {
        /// The file.
        path: String,
    },
}

impl List {
    /// Reads a file.
    ///
    /// # Errors
    /// If it can't be read, is too long, or holds no target.
    pub fn open(path: &Path) -> Result<Self, ListError> {
        use std::io::Read as _;
        let name = || path.display().to_string();
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|source| ListError::Read { path: name(), source })?;
        if bytes.len() as u64 > LIST_BYTES_MAX {
            return Err(ListError::TooLong { path: name() });
        }
        let list = Self::read(&bytes);
        if list.entries.is_empty() {
            return Err(ListError::Empty { path: name() });
        }
        Ok(list)
    }

    /// Reads a list's text. Which of the two forms it is, its first row says: a header has a column `url`.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .from_reader(bytes);
        let (mut list, mut seen) = (Self::default(), HashSet::new());
        let mut columns = Columns { url: 0, category: Some(1) };
        for (n, row) in reader.byte_records().enumerate() {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    list.skipped.push(Skipped { line, why: error.to_string() });
                    continue;
                }
            };
            if n == 0
                && let Some(named) = Columns::of(&row)
            {
                columns = named;
                continue;
            }
            let line = row.position().map_or(0, csv::Position::line);
            match columns.entry(&row) {
                Ok(None) => {}
                Ok(Some(entry)) => {
                    if seen.insert(entry.target.clone()) {
                        list.entries.push(entry);
                    }
                }
                Err(error) => list.skipped.push(Skipped { line, why: error.to_string() }),
            }
        }
        list
    }
}

struct Columns {
    url: usize,
    category: Option<usize>,
}

impl Columns {
    fn of(row: &csv::ByteRecord) -> Option<Self> {
        let at =
            |name: &str| row.iter().position(|cell| cell.trim_ascii().eq_ignore_ascii_case(name.as_bytes()));
        Some(Self { url: at("url")?, category: at("category_code") })
    }

    fn entry(&self, row: &csv::ByteRecord) -> Result<Option<Entry>, TargetError> {
        let cell = |at: usize| String::from_utf8_lossy(row.get(at).unwrap_or_default()).trim().to_owned();
        let written = cell(self.url);
        if written.is_empty() {
            return Ok(None);
        }
        let target = written.parse()?;
        let category =
            self.category.map(cell).filter(|code| !code.is_empty()).map(|code| code.to_ascii_uppercase());
        Ok(Some(Entry { target, category }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_citizen_labs_columns() {
        let text = "url,category_code,category_description,date_added,source,notes\n\
                    https://news.example/,NEWS,News Media,2020-01-01,,\"with, a comma\nand a line\"\n\
                    http://rights.example/a,HUMR,Human Rights Issues,2020-01-01,,\n\
                    https://news.example/,NEWS,again,,,\n\
                    ftp://files.example/,FILE,,,,\n\
                    ,,,,,\n";
        let list = List::read(text.as_bytes());
        let rows: Vec<_> =
            list.entries.iter().map(|entry| (entry.target.input(), entry.category.as_deref())).collect();
        assert_eq!(
            rows,
            [("https://news.example/", Some("NEWS")), ("http://rights.example/a", Some("HUMR"))]
        );
        assert_eq!(list.skipped.len(), 1);
        assert_eq!(list.skipped[0].line, 6);
    }

    #[test]
    fn columns_may_stand_in_another_order() {
        let list = List::read(b"\xef\xbb\xbfcategory_code,url\nnews,a.example\n");
        assert_eq!(list.entries[0].target.host(), "a.example");
        assert_eq!(list.entries[0].category.as_deref(), Some("NEWS"));
    }

    #[test]
    fn reads_plain_lines() {
        let list = List::read(b"# mine\na.example\n\nhttps://b.example/x\ntcp://192.0.2.1:5222\n");
        let hosts: Vec<_> = list.entries.iter().map(|entry| entry.target.host()).collect();
        assert_eq!(hosts, ["a.example", "b.example", "192.0.2.1"]);
        assert!(list.entries.iter().all(|entry| entry.category.is_none()));
    }

    #[test]
    fn foreign_bytes_are_told_not_taken() {
        let list = List::read(b"\xff\xfe\x00garbage\n");
        assert!(list.entries.is_empty());
        assert_eq!(list.skipped.len(), 1);
    }
}
