//! Fingerprints of block pages, in the community's CSV layout, and of pages that look like them and are not.
//!
//! The columns are `name, scope, other_names, location_found, pattern_type, pattern, confidence_no_fp,
//! expected_countries, source, exp_url, notes`, found by the header row; those that aren't used may be missing. A row of
//! scope `fp` is a page that is no blocking: where one fits, no other row counts.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use aho_corasick::AhoCorasick;
use regex::bytes::{Regex, RegexBuilder};

use crate::ooni::{Body, Response};

/// The largest file, in bytes.
pub const FINGERPRINT_BYTES_MAX: u64 = 16 << 20;
/// How many rows are read.
pub const FINGERPRINTS_MAX: usize = 50_000;
/// How much of a body is searched, in bytes.
pub const SEARCHED_BYTES_MAX: usize = 1 << 20;
/// The memory that one pattern may take when compiled, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Our own, which are always there unless left out: facts that were published, each with its source.
pub const OWN: &str = include_str!("../../../data/probe/blockpages.csv");

/// Whose page it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// A country's.
    Nat,
    /// A provider's.
    Isp,
    /// A product's.
    Prod,
    /// An institution's: a school, a company.
    Inst,
    /// Shown for a wide set of things.
    Vbw,
    /// No blocking: a waiting page, a CAPTCHA, a provider's refusal.
    Fp,
}

/// Where a pattern is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the body.
    Body,
    /// In the value of this header; lower case.
    Header(String),
}

#[derive(Clone, Debug)]
enum Pattern {
    Full(String),
    Prefix(String),
    Contains(Box<memchr::memmem::Finder<'static>>),
    Regexp(Regex),
}

/// One row.
#[derive(Clone, Debug)]
pub struct Fingerprint {
    /// Its name.
    pub name: String,
    /// Whose page it is.
    pub scope: Scope,
    /// Where the pattern is looked for.
    pub place: Place,
    /// The countries it is known from; none means anywhere.
    pub countries: Vec<String>,
    /// The line of the file, from 1.
    pub line: usize,
    pattern: Pattern,
    text: String,
}

impl Fingerprint {
    /// The product, for a row that is of one: the first part of its name.
    pub(crate) fn vendor(&self) -> Option<&str> {
        (self.scope == Scope::Prod).then(|| {
            let name = self.name.strip_prefix("prod_").unwrap_or(&self.name);
            name.split(['_', '.']).next().unwrap_or(name)
        })
    }

    fn fits(&self, text: &[u8]) -> bool {
        match &self.pattern {
            Pattern::Full(whole) => text == whole.as_bytes(),
            Pattern::Prefix(head) => text.starts_with(head.as_bytes()),
            Pattern::Contains(part) => part.find(text).is_some(),
            Pattern::Regexp(regexp) => regexp.is_match(text),
        }
    }
}

/// What is wrong with a row, or looks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// Whether the row is left out because of it.
    pub fatal: bool,
    /// What is wrong, and what to do.
    pub message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.fatal { "left out" } else { "warning" };
        write!(f, "{}:{}: {kind}: {}", self.file, self.line, self.message)
    }
}

/// A set of fingerprints.
#[derive(Clone, Debug, Default)]
pub struct Fingerprints {
    all: Vec<Fingerprint>,
    /// Made when it is first wanted.
    parts: OnceLock<Parts>,
}

/// What bodies may contain, to be looked for at once: lists have hundreds of rows, and pages a million bytes.
#[derive(Clone, Debug)]
struct Parts {
    /// The rows, by the numbers that the search gives them.
    rows: Vec<usize>,
    search: Option<Arc<AhoCorasick>>,
}

impl Parts {
    fn new(all: &[Fingerprint]) -> Self {
        let parts = all.iter().enumerate().filter_map(|(row, fingerprint)| match fingerprint {
            Fingerprint { place: Place::Body, pattern: Pattern::Contains(part), .. } => {
                Some((row, part.needle()))
            }
            _ => None,
        });
        let (rows, texts): (Vec<usize>, Vec<&[u8]>) = parts.unzip();
        // It fails for more text than a file may have; then they are looked for one by one.
        Self { rows, search: AhoCorasick::new(texts).ok().map(Arc::new) }
    }

