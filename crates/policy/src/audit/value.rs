//! The values that entries are made of. Each is checked when it is made and when it is read, so that an entry can't
//! hold what it must not: above all, nothing that could be the address of a client.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{AuditError, Hash};

/// A label is no longer than this.
const LABEL_BYTES_MAX: usize = 128;
/// A text is no longer than this.
const TEXT_BYTES_MAX: usize = 4096;
/// A DNS name is no longer than this (RFC 1035 §2.3.4, without the root's dot).
const HOST_BYTES_MAX: usize = 253;

const HOUR_S: i64 = 3600;

macro_rules! as_string {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = AuditError;

            fn try_from(text: String) -> Result<Self, AuditError> {
                let made = Self::new(&text)?;
                if made.0 == text {
                    Ok(made)
                } else {
                    Err(bad(stringify!($name), &text, "not in its canonical form"))
                }
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn bad(what: &'static str, value: &str, why: &'static str) -> AuditError {
    AuditError::Value { what, value: value.chars().take(LABEL_BYTES_MAX).collect(), why }
}

/// The name of a policy, a rule or a list: one line of 1 to 128 bytes that is not an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// Makes a label.
    ///
    /// # Errors
    /// If the text is empty or too long, has control characters or spaces around it, or is an IP address or prefix.
    pub fn new(text: &str) -> Result<Self, AuditError> {
        if text.is_empty() || text.len() > LABEL_BYTES_MAX {
            return Err(bad("label", text, "must have 1 to 128 bytes"));
        }
        if text.trim() != text || text.contains(char::is_control) {
            return Err(bad("label", text, "must have no spaces around it and no control characters"));
        }
        let address = text.split_once('/').map_or(text, |(address, _)| address);
        if address.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return Err(bad(
                "label",
                text,
                "must not be an address; give it a name that says what it is for",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

as_string!(Label);

/// Words of the operator: up to 4,096 bytes, of control characters only newlines.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text(String);

impl Text {
    /// Makes a text.
    ///
    /// # Errors
    /// If it is empty or too long, or has control characters other than newlines.
    pub fn new(text: &str) -> Result<Self, AuditError> {
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            return Err(bad("text", text, "must have 1 to 4,096 bytes"));
        }
        if text.contains(|c: char| c.is_control() && c != '\n') {
            return Err(bad("text", text, "must have no control characters but newlines"));
        }
        Ok(Self(text.to_owned()))
    }
}

as_string!(Text);

/// The name of a host: a DNS name in lower case without a dot at its end. It is never an address, and never the name
/// of an address (`….in-addr.arpa`): nothing that stands for a client fits in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

impl HostName {
    /// Makes a name; upper case and a dot at the end are taken away.
    ///
    /// # Errors
    /// If it is not a host name (labels of letters, digits, `-` and `_`; names outside ASCII in their `xn--` form),
    /// if it is an address in any of the notations that are used for them, or lies under `in-addr.arpa` or `ip6.arpa`.
    pub fn new(text: &str) -> Result<Self, AuditError> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() || name.len() > HOST_BYTES_MAX {
            return Err(bad("host name", text, "must have 1 to 253 bytes"));
        }
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if !name.split('.').all(is_label) {
            return Err(bad(
                "host name",
                text,
                "must be labels of letters, digits, - and _, with dots between",
            ));
        }
        // "1.2.3.4", "16909060", "0x1020304": whatever ends in a number is an address (WHATWG URL §3.5).
        let last = name.rsplit('.').next().unwrap_or(&name);
        let hex = last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        if hex || last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad("host name", text, "is an address; the log holds no addresses"));
        }
        if ["in-addr.arpa", "ip6.arpa"].iter().any(|zone| is_under(&name, zone)) {
            return Err(bad("host name", text, "is the name of an address; the log holds no addresses"));
        }
        Ok(Self(name))
    }
}

as_string!(HostName);

fn is_under(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// A domain of a published list: `example.com` stands for that name and those below it, `*.example.com` only for those
/// below it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);

impl Domain {
    /// Makes a domain; `.example.com` is the same as `*.example.com`.
    ///
    /// # Errors
    /// If what stands after `*.` is not a host name.
    pub fn new(text: &str) -> Result<Self, AuditError> {
        let below = text.strip_prefix("*.").or_else(|| text.strip_prefix('.'));
        let name = HostName::new(below.unwrap_or(text))?;
        Ok(Self(if below.is_some() { format!("*.{name}") } else { name.0 }))
    }

    /// Whether the domain stands for this host.
    pub fn covers(&self, host: &HostName) -> bool {
        match self.0.strip_prefix("*.") {
            Some(zone) => host.0 != zone && is_under(&host.0, zone),
            None => is_under(&host.0, &self.0),
        }
    }
}

as_string!(Domain);

/// A moment, to the second, from 1970 to 9999. Its text is RFC 3339 in UTC: `2026-11-23T00:24:52Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

impl Timestamp {
    /// Makes a moment from seconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// If it is before 1970 or after 9999.
    pub fn from_unix_s(seconds: i64) -> Result<Self, AuditError> {
        // 9999-12-31T00:00:00Z: the last day that every time zone still writes with four digits.
        if !(0..=253_402_214_400).contains(&seconds) {
            return Err(bad("time", &seconds.to_string(), "must lie from 1970 to 9999"));
        }
        Ok(Self(seconds))
    }

    /// Reads `2026-11-23T00:24:52Z`.
    ///
    /// # Errors
    /// If the text is in any other form.
    pub fn parse(text: &str) -> Result<Self, AuditError> {
        let error =
            || bad("time", text, "must be RFC 3339 in UTC with whole seconds, like 2026-11-23T00:24:52Z");
        let read: jiff::Timestamp = text.parse().map_err(|_| error())?;
        let made = Self::from_unix_s(read.as_second())?;
        if made.to_string() == text { Ok(made) } else { Err(error()) }
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn unix_s(self) -> i64 {
        self.0
    }

    /// The hour that this moment is in.
    pub fn hour(self) -> Hour {
        Hour(Self(self.0 - self.0 % HOUR_S))
    }
}

impl TryFrom<String> for Timestamp {
    type Error = AuditError;

    fn try_from(text: String) -> Result<Self, AuditError> {
        Self::parse(&text)
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        time.to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In range by construction.
        write!(f, "{}", jiff::Timestamp::from_second(self.0).unwrap_or_default())
    }
}

/// A whole hour of UTC, by its first second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Timestamp", into = "Timestamp")]
pub struct Hour(Timestamp);

impl Hour {
    /// The hour's first second.
    pub fn start(self) -> Timestamp {
        self.0
    }
}

impl TryFrom<Timestamp> for Hour {
    type Error = AuditError;

    fn try_from(time: Timestamp) -> Result<Self, AuditError> {
        let hour = time.hour();
        if hour.0 == time { Ok(hour) } else { Err(bad("hour", &time.to_string(), "must be a whole hour")) }
    }
}

impl From<Hour> for Timestamp {
    fn from(hour: Hour) -> Self {
        hour.0
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256 of a file of the operator's: a policy, a list. Its text is 64 hexadecimal digits, as `sha256sum` prints them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Hash::parts(&[bytes]).0)
    }
}

impl TryFrom<String> for Digest {
    type Error = AuditError;

    fn try_from(text: String) -> Result<Self, AuditError> {
        let error = || bad("digest", &text, "must be 64 lower-case hexadecimal digits");
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(error()) };
        let bytes: Option<Vec<u8>> =
            pairs.iter().map(|&[high, low]| Some(nibble(high)? << 4 | nibble(low)?)).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or_else(error)
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
