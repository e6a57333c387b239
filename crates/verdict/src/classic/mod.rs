//! OONI's own verdict on a measurement, by what OONI's code does rather than by what its specification says: the titles
//! of two pages count as alike only if all their long words are in both, and so on.
//!
//! Measurements of `web_connectivity` 0.4 and before, and of 0.5, are judged by different algorithms, whose results have
//! the same keys. The verdict of ours doesn't depend on it.

mod diff;
mod v04;
mod v05;

use std::collections::BTreeSet;
use std::net::IpAddr;

pub(crate) use diff::{Diff, title};

use crate::ooni::{Control, Measurement, TestKeys};
use crate::record::Classic;

/// What OONI's analysis says of a measurement.
pub fn classic(measurement: &Measurement) -> Classic {
    let mut parts = measurement.test_version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(0)), Some(Ok(minor))) if minor < 5 => v04::classic(measurement),
        _ => v05::classic(measurement),
    }
}

/// The host of a URL, as it stands there.
pub(crate) fn host(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next();
    }
    host.split(':').next()
}

/// The network that an address is in, as far as the measurement itself tells. Never 0.
pub(crate) fn asn(keys: &TestKeys, address: &str) -> Option<u32> {
    let answers = keys.queries.iter().flat_map(|query| &query.answers);
    let told = answers.filter(|answer| answer.address() == Some(address)).find_map(|answer| answer.asn);
    let info = || keys.control.as_ref()?.ip_info.get(address).map(|info| info.asn);
    told.filter(|asn| *asn > 0).or_else(info).filter(|asn| *asn > 0)
}

/// Whether two sets of addresses have one, or a network, in common.
pub(crate) fn agree<'a>(
    keys: &TestKeys,
    ours: impl IntoIterator<Item = &'a str>,
    theirs: impl IntoIterator<Item = &'a str>,
) -> bool {
    let ours: BTreeSet<&str> = ours.into_iter().collect();
    let theirs: BTreeSet<&str> = theirs.into_iter().filter(|address| !address.is_empty()).collect();
    if ours.intersection(&theirs).next().is_some() {
        return true;
    }
    let networks: BTreeSet<u32> = theirs.iter().filter_map(|address| asn(keys, address)).collect();
    ours.iter().any(|address| asn(keys, address).is_some_and(|asn| networks.contains(&asn)))
}

/// What the control answered, if it was asked and did.
pub(crate) fn control(keys: &TestKeys) -> Option<(&str, &Control)> {
    let request = keys.x_control_request.as_ref()?;
    Some((host(&request.http_request)?, keys.control.as_ref()?))
}

/// Whether all of at least one address are loopback ones.
fn only_loopback<'a>(addresses: impl IntoIterator<Item = &'a str>) -> bool {
    let mut parsed = addresses.into_iter().filter_map(|address| address.parse::<IpAddr>().ok()).peekable();
    parsed.peek().is_some() && parsed.all(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_urls() {
        for (url, expected) in [
            ("https://example.org/a:b", Some("example.org")),
            ("http://user:pass@example.org:8080?x", Some("example.org")),
            ("https://[2001:db8::1]:443/", Some("2001:db8::1")),
            ("http://Яндекс.рф/", Some("Яндекс.рф")),
            ("example.org", None),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }

    #[test]
    fn loopback_alone_counts() {
        assert!(only_loopback(["127.0.0.1", "::1", "x"]));
        assert!(!only_loopback(["127.0.0.1", "192.0.2.1"]) && !only_loopback([]));
    }
}
