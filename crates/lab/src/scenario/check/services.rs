//! Services, their ports, and the zones that their names lie in.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use super::{Check, hint};
use crate::scenario::model::{Service, ServiceKind};

impl Check<'_> {
    pub(super) fn services(&mut self) {
        let scenario = self.scenario;
        let mut ports: HashMap<(&str, Port), &str> = HashMap::new();
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
                    let what = format!("service {other:?} has {port} of this host already");
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
        if let Some(at) = service.certificate.as_ref().filter(|_| only(&[ServiceKind::Web])) {
            wrong.push((at.span(), "certificate"));
        }
        if !service.answer.is_empty() && only(&[ServiceKind::Web]) {
            wrong.push((service.kind.span(), "answer"));
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
        if matches!(kind, ServiceKind::Web | ServiceKind::QuicEcho) && service.names.is_empty() {
            let what = format!("a {} service needs names = [\"site.example\"]", kind.name());
            self.problem(service.kind.span(), what);
        }
        if service.http3 && (kind != ServiceKind::Web || service.tls == Some(false)) {
            self.problem(service.kind.span(), "http3 = true goes with kind = \"web\" and TLS");
        }
        for answer in &service.answer {
            if let Some(status) =
                answer.status.as_ref().filter(|status| !(200..=599).contains(status.get_ref()))
            {
                self.problem(status.span(), "a status must lie between 200 and 599");
            }
            // nginx reads a $ as the beginning of a variable, and has no way to write one.
            if [Some(&answer.body), answer.location.as_ref()]
                .into_iter()
                .flatten()
                .any(|text| text.contains('$'))
            {
                self.problem(service.kind.span(), "an answer can't have a $ in it");
            }
        }
        if let Some(size) = &service.page_kb
            && !(1..=102_400).contains(size.get_ref())
        {
            self.problem(size.span(), "page_kb must lie between 1 and 102400");
        }
    }
}

/// Whether a name lies in a zone.
pub(crate) fn in_zone(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
}

/// A port of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Port {
    pub(crate) udp: bool,
    pub(crate) number: u16,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} port {}", if self.udp { "UDP" } else { "TCP" }, self.number)
    }
}

/// The ports that a service takes on its host.
pub(crate) fn ports_of(service: &Service) -> Vec<Port> {
    let given = service.port.as_ref().map(|p| *p.get_ref());
    let (tcp, udp) = (|number| Port { udp: false, number }, |number| Port { udp: true, number });
    match service.kind.get_ref() {
        ServiceKind::Web => {
            let secure = given.unwrap_or(443);
            let ports = [
                (service.plain != Some(false), tcp(80)),
                (service.tls != Some(false), tcp(secure)),
                (service.http3, udp(secure)),
            ];
            ports.into_iter().filter_map(|(is_open, port)| is_open.then_some(port)).collect()
        }
        kind => {
            let ports = given.or_else(|| kind.port()).into_iter();
            let both = matches!(kind, ServiceKind::DnsAuthoritative | ServiceKind::DnsRecursive);
            ports
                .flat_map(|number| {
                    let main = Port { udp: kind.is_udp(), number };
                    [Some(main), both.then(|| tcp(number))].into_iter().flatten()
                })
                .collect()
        }
    }
}
