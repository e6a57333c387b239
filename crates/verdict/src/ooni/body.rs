//! Texts that may be bytes: OONI writes what is no UTF-8 as base64.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::MapAccess;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::lax::{Lax, lax};

/// A body, a header's value or a certificate: text, or any bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// As it stood in the measurement.
    Text(String),
    /// Base64 of it; `{"format": "base64", "data": …}` in the measurement.
    Base64(String),
}

impl Default for Body {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Body {
    /// From bytes: text if they are UTF-8.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::base64(bytes),
        }
    }

    /// From bytes that are never text, such as a certificate.
    pub fn base64(bytes: &[u8]) -> Self {
        Self::Base64(STANDARD.encode(bytes))
    }

    /// The bytes; none if they are not base64 although the measurement says so.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text.as_bytes()),
            Self::Base64(text) => Cow::Owned(STANDARD.decode(text).unwrap_or_default()),
        }
    }

    /// The text, lossily.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Base64(_) => String::from_utf8_lossy(&self.bytes()).into_owned().into(),
        }
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Base64(_) => self.bytes().len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Serialize for Body {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Base64(data) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("data", data)?;
                map.serialize_entry("format", "base64")?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        lax(deserializer)
    }
}

impl<'de> Lax<'de> for Body {
    fn of_str(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    fn of_string(text: String) -> Self {
        Self::Text(text)
    }

    fn of_map<A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let mut data = String::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "data" {
                data = map.next_value()?;
            } else {
                map.next_value::<serde::de::IgnoredAny>()?;
            }
        }
        Ok(Self::Base64(data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_whatever_they_are() {
        for bytes in [&b""[..], b"text", &[0xff, 0, 1], "ä".as_bytes()] {
            let body = Body::from_bytes(bytes);
            let read: Body = serde_json::from_str(&serde_json::to_string(&body).unwrap()).unwrap();
            assert_eq!(&*read.bytes(), bytes);
            assert_eq!(read.len(), bytes.len());
        }
    }
}
