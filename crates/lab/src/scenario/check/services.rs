//! Services, their ports, and the zones that their names lie in.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{Check, hint};
use crate::scenario::model::{Service, ServiceKind};

impl Check<'_> {
    pub(super) fn services(&mut self) {
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
