//! Unquoted constants: numbers, addresses, networks, bytes. What a word means depends on what it is compared with, so
//! these are asked for one kind at a time.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A number as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Int(i128),
    Float(f64),
}

/// Reads decimal, `0x…`, `0b…`, octal (a leading 0) and real numbers. None if the word doesn't look like a number at
/// all; an error if it does and isn't one.
pub(crate) fn number(word: &str) -> Option<Result<Number, String>> {
    let int = |digits: &str, radix| i128::from_str_radix(digits, radix).map(Number::Int);
    let too_large = |_| format!("{word} is too large");
    let (prefix, rest) = word.split_at_checked(2).unwrap_or((word, ""));
    if matches!(prefix, "0x" | "0X" | "0b" | "0B") {
        let (radix, name) = if prefix.ends_with(['x', 'X']) { (16, "hexadecimal") } else { (2, "binary") };
        if rest.is_empty() || rest.contains([':', '.', '-']) {
            return None;
        }
        if let Some(bad) = rest.chars().find(|c| !c.is_digit(radix)) {
            return Some(Err(format!("`{bad}` is not a {name} digit")));
        }
        return Some(int(rest, radix).map_err(too_large));
    }
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
        if word.len() > 1 && word.starts_with('0') {
            if let Some(bad) = word.chars().find(|c| !c.is_digit(8)) {
                return Some(Err(format!(
                    "`{bad}` is not an octal digit; a number that begins with 0 is octal"
                )));
            }
            return Some(int(word, 8).map_err(too_large));
        }
        return Some(int(word, 10).map_err(too_large));
    }
    let first = word.trim_start_matches('.').as_bytes().first()?;
    let plain =
        word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !first.is_ascii_digit() || !plain {
        return None;
    }
    let float: f64 = word.parse().ok()?;
    Some(if float.is_finite() { Ok(Number::Float(float)) } else { Err(format!("{word} is too large")) })
}

/// An address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of that prefix length around an address. None if there are not so many bits.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= Self::bits(address)).then_some(Self { address, prefix })
    }

    fn bits(address: IpAddr) -> u8 {
        if address.is_ipv4() { 32 } else { 128 }
    }

    /// True if it is one address.
    pub fn is_single(self) -> bool {
        self.prefix == Self::bits(self.address)
    }

    /// First and last address.
    pub fn range(self) -> (IpAddr, IpAddr) {
        match self.address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                let bits = u32::from(address);
                (IpAddr::V4(Ipv4Addr::from(bits & !host)), IpAddr::V4(Ipv4Addr::from(bits | host)))
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                let bits = u128::from(address);
                (IpAddr::V6(Ipv6Addr::from(bits & !host)), IpAddr::V6(Ipv6Addr::from(bits | host)))
            }
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self { address, prefix: Self::bits(address) }
    }
}

/// Why a text is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// What stands before the `/` is not an address.
    #[error("that is not an address")]
    Address,
    /// The prefix length is not a number, or there are not so many bits.
    #[error("a prefix is between 0 and {0} bits long")]
    Prefix(u8),
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        match prefix {
            None => Ok(address.into()),
            Some(prefix) => prefix
                .parse()
                .ok()
                .and_then(|prefix| Self::new(address, prefix))
                .ok_or_else(|| NetworkError::Prefix(Self::bits(address))),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

/// Reads bytes: groups of hexadecimal digits with `:`, `-` or `.` between them. A group is one or two digits, or an
/// even number of them. A `:` at either end only says that it is bytes. `0x` is allowed before a single byte.
pub(crate) fn bytes(word: &str) -> Option<Vec<u8>> {
    if let Some(digits) = word.strip_prefix("0x") {
        return (matches!(digits.len(), 1 | 2))
            .then(|| u8::from_str_radix(digits, 16).ok())
            .flatten()
            .map(|b| vec![b]);
    }
    let word = word.strip_prefix(':').unwrap_or(word);
    let word = word.strip_suffix(':').unwrap_or(word);
    let mut out = Vec::with_capacity(word.len() / 2 + 1);
    for group in word.split([':', '-', '.']) {
        let mut digits = group.bytes().map(|byte| char::from(byte).to_digit(16));
        if group.len() == 1 {
            out.push(u8::try_from(digits.next()??).ok()?);
            continue;
        }
        if group.is_empty() || group.len() % 2 == 1 {
            return None;
        }
        while let Some(high) = digits.next() {
            out.push(u8::try_from(high? << 4 | digits.next()??).ok()?);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (word, value) in [
            ("0", Number::Int(0)),
            ("443", Number::Int(443)),
            ("0x1bb", Number::Int(443)),
            ("0b101", Number::Int(5)),
            ("012", Number::Int(10)),
            ("18446744073709551616", Number::Int(1 << 64)),
            ("1.5", Number::Float(1.5)),
            ("1e3", Number::Float(1000.0)),
            ("1e-3", Number::Float(0.001)),
            (".5", Number::Float(0.5)),
        ] {
            assert_eq!(number(word), Some(Ok(value)), "{word}");
        }
        for word in ["", "10.0.0.1", "aa:bb", "x", "e5", "0x", "1:2", "80-1", "é", "0é", "2024-01-01"] {
            assert_eq!(number(word), None, "{word}");
        }
        for word in ["08", "0xfg", "0b2", "1e999", "999999999999999999999999999999999999999999"] {
            assert!(number(word).is_some_and(|n| n.is_err()), "{word}");
        }
    }

    #[test]
    fn networks() {
        let range = |text: &str| text.parse::<Network>().unwrap().range();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(range("10.1.2.3/8"), (ip("10.0.0.0"), ip("10.255.255.255")));
        assert_eq!(range("0.0.0.0/0"), (ip("0.0.0.0"), ip("255.255.255.255")));
        assert_eq!(range("10.1.2.3"), (ip("10.1.2.3"), ip("10.1.2.3")));
        assert_eq!(range("2001:db8::/33"), (ip("2001:db8::"), ip("2001:db8:7fff:ffff:ffff:ffff:ffff:ffff")));
        assert_eq!(range("::/0").1, ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
        assert_eq!("10.0.0.0/33".parse::<Network>(), Err(NetworkError::Prefix(32)));
        assert_eq!("10.0.0/8".parse::<Network>(), Err(NetworkError::Address));
        assert_eq!("10.0.0.0/8".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn byte_strings() {
        for (word, value) in [
            ("16:03:01", vec![0x16, 3, 1]),
            ("16-3-1", vec![0x16, 3, 1]),
            ("0.1.0.d", vec![0, 1, 0, 13]),
            (":00016c", vec![0, 1, 0x6c]),
            ("fc:", vec![0xfc]),
            (":fc", vec![0xfc]),
            ("7a", vec![0x7a]),
            ("8", vec![8]),
            ("0xff", vec![255]),
        ] {
            assert_eq!(bytes(word), Some(value), "{word}");
        }
        for word in ["", ":", "g", "16:", "1::2", "123", "0x100", "16:0g", "é"] {
            assert_eq!(bytes(word), if word == "16:" { Some(vec![0x16]) } else { None }, "{word}");
        }
    }
}
