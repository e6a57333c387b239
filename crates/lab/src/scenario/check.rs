//! What a scenario must be beyond its schema: names that exist, addresses that fit, times within the timeline.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::ops::Range;

use toml::Spanned;

use super::error::{Problem, Source, hint};
use super::model::{Client, Expect, Link, MiddleboxKind, Name, Scenario, Service, ServiceKind};
use super::{Prefix, Time};

/// Hosts and networks that one scenario may have.
const NAMESPACES_MAX: usize = 250;

pub(super) fn check(scenario: &Scenario, source: &Source<'_>) -> Vec<Problem> {
    let mut check = Check { scenario, source, problems: Vec::new() };
    check.top();
    check.names();
    check.addresses();
    check.links();
    check.services();
    check.clients();
    check.events();
    check.problems
}

struct Check<'a> {
    scenario: &'a Scenario,
    source: &'a Source<'a>,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    fn problem(&mut self, span: Range<usize>, what: impl Into<String>) {
        self.problems.push(Problem { span, what: what.into() });
    }

    /// Reports a name that is not among those there are.
    fn known<'n>(
        &mut self,
        what: &str,
        name: &Name,
        mut there: impl Iterator<Item = &'n str> + Clone,
    ) -> bool {
        let wrong = name.get_ref();
        let found = there.clone().any(|n| n == wrong);
        if !found {
            let hint = hint(wrong, there.by_ref().collect::<Vec<_>>().into_iter());
            self.problem(name.span(), format!("there is no {what} {wrong:?}{hint}"));
        }
        found
    }

    fn host(&mut self, name: &Name) -> bool {
        let scenario = self.scenario;
        self.known("host", name, scenario.host.keys().map(|k| k.get_ref().as_str()))
    }

    fn top(&mut self) {
        let scenario = self.scenario;
        if scenario.duration.get_ref().seconds <= 0.0 {
            self.problem(scenario.duration.span(), "the duration must be longer than nothing");
        }
        if scenario.network.is_empty() || scenario.host.is_empty() {
            self.problem(0..0, "a scenario needs at least one network and one host");
        }
        let boxes = scenario.network.len() + scenario.host.len() + scenario.link.len();
        if boxes > NAMESPACES_MAX {
            self.problem(0..0, format!("{boxes} networks, hosts and links are more than {NAMESPACES_MAX}"));
        }
        if let Some(clock) = &scenario.clock
            && clock.start.get_ref().parse::<jiff::Timestamp>().is_err()
        {
            self.problem(clock.start.span(), "the clock's start must be as in \"2020-08-08T00:00:00Z\"");
        }
    }

    /// Names that become namespaces, and those that become file names.
    fn names(&mut self) {
        let scenario = self.scenario;
        let mut seen: HashMap<&str, Range<usize>> = HashMap::new();
        for name in scenario.network.keys().chain(scenario.host.keys()).chain(scenario.service.keys()) {
            self.well_formed(name);
        }
        for name in scenario.network.keys().chain(scenario.host.keys()) {
            if let Some(first) = seen.insert(name.get_ref(), name.span()) {
                let (line, _) = self.source.position(first.start);
                self.problem(
                    name.span(),
                    format!(
                        "{:?} is in line {line} already: a host and a network can't share it",
                        name.get_ref()
                    ),
                );
            }
        }
        for zone in scenario.zone.keys() {
            self.domain(zone);
        }
    }

    fn well_formed(&mut self, name: &Name) {
        let good = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '.');
        let text = name.get_ref();
        if text.is_empty() || text.len() > 40 || !text.chars().all(good) || text.starts_with(['-', '.']) {
            self.problem(
                name.span(),
                format!("{text:?}: a name is 1 to 40 of a-z, 0-9, -, _ and ., with a letter or digit first"),
            );
        }
    }

    fn domain(&mut self, name: &Name) {
        let text = name.get_ref();
        let good = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '.');
        let labels = text.split('.').all(|l| !l.is_empty() && l.len() <= 63);
        if text.len() > 250 || !text.chars().all(good) || !labels {
            self.problem(
                name.span(),
                format!("{text:?} is no domain name: write it in lower case, IDNs in ASCII (xn--…), without a dot at its end"),
            );
        }
    }

    fn addresses(&mut self) {
        let scenario = self.scenario;
        let mut prefixes: Vec<(&Name, &Spanned<Prefix>)> = scenario
            .network
            .iter()
            .flat_map(|(name, n)| n.ipv4.iter().chain(&n.ipv6).map(move |p| (name, p)))
            .collect();
        // The later one of two in the file is the one to blame.
        prefixes.sort_by_key(|(_, prefix)| prefix.span().start);
        for (i, (name, prefix)) in prefixes.iter().enumerate() {
            for (other, earlier) in prefixes.iter().take(i) {
                if prefix.get_ref().overlaps(*earlier.get_ref()) {
                    let what = format!(
                        "{} of network {:?} overlaps {} of network {:?}",
                        prefix.get_ref(),
                        name.get_ref(),
                        earlier.get_ref(),
                        other.get_ref()
                    );
                    self.problem(prefix.span(), what);
                }
            }
        }
        for (name, network) in &scenario.network {
            if network.ipv4.is_none() && network.ipv6.is_none() {
                self.problem(
                    name.span(),
                    format!("network {:?} needs ipv4 or ipv6, or both", name.get_ref()),
                );
            }
            for (prefix, four) in
                network.ipv4.iter().map(|p| (p, true)).chain(network.ipv6.iter().map(|p| (p, false)))
            {
                if prefix.get_ref().first.is_ipv4() != four {
                    self.problem(
                        prefix.span(),
                        format!("{} is of the other address family", prefix.get_ref()),
                    );
                }
            }
        }
        let mut taken: HashMap<IpAddr, &str> = HashMap::new();
        for (name, host) in &scenario.host {
            if !self.known("network", &host.network, scenario.network.keys().map(|k| k.get_ref().as_str())) {
                continue;
            }
            let Some(network) = scenario.network.get(host.network.get_ref().as_str()) else { continue };
            let given = host
                .ipv4
                .iter()
                .map(|a| (a.span(), IpAddr::V4(*a.get_ref())))
                .chain(host.ipv6.iter().map(|a| (a.span(), IpAddr::V6(*a.get_ref()))))
                .chain(host.also.iter().map(|a| (a.span(), *a.get_ref())));
            for (span, address) in given {
                self.address(span.clone(), address, host.network.get_ref(), network);
                if let Some(other) = taken.insert(address, name.get_ref()) {
                    self.problem(span, format!("{address} is {other:?}'s address already"));
                }
            }
            if let Some(resolver) = &host.resolver
                && self.host(resolver)
                && !self.serves(resolver, ServiceKind::DnsRecursive)
            {
                let what = format!(
                    "host {:?} has no dns-recursive service, so nothing can ask it",
                    resolver.get_ref()
                );
                self.problem(resolver.span(), what);
            }
        }
    }

    fn address(&mut self, span: Range<usize>, address: IpAddr, name: &str, network: &super::model::Network) {
        let prefix = if address.is_ipv4() { &network.ipv4 } else { &network.ipv6 };
        match prefix.as_ref().map(Spanned::get_ref) {
            None => {
                let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
                self.problem(span, format!("{address}: network {name:?} has no {family} range"));
            }
            Some(p) if !p.contains(address) => {
                self.problem(span, format!("{address} lies outside {p}, the range of network {name:?}"));
            }
            Some(p) if p.gateway() == Some(address) => {
                self.problem(
                    span,
                    format!("{address} is the router's address in network {name:?}: take a higher one"),
                );
            }
            Some(p) if p.first == address || p.broadcast() == Some(address) => {
                self.problem(
                    span,
                    format!("{address} is the address of network {name:?} itself, or its broadcast address"),
                );
            }
            Some(_) => {}
        }
    }

    fn serves(&self, host: &Name, kind: ServiceKind) -> bool {
        self.scenario
            .service
            .values()
            .any(|s| s.host.get_ref() == host.get_ref() && *s.kind.get_ref() == kind)
    }

    fn links(&mut self) {
        let scenario = self.scenario;
        let mut names = HashSet::new();
        let mut ends = HashSet::new();
        let mut adversaries: HashSet<String> = HashSet::new();
        for link in &scenario.link {
            let [a, b] = &link.between;
            let span = a.span().start..b.span().end;
            if !names.insert(link.name()) {
                let at = link.name.as_ref().map_or_else(|| span.clone(), Spanned::span);
                self.problem(
                    at,
                    format!("there are two links {:?}: give each a name of its own", link.name()),
                );
            }
            if let Some(name) = &link.name {
                self.well_formed(name);
            }
            let there: Vec<&str> =
                scenario.network.keys().chain(scenario.host.keys()).map(|k| k.get_ref().as_str()).collect();
            let both = link
                .between
                .iter()
                .filter(|end| self.known("network or host", end, there.iter().copied()))
                .count();
            if both < 2 {
                continue;
            }
            let mut pair = [a.get_ref(), b.get_ref()];
            pair.sort();
            if pair[0] == pair[1] {
                self.problem(span.clone(), "a link needs two different ends");
            } else if !ends.insert(pair) {
                self.problem(
                    span.clone(),
                    format!("{:?} and {:?} are linked already", a.get_ref(), b.get_ref()),
                );
            }
            let network_of =
                |end: &Name| scenario.host.get(end.get_ref().as_str()).map(|h| h.network.get_ref());
            match (network_of(a), network_of(b)) {
                (Some(_), Some(_)) => {
                    self.problem(span, "two hosts can't be linked: each is linked to its network")
                }
                (Some(n), None) if n != b.get_ref() => {
                    self.problem(b.span(), format!("host {:?} is in network {n:?}", a.get_ref()));
                }
                (None, Some(n)) if n != a.get_ref() => {
                    self.problem(a.span(), format!("host {:?} is in network {n:?}", b.get_ref()));
                }
                _ => {}
            }
            self.figures(link);
            self.middlebox(link);
            for table in &link.adversary {
                for key in ["name", "kind"] {
                    if table.get_ref().get(key).and_then(toml::Value::as_str).is_none_or(str::is_empty) {
                        self.problem(table.span(), format!("an adversary needs a {key}: {key} = \"…\""));
                    }
                }
                let name = table.get_ref().get("name").and_then(toml::Value::as_str).unwrap_or_default();
                if !name.is_empty() && !adversaries.insert(name.to_owned()) {
                    self.problem(table.span(), format!("there are two adversaries {name:?}"));
                }
                if table.get_ref().get("enabled").is_some_and(|v| !v.is_bool()) {
                    self.problem(table.span(), "enabled must be true or false");
                }
            }
        }
        self.reachable();
    }

    fn figures(&mut self, link: &Link) {
        for (name, value, least, most) in [
            ("delay_ms", &link.delay_ms, 0.0, 10_000.0),
            ("jitter_ms", &link.jitter_ms, 0.0, 10_000.0),
            ("loss_percent", &link.loss_percent, 0.0, 100.0),
            ("rate_mbit", &link.rate_mbit, 0.01, 10_000.0),
            ("queue_kb", &link.queue_kb, 1.0, 1_000_000.0),
        ] {
            self.within(name, value.as_ref(), least, most);
        }
    }

    fn within(&mut self, name: &str, value: Option<&Spanned<f64>>, least: f64, most: f64) {
        if let Some(value) = value
            && !(least..=most).contains(value.get_ref())
        {
            self.problem(value.span(), format!("{name} must lie between {least} and {most}"));
        }
    }

    fn middlebox(&mut self, link: &Link) {
        let kind = link.middlebox.as_ref().map(Spanned::get_ref);
        match (kind, &link.middlebox) {
            (Some(MiddleboxKind::Filter), Some(at)) if link.policy.is_none() => {
                self.problem(at.span(), "middlebox = \"filter\" needs policy = \"FILE.toml\"");
            }
            (Some(MiddleboxKind::Program), Some(at))
                if link.program.as_ref().is_none_or(|p| p.get_ref().is_empty()) =>
            {
                self.problem(
                    at.span(),
                    "middlebox = \"program\" needs program = [\"command\", \"argument\", …]",
                );
            }
            _ => {}
        }
        if kind != Some(&MiddleboxKind::Filter)
            && let Some(policy) = &link.policy
        {
            self.problem(policy.span(), "policy goes with middlebox = \"filter\"");
        }
        if kind != Some(&MiddleboxKind::Program)
            && let Some(program) = &link.program
        {
            self.problem(program.span(), "program goes with middlebox = \"program\"");
        }
        if kind.is_some()
            && let Some(adversary) = link.adversary.first()
        {
            self.problem(
                adversary.span(),
                "a link has a middlebox or adversaries, not both: put a network between",
            );
        }
    }

    /// Every network can be reached from the first.
    fn reachable(&mut self) {
        let scenario = self.scenario;
        let Some(first) = scenario.network.keys().min_by_key(|k| k.span().start) else { return };
        let mut reached: HashSet<&str> = HashSet::from([first.get_ref().as_str()]);
        loop {
            let before = reached.len();
            for link in &scenario.link {
                let [a, b] = [link.between[0].get_ref().as_str(), link.between[1].get_ref().as_str()];
                if reached.contains(a) || reached.contains(b) {
                    reached.extend([a, b]);
                }
            }
            if reached.len() == before {
                break;
            }
        }
        for name in scenario.network.keys().filter(|k| !reached.contains(k.get_ref().as_str())) {
            let what = format!(
                "network {:?} can't be reached from {:?}: add a [[link]]",
                name.get_ref(),
                first.get_ref()
            );
            self.problem(name.span(), what);
        }
    }

    fn services(&mut self) {
        let scenario = self.scenario;
        let mut ports: HashMap<(&str, u16), &str> = HashMap::new();
        for (name, service) in &scenario.service {
            self.host(&service.host);
            for domain in &service.names {
                self.domain(domain);
                let host = domain.get_ref();
                if !scenario.zone.keys().any(|z| in_zone(host, z.get_ref())) {
                    self.problem(
                        domain.span(),
                        format!("no [zone] holds {host:?}, so nothing could resolve it"),
                    );
                }
            }
            self.belongs(service);
            for port in ports_of(service) {
                if let Some(other) = ports.insert((service.host.get_ref(), port), name.get_ref()) {
                    let what = format!("service {other:?} has port {port} of this host already");
                    self.problem(service.kind.span(), what);
                }
            }
        }
        for (zone, of) in &scenario.zone {
            if self.known("service", &of.service, scenario.service.keys().map(|k| k.get_ref().as_str()))
                && scenario
                    .service
                    .get(of.service.get_ref().as_str())
                    .is_some_and(|s| *s.kind.get_ref() != ServiceKind::DnsAuthoritative)
            {
                self.problem(
                    of.service.span(),
                    format!("zone {:?} needs a dns-authoritative service", zone.get_ref()),
                );
            }
            for (name, target) in &of.names {
                for value in target.all() {
                    if value.parse::<IpAddr>().is_err() && !scenario.host.contains_key(value.as_str()) {
                        let hint = hint(value, scenario.host.keys().map(|k| k.get_ref().as_str()));
                        self.problem(
                            name.span(),
                            format!("{value:?} is neither an address nor a host{hint}"),
                        );
                    }
                }
            }
        }
    }

    fn belongs(&mut self, service: &Service) {
        let kind = *service.kind.get_ref();
        let only = |kinds: &[ServiceKind]| !kinds.contains(&kind);
        let mut wrong = Vec::new();
        if let Some(at) = service.page_kb.as_ref().filter(|_| only(&[ServiceKind::Web])) {
            wrong.push((at.span(), "page_kb"));
        }
        if let Some(at) = service.page.as_ref().filter(|_| only(&[ServiceKind::Web])) {
            wrong.push((at.span(), "page"));
        }
        if let Some(at) = service.program.as_ref().filter(|_| only(&[ServiceKind::Program])) {
            wrong.push((at.span(), "program"));
        }
        for (span, key) in wrong {
            self.problem(span, format!("{key} doesn't go with kind = {:?}", kind.name()));
        }
        if kind == ServiceKind::Program && service.program.as_ref().is_none_or(|p| p.get_ref().is_empty()) {
            self.problem(
                service.kind.span(),
                "kind = \"program\" needs program = [\"command\", \"argument\", …]",
            );
        }
        if kind == ServiceKind::Web && service.names.is_empty() {
            self.problem(service.kind.span(), "a web service needs names = [\"site.example\"]");
        }
        if let Some(size) = &service.page_kb
            && !(1..=102_400).contains(size.get_ref())
        {
            self.problem(size.span(), "page_kb must lie between 1 and 102400");
        }
    }

    fn clients(&mut self) {
        let scenario = self.scenario;
        let mut names = HashSet::new();
        for client in &scenario.client {
            self.host(&client.host);
            let at = client.name.as_ref().map_or_else(|| client.host.span(), Spanned::span);
            if !names.insert(client.name()) {
                self.problem(
                    at.clone(),
                    format!("there are two clients {:?}: give each a name", client.name()),
                );
            }
            let actions = [&client.fetch, &client.resolve, &client.ping, &client.connect];
            let actions =
                actions.iter().filter(|a| a.is_some()).count() + usize::from(client.program.is_some());
            if actions != 1 {
                let what = format!(
                    "a client does one thing, not {actions}: fetch, resolve, ping, connect or program"
                );
                self.problem(at, what);
            }
            self.client(client);
            for expect in &client.expect {
                self.expect(expect);
            }
        }
    }

    fn client(&mut self, client: &Client) {
        if let Some(url) = &client.fetch {
            if let Err(why) = crate::client::Url::parse(url.get_ref()) {
                self.problem(url.span(), why);
            }
            let resolver =
                self.scenario.host.get(client.host.get_ref().as_str()).map(|h| h.resolver.is_some());
            let literal =
                crate::client::Url::parse(url.get_ref()).is_ok_and(|u| u.host.parse::<IpAddr>().is_ok());
            if resolver == Some(false) && !literal {
                let what = format!("host {:?} has no resolver to ask for a name", client.host.get_ref());
                self.problem(url.span(), what);
            }
        }
        if let Some(http) = &client.http
            && !matches!(http.get_ref().as_str(), "1.1" | "2")
        {
            self.problem(http.span(), "http must be \"1.1\" or \"2\"");
        }
        if let Some(ip) = &client.ip
            && !matches!(ip.get_ref(), 4 | 6)
        {
            self.problem(ip.span(), "ip must be 4 or 6");
        }
        if let Some(to) = &client.connect
            && to.get_ref().rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err())
        {
            self.problem(to.span(), "connect needs a port: \"host:443\"");
        }
        if let Some(every) = &client.every
            && every.get_ref().seconds < 0.05
        {
            self.problem(every.span(), "every must be 50 ms at least: the lab is not a load generator");
        }
        if let Some(timeout) = &client.timeout
            && !(0.05..=600.0).contains(&timeout.get_ref().seconds)
        {
            self.problem(timeout.span(), "timeout must lie between 50 ms and 10 min");
        }
        if let Some(until) = &client.until {
            self.in_time(until);
        }
    }

    fn expect(&mut self, expect: &Expect) {
        for time in expect.from.iter().chain(&expect.until) {
            self.in_time(time);
        }
        for (name, value, most) in [
            ("share_percent_min", &expect.share_percent_min, 100.0),
            ("share_percent_max", &expect.share_percent_max, 100.0),
            ("latency_ms_min", &expect.latency_ms_min, 1e6),
            ("latency_ms_max", &expect.latency_ms_max, 1e6),
            ("rate_mbit_min", &expect.rate_mbit_min, 1e5),
            ("rate_mbit_max", &expect.rate_mbit_max, 1e5),
        ] {
            self.within(name, value.as_ref(), 0.0, most);
        }
        if let Some(share) = expect.share_percent_min.as_ref().or(expect.share_percent_max.as_ref())
            && expect.outcome.is_none()
        {
            self.problem(share.span(), "a share of what? Add outcome = \"…\"");
        }
    }

    fn in_time(&mut self, time: &Spanned<Time>) {
        let end = *self.scenario.duration.get_ref();
        if *time.get_ref() > end {
            self.problem(time.span(), format!("{} is after the end: the duration is {end}", time.get_ref()));
        }
    }

    fn events(&mut self) {
        let scenario = self.scenario;
        let links: Vec<String> = scenario.link.iter().map(Link::name).collect();
        let adversaries: Vec<&str> = scenario
            .link
            .iter()
            .flat_map(|l| &l.adversary)
            .filter_map(|t| t.get_ref().get("name").and_then(toml::Value::as_str))
            .collect();
        for event in &scenario.event {
            self.in_time(&event.at);
            for name in event.enable.iter().chain(&event.disable) {
                self.known("adversary", name, adversaries.iter().copied());
            }
            for name in event.cut.iter().chain(&event.mend).chain(event.change.keys()) {
                self.known("link", name, links.iter().map(String::as_str));
            }
            for name in event.start.iter().chain(&event.stop) {
                self.known("service", name, scenario.service.keys().map(|k| k.get_ref().as_str()));
            }
            if let Some(run) = &event.run {
                self.host(&run.host);
                if run.program.get_ref().is_empty() {
                    self.problem(run.program.span(), "program needs a command");
                }
            }
        }
    }
}

/// Whether a name lies in a zone.
pub(crate) fn in_zone(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
}

/// The TCP or UDP ports that a service takes on its host.
pub(crate) fn ports_of(service: &Service) -> Vec<u16> {
    let given = service.port.as_ref().map(|p| *p.get_ref());
    match service.kind.get_ref() {
        ServiceKind::Web => {
            let mut ports = Vec::new();
            if service.plain != Some(false) {
                ports.push(80);
            }
            if service.tls != Some(false) {
                ports.push(given.unwrap_or(443));
            }
            ports
        }
        kind => given.or_else(|| kind.port()).into_iter().collect(),
    }
}