    /// For each row whether the body contains its part; nothing if that must be asked of each.
    fn found(&self, all: usize, body: &[u8]) -> Option<Vec<bool>> {
        let mut found = vec![false; all];
        for hit in self.search.as_ref()?.find_overlapping_iter(body) {
            let row = self.rows.get(hit.pattern().as_usize());
            if let Some(found) = row.and_then(|row| found.get_mut(*row)) {
                *found = true;
            }
        }
        Some(found)
    }
}

/// What fits a response.
pub(crate) struct Matched<'a> {
    fitting: Vec<&'a Fingerprint>,
}

impl<'a> Matched<'a> {
    pub(crate) fn is_benign(&self) -> bool {
        self.fitting.iter().any(|found| found.scope == Scope::Fp)
    }

    /// The first that is a block page's, if nothing shows the page to be none.
    pub(crate) fn blockpage(&self) -> Option<&'a Fingerprint> {
        if self.is_benign() { None } else { self.fitting.first().copied() }
    }
}

/// Texts of pages that everybody meets and that are no blocking: a row that fits one would call them so.
const COMMON_PAGES: [&str; 5] = [
    "<html><head><title>Please Wait... | Cloudflare</title></head><body>",
    "<html><head><title>Just a moment...</title></head><body>Checking your browser before accessing",
    "<html><head><title>Attention Required! | Cloudflare</title></head><body>",
    "<html><head><title>403 Forbidden</title></head><body><center><h1>403 Forbidden</h1></center><hr><center>nginx</center></body></html>",
    "<html><head><title>Access Denied</title></head><body><h1>Access Denied</h1>You don't have permission to access \"http://example.org/\" on this server.<p>Reference #18.0</body></html>",
];

impl Fingerprints {
    /// Our own.
    pub fn own() -> Self {
        let mut set = Self::default();
        set.add(OWN, "data/probe/blockpages.csv");
        set
    }

    /// The rows.
    pub fn rows(&self) -> &[Fingerprint] {
        &self.all
    }

    /// Adds a file's rows, and says what is wrong with them. Rows that can't be used are left out.
    pub fn add(&mut self, text: &str, file: &str) -> Vec<Finding> {
        let mut reader = Reader { file, findings: Vec::new() };
        self.parts = OnceLock::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
        let header = match rows.headers() {
            Ok(header) if !header.is_empty() => header.clone(),
            _ => {
                reader.say(1, true, "the file is empty: its first line must name the columns");
                return reader.findings;
            }
        };
        let column = |name: &str| header.iter().position(|field| field.trim() == name);
        let columns = ["name", "scope", "location_found", "pattern_type", "pattern"].map(column);
        let [Some(name), Some(scope), Some(place), Some(kind), Some(pattern)] = columns else {
            let wanted =
                "the first line must name the columns name, scope, location_found, pattern_type and pattern";
            reader.say(1, true, wanted);
            return reader.findings;
        };
        let countries = column("expected_countries");
        // Text is UTF-8 and rows may be of any length, so no record fails.
        for row in rows.records().flatten() {
            let line = row.position().map_or(0, |position| position.line() as usize);
            if self.all.len() >= FINGERPRINTS_MAX {
                reader.say(line, true, &format!("more than {FINGERPRINTS_MAX} rows; the rest is not read"));
                break;
            }
            let field = |at: usize| row.get(at).unwrap_or_default();
            let countries = countries.map_or("", field);
            let wanted = [field(name), field(scope), field(place), field(kind), field(pattern), countries];
            if let Some(row) = reader.row(line, wanted) {
                if let Some(same) = self.all.iter().find(|old| old.text == row.text && old.place == row.place)
                {
                    reader.say(line, true, &format!("the same pattern as `{}`", same.name));
                } else {
                    self.all.push(row);
                }
            }
        }
        reader.findings
    }

