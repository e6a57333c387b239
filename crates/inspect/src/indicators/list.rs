//! The forms that lists come in: which words of a line are indicators.

use super::value::{self, Indicator};

/// The lines of a list that hold something, by number from 1, and how to read them.
pub(super) struct List<'a> {
    pub(super) lines: Vec<(usize, &'a str)>,
    form: Form,
}

/// What a line gave.
pub(super) enum Line {
    Indicators(Vec<Indicator>),
    /// Something that flows can't be compared with, such as the hash of a file.
    OtherKind,
}

enum Form {
    /// One a line, or a hosts file.
    Plain,
    /// Cells, separated by this character.
    Table(char, Columns),
}

#[derive(Default)]
struct Columns {
    values: Vec<(usize, Kind)>,
    /// Tells the kind in every row.
    kind: Option<usize>,
    /// Belongs to the address in the same row.
    port: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// As it looks.
    Any,
    Fingerprint,
    Certificate,
    Other,
}

/// How many lines are looked at to find out in which column the indicators are.
const LOOKED_AT: usize = 50;

impl<'a> List<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let (mut lines, mut header) = (Vec::new(), None);
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(comment) = line.strip_prefix('#') {
                if lines.is_empty() {
                    header = commented_header(comment).or(header);
                }
            } else if !(line.is_empty()
                || line.starts_with([';', '!'])
                || line.starts_with("//")
                || is_section(line))
            {
                lines.push((i + 1, line));
            }
        }
        if header.is_none()
            && let Some((_, first)) = lines.first()
            && let Some(found) = delimiter(first).and_then(|d| Some((d, self::header(&cells(first, d))?)))
        {
            header = Some(found);
            lines.remove(0);
        }
        let form = match header.or_else(|| guessed(&lines)) {
            Some((delimiter, columns)) => Form::Table(delimiter, columns),
            None => Form::Plain,
        };
        Self { lines, form }
    }

    /// Reads a line. The error says why it can't be.
    pub(super) fn read(&self, line: &str) -> Result<Line, String> {
        if let Some(names) = hosts_line(line) {
            let read = names.filter(|name| !is_own_name(name)).map(value::read);
            return Ok(Line::Indicators(read.collect::<Result<_, _>>()?));
        }
        match &self.form {
            Form::Plain => {
                let word = line.split_whitespace().next().unwrap_or_default();
                Ok(Line::Indicators(vec![value::read(word.trim_end_matches([',', ';']))?]))
            }
            Form::Table(delimiter, columns) => columns.read(&cells(line, *delimiter)),
        }
    }
}

impl Columns {
    fn read(&self, cells: &[String]) -> Result<Line, String> {
        let cell = |at: usize| cells.get(at).map(|c| c.trim()).filter(|c| !c.is_empty());
        let told = self.kind.and_then(cell).map(kind_of_type);
        if told == Some(Kind::Other) {
            return Ok(Line::OtherKind);
        }
        let mut indicators = Vec::new();
        for (at, kind) in &self.values {
            let Some(text) = cell(*at) else { continue };
            // `domain|ip`, `ip-dst|port`
            let (text, after) = text
                .split_once('|')
                .filter(|(t, _)| !t.is_empty())
                .map_or((text, None), |(t, a)| (t, Some(a)));
            let mut indicator = value::read(text)?;
            let port = after.or_else(|| self.port.and_then(cell)).and_then(|port| port.parse::<u16>().ok());
            if let (Indicator::Network(prefix), Some(port @ 1..)) = (&indicator, port)
                && prefix.length == 128
            {
                indicator = Indicator::Endpoint(prefix.bits, port);
            }
            let kind = told.unwrap_or(*kind);
            let fits = match kind {
                Kind::Any => true,
                Kind::Fingerprint => matches!(indicator, Indicator::Fingerprint(_)),
                Kind::Certificate => matches!(indicator, Indicator::Certificate(_)),
                Kind::Other => false,
            };
            if !fits && kind == Kind::Certificate && matches!(indicator, Indicator::Fingerprint(_)) {
                // A certificate's MD5: records do not have it.
                return Ok(Line::OtherKind);
            }
            if !fits {
                return Err(format!("{text:?} is not the kind of indicator that its column or type says"));
            }
            indicators.push(indicator);
            if let Some(second) = after.filter(|_| port.is_none()) {
                indicators.push(value::read(second)?);
            }
        }
        if indicators.is_empty() {
            return Err("there is nothing in the column of the indicators".into());
        }
        Ok(Line::Indicators(indicators))
    }
}

/// `[Adblock Plus 2.0]`
fn is_section(line: &str) -> bool {
    line.starts_with('[') && line.ends_with(']') && line.contains(' ')
}

/// The names of a line of a hosts file, which begins with an address that leads nowhere.
fn hosts_line(line: &str) -> Option<impl Iterator<Item = &str>> {
    let mut words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
    let first = words.next()?;
    let mut words = words.peekable();
    (matches!(
        first,
        "0.0.0.0" | "127.0.0.1" | "::" | "::1" | "255.255.255.255" | "fe80::1%lo0" | "ff02::1" | "ff02::2"
    ) && words.peek().is_some())
    .then_some(words)
}

