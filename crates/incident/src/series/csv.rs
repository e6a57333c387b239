//! Tables: a header, a column of times, columns of values, and columns of words that tell series apart.
//!
//! Lines that begin with `#` are comments, as in Tor Metrics' files. A comment such as `# signal: bgp` or `# entity: BY`
//! declares what the header can't say. The time is the column called `time`, `date` or the like, else the first. A
//! column whose values are all numbers (or nothing) is a series; words such as countries part it into several.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Counts, POINTS_MAX, SERIES_MAX, Series, Signal, Wrong, entity, wrong};
use crate::when;

/// What columns of times are called.
const TIME_NAMES: [&str; 8] =
    ["time", "date", "datetime", "timestamp", "day", "hour", "measurement_start_day", "unix_timestamp"];
/// What columns of entities are called; the first that is there is meant.
const ENTITY_NAMES: [&str; 6] = ["probe_asn", "asn", "country", "cc", "probe_cc", "entity"];
/// Columns of numbers that are no series: bounds, and how complete a count is, of Tor Metrics.
const NOT_SERIES: [&str; 3] = ["lower", "upper", "frac"];
/// No table is wider.
const COLUMNS_MAX: usize = 256;

/// What comments declare.
#[derive(Default)]
struct Declared {
    signal: Option<Signal>,
    entity: Option<String>,
    time: Option<String>,
}

struct Field<'a> {
    column: usize,
    text: Cow<'a, str>,
}

struct Line<'a> {
    number: usize,
    at: i64,
    fields: Vec<Field<'a>>,
}

/// A table, as it was read.
struct Table<'a> {
    names: Vec<String>,
    header_line: usize,
    time: usize,
    declared: Declared,
    lines: Vec<Line<'a>>,
}

pub(super) fn read(text: &str, file: &str) -> Result<Vec<Series>, Wrong> {
    let table = Table::read(text)?;
    let roles = Roles::of(&table)?;
    let all = roles.series(&table, file)?;
    if all.is_empty() {
        return Err(wrong(table.header_line, 1, "no values under the header"));
    }
    Ok(all)
}

impl<'a> Table<'a> {
    fn read(text: &'a str) -> Result<Self, Wrong> {
        let mut declared = Declared::default();
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let (header_line, header) = loop {
            let Some((number, line)) = lines.next() else {
                return Err(wrong(1, 1, "no table: expected a header such as `time,value`"));
            };
            match line.trim_start().strip_prefix('#') {
                Some(comment) => declared.take(comment, number + 1)?,
                None => break (number + 1, line),
            }
        };
        let separator = separator(header);
        let names: Vec<String> =
            split(header, separator, header_line)?.iter().map(|f| f.text.trim().to_owned()).collect();
        if names.len() < 2 {
            return Err(wrong(header_line, 1, "a header of one column; expected a time and values"));
        }
        let time = declared.time_column(&names, header_line)?;
        let mut read = Vec::new();
        for (number, line) in lines.filter(|(_, line)| !line.trim_start().starts_with('#')) {
            let number = number + 1;
            let fields = split(line, separator, number)?;
            if fields.len() != names.len() {
                let column = fields.last().map_or(1, |field| field.column);
                let what = format!("{} fields where the header has {}", fields.len(), names.len());
                return Err(wrong(number, column, what));
            }
            if read.len() >= POINTS_MAX {
                return Err(wrong(number, 1, format!("more than {POINTS_MAX} lines; split the table")));
            }
            let Some(field) = fields.get(time) else { continue };
            let at = when::parse(&field.text).ok_or_else(|| {
                let what = format!(
                    "`{}` is no time; write 2020-08-09, 2020-08-09T20:00:00Z or seconds since 1970",
                    field.text
                );
                wrong(number, field.column, what)
            })?;
            read.push(Line { number, at, fields });
        }
        Ok(Self { names, header_line, time, declared, lines: read })
    }

    fn name(&self, column: usize) -> &str {
        self.names.get(column).map_or("", String::as_str)
    }
}