    /// All rows that fit a response.
    pub(crate) fn matches(&self, response: &Response) -> Matched<'_> {
        if self.all.is_empty() {
            return Matched { fitting: Vec::new() };
        }
        let body = response.body.bytes();
        let body = body.get(..SEARCHED_BYTES_MAX).unwrap_or(&body);
        let headers = lower(&response.headers);
        let parts = self.parts.get_or_init(|| Parts::new(&self.all));
        let found = parts.found(self.all.len(), body);
        let fits = |(at, row): &(usize, &Fingerprint)| match (&row.place, &row.pattern, &found) {
            (Place::Body, Pattern::Contains(_), Some(found)) => found.get(*at) == Some(&true),
            (Place::Body, ..) => !body.is_empty() && row.fits(body),
            (Place::Header(name), ..) => {
                headers.iter().any(|(key, value)| key == name && row.fits(&value.bytes()))
            }
        };
        Matched { fitting: self.all.iter().enumerate().filter(fits).map(|(_, row)| row).collect() }
    }
}

fn lower(headers: &BTreeMap<String, Body>) -> Vec<(String, &Body)> {
    headers.iter().map(|(key, value)| (key.to_ascii_lowercase(), value)).collect()
}

struct Reader<'a> {
    file: &'a str,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn say(&mut self, line: usize, fatal: bool, message: &str) {
        let (file, message) = (self.file.to_owned(), message.to_owned());
        self.findings.push(Finding { file, line, fatal, message });
    }

    fn row(&mut self, line: usize, fields: [&str; 6]) -> Option<Fingerprint> {
        let [name, scope, place, kind, text, countries] = fields;
        let scope = match scope.trim() {
            "nat" => Scope::Nat,
            "isp" => Scope::Isp,
            "prod" => Scope::Prod,
            "inst" => Scope::Inst,
            "vbw" => Scope::Vbw,
            "fp" => Scope::Fp,
            other => {
                let message = format!("the scope is `{other}`: it must be nat, isp, prod, inst, vbw or fp");
                self.say(line, true, &message);
                return None;
            }
        };
        let place = match place.trim() {
            "body" => Place::Body,
            other => match other.strip_prefix("header.") {
                Some(header) if !header.is_empty() => Place::Header(header.to_ascii_lowercase()),
                _ => {
                    let message = format!(
                        "location_found is `{other}`: it must be body, or header. and a header's name"
                    );
                    self.say(line, true, &message);
                    return None;
                }
            },
        };
        if text.trim().is_empty() {
            self.say(line, true, "the pattern is empty: it would fit every page");
            return None;
        }
        let pattern = match kind.trim() {
            "full" => Pattern::Full(text.to_owned()),
            "prefix" => Pattern::Prefix(text.to_owned()),
            "contains" => {
                Pattern::Contains(Box::new(memchr::memmem::Finder::new(text.as_bytes()).into_owned()))
            }
            "regexp" => match RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build() {
                Ok(regexp) if regexp.is_match(b"") => {
                    self.say(line, true, "the pattern fits an empty page, so it would fit every page");
                    return None;
                }
                Ok(regexp) => Pattern::Regexp(regexp),
                Err(error) => {
                    let why = error.to_string();
                    let why = why.lines().last().unwrap_or_default().trim();
                    self.say(line, true, &format!("the pattern can't be used: {why}"));
                    return None;
                }
            },
            other => {
                let message =
                    format!("pattern_type is `{other}`: it must be full, prefix, contains or regexp");
                self.say(line, true, &message);
                return None;
            }
        };
        let countries: Vec<String> =
            countries.split([',', ' ', ';']).filter(|part| !part.is_empty()).map(str::to_uppercase).collect();
        if countries.is_empty() && matches!(scope, Scope::Nat | Scope::Isp) {
            self.say(line, false, "no expected_countries, though the page is a country's or a provider's");
        }
        let row = Fingerprint {
            name: name.trim().to_owned(),
            scope,
            place,
            countries,
            line,
            pattern,
            text: text.to_owned(),
        };
        if scope != Scope::Fp
            && row.place == Place::Body
            && let Some(page) = COMMON_PAGES.iter().find(|page| row.fits(page.as_bytes()))
        {
            let title = page.split("<title>").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or(page);
            self.say(line, true, &format!("it fits a common page that is no blocking, “{title}”"));
            return None;
        }
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name,scope,location_found,pattern_type,pattern,expected_countries\n";

    fn added(rows: &str) -> (Fingerprints, Vec<String>) {
        let mut set = Fingerprints::default();
        let findings = set.add(&format!("{HEAD}{rows}"), "f.csv");
        (set, findings.iter().map(ToString::to_string).collect())
    }

    fn page(body: &str, location: &str) -> Response {
        let headers = BTreeMap::from([("Location".to_owned(), Body::from(location))]);
        Response { body: body.into(), headers, ..Response::default() }
    }

    #[test]
    fn ours_have_nothing_wrong_and_every_row_fires() {
        let mut set = Fingerprints::default();
        let findings = set.add(OWN, "own");
        assert!(findings.is_empty(), "{findings:?}");
        for row in &set.all {
            let text = match &row.pattern {
                Pattern::Regexp(_) => continue,
                _ => row.text.as_str(),
            };
            let response = match &row.place {
                Place::Body => page(text, ""),
                Place::Header(name) => Response {
                    headers: BTreeMap::from([(name.to_ascii_uppercase(), Body::from(text))]),
                    ..Response::default()
                },
            };
            assert!(
                set.matches(&response).fitting.iter().any(|found| found.name == row.name),
                "{}",
                row.name
            );
        }
    }

    #[test]
    fn each_kind_of_pattern_fits_where_it_should() {
        let (set, findings) = added(
            "a,nat,body,full,blocked,XA\nb,isp,body,prefix,<b>,XA\nc,prod,body,contains,\"says \"\"no\"\", loudly\",\n\
             d,inst,header.location,regexp,^http://block\\.,\n",
        );
        assert!(findings.is_empty(), "{findings:?}");
        let name = |body: &str, location: &str| {
            set.matches(&page(body, location)).blockpage().map(|row| row.name.clone())
        };
        assert_eq!(name("blocked", "").as_deref(), Some("a"));
        assert_eq!(name("blocked.", ""), None);
        assert_eq!(name("<b>x", "").as_deref(), Some("b"));
        assert_eq!(name("it says \"no\", loudly", "").as_deref(), Some("c"));
        assert_eq!(name("", "http://block.example/").as_deref(), Some("d"));
    }

    #[test]
    fn a_page_that_is_no_blocking_suppresses_the_others() {
        let (set, _) = added("a,nat,body,contains,denied,XA\nb,fp,body,contains,captcha,\n");
        assert!(set.matches(&page("denied", "")).blockpage().is_some());
        let both = set.matches(&page("denied captcha", "")).is_benign();
        assert!(both && set.matches(&page("denied captcha", "")).blockpage().is_none());
    }

    #[test]
    fn the_linter_says_what_is_wrong_and_where() {
        let (set, findings) = added(
            "a,nation,body,full,x,\nb,nat,title,full,x,XA\nc,nat,body,like,x,XA\nd,nat,body,regexp,(,XA\n\
             e,nat,body,regexp,x*,XA\nf,nat,body,contains,,XA\ng,isp,body,contains,one,\nh,isp,body,contains,one,XA\n\
             i,nat,body,contains,Please Wait... | Cloudflare,XA\n",
        );
        let expected = [
            "f.csv:2: left out: the scope is `nation`",
            "f.csv:3: left out: location_found is `title`",
            "f.csv:4: left out: pattern_type is `like`",
            "f.csv:5: left out: the pattern can't be used",
            "f.csv:6: left out: the pattern fits an empty page",
            "f.csv:7: left out: the pattern is empty",
            "f.csv:8: warning: no expected_countries",
            "f.csv:9: left out: the same pattern as `g`",
            "f.csv:10: left out: it fits a common page that is no blocking, “Please Wait... | Cloudflare”",
        ];
        assert_eq!(findings.len(), expected.len(), "{findings:#?}");
        for (finding, expected) in findings.iter().zip(expected) {
            assert!(finding.starts_with(expected), "{finding}");
        }
        assert_eq!(set.all.len(), 1);
    }

    #[test]
    fn a_file_without_its_columns_is_refused() {
        let mut set = Fingerprints::default();
        assert!(set.add("name,pattern\n", "f").iter().all(|finding| finding.fatal));
        assert!(set.add("", "f")[0].message.starts_with("the file is empty"));
    }
}
