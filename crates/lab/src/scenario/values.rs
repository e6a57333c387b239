//! Times and prefixes as a scenario writes them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A time or a span of time: `"1.5 s"`, `"200 ms"`, `"2 min"`, `"1 h"`, or a bare number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Time {
    /// In seconds; never negative, never infinite.
    pub seconds: f64,
}

impl Time {
    /// The longest: a week. It keeps sums of times far from any limit.
    pub const SECONDS_MAX: f64 = 7.0 * 86_400.0;

    /// So many seconds.
    pub const fn from_seconds(seconds: f64) -> Self {
        Self { seconds }
    }

    /// As the standard library's duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.seconds;
        if s > 0.0 && s < 1.0 {
            write!(f, "{} ms", (s * 1e6).round() / 1e3)
        } else {
            write!(f, "{} s", (s * 1e3).round() / 1e3)
        }
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let factor = match unit.trim() {
            "ms" => 0.001,
            "s" | "" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            other => {
                return Err(format!(
                    "there is no unit {other:?} of time: use ms, s, min or h, as in \"12 s\""
                ));
            }
        };
        let value: f64 = number
            .trim()
            .parse()
            .map_err(|_| format!("{text:?} is no time: write one as \"12 s\" or \"500 ms\""))?;
        Self::checked(value * factor)
    }
}

impl Time {
    fn checked(seconds: f64) -> Result<Self, String> {
        if (0.0..=Self::SECONDS_MAX).contains(&seconds) {
            Ok(Self { seconds })
        } else {
            Err(format!("a time must lie between 0 and {} s", Self::SECONDS_MAX))
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time, as in \"12 s\", \"500 ms\", \"2 min\" or \"1 h\"")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: Error>(self, seconds: i64) -> Result<Time, E> {
                Time::checked(seconds as f64).map_err(E::custom)
            }
            fn visit_f64<E: Error>(self, seconds: f64) -> Result<Time, E> {
                Time::checked(seconds).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A network's address range, `10.1.0.0/24` or `fd00:1::/64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Its first address.
    pub first: IpAddr,
    /// Its length in bits.
    pub length: u8,
}

impl Prefix {
    fn bits(self) -> u8 {
        if self.first.is_ipv4() { 32 } else { 128 }
    }

    /// Whether an address lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4()
            && (number(address) ^ number(self.first))
                .checked_shr(u32::from(self.bits() - self.length))
                .unwrap_or(0)
                == 0
    }

    /// Whether two ranges share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// The `n`th address, counted from 0, if there is one.
    pub fn nth(self, n: u32) -> Option<IpAddr> {
        let address = number(self.first).checked_add(u128::from(n))?;
        let address = match self.first {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(address).ok()?)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(address)),
        };
        self.contains(address).then_some(address)
    }

    /// The router's address in it: the first after the network's own.
    pub fn gateway(self) -> Option<IpAddr> {
        self.nth(1)
    }

    /// The broadcast address, which no host may have.
    pub fn broadcast(self) -> Option<IpAddr> {
        let IpAddr::V4(first) = self.first else { return None };
        let host = u32::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
        Some(IpAddr::V4(Ipv4Addr::from(u32::from(first) | host)))
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.length)
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no prefix: write one as \"10.1.0.0/24\" or \"fd00:1::/64\"");
        let (address, length) = text.split_once('/').ok_or_else(wrong)?;
        let first: IpAddr = address.parse().map_err(|_| wrong())?;
        let length: u8 = length.parse().map_err(|_| wrong())?;
        let prefix = Self { first, length };
        let bits = prefix.bits();
        if !(8..=bits - 2).contains(&length) {
            return Err(format!(
                "{text:?}: a prefix must be 8 to {} bits long, to have room for hosts",
                bits - 2
            ));
        }
        let mask = u128::MAX.checked_shl(u32::from(bits - length)).unwrap_or(0);
        let start = number(first) & mask;
        if start != number(first) {
            let start = match first {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(start as u32)),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(start)),
            };
            return Err(format!("{text:?} has host bits set; did you mean \"{start}/{length}\"?"));
        }
        Ok(prefix)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, seconds) in [("12 s", 12.0), ("500ms", 0.5), ("2 min", 120.0), ("1 h", 3600.0), ("3", 3.0)]
        {
            assert_eq!(text.parse::<Time>().unwrap().seconds, seconds, "{text}");
        }
        for wrong in ["", "s", "-1 s", "12 days", "1e9 h", "NaN"] {
            assert!(wrong.parse::<Time>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn prefixes() {
        let p: Prefix = "10.1.0.0/24".parse().unwrap();
        assert!(p.contains("10.1.0.255".parse().unwrap()));
        assert!(!p.contains("10.1.1.0".parse().unwrap()));
        assert!(!p.contains("fd00::1".parse().unwrap()));
        assert_eq!(p.gateway(), Some("10.1.0.1".parse().unwrap()));
        assert_eq!(p.broadcast(), Some("10.1.0.255".parse().unwrap()));
        assert_eq!(p.nth(256), None);
        let wrong = "10.1.0.7/24".parse::<Prefix>().unwrap_err();
        assert!(wrong.contains("10.1.0.0/24"), "{wrong}");
        assert!("fd00:1::/127".parse::<Prefix>().is_err());
        let six: Prefix = "fd00:1::/64".parse().unwrap();
        assert_eq!(six.nth(16), Some("fd00:1::10".parse().unwrap()));
    }
}