/// Names that hosts files have for the host itself.
fn is_own_name(name: &str) -> bool {
    name == "0.0.0.0" || !name.contains('.') || name == "localhost.localdomain" || name.ends_with(".local")
}

/// The character between cells, if the line has any.
fn delimiter(line: &str) -> Option<char> {
    ['\t', ',', ';'].into_iter().find(|d| cells(line, *d).len() > 1)
}

/// Cells of a line, without their quotation marks; a doubled one within stands for itself.
fn cells(line: &str, delimiter: char) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(cell) = cells.last_mut() else { break };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                cell.push('"');
                chars.next();
            }
            '"' if quoted => quoted = false,
            '"' if cell.trim().is_empty() => {
                cell.clear();
                quoted = true;
            }
            c if c == delimiter && !quoted => cells.push(String::new()),
            c => cell.push(c),
        }
    }
    cells
}

/// A header in a comment, as abuse.ch and Zeek write it (`#fields`).
fn commented_header(comment: &str) -> Option<(char, Columns)> {
    let comment = comment.strip_prefix("fields").unwrap_or(comment).trim();
    let delimiter = delimiter(comment)?;
    let cells = cells(comment, delimiter);
    let is_name = |cell: &String| cell.len() <= 32 && !cell.trim().contains(' ');
    cells.iter().all(is_name).then(|| header(&cells)).flatten().map(|columns| (delimiter, columns))
}

/// The columns that a header names, if it is one.
fn header(cells: &[String]) -> Option<Columns> {
    let mut columns = Columns::default();
    for (i, cell) in cells.iter().enumerate() {
        let name = cell.trim().to_ascii_lowercase().replace(['_', ' ', '.'], "-");
        match name.as_str() {
            "ioc" | "ioc-value" | "value" | "indicator" | "indicator-value" | "observable" | "url"
            | "domain" | "domain-name" | "host" | "hostname" | "fqdn" | "ip" | "ipv4" | "ipv6"
            | "ip-addr" | "ip-address" | "ipaddress" | "address" | "dst-ip" | "dstip" | "src-ip"
            | "srcip" | "ip-dst" | "ip-src" | "cidr" | "subnet" | "network" | "netblock" | "ip:port"
            | "ip-port" => columns.values.push((i, Kind::Any)),
            "ja3" | "ja3-md5" | "ja3-hash" | "ja3-fingerprint" | "ja4" | "ja4-hash" | "ja4-fingerprint" => {
                columns.values.push((i, Kind::Fingerprint));
            }
            "sha1"
            | "sha256"
            | "cert-sha1"
            | "cert-sha256"
            | "cert-hash"
            | "certificate"
            | "fingerprint"
            | "sha1-fingerprint"
            | "sha256-fingerprint"
            | "x509-fingerprint-sha1"
            | "x509-fingerprint-sha256" => {
                columns.values.push((i, Kind::Certificate));
            }
            "type" | "ioc-type" | "indicator-type" => columns.kind = Some(i),
            "port" | "dst-port" | "dstport" => columns.port = Some(i),
            _ => {}
        }
    }
    (!columns.values.is_empty()).then_some(columns)
}

/// A kind by its name in MISP (`ip-dst|port`), ThreatFox (`ip:port`) or Zeek (`Intel::ADDR`).
fn kind_of_type(name: &str) -> Kind {
    let name = name.to_ascii_lowercase();
    let has =
        |words: &[&str]| name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| words.contains(&word));
    if has(&["ja3", "ja4"]) {
        Kind::Fingerprint
    } else if has(&["x509", "cert", "certificate", "sslcert"]) {
        Kind::Certificate
    } else if has(&[
        "ip", "ipv4", "ipv6", "addr", "address", "subnet", "cidr", "netblock", "domain", "hostname", "host",
        "fqdn", "url",
    ]) {
        Kind::Any
    } else {
        Kind::Other
    }
}

/// The column in which most of the first rows have an indicator, of a table without a header.
fn guessed(lines: &[(usize, &str)]) -> Option<(char, Columns)> {
    let sample = lines.get(..LOOKED_AT).unwrap_or(lines);
    let delimiter = [',', '\t', ';'].into_iter().find(|d| {
        let several =
            sample.iter().filter(|(_, line)| hosts_line(line).is_none() && cells(line, *d).len() > 1).count();
        several * 2 > sample.len()
    })?;
    let mut votes: Vec<usize> = Vec::new();
    for (_, line) in sample {
        for (i, cell) in cells(line, delimiter).iter().enumerate() {
            if votes.len() <= i {
                votes.push(0);
            }
            if let Some(count) = votes.get_mut(i)
                && value::read(cell.trim()).is_ok()
            {
                *count += 1;
            }
        }
    }
    let most = votes.iter().max().copied().filter(|most| *most > 0)?;
    let place = votes.iter().position(|count| *count == most)?;
    Some((delimiter, Columns { values: vec![(place, Kind::Any)], ..Columns::default() }))
}
