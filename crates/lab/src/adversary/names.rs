//! What an adversary looks for: names, addresses, words.

use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A list of names. `example.org` stands for itself and all names below it, `=example.org` for itself alone, and `*t.co*`
/// for every name with `t.co` in it, as in the rule that slowed down `reddit.com` and `microsoft.com` along with Twitter's
/// (Xue et al., IMC 2021).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Names {
    entries: Vec<String>,
}

impl From<Vec<String>> for Names {
    fn from(entries: Vec<String>) -> Self {
        Self { entries: entries.iter().map(|e| e.trim_end_matches('.').to_ascii_lowercase()).collect() }
    }
}

impl From<Names> for Vec<String> {
    fn from(names: Names) -> Self {
        names.entries
    }
}

impl<const N: usize> From<[&str; N]> for Names {
    fn from(entries: [&str; N]) -> Self {
        entries.map(str::to_owned).to_vec().into()
    }
}

impl Names {
    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// True if a name is on the list. Case and a dot at the end make no difference.
    pub fn has(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.entries.iter().any(|entry| {
            if let Some(part) = entry.strip_prefix('*').and_then(|e| e.strip_suffix('*')) {
                name.contains(part)
            } else if let Some(whole) = entry.strip_prefix('=') {
                name == whole
            } else {
                name.strip_suffix(entry.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        })
    }
}

/// A range of addresses: `192.0.2.0/24`, `2001:db8::/32`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

impl Prefix {
    /// True if `address` is in the range.
    pub fn has(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let differing = (a.to_bits() ^ b.to_bits()).checked_shr(32 - u32::from(self.bits));
                differing.unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let differing = (a.to_bits() ^ b.to_bits()).checked_shr(128 - u32::from(self.bits));
                differing.unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is no range of addresses: write it as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1")
        };
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), str::parse).map_err(|_| wrong())?;
        if bits > width { Err(wrong()) } else { Ok(Self { address, bits }) }
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{}/{}", self.address, self.bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_and_names_alike() {
        let names = Names::from(["example.org", "=only.example", "*t.co*"]);
        for name in
            ["example.org", "www.EXAMPLE.org", "a.b.example.org.", "only.example", "reddit.com", "t.co"]
        {
            assert!(names.has(name), "{name}");
        }
        for name in ["notexample.org", "example.org.evil", "www.only.example", "org", ""] {
            assert!(!names.has(name), "{name}");
        }
    }

    #[test]
    fn ranges_of_addresses() {
        let has = |range: &str, address: &str| range.parse::<Prefix>().unwrap().has(address.parse().unwrap());
        assert!(has("192.0.2.0/24", "192.0.2.255") && !has("192.0.2.0/24", "192.0.3.0"));
        assert!(has("0.0.0.0/0", "8.8.8.8") && !has("0.0.0.0/0", "::1"));
        assert!(has("2001:db8::/32", "2001:db8:ffff::1") && !has("2001:db8::/32", "2001:db9::1"));
        assert!(has("::1", "::1") && !has("::1", "::2"));
        for wrong in ["192.0.2.0/33", "192.0.2/24", "x", "::/129"] {
            assert!(wrong.parse::<Prefix>().unwrap_err().contains("write it as"), "{wrong}");
        }
    }
}
