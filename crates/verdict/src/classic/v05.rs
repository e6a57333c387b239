//! As `web_connectivity` 0.5 judges, in the part that speaks for 0.4's keys: what the system's resolver led to, the last
//! redirect first, the highest layer first, and what went well before what failed. The first of them that says anything
//! decides.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::diff::{Diff, Generation};
use super::{agree, control, only_loopback};
use crate::ooni::{Control, Failure, Measurement, Query, TcpConnect, TestKeys, TlsHandshake, Transaction};
use crate::record::{Blocking, Classic, DnsConsistency};
use crate::tags::{depth, fetches_body};

/// A connection and what was done over it.
struct Endpoint<'m> {
    tcp: &'m TcpConnect,
    tls: Option<&'m TlsHandshake>,
    http: Option<&'m Transaction>,
}

/// One entry of the line that is walked along. The order of the variants is that of the layers.
#[derive(Clone, Copy)]
enum Step<'a, 'm> {
    Lookup(&'m Query),
    Endpoint(&'a Endpoint<'m>),
}

impl<'m> Endpoint<'m> {
    fn layer(&self) -> u8 {
        match self {
            Self { http: Some(_), .. } => 3,
            Self { tls: Some(_), .. } => 2,
            _ => 1,
        }
    }

    /// Why its highest layer failed.
    fn failure(&self) -> Option<&'m Failure> {
        match self {
            Self { http: Some(http), .. } => http.failure.as_ref(),
            Self { tls: Some(tls), .. } => tls.failure.as_ref(),
            _ => self.tcp.status.failure.as_ref(),
        }
    }

    fn address(&self) -> String {
        let (ip, port) = (&self.tcp.ip, self.tcp.port);
        if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
    }

    /// A response that is no redirect.
    fn final_response(&self) -> Option<&'m Transaction> {
        self.http.filter(|http| http.failure.is_none() && matches!(http.response.code / 100, 2 | 4 | 5))
    }
}

impl<'m> Step<'_, 'm> {
    fn order(&self) -> (Reverse<i64>, Reverse<u8>, &'m str, Reverse<i64>) {
        let (tags, layer, failure, id) = match self {
            Step::Lookup(query) => (&query.tags, 0, query.failure.as_ref(), query.transaction_id),
            Step::Endpoint(endpoint) => {
                let (tcp, failure) = (endpoint.tcp, endpoint.failure());
                (&tcp.tags, endpoint.layer(), failure, tcp.transaction_id)
            }
        };
        let depth = depth(tags).unwrap_or(-1);
        (Reverse(depth), Reverse(layer), failure.map_or("", Failure::as_str), Reverse(id))
    }
}

pub(super) fn classic(measurement: &Measurement) -> Classic {
    let keys = &measurement.test_keys;
    let control = control(keys);
    let endpoints = endpoints(keys);
    let dns_consistency = consistency(keys, control);
    let mut steps: Vec<Step<'_, '_>> = lookups(keys).map(Step::Lookup).collect();
    steps.extend(endpoints.values().map(Step::Endpoint));
    steps.sort_by(|a, b| a.order().cmp(&b.order()));

    let mut diff = Diff::default();
    if let (Some((_, control)), Some(page)) = (control, endpoints.values().find_map(Endpoint::final_response))
        && control.http_request.failure.is_none()
    {
        diff = Diff::new(Generation::V05, &page.response, &control.http_request);
    }
    let outcome = steps.iter().find_map(|step| judge(*step, control, &diff));
    let is_inconsistent = dns_consistency == Some(DnsConsistency::Inconsistent);
    let (blocking, accessible) = match outcome {
        Some(Outcome::Reached) => (Blocking::None, Some(true)),
        Some(_) if is_inconsistent => (Blocking::Dns, Some(false)),
        Some(Outcome::Blocked(blocking)) => (blocking, Some(false)),
        Some(Outcome::Down) => (Blocking::None, Some(false)),
        Some(Outcome::Unknown) | None => (Blocking::Unknown, None),
    };
    Classic {
        blocking,
        accessible,
        dns_consistency,
        body_proportion: diff.body_proportion,
        body_length_match: diff.body(),
        headers_match: diff.headers,
        status_code_match: diff.status,
        title_match: diff.title,
    }
}

enum Outcome {
    Reached,
    Down,
    Unknown,
    Blocked(Blocking),
}

fn judge(step: Step<'_, '_>, control: Option<(&str, &Control)>, diff: &Diff) -> Option<Outcome> {
    match step {
        Step::Lookup(query) => judge_lookup(query, control),
        Step::Endpoint(endpoint) => judge_endpoint(endpoint, control.map(|(_, control)| control), diff),
    }
}

