//! A card: one server, and what it takes to reach it.
//!
//! ```text
//! 4: addresses    [ text: a name | 4 bytes: IPv4 | 16 bytes: IPv6, … ]   1 to 8
//! 5: port         of all transports that have none of their own; 443 is left out
//! 6: transports   { number: { 1: name, 2: port, 3: path }, … }           1 web, 2 h3, 3 plain
//! 7: server key   32 bytes, X25519
//! 8: secret       16 to 32 bytes
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::cbor::Value;
use crate::error::{Error, Result};
use crate::signed::{Body, Fields, Kind, Signed};

/// A card of this many bytes fits a code of 61 × 61 modules, that strips of paper have room for.
pub const CARD_BYTES_GOAL: usize = 180;
/// No card is longer: longer ones don't fit a code that a telephone reads from paper.
pub const CARD_BYTES_MAX: usize = 512;
const ADDRESSES_MAX: usize = 8;
const TRANSPORTS_MAX: usize = 16;
const NAME_MAX: usize = 253;
const PATH_MAX: usize = 128;
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=32;
/// The port that need not be written.
const PORT: u16 = 443;

mod field {
    pub(super) const ADDRESSES: u64 = 4;
    pub(super) const PORT: u64 = 5;
    pub(super) const TRANSPORTS: u64 = 6;
    pub(super) const SERVER_KEY: u64 = 7;
    pub(super) const SECRET: u64 = 8;
    /// In a transport.
    pub(super) const NAME: u64 = 1;
    pub(super) const OWN_PORT: u64 = 2;
    pub(super) const PATH: u64 = 3;
}

/// A signed card.
pub type Card = Signed<Server>;

/// What a card says of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where it is, the best first; 1 to 8.
    pub addresses: Vec<Address>,
    /// The port of all transports that have none of their own.
    pub port: u16,
    /// What it offers, by ascending number; 1 to 16.
    pub offers: Vec<Offer>,
    /// Its static X25519 key.
    pub key: [u8; 32],
    /// What a client shows to be let in.
    pub secret: Secret,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name of ASCII letters, digits, hyphens and dots, in lower case.
    Name(String),
    /// An IP address.
    Ip(IpAddr),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(ip) = text.trim_matches(['[', ']']).parse() {
            return Ok(Self::Ip(ip));
        }
        let name = text.to_ascii_lowercase();
        if is_name(&name) {
            Ok(Self::Name(name))
        } else {
            Err(format!("{text:?} is neither an IP address nor a host name in ASCII (use the xn-- form)"))
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// A host name as DNS has it. One that a number could be taken for is none.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= NAME_MAX && text.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// A way to carry the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// HTTPS on the server's own site.
    Web,
    /// HTTP/3 on the same site.
    H3,
    /// Uniform bytes.
    Plain,
    /// One that this version doesn't know; its number is none of the above's.
    Other(u64),
}

impl Transport {
    fn number(self) -> u64 {
        match self {
            Self::Web => 1,
            Self::H3 => 2,
            Self::Plain => 3,
            Self::Other(number) => number,
        }
    }

    fn of_number(number: u64) -> Self {
        match number {
            1 => Self::Web,
            2 => Self::H3,
            3 => Self::Plain,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web => f.write_str("web"),
            Self::H3 => f.write_str("h3"),
            Self::Plain => f.write_str("plain"),
            Self::Other(number) => write!(f, "transport {number}"),
        }
    }
}

/// A transport that the server offers, with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which transport.
    pub transport: Transport,
    /// The site's name, if it isn't the first name among the addresses.
    pub name: Option<String>,
    /// Its port, if it isn't the card's.
    pub port: Option<u16>,
    /// The path on the site, beginning with `/`, if it isn't derived from the secret.
    pub path: Option<String>,
    /// Parameters that this version doesn't know.
    pub unknown: Vec<(Value, Value)>,
}

impl Offer {
    /// The transport with nothing out of the ordinary.
    #[must_use]
    pub fn new(transport: Transport) -> Self {
        Self { transport, name: None, port: None, path: None, unknown: Vec::new() }
    }

    fn read(number: u64, value: Value) -> Result<Self> {
        let mut fields = Fields::new(Kind::Card, value)?;
        let mut text = |key, name, good: fn(&str) -> bool| match fields.take(key) {
            None => Ok(None),
            Some(Value::Text(text)) if good(&text) => Ok(Some(text)),
            Some(_) => Err(Error::field(Kind::Card, name, "is not one")),
        };
        let name = text(field::NAME, "site's name", is_name)?;
        let path = text(field::PATH, "path", is_path)?;
        let port = fields.take(field::OWN_PORT).map(port_of).transpose()?;
        Ok(Self { transport: Transport::of_number(number), name, port, path, unknown: fields.rest() })
    }

    fn write(&self) -> Value {
        let known = [
            (field::NAME, self.name.clone().map(Value::Text)),
            (field::OWN_PORT, self.port.map(|port| Value::Uint(port.into()))),
            (field::PATH, self.path.clone().map(Value::Text)),
        ];
        let known = known.into_iter().filter_map(|(key, value)| Some((Value::Uint(key), value?)));
        let mut entries: Vec<(Value, Value)> = known.chain(self.unknown.iter().cloned()).collect();
        entries.sort_by_cached_key(|(key, _)| key.encode());
        Value::Map(entries)
    }
}