impl Declared {
    fn take(&mut self, comment: &str, line: usize) -> Result<(), Wrong> {
        let Some((key, value)) = comment.split_once(':') else { return Ok(()) };
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "signal" => {
                let known = Signal::ALL.iter().find(|(word, _)| *word == value);
                self.signal = Some(known.map(|(_, signal)| *signal).ok_or_else(|| {
                    let words: Vec<&str> = Signal::ALL.iter().map(|(word, _)| *word).collect();
                    wrong(line, 1, format!("`{value}` is no signal; write one of {}", words.join(", ")))
                })?);
            }
            "entity" => self.entity = entity(value),
            "time" => self.time = Some(value.to_owned()),
            _ => {}
        }
        Ok(())
    }

    fn time_column(&self, names: &[String], line: usize) -> Result<usize, Wrong> {
        match &self.time {
            Some(wanted) => names.iter().position(|name| name == wanted).ok_or_else(|| {
                wrong(
                    line,
                    1,
                    format!("the header has no column `{wanted}`, which is declared to be the time"),
                )
            }),
            None => {
                let known = |name: &String| TIME_NAMES.contains(&name.to_ascii_lowercase().as_str());
                Ok(names.iter().position(known).unwrap_or(0))
            }
        }
    }
}

/// A value: a number, nothing, or no number at all.
enum Value {
    Number(f64),
    Missing,
    Text,
}

fn value(text: &str) -> Value {
    let text = text.trim();
    if text.is_empty() || ["na", "nan", "null", "none", "-"].contains(&text.to_ascii_lowercase().as_str()) {
        return Value::Missing;
    }
    let (digits, unit) = text.strip_suffix('%').map_or((text, 1.0), |digits| (digits, 100.0));
    match digits.parse::<f64>() {
        Ok(number) if number.is_finite() => Value::Number(number / unit),
        _ => Value::Text,
    }
}

/// What each column is for.
struct Roles {
    entity: Option<usize>,
    words: Vec<usize>,
    values: Vec<usize>,
    /// OONI's counts, of anomalies and of good measurements.
    counts: Option<(Vec<usize>, usize)>,
}

impl Roles {
    fn of(table: &Table<'_>) -> Result<Self, Wrong> {
        let lower: Vec<String> = table.names.iter().map(|name| name.to_ascii_lowercase()).collect();
        let position = |wanted: &str| lower.iter().position(|name| name == wanted);
        let entity = ENTITY_NAMES.iter().find_map(|name| position(name)).filter(|c| *c != table.time);
        let (mut words, mut values) = (Vec::new(), Vec::new());
        for (column, name) in lower.iter().enumerate() {
            if column == table.time || Some(column) == entity || NOT_SERIES.contains(&name.as_str()) {
                continue;
            }
            let fields =
                || table.lines.iter().filter_map(|line| Some((line.number, line.fields.get(column)?)));
            let is_text = |field: &Field<'_>| matches!(value(&field.text), Value::Text);
            let texts = fields().filter(|(_, field)| is_text(field)).count();
            let numbers =
                fields().filter(|(_, field)| matches!(value(&field.text), Value::Number(_))).count();
            if texts == 0 && numbers > 0 {
                values.push(column);
            } else if texts > numbers {
                words.push(column);
            } else if let Some((line, field)) = fields().find(|(_, field)| is_text(field)) {
                // Mostly numbers: it was meant to be a series.
                let what = format!(
                    "`{}` in the column `{}` is no number; leave missing values empty",
                    field.text,
                    table.name(column)
                );
                return Err(wrong(line, field.column, what));
            }
        }
        let odd: Vec<usize> =
            ["anomaly_count", "confirmed_count"].into_iter().filter_map(&position).collect();
        let counts = position("ok_count").filter(|_| !odd.is_empty()).map(|good| (odd, good));
        if values.is_empty() {
            return Err(wrong(table.header_line, 1, "no column of numbers: nothing to draw"));
        }
        Ok(Self { entity, words, values, counts })
    }

