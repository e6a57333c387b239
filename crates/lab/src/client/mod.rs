//! What clients do, and what they make of what comes back.
//!
//! A fetch asks the host's resolver with a query of our own (so that every answer is seen, a forged one and a late one),
//! compares what it says with the scenario's zones, and leaves the rest to curl: a real client's TLS and HTTP.

pub(crate) mod dns;
mod fetch;
mod quic;
mod simple;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::record::Observation;
use crate::scenario::model::{Client, Outcome};

pub(crate) use fetch::Url;

/// A client's action, ready to be done again and again from within its namespace.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    pub(crate) client: String,
    what: What,
    ipv6: bool,
    timeout: Duration,
    resolver: Option<IpAddr>,
}

#[derive(Clone, Debug)]
enum What {
    Fetch {
        url: Url,
        truth: BTreeSet<IpAddr>,
        http: Option<String>,
        insecure: bool,
        ca: std::path::PathBuf,
        token: String,
    },
    Resolve {
        name: String,
        truth: BTreeSet<IpAddr>,
    },
    Ping {
        to: Place,
    },
    Connect {
        to: Place,
        port: u16,
    },
    Datagram {
        to: Place,
        port: u16,
    },
    Quic {
        to: Place,
        port: u16,
        /// The server name in the handshake.
        name: String,
        ca: std::path::PathBuf,
    },
    Program(Vec<String>),
}

/// Where to: a host's address, or a name to ask for.
#[derive(Clone, Debug)]
enum Place {
    Address(IpAddr),
    Name(String, BTreeSet<IpAddr>),
}

/// Whether an address answers an echo request within a quarter of a second.
pub(crate) fn answers_ping(address: IpAddr) -> bool {
    simple::ping(address, Duration::from_millis(250)).outcome == Outcome::Ok
}

/// How one action ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) elapsed_ms: f64,
    pub(crate) bytes: Option<u64>,
    pub(crate) rate_mbit: Option<f64>,
    pub(crate) detail: String,
}

impl End {
    fn new(outcome: Outcome, elapsed: Duration, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { outcome, elapsed_ms: elapsed.as_secs_f64() * 1000.0, bytes: None, rate_mbit: None, detail }
    }
}

/// What actions need to know of the world.
pub(crate) struct Context<'a> {
    pub(crate) scenario: &'a crate::scenario::Scenario,
    pub(crate) addresses: &'a std::collections::BTreeMap<String, Vec<IpAddr>>,
    pub(crate) ca: &'a Path,
    /// The run's folder.
    pub(crate) folder: &'a Path,
    pub(crate) token: &'a str,
}

impl Context<'_> {
    fn truth(&self, name: &str, ipv6: bool) -> BTreeSet<IpAddr> {
        let mut all = crate::service::truth(self.scenario, self.addresses, name);
        all.retain(|a| a.is_ipv6() == ipv6);
        all
    }

    fn address(&self, host: &str, ipv6: bool) -> Option<IpAddr> {
        self.addresses.get(host)?.iter().copied().find(|a| a.is_ipv6() == ipv6)
    }

    fn place(&self, text: &str, ipv6: bool) -> Place {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        match bare.parse().ok().or_else(|| self.address(bare, ipv6)) {
            Some(address) => Place::Address(address),
            None => Place::Name(bare.to_owned(), self.truth(bare, ipv6)),
        }
    }
}

impl Action {
    /// What a client of a checked scenario does.
    pub(crate) fn new(client: &Client, context: &Context<'_>) -> Self {
        let ipv6 = client.ip.as_ref().is_some_and(|ip| *ip.get_ref() == 6);
        let host = context.scenario.host.get(client.host.get_ref().as_str());
        let resolver = host
            .and_then(|h| h.resolver.as_ref())
            .and_then(|r| context.address(r.get_ref(), ipv6).or_else(|| context.address(r.get_ref(), !ipv6)));
        let text = |name: &Option<crate::scenario::model::Name>| name.as_ref().map(|n| n.get_ref().clone());
        let what = if let Some(url) = text(&client.fetch).and_then(|u| Url::parse(&u).ok()) {
            let truth = context.truth(&url.host, ipv6);
            What::Fetch {
                url,
                truth,
                http: text(&client.http),
                insecure: client.insecure,
                ca: context.ca.to_owned(),
                token: context.token.to_owned(),
            }
        } else if let Some(name) = text(&client.resolve) {
            let truth = context.truth(&name, ipv6);
            What::Resolve { name, truth }
        } else if let Some(to) = text(&client.ping) {
            What::Ping { to: context.place(&to, ipv6) }
        } else if let Some((to, port)) = text(&client.connect).as_deref().and_then(|t| t.rsplit_once(':')) {
            What::Connect { to: context.place(to, ipv6), port: port.parse().unwrap_or(0) }
        } else if let Some((to, port)) = text(&client.datagram).as_deref().and_then(|t| t.rsplit_once(':')) {
            What::Datagram { to: context.place(to, ipv6), port: port.parse().unwrap_or(0) }
        } else if let Some((to, port)) = text(&client.quic).as_deref().and_then(|t| t.rsplit_once(':')) {
            What::Quic {
                to: context.place(to, ipv6),
                port: port.parse().unwrap_or(0),
                name: to.to_owned(),
                ca: context.ca.to_owned(),
            }
        } else {
            let words = client.program.as_ref().map(|p| p.get_ref().as_slice()).unwrap_or_default();
            // What can't be found is told when it can't be started.
            What::Program(crate::service::expanded(words, context.folder).unwrap_or_else(|_| words.to_vec()))
        };
        let timeout = client.timeout.as_ref().map_or(crate::expect::TIMEOUT, |t| *t.get_ref()).duration();
        let resolver = client.server.as_ref().map(|s| *s.get_ref()).or(resolver);
        Self { client: client.name(), what, ipv6, timeout, resolver }
    }

