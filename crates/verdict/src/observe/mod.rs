//! A measurement as flat observations: one for each lookup, connection, handshake and request, each pointing to its place,
//! and one for the whole visit. What has to be compared across steps is compared here, so that rules need not.

mod extras;

pub(crate) use extras::{median, rate_ratio};

use std::collections::BTreeSet;
use std::net::IpAddr;

use daylight_packet::is_special;

use crate::classic::{Diff, agree, control, host};
use crate::field::{Field, Observation, Value};
use crate::fingerprint::Fingerprints;
use crate::ooni::{Control, Failure, Measurement, Query, TcpConnect, TestKeys, Transaction};
use crate::tags::depth;

/// All observations of a measurement.
pub(crate) struct Observed {
    pub(crate) visit: Observation,
    pub(crate) steps: Vec<Observation>,
}

/// Whether it is an address, and can't be that of a public name.
fn is_bogon(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok_and(is_special)
}

pub(crate) fn observe(measurement: &Measurement, fingerprints: &Fingerprints) -> Observed {
    let visit = Visit::new(measurement);
    let mut steps = Vec::new();
    let keys = visit.keys;
    steps.extend(keys.queries.iter().enumerate().map(|(at, query)| visit.lookup(at, query)));
    steps.extend(keys.tcp_connect.iter().enumerate().map(|(at, tcp)| visit.connection(at, tcp)));
    steps.extend((0..keys.tls_handshakes.len()).filter_map(|at| visit.handshake(at)));
    steps.extend(keys.requests.iter().enumerate().map(|(at, http)| visit.request(at, http, fingerprints)));
    if let Some(own) = &keys.x_daylight {
        let control = visit.control.map(|(_, control)| control);
        extras::observe(own, visit.target, control, &mut steps);
    }
    Observed { visit: visit.summary(&steps), steps }
}

/// What is known of a visit before its steps are looked at.
struct Visit<'m> {
    keys: &'m TestKeys,
    /// The target's name.
    target: &'m str,
    /// The name that the control resolved, and what it saw.
    control: Option<(&'m str, &'m Control)>,
    is_literal: bool,
    /// Addresses that the system's resolver named, at any redirect.
    system: BTreeSet<&'m str>,
    /// Addresses at which a handshake with the target's name was completed, or that the control vouches for.
    proven: BTreeSet<&'m str>,
}

fn is_system(query: &Query) -> bool {
    matches!(query.engine.as_str(), "getaddrinfo" | "golang_net_resolver" | "system")
}

fn addresses(query: &Query) -> impl Iterator<Item = &str> {
    query.answers.iter().filter_map(|answer| answer.address())
}

/// The address of `address:port`.
fn without_port(address: &str) -> &str {
    let ip = address.rsplit_once(':').map_or(address, |(ip, _)| ip);
    ip.trim_start_matches('[').trim_end_matches(']')
}

impl<'m> Visit<'m> {
    fn new(measurement: &'m Measurement) -> Self {
        let keys = &measurement.test_keys;
        let input = measurement.input.as_deref().unwrap_or_default();
        let asked = keys.x_control_request.as_ref().and_then(|request| host(&request.http_request));
        let name = asked.or_else(|| host(input)).unwrap_or(input);
        // Measurements of 0.4 don't hold what the control was asked.
        let control = control(keys).or_else(|| keys.control.as_ref().map(|control| (name, control)));
        let control = control.filter(|_| keys.control_failure.is_none());
        let vouched = control.into_iter().flat_map(|(_, control)| &control.ip_info);
        let vouched = vouched.filter(|(_, info)| info.flags & 8 != 0).map(|(address, _)| address.as_str());
        let completed = keys.tls_handshakes.iter().filter(|tls| tls.failure.is_none() && !tls.no_tls_verify);
        Self {
            keys,
            target: name,
            control,
            is_literal: name.parse::<IpAddr>().is_ok(),
            system: keys.queries.iter().filter(|query| is_system(query)).flat_map(addresses).collect(),
            proven: completed.map(|tls| without_port(&tls.address)).chain(vouched).collect(),
        }
    }

