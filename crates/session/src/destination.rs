//! Where a stream or a datagram is to go: a name or an address, and a port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::wire::{Malformed, Reader};

/// The longest encoding: a name of 255 bytes.
pub const DESTINATION_LEN_MAX: usize = 1 + 1 + NAME_LEN_MAX + 2;
const NAME_LEN_MAX: usize = 255;

/// Address types as SOCKS 5 numbers them (RFC 1928 §5).
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// A name or an address, and a port.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Destination {
    /// A name for the server to look up, and a port.
    Name(HostName, u16),
    /// An address and a port; scope and flow label of IPv6 are not carried.
    Address(SocketAddr),
}

/// A host name as it is looked up: 1 to 255 letters, digits, hyphens, underscores and dots (an internationalised name in
/// its ASCII form). Letters keep their case.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HostName(Box<str>);

/// A name is empty, over 255 bytes, or has a character that names of hosts can't have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "a host name has 1 to 255 letters, digits, hyphens, underscores and dots: write other scripts in their ASCII form (xn--…)"
)]
pub struct InvalidHostName;

impl HostName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = InvalidHostName;

    fn from_str(name: &str) -> Result<Self, InvalidHostName> {
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > NAME_LEN_MAX || !name.as_bytes().iter().all(fits) {
            return Err(InvalidHostName);
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        Self::Address(SocketAddr::new(address.ip(), address.port()))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name, port) => write!(f, "{name}:{port}"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl Destination {
    pub(crate) fn encoded_len(&self) -> usize {
        match self {
            Self::Name(name, _) => 1 + 1 + name.0.len() + 2,
            Self::Address(SocketAddr::V4(_)) => 1 + 4 + 2,
            Self::Address(SocketAddr::V6(_)) => 1 + 16 + 2,
        }
    }

    pub(crate) fn encode(&self, out: &mut impl Extend<u8>) {
        let port = match self {
            Self::Name(name, port) => {
                // A name has at most 255 bytes.
                out.extend([NAME, name.0.len() as u8]);
                out.extend(name.0.bytes());
                *port
            }
            Self::Address(address) => {
                match address.ip() {
                    IpAddr::V4(ip) => {
                        out.extend([IPV4]);
                        out.extend(ip.octets());
                    }
                    IpAddr::V6(ip) => {
                        out.extend([IPV6]);
                        out.extend(ip.octets());
                    }
                }
                address.port()
            }
        };
        out.extend(port.to_be_bytes());
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match reader.u8()? {
            IPV4 => Self::Address((Ipv4Addr::from(reader.array::<4>()?), reader.u16()?).into()),
            IPV6 => Self::Address((Ipv6Addr::from(reader.array::<16>()?), reader.u16()?).into()),
            NAME => {
                let len = reader.u8()?;
                let name = std::str::from_utf8(reader.take(len.into())?).map_err(|_| Malformed)?;
                Self::Name(name.parse().map_err(|_| Malformed)?, reader.u16()?)
            }
            _ => return Err(Malformed),
        })
    }

    /// How long the encoding that begins with `bytes` is, as soon as they tell.
    ///
    /// # Errors
    /// No encoding begins so.
    pub(crate) fn len_of(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        Ok(match *bytes {
            [] | [NAME] => None,
            [IPV4, ..] => Some(1 + 4 + 2),
            [IPV6, ..] => Some(1 + 16 + 2),
            [NAME, 0, ..] => return Err(Malformed),
            [NAME, len, ..] => Some(1 + 1 + usize::from(len) + 2),
            _ => return Err(Malformed),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn any_destination() -> impl Strategy<Value = Destination> {
        prop_oneof![
            ("[a-zA-Z0-9_.-]{1,255}", any::<u16>())
                .prop_map(|(name, port)| Destination::Name(name.parse().expect("a name"), port)),
            any::<([u8; 4], u16)>().prop_map(|address| SocketAddr::from(address).into()),
            any::<([u8; 16], u16)>().prop_map(|address| SocketAddr::from(address).into()),
        ]
    }

    #[test]
    fn names_that_are_none() {
        for name in ["", "a b", "a\0", "пример.рф", &"a".repeat(256)] {
            assert_eq!(name.parse::<HostName>(), Err(InvalidHostName), "{name}");
        }
        for bytes in [&[2, 0, 0, 0, 0][..], &[NAME, 0, 0, 80], &[NAME, 1, b' ', 0, 80], &[IPV4, 1, 2, 3]] {
            assert_eq!(Destination::decode(&mut Reader::new(bytes)), Err(Malformed));
        }
    }

    proptest! {
        #[test]
        fn destinations_come_back(destination in any_destination()) {
            let mut bytes = Vec::new();
            destination.encode(&mut bytes);
            prop_assert_eq!(bytes.len(), destination.encoded_len());
            prop_assert!(bytes.len() <= DESTINATION_LEN_MAX);
            prop_assert_eq!(Destination::len_of(&bytes[..2]), Ok(Some(bytes.len())));
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(Destination::decode(&mut reader), Ok(destination));
            prop_assert!(reader.is_empty());
            for cut in 0..bytes.len() {
                prop_assert!(Destination::decode(&mut Reader::new(&bytes[..cut])).is_err());
            }
        }

        #[test]
        fn what_is_read_is_written_so(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            if let Ok(destination) = Destination::decode(&mut reader) {
                let mut again = Vec::new();
                destination.encode(&mut again);
                prop_assert_eq!(&bytes[..bytes.len() - reader.len()], again);
            }
        }
    }
}
