//! Where streams and datagrams may go.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use daylight_packet::{embedded_ipv4, is_special};
use serde::Deserialize;

use super::{Denial, EgressConfig, Prefix};

/// How old the list of the server's own addresses may be.
const OWN_ADDRESSES_AGE: Duration = Duration::from_secs(10);

/// A domain and all below it; letters in small.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Domain(String);

impl Domain {
    fn covers(&self, name: &str) -> bool {
        name.strip_suffix(&self.0).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl TryFrom<String> for Domain {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.trim_matches('.').to_ascii_lowercase();
        match name.parse::<daylight_session::HostName>() {
            Ok(_) => Ok(Self(name)),
            Err(error) => Err(format!("{text:?} is not a domain: {error}")),
        }
    }
}

/// The rules, and what of the machine they need.
#[derive(Debug)]
pub(super) struct Rules {
    config: EgressConfig,
    own: Mutex<Option<(Instant, Vec<IpAddr>)>>,
}

impl Rules {
    pub(super) fn new(config: EgressConfig) -> Self {
        Self { config, own: Mutex::new(None) }
    }

    /// Before anything is looked up: the port, and the name if there is one.
    pub(super) fn allow(&self, name: Option<&str>, port: u16) -> Result<(), Denial> {
        let config = &self.config;
        if port == 0
            || config.deny_ports.contains(&port)
            || !(config.only_ports.is_empty() || config.only_ports.contains(&port))
        {
            return Err(Denial::Port);
        }
        let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        let is_in = |domains: &[Domain]| {
            name.as_ref().is_some_and(|name| domains.iter().any(|domain| domain.covers(name)))
        };
        if is_in(&config.deny_domains) || !(config.only_domains.is_empty() || is_in(&config.only_domains)) {
            return Err(Denial::Domain);
        }
        Ok(())
    }

    /// The address that will be dialled, and the one that it leads to if a translator is on the way.
    pub(super) fn allow_address(&self, address: IpAddr) -> Result<(), Denial> {
        let address = address.to_canonical();
        let embedded = match address {
            IpAddr::V6(address) => embedded_ipv4(address).map(IpAddr::V4),
            IpAddr::V4(_) => None,
        };
        let config = &self.config;
        let is_in = |networks: &[Prefix], address| networks.iter().any(|network| network.contains(address));
        let leads_to = || [address].into_iter().chain(embedded);
        if leads_to().any(|address| is_in(&config.deny_networks, address))
            || !(config.only_networks.is_empty() || is_in(&config.only_networks, address))
        {
            return Err(Denial::Network);
        }
        if is_in(&config.reach_private, address) {
            return Ok(());
        }
        if is_special(address) {
            return Err(Denial::Special);
        }
        if leads_to().any(|address| is_in(&config.own_networks, address) || self.is_own(address)) {
            return Err(Denial::Own);
        }
        Ok(())
    }

    /// An address of one of this machine's interfaces: what listens there may trust who comes from the machine itself.
    fn is_own(&self, address: IpAddr) -> bool {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = own.as_ref().is_some_and(|(read, _)| read.elapsed() < OWN_ADDRESSES_AGE);
        if !fresh {
            *own = own_addresses().map(|addresses| (Instant::now(), addresses));
        }
        // If the system doesn't say what its addresses are, every address could be one.
        own.as_ref().is_none_or(|(_, addresses)| addresses.contains(&address))
    }
}

fn own_addresses() -> Option<Vec<IpAddr>> {
    let interfaces = nix::ifaddrs::getifaddrs().ok()?;
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    });
    Some(addresses.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(edit: impl FnOnce(&mut EgressConfig)) -> Rules {
        let mut config = EgressConfig::default();
        edit(&mut config);
        Rules::new(config)
    }

    fn domains(names: &[&str]) -> Vec<Domain> {
        names.iter().map(|name| Domain::try_from((*name).to_owned()).unwrap()).collect()
    }

    #[test]
    fn ports() {
        let usual = rules(|_| ());
        for port in [0, 25, 465, 587] {
            assert_eq!(usual.allow(None, port), Err(Denial::Port), "{port}");
        }
        assert_eq!(usual.allow(None, 443), Ok(()));
        let web = rules(|config| config.only_ports = vec![80, 443]);
        assert_eq!(web.allow(None, 22), Err(Denial::Port));
        assert_eq!(web.allow(None, 80), Ok(()));
    }

    #[test]
    fn names() {
        let rules = rules(|config| {
            config.deny_domains = domains(&["Bad.example.org."]);
            config.only_domains = domains(&["example.org", "net"]);
        });
        for (name, expected) in [
            ("example.org", Ok(())),
            ("WWW.Example.ORG.", Ok(())),
            ("a.net", Ok(())),
            ("badexample.org", Err(Denial::Domain)),
            ("bad.example.org", Err(Denial::Domain)),
            ("a.bad.example.org", Err(Denial::Domain)),
            ("example.com", Err(Denial::Domain)),
        ] {
            assert_eq!(rules.allow(Some(name), 443), expected, "{name}");
        }
        // An address has no name by which it could be among the only ones.
        assert_eq!(rules.allow(None, 443), Err(Denial::Domain));
    }

    #[test]
    fn addresses() {
        let networks = |list: &[&str]| list.iter().map(|one| one.parse().unwrap()).collect::<Vec<Prefix>>();
        let rules = rules(|config| {
            config.deny_networks = networks(&["10.0.0.0/30", "8.8.4.4"]);
            config.reach_private = networks(&["10.0.0.0/24"]);
            config.own_networks = networks(&["9.9.9.9"]);
        });
        for (address, expected) in [
            ("8.8.8.8", Ok(())),
            ("8.8.4.4", Err(Denial::Network)),
            ("::ffff:8.8.4.4", Err(Denial::Network)),
            ("10.0.0.1", Err(Denial::Network)),
            ("10.0.0.9", Ok(())),
            ("::ffff:10.0.0.9", Ok(())),
            ("10.0.1.9", Err(Denial::Special)),
            ("9.9.9.9", Err(Denial::Own)),
            ("64:ff9b::8.8.8.8", Ok(())),
            ("64:ff9b::8.8.4.4", Err(Denial::Network)),
            ("2002:808:404::1", Err(Denial::Network)),
            ("64:ff9b::9.9.9.9", Err(Denial::Own)),
        ] {
            assert_eq!(rules.allow_address(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn interfaces_have_addresses() {
        assert!(own_addresses().unwrap().contains(&"127.0.0.1".parse().unwrap()));
    }
}
