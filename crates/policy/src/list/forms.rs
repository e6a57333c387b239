//! The forms that lists come in: which words of a line are entries.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use daylight_expr::{Network, nearest};

use super::{ListFormat, ListKind, ListSpec, entry};

/// How many lines are looked at to tell the form.
const LOOKED_AT: usize = 50;

/// An entry that was read.
pub(super) enum Found<'a> {
    Text(Cow<'a, str>),
    Network(Network),
}

/// How to read a line.
pub(super) enum Form {
    Plain,
    Hosts,
    Adblock,
    /// With the zone's name, if it is known yet.
    Rpz(Option<String>),
    /// Cells separated by this character; the place of the column; whether the header is still to come.
    Csv {
        delimiter: char,
        column: usize,
        header: bool,
    },
}

impl Form {
    /// The form of a text. The error says what is missing in a table.
    pub(super) fn new(text: &str, spec: &ListSpec) -> Result<Self, String> {
        let format = if spec.format == ListFormat::Auto { guess(text, spec) } else { spec.format };
        Ok(match format {
            ListFormat::Hosts => Self::Hosts,
            ListFormat::Adblock => Self::Adblock,
            ListFormat::Rpz => Self::Rpz(None),
            ListFormat::Csv => Self::table(text, spec)?,
            ListFormat::Plain | ListFormat::Auto => Self::Plain,
        })
    }

    fn table(text: &str, spec: &ListSpec) -> Result<Self, String> {
        let Some(first) = text.lines().find(|line| !is_comment(line)) else { return Ok(Self::Plain) };
        let delimiter = [',', '\t', ';'].into_iter().max_by_key(|d| (first.matches(*d).count(), *d == ','));
        let delimiter = delimiter.unwrap_or(',');
        let names: Vec<String> = cells(first, delimiter).map(|cell| cell.trim().to_lowercase()).collect();
        let wanted = spec.column.as_deref().unwrap_or("1").to_lowercase();
        if let Some(column) = names.iter().position(|name| *name == wanted) {
            return Ok(Self::Csv { delimiter, column, header: true });
        }
        if let Ok(number @ 1..) = wanted.parse::<usize>() {
            if number > names.len() {
                return Err(format!("it has {} columns, and column {number} is asked for", names.len()));
            }
            return Ok(Self::Csv { delimiter, column: number - 1, header: false });
        }
        Err(match nearest(&wanted, names.iter().map(String::as_str)) {
            Some(near) => format!("it has no column {wanted:?}; did you mean {near:?}?"),
            None => format!("it has no column {wanted:?}; its columns are {}", names.join(", ")),
        })
    }

    /// Reads a line. True if it holds something that such a list does not take; the error says why it can't be read.
    pub(super) fn read<'a>(
        &mut self,
        line: &'a str,
        kind: ListKind,
        found: &mut Vec<Found<'a>>,
    ) -> Result<bool, String> {
        let line = line.trim();
        if is_comment(line) {
            return Ok(false);
        }
        match self {
            Self::Plain if kind == ListKind::Text => found.push(entry::read(line, kind)?),
            Self::Plain => {
                let word = line.split_whitespace().next().unwrap_or_default();
                found.push(entry::read(word, kind)?);
            }
            Self::Hosts => {
                let mut words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
                let address = words.next().unwrap_or_default();
                if address.split('%').next().unwrap_or_default().parse::<IpAddr>().is_err() {
                    return Err(format!(
                        "{address:?} is not an address, with which a line of a hosts file begins"
                    ));
                }
                if kind == ListKind::Prefixes {
                    return Err("a hosts file is a list of kind \"domains\"".into());
                }
                for word in words.filter(|word| word.contains('.') && !is_own_name(word)) {
                    found.push(entry::read(word, kind)?);
                }
            }
            Self::Adblock => {
                let name = line.strip_prefix("||").and_then(|rest| rest.strip_suffix('^'));
                match name.filter(|name| !name.contains(['/', '*', '^', '$', '|'])) {
                    Some(name) => found.push(entry::read(name, kind)?),
                    // Exceptions, paths, options, parts of pages.
                    None => return Ok(true),
                }
            }
            Self::Rpz(origin) => return rpz(line, origin, kind, found),
            Self::Csv { header: header @ true, .. } => *header = false,
            Self::Csv { delimiter, column, .. } => {
                let Some(cell) = cells(line, *delimiter).nth(*column).map(str::trim) else {
                    return Err(format!("it has no column {}", *column + 1));
                };
                if cell.is_empty() {
                    return Ok(true);
                }
                found.push(entry::read(cell, kind)?);
            }
        }
        Ok(false)
    }
}

fn is_comment(line: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || line.starts_with(['#', ';', '!'])
        || line.starts_with("//")
        || (line.starts_with('[') && line.ends_with(']') && line.contains(' '))
}

/// Names that hosts files have for the host itself.
fn is_own_name(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok() || name == "localhost.localdomain" || name.ends_with(".local")
}