/// `web`, or with parameters `web:name=example.org,port=8443,path=/blog`.
impl FromStr for Offer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, parameters) = text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let mut offer = Self::new(match name {
            "web" => Transport::Web,
            "h3" => Transport::H3,
            "plain" => Transport::Plain,
            _ => return Err(format!("no transport is called {name:?}; there are web, h3 and plain")),
        });
        for parameter in parameters.into_iter().flat_map(|all| all.split(',')) {
            let wrong = || format!("{parameter:?} is not name=HOST, port=NUMBER or path=/PATH");
            let (key, value) = parameter.split_once('=').ok_or_else(wrong)?;
            match key {
                "name" if is_name(value) => offer.name = Some(value.to_owned()),
                "port" => offer.port = Some(value.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?),
                "path" if is_path(value) => offer.path = Some(value.to_owned()),
                _ => return Err(wrong()),
            }
        }
        Ok(offer)
    }
}

/// `web`, or with parameters.
impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.transport.fmt(f)?;
        let parts = [
            self.name.as_ref().map(|name| format!("name={name}")),
            self.port.map(|port| format!("port={port}")),
            self.path.as_ref().map(|path| format!("path={path}")),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { Ok(()) } else { write!(f, ":{}", parts.join(",")) }
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= PATH_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#,\\\"<>".contains(&byte))
}

fn port_of(value: Value) -> Result<u16> {
    match value {
        Value::Uint(port @ 1..=65535) => Ok(port as u16),
        _ => Err(Error::field(Kind::Card, "port", "is not a number from 1 to 65535")),
    }
}

/// 16 to 32 bytes that only the server and its clients know.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes these bytes, if there are 16 to 32.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        SECRET_BYTES.contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Doesn't tell it.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

impl Body for Server {
    const KIND: Kind = Kind::Card;
    const BYTES_MAX: usize = CARD_BYTES_MAX;

    fn read(fields: &mut Fields) -> Result<Self> {
        let addresses = fields.items(field::ADDRESSES, "addresses", ADDRESSES_MAX)?;
        if addresses.is_empty() {
            return Err(fields.wrong("addresses", "are missing"));
        }
        let addresses = addresses.into_iter().map(address_of).collect::<Result<_>>()?;
        let port = match fields.take(field::PORT).map(port_of).transpose()? {
            // It would be a second form of the same card.
            Some(PORT) => return Err(fields.wrong("port", "443 is left out")),
            port => port.unwrap_or(PORT),
        };
        let offers = match fields.take(field::TRANSPORTS) {
            Some(Value::Map(entries)) if (1..=TRANSPORTS_MAX).contains(&entries.len()) => entries,
            Some(Value::Map(entries)) => {
                let why = format!("are {}; there are 1 to {TRANSPORTS_MAX}", entries.len());
                return Err(fields.wrong("transports", why));
            }
            _ => return Err(fields.wrong("transports", "are missing")),
        };
        let offer = |(number, value)| match number {
            Value::Uint(number) => Offer::read(number, value),
            _ => Err(Error::field(Kind::Card, "transports", "have something else than numbers for names")),
        };
        let offers = offers.into_iter().map(offer).collect::<Result<_>>()?;
        let key = fields.array(field::SERVER_KEY, "server's key")?;
        let secret = Secret::new(fields.bytes(field::SECRET, "secret")?)
            .ok_or_else(|| fields.wrong("secret", "must have 16 to 32 bytes"))?;
        Ok(Self { addresses, port, offers, key, secret })
    }

    fn write(&self) -> Vec<(u64, Value)> {
        let address = |address: &Address| match address {
            Address::Name(name) => Value::Text(name.clone()),
            Address::Ip(IpAddr::V4(ip)) => Value::Bytes(ip.octets().to_vec()),
            Address::Ip(IpAddr::V6(ip)) => Value::Bytes(ip.octets().to_vec()),
        };
        let offers = self.offers.iter().map(|offer| (offer.transport.number(), offer.write()));
        let mut fields = vec![
            (field::ADDRESSES, Value::Array(self.addresses.iter().map(address).collect())),
            (field::TRANSPORTS, Value::map(offers)),
            (field::SERVER_KEY, Value::Bytes(self.key.to_vec())),
            (field::SECRET, Value::Bytes(self.secret.0.clone())),
        ];
        if self.port != PORT {
            fields.push((field::PORT, Value::Uint(self.port.into())));
        }
        fields
    }
}

fn address_of(value: Value) -> Result<Address> {
    let wrong = || Error::field(Kind::Card, "address", "is neither a host name nor 4 or 16 bytes");
    match value {
        Value::Text(name) if is_name(&name) => Ok(Address::Name(name)),
        Value::Bytes(bytes) => {
            let four = <[u8; 4]>::try_from(&bytes[..]).map(|ip| IpAddr::V4(Ipv4Addr::from(ip)));
            let ip =
                four.or_else(|_| <[u8; 16]>::try_from(&bytes[..]).map(|ip| IpAddr::V6(Ipv6Addr::from(ip))));
            ip.map(Address::Ip).map_err(|_| wrong())
        }
        _ => Err(wrong()),
    }
}

impl Card {
    /// The name by which the site is asked for over this transport, if there is one.
    #[must_use]
    pub fn site<'a>(&'a self, offer: &'a Offer) -> Option<&'a str> {
        let first = self.body().addresses.iter().find_map(|address| match address {
            Address::Name(name) => Some(name.as_str()),
            Address::Ip(_) => None,
        });
        offer.name.as_deref().or(first)
    }
}
