//! The networks in which clients are.

use std::net::IpAddr;
use std::str::FromStr;

/// A text that is no network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a network: an address and the length of its prefix, such as 192.0.2.0/24 or 2001:db8::/32"
)]
pub struct NetworkError(String);

/// A set of networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<(IpAddr, u8)>);

impl Default for Networks {
    /// Private (RFC 1918), shared (RFC 6598), unique local (RFC 4193) and link-local addresses.
    fn default() -> Self {
        const NETWORKS: [&str; 7] = [
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "169.254.0.0/16",
            "fc00::/7",
            "fe80::/10",
        ];
        Self(NETWORKS.into_iter().filter_map(|text| parse(text).ok()).collect())
    }
}

impl Networks {
    /// Only these.
    ///
    /// # Errors
    /// If one is not a network.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, NetworkError> {
        texts.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// These, and the ones of `more`.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }

    /// True if the address is in one of them. An IPv4 address in IPv6's form is the IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|(network, len)| match (ip, network) {
            (IpAddr::V4(ip), IpAddr::V4(network)) => {
                (u32::from(ip) ^ u32::from(*network)).checked_shr(32 - u32::from(*len)).unwrap_or_default()
                    == 0
            }
            (IpAddr::V6(ip), IpAddr::V6(network)) => {
                (u128::from(ip) ^ u128::from(*network)).checked_shr(128 - u32::from(*len)).unwrap_or_default()
                    == 0
            }
            _ => false,
        })
    }
}

impl FromStr for Networks {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        Self::new(text.split(',').map(str::trim))
    }
}

fn parse(text: &str) -> Result<(IpAddr, u8), NetworkError> {
    let (address, len) = text.split_once('/').unwrap_or((text, ""));
    let parsed = address.parse::<IpAddr>().ok().and_then(|ip| {
        let max = if ip.is_ipv4() { 32 } else { 128 };
        let len = if text.contains('/') { len.parse().ok()? } else { max };
        (len <= max).then_some((ip, len))
    });
    parsed.ok_or_else(|| NetworkError(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_within() {
        let networks = Networks::default();
        let within = |ip: &str| networks.contains(ip.parse().unwrap());
        for ip in [
            "10.255.0.1",
            "172.31.255.255",
            "192.168.0.0",
            "100.64.0.1",
            "fd12::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(within(ip), "{ip}");
        }
        for ip in
            ["11.0.0.0", "172.32.0.0", "192.169.0.0", "100.128.0.0", "2001:db8::1", "fec0::1", "224.0.0.1"]
        {
            assert!(!within(ip), "{ip}");
        }
        let all: Networks = "0.0.0.0/0, 2001:db8::/32,::1".parse().unwrap();
        assert!(all.contains("8.8.8.8".parse().unwrap()) && all.contains("::1".parse().unwrap()));
        assert!(!all.contains("::2".parse().unwrap()));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "x/8", "::/129", "10.0.0.0/-1", "10.0.0.0/"] {
            assert!(bad.parse::<Networks>().is_err(), "{bad}");
        }
    }
}
