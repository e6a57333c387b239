//! Lists of known bad names, addresses and fingerprints, and the risks of meeting one.
//!
//! Public blocklists come in a few forms, which are told apart by how they look: see `docs/guide/indicators.md`.

mod list;
#[cfg(test)]
mod tests;
mod value;

use std::collections::HashMap;
use std::net::IpAddr;

use daylight_protocols::{FieldRef, Risk, RiskFound, common, risks};
use foldhash::fast::RandomState;

use crate::catalog::Catalog;
use crate::catalog::prefix::{Prefix, number};
use crate::enrich::CERTIFICATE_HASHES;
use crate::record::FlowRecord;
use list::{Line, List};
use value::Indicator;

risks! {
    MALICIOUS_DOMAIN: Severe Client "malicious-domain" "The host name, or the name that the address was resolved from, is on an indicator list, itself or by a name above it. The evidence names the list and the line.";
    MALICIOUS_ADDRESS: Severe Both "malicious-address" "One end's address is on an indicator list. The evidence names the list and the line. Addresses change hands: look at the list's date.";
    MALICIOUS_FINGERPRINT: Severe Client "malicious-fingerprint" "The client's JA3 or JA4 is on an indicator list. Different programs can share a fingerprint, so that this alone proves little.";
    MALICIOUS_CERTIFICATE: Severe Server "malicious-certificate" "The server's certificate is on an indicator list, by its SHA-1 or SHA-256.";
}

/// How many bad lines of a list are reported one by one.
const PROBLEMS_SHOWN: usize = 10;

/// Where an indicator was listed.
#[derive(Clone, Copy, Debug)]
struct Source {
    list: u32,
    line: u32,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    source: Source,
    /// Names below it do not count.
    exact: bool,
}

/// Indicators of all lists that were loaded.
#[derive(Clone, Debug, Default)]
pub struct Indicators {
    lists: Vec<Box<str>>,
    names: HashMap<Box<str>, Name, RandomState>,
    networks: HashMap<Prefix, Source, RandomState>,
    /// The lengths that prefixes have, longest first.
    lengths: Vec<u8>,
    endpoints: HashMap<(u128, u16), Source, RandomState>,
    /// JA3, JA4, SHA-1, SHA-256: their forms tell them apart.
    fingerprints: HashMap<Box<str>, Source, RandomState>,
}

/// What was read of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Domains and hosts.
    pub names: usize,
    /// Addresses with or without a port, and prefixes.
    pub addresses: usize,
    /// JA3 and JA4.
    pub fingerprints: usize,
    /// Hashes of certificates.
    pub certificates: usize,
    /// Lines that hold what flows can't be compared with: files' hashes, e-mail addresses.
    pub other_kinds: usize,
    /// URLs on hosts of services that others use too.
    pub shared_hosts: usize,
    /// Lines that could not be read.
    pub bad_lines: usize,
    /// What a person should know, with file and line; the bad lines' first ten.
    pub problems: Vec<String>,
}

impl Report {
    /// Indicators that were read.
    pub fn loaded(&self) -> usize {
        self.names + self.addresses + self.fingerprints + self.certificates
    }
}

/// A list of which nothing could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name}: {why}. Lists may be plain (one domain, address, prefix, address:port, URL, JA3, JA4 or certificate hash a \
     line), hosts files, or CSV as of URLhaus, Feodo Tracker, ThreatFox, SSLBL, MISP (type,value) and Zeek's intel files"
)]
pub struct IndicatorError {
    name: String,
    why: String,
}

impl Indicators {
    /// Reads a list. `name` is the file's, for the evidence and for problems. Of an indicator that is listed twice, the
    /// first place is named.
    ///
    /// # Errors
    /// If there is something in the list, but nothing that can be read.
    pub fn load(&mut self, text: &str, name: &str) -> Result<Report, IndicatorError> {
        let error = |why: String| Err(IndicatorError { name: name.into(), why });
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let start: String = text.chars().filter(|c| !c.is_whitespace()).take(2).collect();
        match start.as_bytes() {
            [b'{', ..] | [b'[', b'{' | b'['] => {
                return error("this is JSON, which is not read as a list of indicators".into());
            }
            [b'<', ..] => return error("this is a web page or XML, not a list of indicators".into()),
            _ if text.contains('\0') => {
                return error("this is no text (if it is compressed, unpack it first)".into());
            }
            _ => {}
        }
        let mut report = Report::default();
        let number = u32::try_from(self.lists.len()).unwrap_or(u32::MAX);
        self.lists.push(name.into());
        let list = List::new(text);
        for (at, line) in &list.lines {
            let source = Source { list: number, line: u32::try_from(*at).unwrap_or(u32::MAX) };
            match list.read(line) {
                Ok(Line::Indicators(indicators)) => {
                    indicators.into_iter().for_each(|indicator| self.add(indicator, source, &mut report));
                }
                Ok(Line::OtherKind) => report.other_kinds += 1,
                Err(why) => {
                    report.bad_lines += 1;
                    if report.bad_lines <= PROBLEMS_SHOWN {
                        report.problems.push(format!("{name}:{at}: {why}"));
                    }
                }
            }
        }
        if report.loaded() == 0 && report.bad_lines > 0 {
            let first =
                report.problems.first().map_or_else(String::new, |p| format!("; the first problem is {p}"));
            return error(format!("none of its {} lines can be read{first}", list.lines.len()));
        }
        let more = report.bad_lines.saturating_sub(PROBLEMS_SHOWN);
        let mut note = |count: usize, what: &str| {
            if count > 0 {
                report.problems.push(format!("{name}: {count} {what}"));
            }
        };
        note(more, "more lines can't be read");
        note(
            report.other_kinds,
            "lines left out: flows can't be compared with their kind (files' hashes, e-mail addresses)",
        );
        note(
            report.shared_hosts,
            "URLs left out: their hosts are well-known services' (list the name itself to flag it)",
        );
        if list.lines.is_empty() {
            report.problems.push(format!("{name}: the list is empty"));
        }
        Ok(report)
    }

