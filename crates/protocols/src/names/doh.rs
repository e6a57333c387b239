//! DNS over HTTPS (RFC 8484), seen from outside: TLS or QUIC whose SNI is a public resolver that answers DNS over HTTPS.
//! The HTTP inside is encrypted, so other traffic to the same name (a resolver's web site under that very name) is
//! labelled too, and a resolver that is not in the list is not.

use crate::{Family, Protocol};

/// DNS over HTTPS.
pub const PROTOCOL: Protocol = Protocol {
    name: "doh",
    title: "DNS over HTTPS",
    family: Family::Names,
    source: "RFC 8484",
    ..Protocol::BASE
};

/// All names below these are public resolvers.
static ZONES: [&str; 2] = [".cloudflare-gateway.com", ".dns.nextdns.io"];

/// Host names of public resolvers, from their operators' own documentation. Sorted.
static RESOLVERS: &[&str] = &[
    "1dot1dot1dot1.cloudflare-dns.com",
    "adblock.dns.mullvad.net",
    "all.dns.mullvad.net",
    "anycast.dns.nextdns.io",
    "anycast.uncensoreddns.org",
    "base.dns.mullvad.net",
    "chrome.cloudflare-dns.com",
    "cloudflare-dns.com",
    "dns-family.adguard.com",
    "dns-unfiltered.adguard.com",
    "dns.adguard-dns.com",
    "dns.adguard.com",
    "dns.alidns.com",
    "dns.cloudflare.com",
    "dns.controld.com",
    "dns.digitale-gesellschaft.ch",
    "dns.google",
    "dns.google.com",
    "dns.mullvad.net",
    "dns.nextdns.io",
    "dns.njal.la",
    "dns.pub",
    "dns.quad9.net",
    "dns.sb",
    "dns.switch.ch",
    "dns10.quad9.net",
    "dns11.quad9.net",
    "dns12.quad9.net",
    "dns64.cloudflare-dns.com",
    "dns9.quad9.net",
    "doh.applied-privacy.net",
    "doh.cleanbrowsing.org",
    "doh.dns.apple.com",
    "doh.dns.sb",
    "doh.familyshield.opendns.com",
    "doh.libredns.gr",
    "doh.opendns.com",
    "doh.pub",
    "doh.sandbox.opendns.com",
    "doh.umbrella.com",
    "doh.xfinity.com",
    "extended.dns.mullvad.net",
    "family.adguard-dns.com",
    "family.cloudflare-dns.com",
    "family.dns.mullvad.net",
    "firefox.dns.nextdns.io",
    "freedns.controld.com",
    "mozilla.cloudflare-dns.com",
    "one.one.one.one",
    "private.canadianshield.cira.ca",
    "security.cloudflare-dns.com",
    "unfiltered.adguard-dns.com",
    "unicast.uncensoreddns.org",
    "wikimedia-dns.org",
];

/// True if a host name is that of a public resolver.
pub(crate) fn is_resolver(host: &[u8]) -> bool {
    // Many names are far too long or short.
    if !(6..=64).contains(&host.len()) {
        return false;
    }
    let dots = host.iter().rev().take_while(|b| **b == b'.').count();
    let host = &host[..host.len() - dots];
    let lower = || host.iter().map(u8::to_ascii_lowercase);
    let is_below = |zone: &&str| {
        let from = host.len().saturating_sub(zone.len());
        host[from..].eq_ignore_ascii_case(zone.as_bytes())
    };
    RESOLVERS.binary_search_by(|name| name.bytes().cmp(lower())).is_ok() || ZONES.iter().any(is_below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_told_from_their_neighbours() {
        assert!(RESOLVERS.is_sorted());
        for host in ["dns.google", "DNS.Google.", "mozilla.cloudflare-dns.com", "abcdef.dns.nextdns.io"] {
            assert!(is_resolver(host.as_bytes()), "{host}");
        }
        for host in
            ["google", "www.dns.google", "dns.google.example", "nextdns.io", "", "xcloudflare-gateway.com"]
        {
            assert!(!is_resolver(host.as_bytes()), "{host}");
        }
    }
}