/// The form that a text looks like.
fn guess(text: &str, spec: &ListSpec) -> ListFormat {
    if spec.column.is_some() {
        return ListFormat::Csv;
    }
    if spec.kind == ListKind::Text {
        return ListFormat::Plain;
    }
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !is_comment(line)).take(LOOKED_AT).collect();
    let most = |test: &dyn Fn(&str) -> bool| lines.iter().filter(|line| test(line)).count() * 2 > lines.len();
    let is_hosts = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|first| first.parse::<IpAddr>().is_ok())
            && words.next().is_some_and(|next| !next.starts_with('#'))
    };
    let is_rpz = |line: &str| {
        line.starts_with('$')
            || line
                .split_whitespace()
                .skip(1)
                .any(|word| ["cname", "soa", "ns"].iter().any(|known| word.eq_ignore_ascii_case(known)))
    };
    if most(&|line| line.starts_with("||") || line.starts_with("@@")) {
        ListFormat::Adblock
    } else if most(&is_rpz) {
        ListFormat::Rpz
    } else if most(&is_hosts) {
        ListFormat::Hosts
    } else {
        ListFormat::Plain
    }
}

/// Cells of a line, without their quotation marks. A quoted cell may hold separators.
fn cells(line: &str, delimiter: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let (end, after) = match text.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let from = text.len() - quoted.len();
                let close = quoted.find('"').map_or(text.len(), |at| from + at + 1);
                let next = text.get(close..).and_then(|tail| tail.find(delimiter)).map(|at| close + at);
                (next.unwrap_or(text.len()), next)
            }
            None => (text.find(delimiter).unwrap_or(text.len()), text.find(delimiter)),
        };
        rest = after.and_then(|at| text.get(at + delimiter.len_utf8()..));
        text.get(..end).map(|cell| cell.trim().trim_matches('"'))
    })
}

/// A line of a response policy zone (the BIND manual, "Response Policy Zone (RPZ) Rewriting"). A name stands for itself
/// alone, `*.name` for those below it.
fn rpz<'a>(
    line: &'a str,
    origin: &mut Option<String>,
    kind: ListKind,
    found: &mut Vec<Found<'a>>,
) -> Result<bool, String> {
    let line = line.split(';').next().unwrap_or_default();
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some((owner, rest)) = words.split_first() else { return Ok(false) };
    if owner.eq_ignore_ascii_case("$origin") {
        *origin = rest.first().map(|name| name.to_ascii_lowercase());
        return Ok(false);
    }
    if rest.iter().any(|word| word.eq_ignore_ascii_case("soa")) && owner.ends_with('.') && origin.is_none() {
        *origin = Some(owner.to_ascii_lowercase());
    }
    let Some(at) = rest.iter().position(|word| word.eq_ignore_ascii_case("cname")) else {
        // The zone's own records, and answers of its maker's choice, which a filter has none of.
        return Ok(false);
    };
    let target = rest.get(at + 1).ok_or("there is nothing after CNAME")?.to_ascii_lowercase();
    if !matches!(target.as_str(), "." | "*." | "rpz-drop." | "rpz-tcp-only.") {
        return Ok(true);
    }
    let mut name = *owner;
    if name.ends_with('.') {
        let zone = origin.as_deref().unwrap_or_default();
        let inside = name.len().checked_sub(zone.len()).filter(|_| !zone.is_empty());
        let inside = inside.filter(|at| name.get(*at..).is_some_and(|end| end.eq_ignore_ascii_case(zone)));
        let Some(inside) = inside else {
            return Err(format!("{name:?} is not in the zone; say which it is by $ORIGIN"));
        };
        name = name.get(..inside).unwrap_or_default().trim_end_matches('.');
    }
    if let Some(reversed) = name.strip_suffix(".rpz-ip") {
        if kind != ListKind::Prefixes {
            return Ok(true);
        }
        found.push(Found::Network(rpz_network(reversed).ok_or_else(|| format!("{name:?} is no rpz-ip"))?));
        return Ok(false);
    }
    if kind != ListKind::Domains || name.rsplit('.').next().is_some_and(|last| last.starts_with("rpz-")) {
        return Ok(true);
    }
    if name.starts_with("*.") {
        found.push(entry::read(name, kind)?);
    } else {
        entry::read(name, kind)?;
        found.push(Found::Text(format!("={name}").into()));
    }
    Ok(false)
}

/// `24.0.2.0.192`, `32.zz.db8.2001`: the prefix length and the address, backwards.
fn rpz_network(text: &str) -> Option<Network> {
    let mut parts: Vec<&str> = text.split('.').collect();
    parts.reverse();
    let prefix = parts.pop()?.parse().ok()?;
    let address: IpAddr = match parts.as_slice() {
        [_, _, _, _] if !parts.contains(&"zz") => parts.join(".").parse().ok()?,
        _ => {
            let text = parts.join(":");
            let text = match text.as_str() {
                "zz" => "::".to_owned(),
                text if text.starts_with("zz:") => format!(":{}", text.get(2..)?),
                text if text.ends_with(":zz") => format!("{}:", text.get(..text.len() - 2)?),
                text => text.replace(":zz:", "::"),
            };
            text.replace(":::", "::").parse::<Ipv6Addr>().ok()?.into()
        }
    };
    Network::new(address, prefix)
}
