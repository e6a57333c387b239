//! Ranges that don't overlap, and addresses within them that nobody else has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

use toml::Spanned;

use super::Check;
use crate::scenario::Prefix;
use crate::scenario::model::{Name, Network, ServiceKind};

impl Check<'_> {
    pub(super) fn addresses(&mut self) {
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

    fn address(&mut self, span: Range<usize>, address: IpAddr, name: &str, network: &Network) {
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
}