    fn add(&mut self, indicator: Indicator, source: Source, report: &mut Report) {
        match indicator {
            Indicator::Domain(name) => {
                report.names += 1;
                let entry = self.names.entry(name.into()).or_insert(Name { source, exact: false });
                if entry.exact {
                    *entry = Name { source, exact: false };
                }
            }
            Indicator::Host(name) => {
                // Somebody's file on a file host does not make the file host bad.
                if Catalog::builtin().by_host(&name).is_some() {
                    report.shared_hosts += 1;
                    return;
                }
                report.names += 1;
                self.names.entry(name.into()).or_insert(Name { source, exact: true });
            }
            Indicator::Network(prefix) => {
                report.addresses += 1;
                if let Err(place) = self.lengths.binary_search_by(|length| prefix.length.cmp(length)) {
                    self.lengths.insert(place, prefix.length);
                }
                self.networks.entry(prefix).or_insert(source);
            }
            Indicator::Endpoint(address, port) => {
                report.addresses += 1;
                self.endpoints.entry((address, port)).or_insert(source);
            }
            Indicator::Fingerprint(text) => {
                report.fingerprints += 1;
                self.fingerprints.entry(text.into()).or_insert(source);
            }
            Indicator::Certificate(text) => {
                report.certificates += 1;
                self.fingerprints.entry(text.into()).or_insert(source);
            }
        }
    }

    /// How many indicators there are.
    pub fn len(&self) -> usize {
        self.names.len() + self.networks.len() + self.endpoints.len() + self.fingerprints.len()
    }

    /// True if nothing was loaded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Compares what a flow itself tells, and raises the risks.
    pub fn check(&self, record: &mut FlowRecord) {
        let mut found = Vec::new();
        if let Some(host) = record.text(common::HOSTNAME) {
            self.name(host, "hostname", &mut found);
        }
        let ends = &record.ends;
        for (column, address, port) in
            [("dst_ip", ends.dst_ip, Some(ends.dst_port)), ("src_ip", ends.src_ip, None)]
        {
            if let Some((source, what)) = self.address(address, port) {
                found.push(self.found(&MALICIOUS_ADDRESS, column, &address, &what, source));
                break;
            }
        }
        let mut fingerprint = |risk, column, field: FieldRef| {
            let source = record.text(field).and_then(|text| Some((text, *self.fingerprints.get(text)?)));
            if let Some((text, source)) = source {
                found.push(self.found(risk, column, &text, text, source));
            }
        };
        fingerprint(&MALICIOUS_FINGERPRINT, "ja3", common::JA3);
        fingerprint(&MALICIOUS_FINGERPRINT, "ja4", common::JA4);
        for field in CERTIFICATE_HASHES {
            fingerprint(&MALICIOUS_CERTIFICATE, "certificate", *field);
        }
        raise(record, found);
    }

    /// Compares the name that the server's address was resolved from.
    pub fn check_resolved(&self, record: &mut FlowRecord) {
        let mut found = Vec::new();
        if let Some(name) = record.resolved_name.as_deref() {
            self.name(name, "resolved_name", &mut found);
        }
        raise(record, found);
    }

    fn name(&self, name: &str, column: &str, found: &mut Vec<RiskFound>) {
        if self.names.is_empty() {
            return;
        }
        let lower;
        let mut rest = name.strip_suffix('.').unwrap_or(name);
        if rest.bytes().any(|b| b.is_ascii_uppercase()) {
            lower = rest.to_ascii_lowercase();
            rest = &lower;
        }
        let whole = rest.len();
        loop {
            if let Some(listed) = self.names.get(rest)
                && (!listed.exact || rest.len() == whole)
            {
                found.push(self.found(&MALICIOUS_DOMAIN, column, &name, rest, listed.source));
                return;
            }
            let Some((_, above)) = rest.split_once('.') else { return };
            rest = above;
        }
    }

    /// Where an address is listed, and as what.
    fn address(&self, address: IpAddr, port: Option<u16>) -> Option<(Source, String)> {
        let number = number(address);
        if let Some(port) = port
            && let Some(source) = self.endpoints.get(&(number, port))
        {
            return Some((*source, std::net::SocketAddr::new(address, port).to_string()));
        }
        self.lengths.iter().find_map(|length| {
            let prefix = Prefix::of(number, *length);
            let source = self.networks.get(&prefix)?;
            let what = if prefix.length == 128 { address.to_string() } else { prefix.to_string() };
            Some((*source, what))
        })
    }

    /// `hostname=www.evil.example, evil.example in list.txt:7`
    fn found(
        &self,
        risk: &'static Risk,
        column: &str,
        value: &dyn std::fmt::Display,
        listed: &str,
        source: Source,
    ) -> RiskFound {
        let list = self.lists.get(source.list as usize).map_or("", |name| name);
        let value = value.to_string();
        let listed = if listed == value { "listed".to_owned() } else { format!("{listed} listed") };
        RiskFound { risk, evidence: format!("{column}={value}, {listed} in {list}:{}", source.line).into() }
    }
}

fn raise(record: &mut FlowRecord, found: Vec<RiskFound>) {
    for risk in found {
        if !record.found.has_risk(risk.risk) {
            record.found.risks.push(risk);
        }
    }
}
