//! Reading catalog files, with errors that point to the place and say what to do.
//!
//! The build script and `--catalog` read with this same code: what a user may write is what `data/catalog` holds.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::host;
use super::prefix::Prefix;

/// What reading a file needs to know from outside.
pub(crate) struct Context<'a> {
    /// The names of the categories.
    pub(crate) categories: &'a [&'a str],
    /// Whether an application of this name is there already: a file may extend it.
    pub(crate) is_known: &'a dyn Fn(&str) -> bool,
    /// The one among the names that the first was most likely meant to be.
    pub(crate) nearest: fn(&str, &[&str]) -> Option<String>,
    /// Whether names directly below this one belong to different owners (`co.uk`, `github.io`).
    pub(crate) is_public_suffix: fn(&str) -> bool,
}

/// A file that was read.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) apps: Vec<Application>,
}

/// What a file says of one application.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) name: Located<String>,
    pub(crate) title: Option<String>,
    /// Its place among the categories.
    pub(crate) category: Option<usize>,
    /// What the application had before is taken from it.
    pub(crate) replace: bool,
    pub(crate) hosts: Vec<Host>,
    pub(crate) alpn: Vec<Located<String>>,
    pub(crate) prefixes: Vec<Located<Prefix>>,
}

/// A host name in a file.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    /// It stands for itself, not for the names below it.
    pub(crate) exact: bool,
    pub(crate) at: Position,
}

/// Something and where it stands.
#[derive(Debug)]
pub(crate) struct Located<T> {
    pub(crate) value: T,
    pub(crate) at: Position,
}

/// A place in a file, counted from 1; columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    line: usize,
    column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A catalog file that can't be used: every problem with its file, line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogError {
    pub(crate) problems: Vec<String>,
}

impl CatalogError {
    /// How many problems the message spells out.
    const SHOWN: usize = 20;
}

impl fmt::Display for CatalogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().take(Self::SHOWN).enumerate() {
            let gap = if i > 0 { "\n" } else { "" };
            write!(f, "{gap}{problem}")?;
        }
        match self.problems.len().saturating_sub(Self::SHOWN) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for CatalogError {}

/// Reads a catalog file.
pub(crate) fn parse(text: &str, name: &str, context: &Context<'_>) -> Result<File, CatalogError> {
    let mut reader = Reader { text, file: name, context, problems: Vec::new() };
    let entries = reader.top();
    if !reader.problems.is_empty() {
        // What is said of a file that is not TOML would be guesses.
        return Err(reader.error());
    }
    let apps = entries.into_iter().map(|(name, value)| reader.application(name, &value)).collect();
    let file = File { name: name.into(), apps };
    let duplicates = duplicates(std::slice::from_ref(&file));
    reader.problems.extend(duplicates.into_iter().map(|problem| (text.len(), problem)));
    if reader.problems.is_empty() { Ok(file) } else { Err(reader.error()) }
}

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    context: &'a Context<'a>,
    /// With their places, to sort them by.
    problems: Vec<(usize, String)>,
}

const KEYS: &[&str] =
    &["title", "category", "source", "domains", "public-suffixes", "exact", "alpn", "prefixes", "replace"];

impl<'a> Reader<'a> {
    fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.rfind('\n').map_or(before, |at| before.get(at + 1..).unwrap_or_default());
        Position { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }

    fn problem(&mut self, offset: usize, what: impl fmt::Display) {
        let at = self.position(offset);
        self.problems.push((offset, format!("{}:{at}: {what}", self.file)));
    }

    fn error(mut self) -> CatalogError {
        self.problems.sort_by_key(|(at, _)| *at);
        CatalogError { problems: self.problems.into_iter().map(|(_, problem)| problem).collect() }
    }

