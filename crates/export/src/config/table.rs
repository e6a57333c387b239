//! Takes keys out of a table, and complains of what is left.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use daylight_expr::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::kind_of;
use crate::secret::Secret;

/// The text, and what is wrong with it.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) file: &'a str,
    pub(super) folder: &'a Path,
    /// With their places, to sort them by.
    pub(super) problems: Vec<(usize, String)>,
}

impl Reader<'_> {
    pub(super) fn problem(&mut self, at: usize, what: impl Display) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
        self.problems.push((at, format!("{}:{line}:{column}: {what}", self.file)));
    }
}

/// A table whose keys are taken one by one.
pub(super) struct Table<'t, 'a> {
    table: &'t DeTable<'a>,
    /// Where it stands, for what is missing.
    pub(super) at: usize,
    what: String,
    /// Every key that was asked for.
    known: BTreeSet<&'static str>,
}

type Value<'t, 'a> = &'t Spanned<DeValue<'a>>;

impl<'t, 'a> Table<'t, 'a> {
    pub(super) fn new(table: &'t DeTable<'a>, at: usize, what: &str) -> Self {
        Self { table, at, what: what.to_owned(), known: BTreeSet::new() }
    }

    /// Calls itself this from now on.
    pub(super) fn is_called(&mut self, what: String) {
        self.what = what;
    }

    fn get(&mut self, key: &'static str) -> Option<Value<'t, 'a>> {
        self.known.insert(key);
        self.table.get(key)
    }

    /// Where a key's value stands, else the table.
    pub(super) fn place(&self, key: &str) -> usize {
        self.table.get(key).map_or(self.at, |value| value.span().start)
    }

    fn wrong(reader: &mut Reader<'_>, key: &str, value: Value<'_, '_>, wanted: &str) {
        let found = kind_of(value.get_ref());
        reader.problem(value.span().start, format!("`{key}` is {wanted}, not {found}"));
    }

    pub(super) fn text(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<String> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) if !text.is_empty() => return Some(text.to_string()),
            DeValue::String(_) => reader.problem(value.span().start, format!("`{key}` is empty")),
            _ => Self::wrong(reader, key, value, "text, in quotes"),
        }
        None
    }

    /// Text that must be there.
    pub(super) fn required(&mut self, reader: &mut Reader<'_>, key: &'static str, example: &str) -> String {
        self.known.insert(key);
        if !self.table.contains_key(key) {
            reader.problem(self.at, format!("{} has no `{key}`: add {key} = {example}", self.what));
        }
        self.text(reader, key).unwrap_or_default()
    }

    /// A list of texts that must be there; one text is a list of one.
    pub(super) fn texts(&mut self, reader: &mut Reader<'_>, key: &'static str, example: &str) -> Vec<String> {
        let Some(value) = self.get(key) else {
            reader.problem(self.at, format!("{} has no `{key}`: add {key} = {example}", self.what));
            return Vec::new();
        };
        let DeValue::Array(list) = value.get_ref() else {
            return self.text(reader, key).into_iter().collect();
        };
        let mut texts = Vec::new();
        for item in list.iter() {
            match item.get_ref() {
                DeValue::String(text) if !text.is_empty() => texts.push(text.to_string()),
                _ => Self::wrong(reader, key, item, "a list of texts"),
            }
        }
        if list.is_empty() {
            reader.problem(value.span().start, format!("`{key}` is empty: name one"));
        }
        texts
    }

    pub(super) fn number(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let value = self.get(key)?;
        let DeValue::Integer(number) = value.get_ref() else {
            Self::wrong(reader, key, value, "a whole number");
            return None;
        };
        match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if range.contains(&number) => return Some(number),
            _ => {
                let (low, high) = range.into_inner();
                reader.problem(value.span().start, format!("`{key}` is from {low} to {high}"));
            }
        }
        None
    }

    pub(super) fn flag(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(*flag);
        }
        Self::wrong(reader, key, value, "true or false");
        None
    }

    /// One of these words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let at = self.place(key);
        let word = self.text(reader, key)?;
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == word) {
            return Some(*choice);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let hint = nearest(&word, names.iter().copied()).map_or_else(
            || format!("it is one of {}", names.join(", ")),
            |near| format!("did you mean {near:?}?"),
        );
        reader.problem(at, format!("there is no {key} {word:?}: {hint}"));
        None
    }

    pub(super) fn path(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<PathBuf> {
        let path = self.text(reader, key)?;
        Some(reader.folder.join(path))
    }

    /// What stands in the file that is named, without white space around it.
    pub(super) fn secret(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Option<Secret> {
        let path = self.path(reader, key)?;
        match std::fs::read_to_string(&path) {
            Ok(secret) if secret.trim().is_empty() => {
                reader.problem(self.place(key), format!("{} is empty", path.display()));
            }
            Ok(secret) => return Some(secret.trim().to_owned().into()),
            Err(error) => reader.problem(self.place(key), format!("can't read {}: {error}", path.display())),
        }
        None
    }

    pub(super) fn table(&mut self, reader: &mut Reader<'_>, key: &'static str, what: &str) -> Option<Self> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => return Some(Self::new(table, value.span().start, what)),
            _ => Self::wrong(reader, key, value, &format!("a table: {what}")),
        }
        None
    }

    /// Names and texts.
    pub(super) fn pairs(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Vec<(String, Secret)> {
        let Some(table) = self.table(reader, key, "names and texts") else { return Vec::new() };
        let mut pairs = Vec::new();
        for (name, value) in table.table {
            match value.get_ref() {
                DeValue::String(text) => pairs.push((name.get_ref().to_string(), text.to_string().into())),
                _ => Self::wrong(reader, name.get_ref(), value, "text, in quotes"),
            }
        }
        pairs
    }

    pub(super) fn tables(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        what: &str,
    ) -> Vec<(&'t DeTable<'a>, usize)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let mut tables = Vec::new();
        if let DeValue::Array(list) = value.get_ref() {
            for item in list.iter() {
                match item.get_ref() {
                    DeValue::Table(table) => tables.push((table, item.span().start)),
                    _ => Self::wrong(reader, key, item, &format!("a list of tables: {what}")),
                }
            }
        } else {
            Self::wrong(reader, key, value, &format!("a list of tables: write {what} over each"));
        }
        tables
    }

    /// Complains of keys that nobody asked for.
    pub(super) fn finish(&self, reader: &mut Reader<'_>) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if self.known.contains(name) {
                continue;
            }
            let hint = nearest(name, self.known.iter().copied()).map_or_else(
                || format!("there are {}", self.known.iter().copied().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            reader.problem(key.span().start, format!("{} has no key `{name}`: {hint}", self.what));
        }
    }
}