    fn control_addresses(&self) -> Vec<&'m str> {
        let addresses = self.control.into_iter().flat_map(|(_, control)| &control.dns.addrs);
        addresses.map(String::as_str).collect()
    }

    fn control_reached(&self) -> bool {
        self.control.is_some_and(|(_, control)| {
            control.http_request.failure.is_none() && control.http_request.status_code > 0
        })
    }

    /// Whether an address is the target's. Beyond the first redirect there is no control: there, two kinds of resolver
    /// must agree.
    fn is_trusted(&self, ip: &str, depth: i64) -> bool {
        if self.is_literal && depth <= 0 || self.proven.contains(ip) {
            return true;
        }
        if depth <= 0 {
            return agree(self.keys, [ip], self.control_addresses());
        }
        let engines = self.keys.queries.iter().filter(|query| addresses(query).any(|address| address == ip));
        engines.map(|query| &query.engine).collect::<BTreeSet<_>>().len() > 1
    }

    fn lookup(&self, at: usize, query: &Query) -> Observation {
        let mut seen = Observation::at(format!("queries[{at}]"));
        let depth = depth(&query.tags).unwrap_or(0);
        let engine = if is_system(query) { "system" } else { query.engine.as_str() };
        seen.set(Field::DnsResolver, engine);
        seen.set(Field::DnsQuery, "target");
        seen.set(Field::DnsRedirect, depth > 0);
        if let Some(failure) = &query.failure {
            seen.set(Field::DnsFailure, failure.as_str());
            seen.set(Field::DnsNxdomain, failure.is_nxdomain());
            seen.set(Field::DnsTimeout, failure.is_timeout());
        }
        let found: Vec<&str> = addresses(query).collect();
        seen.set(Field::DnsAnswered, !found.is_empty());
        if found.is_empty() {
            return seen;
        }
        let theirs = self.control_addresses();
        let is_odd = |address: &&str| is_bogon(address) && !theirs.contains(address);
        seen.set(Field::DnsBogon, found.iter().any(is_odd));
        let is_proven = found.iter().any(|address| self.proven.contains(address));
        if depth <= 0 && self.control.is_some() {
            seen.set(Field::DnsAgrees, is_proven || agree(self.keys, found.iter().copied(), theirs));
        }
        let at_these = |address: &str| found.contains(&without_port(address));
        let mut handshakes = self.keys.tls_handshakes.iter().filter(|tls| at_these(&tls.address));
        let wrong =
            |failure: &Failure| matches!(failure, Failure::SslInvalidHostname | Failure::SslUnknownAuthority);
        seen.set(
            Field::DnsCertificate,
            !is_proven && handshakes.any(|tls| tls.failure.as_ref().is_some_and(wrong)),
        );
        let tried = self.keys.tcp_connect.iter().filter(|tcp| found.contains(&tcp.ip.as_str())).count();
        let got_page = self
            .keys
            .requests
            .iter()
            .any(|http| http.failure.is_none() && (at_these(&http.address) || http.address.is_empty()));
        seen.set(Field::DnsDead, tried > 0 && !got_page);
        seen
    }

    fn connection(&self, at: usize, tcp: &TcpConnect) -> Observation {
        let mut seen = Observation::at(format!("tcp_connect[{at}]"));
        let depth = depth(&tcp.tags).unwrap_or(0);
        seen.set(Field::TcpIpv6, tcp.ip.contains(':'));
        if let Some(failure) = &tcp.status.failure {
            seen.set(Field::TcpFailure, failure.as_str());
            seen.set(Field::TcpTimeout, failure.is_timeout());
            seen.set(Field::TcpReset, failure.is_reset() || failure.is_refused());
            let unreachable = matches!(failure, Failure::HostUnreachable | Failure::LegacyHostUnreachable);
            seen.set(Field::TcpUnreachable, unreachable);
        }
        seen.set(Field::TcpTrusted, self.is_trusted(&tcp.ip, depth));
        let address = if tcp.ip.contains(':') {
            format!("[{}]:{}", tcp.ip, tcp.port)
        } else {
            format!("{}:{}", tcp.ip, tcp.port)
        };
        let control = self.control.and_then(|(_, control)| control.tcp_connect.get(&address));
        let control_ok =
            control.map_or_else(|| depth > 0 && self.control_reached(), |control| control.failure.is_none());
        seen.set(Field::TcpControl, control_ok);
        let other = self.keys.tcp_connect.iter().any(|other| {
            other.status.failure.is_none()
                && other.port == tcp.port
                && crate::tags::depth(&other.tags).unwrap_or(0) == depth
                && self.is_trusted(&other.ip, depth)
        });
        seen.set(Field::TcpElsewhere, other);
        seen
    }

    fn handshake(&self, at: usize) -> Option<Observation> {
        let tls = self.keys.tls_handshakes.get(at)?;
        let mut seen = Observation::at(format!("tls_handshakes[{at}]"));
        let depth = depth(&tls.tags).unwrap_or(0);
        let ip = without_port(&tls.address);
        seen.set(Field::TlsTrusted, self.is_trusted(ip, depth));
        if let Some(failure) = &tls.failure {
            seen.set(Field::TlsFailure, failure.as_str());
            seen.set(Field::TlsReset, failure.is_reset());
            seen.set(Field::TlsClosed, *failure == Failure::Eof);
            seen.set(Field::TlsTimeout, failure.is_timeout());
            seen.set(Field::TlsAlert, *failure == Failure::SslFailedHandshake);
            let wrong = matches!(failure, Failure::SslInvalidHostname | Failure::SslUnknownAuthority);
            seen.set(Field::TlsForged, wrong);
            seen.set(Field::TlsExpired, *failure == Failure::SslInvalidCertificate);
        }
        let control = self.control.and_then(|(_, control)| control.tls_handshake.get(&tls.address));
        // Helpers of old say nothing of handshakes: that they got an https page is all there is.
        let control_ok = control.map_or_else(
            || self.control_reached() && (depth > 0 || self.is_trusted(ip, depth)),
            |control| control.failure.is_none(),
        );
        seen.set(Field::TlsControl, control_ok);
        let other = self.keys.tls_handshakes.iter().any(|other| {
            other.failure.is_none() && other.server_name == tls.server_name && other.address != tls.address
        });
        seen.set(Field::TlsElsewhere, other);
        Some(seen)
    }

    fn request(&self, at: usize, http: &Transaction, fingerprints: &Fingerprints) -> Observation {
        let mut seen = Observation::at(format!("requests[{at}]"));
        let response = &http.response;
        let is_secure = http.request.url.starts_with("https://");
        seen.set(Field::HttpSecure, is_secure);
        seen.set(Field::HttpStarted, response.code > 0);
        if let Some(failure) = &http.failure {
            seen.set(Field::HttpFailure, failure.as_str());
            seen.set(Field::HttpTimeout, failure.is_timeout());
            seen.set(Field::HttpReset, failure.is_reset());
            seen.set(Field::HttpClosed, *failure == Failure::Eof);
            let endless = failure.as_str().contains("too many redirects");
            let nowhere = *failure == Failure::HttpInvalidRedirectLocationHost;
            seen.set(Field::HttpBadRedirect, endless || nowhere);
        }
        let ip = without_port(&http.address);
        // 0.4 doesn't say where a request went; it only ever follows the system's resolver.
        let by_system = http.address.is_empty() || self.is_literal || self.system.contains(ip);
        seen.set(Field::HttpSystem, by_system);
        if let Ok(code @ 1..) = u64::try_from(response.code) {
            seen.set(Field::HttpStatus, Value::Uint(code));
        }
        let is_final = http.failure.is_none() && matches!(response.code / 100, 2 | 4 | 5);
        seen.set(Field::HttpFinal, is_final);
        if http.failure.is_some() && response.code <= 0 {
            return seen;
        }
        if is_final && let Some((_, control)) = self.control.filter(|_| self.control_reached()) {
            let diff = Diff::for_observation(response, &control.http_request);
            seen.set(Field::HttpSame, diff.is_same());
            seen.set(Field::HttpShared, diff.headers == Some(true));
        }
        if !is_secure && let Some(own) = &self.keys.x_daylight {
            seen.set_some(Field::HttpElsewhere, extras::elsewhere(own, response));
        }
        let matched = fingerprints.matches(response);
        seen.set(Field::HttpWaiting, matched.is_benign());
        if let Some(found) = matched.blockpage() {
            seen.set(Field::HttpBlockpage, found.name.as_str());
            seen.set_some(Field::HttpVendor, found.vendor());
        }
        seen
    }

    fn summary(&self, steps: &[Observation]) -> Observation {
        let mut seen = Observation::default();
        let is = |step: &Observation, field: Field| step.get(field) == Some(&Value::Bool(true));
        let text = |step: &Observation, field: Field, word: &str| matches!(step.get(field), Some(Value::Str(value)) if value == word);
        seen.set(Field::Control, self.control.is_some());
        let theirs = self.control_addresses();
        let control_dns = match self.control {
            None => "unknown",
            Some((_, control)) => match &control.dns.failure {
                Some(failure) if failure.is_nxdomain() => "nxdomain",
                Some(_) => "failed",
                None if theirs.is_empty() => "none",
                None if theirs.iter().all(|address| is_bogon(address)) => "loopback",
                None => "addresses",
            },
        };
        seen.set(Field::ControlDns, control_dns);
        let control_http = match self.control {
            None => "unknown",
            Some(_) if self.control_reached() => "ok",
            Some(_) => "failed",
        };
        seen.set(Field::ControlHttp, control_http);

        let is_page = |step: &&Observation| {
            is(step, Field::HttpFinal)
                && is(step, Field::HttpSystem)
                && step.get(Field::HttpBlockpage).is_none()
        };
        let secure = steps.iter().filter(is_page).find(|step| is(step, Field::HttpSecure));
        let plain = steps.iter().filter(is_page).find(|step| !is(step, Field::HttpSecure));
        seen.set(
            Field::Page,
            if secure.is_some() {
                "https"
            } else if plain.is_some() {
                "http"
            } else {
                "none"
            },
        );
        // Without a control nothing can be held against a page, but that its address can't be the target's.
        let lied_to = steps.iter().any(|step| {
            is(step, Field::DnsBogon)
                && text(step, Field::DnsResolver, "system")
                && !is(step, Field::DnsRedirect)
        });
        let plain_ok = plain.is_some_and(|step| match step.get(Field::HttpSame) {
            Some(same) => *same == Value::Bool(true),
            None => self.control.is_none() && !lied_to,
        });
        seen.set(Field::Reached, secure.is_some() || plain_ok);
        let agrees = steps.iter().any(|step| {
            is(step, Field::DnsAgrees)
                && !text(step, Field::DnsResolver, "system")
                && !is(step, Field::DnsRedirect)
        });
        seen.set(Field::ElsewhereResolves, agrees);
        if let Some(own) = &self.keys.x_daylight {
            extras::summarise(own, self.target, &mut seen);
        }
        seen
    }
}