    /// Does it once. It must be called in the client's namespace.
    pub(crate) fn perform(&self, at_s: f64) -> Observation {
        let end = match &self.what {
            What::Fetch { url, truth, http, insecure, ca, token } => {
                let how = fetch::How {
                    http: http.as_deref(),
                    insecure: *insecure,
                    ca,
                    token,
                    timeout: self.timeout,
                };
                match self.find(&url.host, truth) {
                    Ok((address, spent)) if http.as_deref() == Some("3") => {
                        quic::fetch(url, address, &how, spent)
                    }
                    Ok((address, spent)) => fetch::fetch(url, address, &how, spent),
                    Err(end) => end,
                }
            }
            What::Resolve { name, truth } => match self.find(name, truth) {
                Ok((address, spent)) => End::new(Outcome::Ok, spent, address.to_string()),
                Err(end) => end,
            },
            What::Ping { to } => match self.go(to) {
                Ok((address, _)) => simple::ping(address, self.timeout),
                Err(end) => end,
            },
            What::Connect { to, port } => match self.go(to) {
                Ok((address, _)) => simple::connect((address, *port).into(), self.timeout),
                Err(end) => end,
            },
            What::Datagram { to, port } => match self.go(to) {
                Ok((address, _)) => simple::datagram((address, *port).into(), self.timeout),
                Err(end) => end,
            },
            What::Quic { to, port, name, ca } => match self.go(to) {
                Ok((address, _)) => quic::echo(address, *port, name, ca, self.timeout),
                Err(end) => end,
            },
            What::Program(command) => simple::program(command, self.timeout),
        };
        Observation {
            client: self.client.clone(),
            at_s,
            outcome: end.outcome,
            elapsed_ms: end.elapsed_ms,
            bytes: end.bytes,
            rate_mbit: end.rate_mbit,
            detail: end.detail,
        }
    }

    fn go(&self, to: &Place) -> Result<(IpAddr, Duration), End> {
        match to {
            Place::Address(address) => Ok((*address, Duration::ZERO)),
            Place::Name(name, truth) => self.find(name, truth),
        }
    }

    /// A name's address, as the resolver says; an answer that the zones contradict is an end.
    fn find(&self, name: &str, truth: &BTreeSet<IpAddr>) -> Result<(IpAddr, Duration), End> {
        if let Ok(address) = name.parse() {
            return Ok((address, Duration::ZERO));
        }
        let Some(resolver) = self.resolver else {
            return Err(End::new(Outcome::Failed, Duration::ZERO, "the host has no resolver"));
        };
        let reply = dns::ask((resolver, 53).into(), name, self.ipv6, self.timeout, dns::LINGER)
            .map_err(|(why, spent)| End::new(why, spent, format!("{name} asked of {resolver}")))?;
        let said = reply.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let mut detail = if said.is_empty() { reply.code_name() } else { said };
        if let Some(late) = &reply.other {
            detail.push_str(&format!("; another answer came after it: {late}"));
        }
        if let Some(words) = reply.blocked() {
            return Err(End::new(Outcome::DnsBlocked, reply.elapsed, words));
        }
        match (reply.code, reply.addresses.first()) {
            (0, Some(first)) if reply.addresses.iter().all(|a| truth.contains(a)) => {
                Ok((*first, reply.elapsed))
            }
            (0, Some(_)) => Err(End::new(Outcome::DnsForged, reply.elapsed, detail)),
            // A name without addresses of this family is no lie if the zones have none.
            (3, _) | (0, None) if !truth.is_empty() => {
                Err(End::new(Outcome::DnsNxdomain, reply.elapsed, detail))
            }
            (0 | 3, _) => {
                Err(End::new(Outcome::DnsNxdomain, reply.elapsed, format!("{detail}, as the zones say")))
            }
            _ => Err(End::new(Outcome::DnsRefused, reply.elapsed, detail)),
        }
    }
}