    /// What stands at the top, in the file's order.
    fn top(&mut self) -> Vec<(Located<String>, Spanned<DeValue<'a>>)> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            self.problem(at, error.message());
        }
        let mut entries: Vec<_> = table.into_inner().into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let located = |name: Spanned<_>| {
            let at = self.position(name.span().start);
            Located { value: String::from(name.into_inner()), at }
        };
        entries.into_iter().map(|(name, value)| (located(name), value)).collect()
    }

    fn application(&mut self, name: Located<String>, value: &Spanned<DeValue<'_>>) -> Application {
        let mut app = Application {
            name,
            title: None,
            category: None,
            replace: false,
            hosts: Vec::new(),
            alpn: Vec::new(),
            prefixes: Vec::new(),
        };
        let at = value.span().start;
        let name = app.name.value.clone();
        if let Err(why) = check_name(&name) {
            self.problem(at, why);
        }
        let Some(table) = value.get_ref().as_table() else {
            self.problem(at, format!("{name:?} stands outside an application: begin one with [its-name]"));
            return app;
        };
        for (key, value) in table {
            match &**key.get_ref() {
                "title" => app.title = self.string("title", value),
                "category" => app.category = self.category(value),
                "source" => drop(self.string("source", value)),
                "replace" => match value.get_ref().as_bool() {
                    Some(replace) => app.replace = replace,
                    None => self.problem(value.span().start, "replace must be true or false"),
                },
                "domains" => self.hosts(&mut app.hosts, "domains", value),
                "public-suffixes" => self.hosts(&mut app.hosts, "public-suffixes", value),
                "exact" => self.hosts(&mut app.hosts, "exact", value),
                "alpn" => {
                    app.alpn = self
                        .strings("alpn", value)
                        .into_iter()
                        .map(|(value, at)| self.located(value, at))
                        .collect();
                }
                "prefixes" => {
                    for (text, at) in self.strings("prefixes", value) {
                        match Prefix::parse(&text) {
                            Ok(prefix) => app.prefixes.push(self.located(prefix, at)),
                            Err(why) => self.problem(at, why),
                        }
                    }
                }
                other => {
                    let near = (self.context.nearest)(other, KEYS);
                    let hint = near.map_or_else(
                        || format!("keys are {}", KEYS.join(", ")),
                        |n| format!("did you mean {n:?}?"),
                    );
                    self.problem(key.span().start, format!("there is no key {other:?}; {hint}"));
                }
            }
        }
        if !table.keys().any(|key| key.get_ref() == "category") && !(self.context.is_known)(&name) {
            self.problem(at, format!("{name:?} needs a category: `daylight applications` shows them"));
        }
        app
    }

    fn located<T>(&self, value: T, at: usize) -> Located<T> {
        Located { value, at: self.position(at) }
    }

    fn string(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
        match value.get_ref().as_str() {
            Some(text) if !text.trim().is_empty() => return Some(text.to_owned()),
            Some(_) => self.problem(value.span().start, format!("{key} is empty")),
            None => self.problem(value.span().start, format!("{key} must be a string: {key} = \"…\"")),
        }
        None
    }

    fn strings(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Vec<(String, usize)> {
        let Some(array) = value.get_ref().as_array() else {
            self.problem(value.span().start, format!("{key} must be a list of strings: {key} = [\"…\"]"));
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in array {
            let at = item.span().start;
            match item.get_ref().as_str() {
                Some("") => self.problem(at, format!("an empty string in {key}")),
                Some(text) => texts.push((text.to_owned(), at)),
                None => self.problem(at, format!("{key} must hold strings: write it in quotation marks")),
            }
        }
        texts
    }

    fn category(&mut self, value: &Spanned<DeValue<'_>>) -> Option<usize> {
        let name = self.string("category", value)?;
        let place = self.context.categories.iter().position(|c| *c == name);
        if place.is_none() {
            let near = (self.context.nearest)(&name, self.context.categories);
            let hint = near.map_or_else(
                || format!("there are {}", self.context.categories.join(", ")),
                |near| format!("did you mean {near:?}?"),
            );
            self.problem(value.span().start, format!("there is no category {name:?}; {hint}"));
        }
        place
    }

    fn hosts(&mut self, hosts: &mut Vec<Host>, key: &str, value: &Spanned<DeValue<'_>>) {
        for (name, at) in self.strings(key, value) {
            if let Err(why) = host::check(&name) {
                self.problem(at, why);
            } else if key == "domains" && (self.context.is_public_suffix)(&name) {
                self.problem(
                    at,
                    format!(
                        "{name:?} is a public suffix, names below it belong to different owners: list it under \
                         `public-suffixes` if they are all this application's customers, under `exact` if only the name \
                         itself is meant"
                    ),
                );
            } else {
                hosts.push(Host { name, exact: key == "exact", at: self.position(at) });
            }
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let good = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    if !name.is_empty() && name.chars().all(good) && !name.starts_with('-') && !name.ends_with('-') {
        return Ok(());
    }
    let better: String = name.to_lowercase().chars().map(|c| if good(c) { c } else { '-' }).collect();
    Err(format!(
        "{name:?} can't be an application's name: use a-z, 0-9 and -, as in {:?}",
        better.trim_matches('-')
    ))
}

/// Everything that two applications claim, or that one claims twice: applications' names, host names, ALPN identifiers
/// and prefixes.
pub(crate) fn duplicates(files: &[File]) -> Vec<String> {
    let mut problems = Vec::new();
    let (mut names, mut hosts, mut alpn, mut prefixes) = Default::default();
    for file in files {
        for app in &file.apps {
            let mut told = Told { file: &file.name, app: &app.name.value, problems: &mut problems };
            told.first(&mut names, app.name.value.as_str(), &app.name.value, app.name.at);
            for host in &app.hosts {
                told.first(&mut hosts, (host.name.as_str(), host.exact), &host.name, host.at);
            }
            for id in &app.alpn {
                told.first(&mut alpn, id.value.as_str(), &id.value, id.at);
            }
            for prefix in &app.prefixes {
                told.first(&mut prefixes, prefix.value, &prefix.value.to_string(), prefix.at);
            }
        }
    }
    problems
}

struct Told<'a, 'p> {
    file: &'a str,
    app: &'a str,
    problems: &'p mut Vec<String>,
}

/// Who claimed something first: the application, the file, the place.
type Claims<'a, K> = HashMap<K, (&'a str, &'a str, Position)>;

impl<'a> Told<'a, '_> {
    fn first<K: Hash + Eq>(&mut self, claims: &mut Claims<'a, K>, key: K, text: &str, at: Position) {
        if let Some((app, file, first)) = claims.get(&key) {
            let problem = format!(
                "{}:{at}: {text:?} is {app:?}'s already ({file}:{first}): it can stand only once",
                self.file
            );
            self.problems.push(problem);
        } else {
            claims.insert(key, (self.app, self.file, at));
        }
    }
}
