//! The system's own resolver: what an ordinary program gets.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use daylight_verdict::ooni::Failure;

use super::{Exchange, Patience, RecordType, Resolver, udp};
use crate::failure;

/// What the system's resolver gave. It hides the answers themselves.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// For which name.
    pub name: String,
    /// When it was begun.
    pub begun: Instant,
    /// When it had ended.
    pub ended: Instant,
    /// Addresses of both families, each once.
    pub addresses: Vec<IpAddr>,
    /// Why there is none.
    pub failure: Option<Failure>,
}

/// Looks a name up as ordinary programs do.
pub async fn lookup(name: &str, timeout: Duration) -> Lookup {
    let begun = Instant::now();
    let found = tokio::time::timeout(timeout, tokio::net::lookup_host((name, 0))).await;
    let mut addresses = Vec::new();
    let failure = match found {
        Err(_) => Some(Failure::GenericTimeout),
        Ok(Err(error)) => Some(failure::of_lookup(&error)),
        Ok(Ok(found)) => {
            for address in found.map(|socket| socket.ip()) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            addresses.is_empty().then_some(Failure::DnsNoAnswer)
        }
    };
    Lookup { name: name.to_owned(), begun, ended: Instant::now(), addresses, failure }
}

/// As [`lookup`], but of a given resolver, by UDP.
pub async fn lookup_at(at: SocketAddr, name: &str, patience: Patience) -> Lookup {
    let begun = Instant::now();
    let ask = |kind| udp::ask(Exchange::new(&Resolver::Udp(at), name, kind), at, patience);
    let (v4, v6) = tokio::join!(ask(RecordType::A), ask(RecordType::Aaaa));
    let addresses = [v4.addresses(), v6.addresses()].concat();
    let failure = if addresses.is_empty() { v4.failure } else { None };
    Lookup { name: name.to_owned(), begun, ended: v4.ended.max(v6.ended), addresses, failure }
}

/// The resolvers in a `resolv.conf`(5): asked by UDP as well, they show what the system's own hides.
#[must_use]
pub fn nameservers(resolv_conf: &str) -> Vec<SocketAddr> {
    // As many as the C library takes.
    const SERVERS_MAX: usize = 3;
    resolv_conf
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == "nameserver").then(|| words.next()).flatten()
        })
        // A zone (`fe80::1%eth0`) is left out: std has no name for it.
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, 53))
        .take(SERVERS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf() {
        let text = "# made by hand\nsearch example\nnameserver 192.0.2.53\nnameserver\t2001:db8::53\nnameserver fe80::1%eth0\n";
        let found: Vec<_> = nameservers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.53:53", "[2001:db8::53]:53"]);
    }

    #[tokio::test]
    async fn localhost_is_known() {
        let found = lookup("localhost", Duration::from_secs(20)).await;
        assert!(found.addresses.contains(&"127.0.0.1".parse().unwrap()), "{found:?}");
    }
}
