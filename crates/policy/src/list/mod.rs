//! Named lists: files of domains, prefixes, fingerprints or texts, in the forms that such lists come in.
//!
//! What is read becomes a [`List`] of the expression language. A list whose file is, byte for byte, what it was before
//! is not built again: the new policy shares the old one's.

mod entry;
mod forms;
mod lines;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use daylight_expr::{List, Network, ValueRef};

use crate::audit::Digest;
use forms::{Form, Found};
pub(crate) use lines::Lines;
use lines::TextLines;

/// The largest file of a list, in bytes.
pub const LIST_BYTES_MAX: u64 = 64 << 20;
/// How many problems of a list are spelt out.
const PROBLEMS_SHOWN: usize = 10;

/// What a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Domain names, each with the names below it.
    Domains,
    /// Addresses and prefixes.
    Prefixes,
    /// JA4 fingerprints.
    Ja4,
    /// SHA-256 hashes, in hexadecimal.
    Sha256,
    /// Texts, one a line, as they are.
    Text,
}

impl ListKind {
    pub(crate) const NAMES: [(&'static str, Self); 5] = [
        ("domains", Self::Domains),
        ("prefixes", Self::Prefixes),
        ("ja4", Self::Ja4),
        ("sha256", Self::Sha256),
        ("text", Self::Text),
    ];

    /// As in a policy.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// How a list's file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFormat {
    /// One entry a line.
    Plain,
    /// `0.0.0.0 name name`, as `/etc/hosts`.
    Hosts,
    /// `||name^`, as ad blockers have it.
    Adblock,
    /// A DNS zone with a policy in it (Response Policy Zone).
    Rpz,
    /// A table with separators.
    Csv,
    /// As it looks.
    Auto,
}

impl ListFormat {
    pub(crate) const NAMES: [(&'static str, Self); 6] = [
        ("plain", Self::Plain),
        ("hosts", Self::Hosts),
        ("adblock", Self::Adblock),
        ("rpz", Self::Rpz),
        ("csv", Self::Csv),
        ("auto", Self::Auto),
    ];
}

/// What a policy says of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListSpec {
    pub(crate) name: String,
    pub(crate) kind: ListKind,
    pub(crate) format: ListFormat,
    /// Of a table: the column's name, or its number from 1.
    pub(crate) column: Option<String>,
    pub(crate) file: PathBuf,
}

/// A list that was loaded.
#[derive(Clone, Debug)]
pub struct NamedList {
    pub(crate) spec: ListSpec,
    /// Where in the policy it stands: its line, from 1.
    pub(crate) line: usize,
    pub(crate) digest: Digest,
    pub(crate) list: Arc<List>,
    pub(crate) lines: Arc<Lines>,
    pub(crate) report: Arc<ListReport>,
}

impl NamedList {
    /// As in `$name`.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// What it holds.
    pub fn kind(&self) -> ListKind {
        self.spec.kind
    }

    /// SHA-256 of the file.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The entries.
    pub fn list(&self) -> &Arc<List> {
        &self.list
    }

    /// The line of the file, from 1, on which the entry stands by which a value is found: of the narrowest prefix, and of
    /// equal entries the first. None if it isn't found; none of domains, which are known by their names.
    pub fn line(&self, value: ValueRef<'_>) -> Option<u32> {
        self.list.contains(value).then(|| self.lines.find(value))?
    }

    /// What was read of the file.
    pub fn report(&self) -> &ListReport {
        &self.report
    }
}

/// What was read of a list's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListReport {
    /// Entries that were read, those that stand there twice too.
    pub entries: usize,
    /// Entries that say what others say already; not counted in zones (RPZ).
    pub duplicates: usize,
    /// Lines that hold something of another kind or that lists of this kind can't hold: exceptions, rules with paths.
    pub skipped: usize,
    /// Lines that could not be read.
    pub bad: usize,
    /// The first ten of the bad lines, with file and line.
    pub problems: Vec<String>,
}

/// Reads a list. `file` is its name, for problems. The error says why nothing could be read.
pub(crate) fn read(text: &str, file: &str, spec: &ListSpec) -> Result<(List, Lines, ListReport), String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains('\0') {
        return Err("it is not a text file; unpack it if it is compressed".into());
    }
    let mut form = Form::new(text, spec)?;
    let mut report = ListReport::default();
    let mut lines = text.lines().enumerate();
    let mut found: Vec<Found<'_>> = Vec::new();
    let kind = spec.kind;
    // Entries one by one, so that the file is never in memory a second time.
    let mut line_number = 0;
    let mut next = || -> Option<(u32, Found<'_>)> {
        loop {
            if let Some(found) = found.pop() {
                report.entries += 1;
                return Some((line_number, found));
            }
            let (at, line) = lines.next()?;
            // A file of 64 MiB has fewer lines.
            line_number = u32::try_from(at + 1).unwrap_or(u32::MAX);
            let before = found.len();
            match form.read(line, kind, &mut found) {
                Ok(skipped) => report.skipped += usize::from(skipped),
                Err(why) => {
                    found.truncate(before);
                    report.bad += 1;
                    if report.problems.len() < PROBLEMS_SHOWN {
                        report.problems.push(format!("{file}:{}: {why}", at + 1));
                    }
                }
            }
            found.reverse();
        }
    };
    let each = std::iter::from_fn(&mut next);
    let (list, lines) = match kind {
        ListKind::Domains => (List::domains(each.map(|(_, found)| found.into_text())), Lines::None),
        ListKind::Prefixes => {
            let networks = each.filter_map(|(line, found)| Some((found.into_network()?, line)));
            let networks: Vec<(Network, u32)> = networks.collect();
            let lines = Lines::of_networks(&networks);
            (List::networks(networks.into_iter().map(|(network, _)| network)), lines)
        }
        ListKind::Ja4 | ListKind::Sha256 | ListKind::Text => {
            let mut lines = TextLines::default();
            let texts = each.map(|(line, found)| {
                let text = found.into_text();
                lines.add(&text, line);
                text
            });
            (List::texts(texts), lines.finish())
        }
    };
    // In a zone, a name and the names below it are two entries and one place in the list.
    if !matches!(form, Form::Rpz(_)) {
        report.duplicates = report.entries.saturating_sub(list.len());
    }
    if report.entries == 0 && report.bad > 0 {
        let first = report.problems.first().map_or("", |problem| problem);
        return Err(format!("none of its {} lines can be read; the first: {first}", report.bad));
    }
    Ok((list, lines, report))
}

impl<'a> Found<'a> {
    fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text,
            Self::Network(_) => Cow::Borrowed(""),
        }
    }

    fn into_network(self) -> Option<Network> {
        if let Self::Network(network) = self { Some(network) } else { None }
    }
}