    fn series(&self, table: &Table<'_>, file: &str) -> Result<Vec<Series>, Wrong> {
        let mut counts = Counts::default();
        let mut all: BTreeMap<(Option<String>, String, usize), BTreeMap<i64, f64>> = BTreeMap::new();
        for line in &table.lines {
            let text = |column: &usize| line.fields.get(*column).map_or("", |field| field.text.trim());
            let number = |column: &usize| match value(text(column)) {
                Value::Number(number) => Some(number),
                Value::Missing | Value::Text => None,
            };
            let of = self.entity.and_then(|column| entity(text(&column)));
            let of = of.or_else(|| table.declared.entity.clone());
            let label = self.words.iter().map(text).collect::<Vec<_>>().join(" ").trim().to_owned();
            if let Some((odd, good)) = &self.counts {
                let odd = odd.iter().filter_map(number).sum();
                counts.add(of, label, line.at, odd, number(good).unwrap_or(0.0));
                continue;
            }
            for column in &self.values {
                let Some(number) = number(column) else { continue };
                let points = all.entry((of.clone(), label.clone(), *column)).or_default();
                if points.insert(line.at, number).is_some() {
                    let column = line.fields.get(table.time).map_or(1, |field| field.column);
                    let what = "the same time again in the same series; add a column that tells them apart";
                    return Err(wrong(line.number, column, what));
                }
            }
            if all.len() > SERIES_MAX {
                return Err(wrong(line.number, 1, format!("more than {SERIES_MAX} series; split the table")));
            }
        }
        let mut series = counts.into_series();
        for ((of, label, column), points) in all {
            let own = table.name(column);
            let name = match (label.is_empty(), self.values.len() > 1) {
                (true, _) => own.to_owned(),
                (false, true) => format!("{label}: {own}"),
                (false, false) => label.clone(),
            };
            let guess = || [own, label.as_str(), file].into_iter().find_map(Signal::guess);
            let signal = table.declared.signal.or_else(guess).unwrap_or(Signal::Other);
            series.push(Series::new(name, signal, of, points.into_iter().collect()));
        }
        Ok(series)
    }
}

/// What parts the fields of a header: the first comma, semicolon or tab outside quotes.
fn separator(header: &str) -> char {
    let mut quoted = false;
    let mut outside = header.chars().filter(|c| {
        quoted ^= *c == '"';
        !quoted
    });
    outside.find(|c| matches!(c, ',' | ';' | '\t')).unwrap_or(',')
}

/// The fields of a line, with double quotes undone.
fn split(line: &str, separator: char, number: usize) -> Result<Vec<Field<'_>>, Wrong> {
    let mut fields = Vec::new();
    let mut rest = Some(line);
    while let Some(now) = rest {
        let column = line.len() - now.len() + 1;
        if fields.len() >= COLUMNS_MAX {
            return Err(wrong(number, column, format!("more than {COLUMNS_MAX} fields")));
        }
        let (text, after) = match now.strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or_else(|| {
                wrong(number, column, "a quote that is not closed on its line, or has text after it")
            })?,
            None => match now.split_once(separator) {
                Some((text, after)) => (Cow::Borrowed(text), Some(after)),
                None => (Cow::Borrowed(now), None),
            },
        };
        fields.push(Field { column, text });
        rest = match after {
            // After a quote the separator is still there.
            Some(after) if now.starts_with('"') => match after.strip_prefix(separator) {
                Some(next) => Some(next),
                None if after.trim().is_empty() => None,
                None => {
                    let column = line.len() - after.len() + 1;
                    return Err(wrong(number, column, "text after a closed quote"));
                }
            },
            after => after,
        };
    }
    Ok(fields)
}

/// A quoted text from after its first quote, and what comes after the last.
fn unquote(quoted: &str) -> Option<(Cow<'_, str>, Option<&str>)> {
    let mut text = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('"')?;
        text.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                text.push('"');
                rest = more;
            }
            None => return Some((Cow::Owned(text), Some(after))),
        }
    }
}