fn judge_endpoint(endpoint: &Endpoint<'_>, control: Option<&Control>, diff: &Diff) -> Option<Outcome> {
    if endpoint.final_response().is_some() {
        let is_secure = endpoint.tls.is_some_and(|tls| tls.failure.is_none());
        return Some(match control {
            _ if is_secure => Outcome::Reached,
            None => Outcome::Unknown,
            Some(_) if diff.is_same() => Outcome::Reached,
            Some(_) => Outcome::Blocked(Blocking::HttpDiff),
        });
    }
    endpoint.failure()?;
    let Some(control) = control else { return Some(Outcome::Unknown) };
    // What the control met at the same place. It has only been to the first addresses, not to those of redirects.
    let address = endpoint.address();
    let (theirs, blocking) = match endpoint {
        Endpoint { http: Some(_), .. } => {
            (Some(control.http_request.failure.is_some()), Blocking::HttpFailure)
        }
        Endpoint { tls: Some(tls), .. } => {
            let same =
                control.tls_handshake.get(&address).filter(|theirs| theirs.server_name == tls.server_name);
            (same.map(|theirs| theirs.failure.is_some()), Blocking::HttpFailure)
        }
        _ => (control.tcp_connect.get(&address).map(|theirs| theirs.failure.is_some()), Blocking::TcpIp),
    };
    Some(match theirs {
        Some(true) => Outcome::Down,
        Some(false) => Outcome::Blocked(blocking),
        None => Outcome::Blocked(Blocking::HttpFailure),
    })
}

fn judge_lookup(query: &Query, control: Option<(&str, &Control)>) -> Option<Outcome> {
    let same = control.filter(|(name, _)| *name == query.hostname).map(|(_, control)| &control.dns);
    if query.failure.is_some() {
        return Some(match (same, control) {
            (Some(theirs), _) if theirs.failure.is_some() || theirs.addrs.is_empty() => Outcome::Down,
            (Some(_), _) | (None, Some(_)) => Outcome::Blocked(Blocking::Dns),
            (None, None) => Outcome::Reached,
        });
    }
    // Nobody connects to loopback addresses, so the lookup is all there is.
    let theirs = same.filter(|theirs| theirs.failure.is_none())?;
    only_loopback(addresses(query)).then(|| {
        let both = only_loopback(theirs.addrs.iter().map(String::as_str));
        if both { Outcome::Down } else { Outcome::Blocked(Blocking::Dns) }
    })
}

/// The system's lookups: those that failed, or found an address.
fn lookups(keys: &TestKeys) -> impl Iterator<Item = &Query> {
    let is_system = |query: &&Query| matches!(query.engine.as_str(), "getaddrinfo" | "golang_net_resolver");
    keys.queries
        .iter()
        .filter(is_system)
        .filter(|query| query.failure.is_some() || addresses(query).next().is_some())
}

fn addresses(query: &Query) -> impl Iterator<Item = &str> {
    query.answers.iter().filter_map(|answer| answer.address())
}

/// The connections to what the system's resolver found, as far as they were to fetch the page; by their transactions.
fn endpoints(keys: &TestKeys) -> BTreeMap<i64, Endpoint<'_>> {
    let mut all: BTreeMap<i64, Endpoint<'_>> = BTreeMap::new();
    for tcp in &keys.tcp_connect {
        all.insert(tcp.transaction_id, Endpoint { tcp, tls: None, http: None });
    }
    for tls in &keys.tls_handshakes {
        if let Some(endpoint) = all.get_mut(&tls.transaction_id) {
            endpoint.tls = Some(tls);
        }
    }
    for http in &keys.requests {
        if let Some(endpoint) = all.get_mut(&http.transaction_id) {
            endpoint.http = Some(http);
        }
    }
    let found: Vec<&str> =
        lookups(keys).filter(|query| query.failure.is_none()).flat_map(addresses).collect();
    all.retain(|_, endpoint| {
        found.contains(&endpoint.tcp.ip.as_str()) && fetches_body(&endpoint.tcp.tags) == Some(true)
    });
    all
}

fn consistency(keys: &TestKeys, control: Option<(&str, &Control)>) -> Option<DnsConsistency> {
    let (mut good, mut bad, mut found_any) = (false, false, false);
    for query in lookups(keys).filter(|query| depth(&query.tags) == Some(0)) {
        found_any |= query.failure.is_none();
        let Some((name, control)) = control else { continue };
        if name != query.hostname {
            continue;
        }
        let theirs = &control.dns;
        let is_good = match (&query.failure, &theirs.failure) {
            (None, Some(_)) => continue,
            (None, None) => agree(keys, addresses(query), theirs.addrs.iter().map(String::as_str)),
            (Some(Failure::DnsNoAnswer), None) if query.query_type == "AAAA" => continue,
            (Some(Failure::DnsNoAnswer), None) => theirs.addrs.is_empty(),
            (Some(_), theirs) => theirs.is_some(),
        };
        good |= is_good;
        bad |= !is_good;
    }
    let control_found_none = control.is_some_and(|(_, control)| control.dns.addrs.is_empty());
    if bad || !good && found_any && control_found_none {
        Some(DnsConsistency::Inconsistent)
    } else {
        good.then_some(DnsConsistency::Consistent)
    }
}
