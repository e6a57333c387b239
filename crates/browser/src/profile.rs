//! A browser's wire image as data.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer};

use crate::Error;

/// The newest profile that was held against a real browser; see the crate's tests.
const CURRENT: &str = include_str!("../../../data/browsers/chrome-156.toml");

/// The least that a ClientHello with a key share of ML-KEM leaves for the rest of it.
const FIRST_PIECE_LEN_MAX: u16 = 512;
/// RFC 9000 §14.1.
const DATAGRAM_LEN_MIN: u16 = 1200;
/// What an integer of QUIC holds in one byte.
const ACK_THRESHOLD_MAX: u8 = 63;

/// What a version of a browser sends: in the ClientHello, at the start of HTTP/2, and in the headers of its requests.
///
/// It is read from TOML (`data/browsers/` in the sources), so that a newer one can reach people without a new program.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The browser's name: `chrome`.
    pub name: String,
    /// The version of the browser that the profile was taken from.
    pub version: String,
    /// The JA4 of its first connection to a server, for those who compare. Nothing is made from it.
    pub ja4: String,
    /// The JA4 when it has a session to resume.
    pub ja4_resumed: String,
    /// What the ClientHello says.
    pub tls: TlsProfile,
    /// What differs in QUIC, and what only QUIC has.
    pub quic: QuicProfile,
    /// How HTTP/2 begins.
    pub http2: Http2Profile,
    /// The headers of requests, by [`Kind`].
    pub headers: HeadersProfile,
}

/// What a browser's ClientHello says. Numbers are those of the TLS registries (IANA).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsProfile {
    /// Cipher suites of TLS 1.2, by their names in the registry, in order. Those of TLS 1.3 are BoringSSL's own.
    pub ciphers: Vec<String>,
    /// Groups for the key exchange, in order.
    pub groups: Vec<u16>,
    /// The groups for which a key share is sent.
    pub key_shares: Vec<u16>,
    /// Signature algorithms, in order.
    pub signature_algorithms: Vec<u16>,
    /// Application protocols, in order.
    pub alpn: Vec<String>,
    /// Application protocols for which (empty) application settings are offered.
    pub alps: Vec<String>,
    /// Compression of certificates: `brotli` or nothing.
    pub certificate_compression: Vec<String>,
    /// Values that mean nothing, among the ciphers, groups, key shares, versions, signatures and extensions (RFC 8701).
    pub grease: bool,
    /// The extensions stand in an order that is drawn anew for each connection.
    pub permute_extensions: bool,
    /// An Encrypted ClientHello that encrypts nothing.
    pub ech_grease: bool,
    /// Asks for the state of the certificate.
    pub ocsp_stapling: bool,
    /// Asks for the entries in certificate logs.
    pub signed_certificate_timestamps: bool,
    /// Ids of trust anchors whose certificates are asked for, in order; none: the extension is not sent.
    #[serde(deserialize_with = "hex_list")]
    pub trust_anchors: Vec<Vec<u8>>,
}

/// How a browser's QUIC begins. What a ClientHello has besides is as in [`TlsProfile`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuicProfile {
    /// The JA4 of its first connection to a server, for those who compare. Nothing is made from it.
    pub ja4: String,
    /// As in [`TlsProfile`].
    pub signature_algorithms: Vec<u16>,
    /// As in [`TlsProfile`].
    pub alpn: Vec<String>,
    /// As in [`TlsProfile`].
    pub alps: Vec<String>,
    /// As in [`TlsProfile`].
    pub grease: bool,
    /// As in [`TlsProfile`].
    pub ocsp_stapling: bool,
    /// As in [`TlsProfile`].
    pub signed_certificate_timestamps: bool,
    /// The transport parameter `google_connection_options` (0x3128); empty: it is not sent.
    pub connection_options: String,
    /// The longest DATAGRAM frame that is taken, in bytes (RFC 9221 §3).
    pub max_datagram_frame_size: u32,
    /// The datagrams of the first flight, in bytes: 1,200 or more (RFC 9000 §14.1).
    pub initial_datagram: u16,
    /// How many bytes of the ClientHello stand in the first datagram before the part that comes in the second: from, to.
    pub first_piece: (u16, u16),
    /// After how many packets and one an acknowledgement is sent at once (draft-ietf-quic-ack-frequency §4): up to 63.
    pub ack_eliciting_threshold: u8,
}

/// How a browser's HTTP/2 begins.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http2Profile {
    /// Ids and values in the order of the wire.
    pub settings: Vec<(u16, u32)>,
    /// The receive window of the connection in bytes, 65,535 or more; the first WINDOW_UPDATE makes it so large.
    pub connection_window: u32,
    /// The order of the pseudo-headers.
    pub pseudo_headers: Vec<String>,
    /// In the HEADERS frame.
    pub priority: Priority,
}

/// A stream's priority as RFC 7540 §5.3 has it; it depends on stream 0.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Priority {
    /// 1 to 256.
    pub weight: u16,
    /// Whether it takes the place of those that depend on the same stream.
    pub exclusive: bool,
}

/// Headers of requests in the order of the wire: names and values.
///
/// A value in braces is filled in from [`Fill`]; without it the header is left out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadersProfile {
    navigation: Vec<(String, String)>,
    script: Vec<(String, String)>,
    style: Vec<(String, String)>,
    image: Vec<(String, String)>,
    fetch: Vec<(String, String)>,
}

/// What a request is for. The server sees it in the headers, and a proxy that decrypts does too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A page that was typed in.
    Navigation,
    /// A script of a page, from the same site.
    Script,
    /// A style sheet of a page, from the same site.
    Style,
    /// A picture of a page, from the same site.
    Image,
    /// `fetch()` by a script of a page, from the same site; with or without a body.
    Fetch,
}

/// What goes into the headers of one request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fill<'a> {
    /// The page that asks, such as `https://site.example/`. Every kind but a navigation has one.
    pub referer: Option<&'a str>,
    /// The origin, such as `https://site.example`. Browsers send it with a body.
    pub origin: Option<&'a str>,
    /// The cookies that the site set.
    pub cookie: Option<&'a str>,
    /// The type of the body.
    pub content_type: Option<&'a str>,
    /// The length of the body, where it is known.
    pub content_length: Option<u64>,
}

impl Profile {
    /// The newest profile that this release was tested with.
    ///
    /// # Panics
    /// Never: that the profile can be read is tested.
    #[must_use]
    pub fn current() -> Self {
        #[allow(clippy::expect_used, reason = "a constant, which a test reads")]
        Self::parse(CURRENT).expect("the built-in profile can be read")
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// If the text is no profile, or one of another release (a field is unknown or missing); the message says where.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let profile: Self = toml::from_str(text)?;
        if !(1..=256).contains(&profile.http2.priority.weight) {
            let value = profile.http2.priority.weight.to_string();
            return Err(Error::Unsupported { field: "http2.priority.weight", value });
        }
        profile.quic.check()?;
        for (name, value) in profile.headers.all() {
            if HeaderName::from_bytes(name.as_bytes()).is_err() || HeaderValue::from_str(value).is_err() {
                return Err(Error::Unsupported { field: "headers", value: format!("`{name}: {value}`") });
            }
        }
        Ok(profile)
    }

    /// The headers of a request, in the browser's order. The request's method and URI are the pseudo-headers.
    ///
    /// ```
    /// use daylight_browser::{Fill, Kind, Profile};
    ///
    /// let headers = Profile::current().headers(Kind::Navigation, &Fill::default());
    /// assert!(headers.contains_key("user-agent"));
    /// assert!(!headers.contains_key("content-length"));
    /// ```
    #[must_use]
    pub fn headers(&self, kind: Kind, fill: &Fill<'_>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers.of(kind) {
            let filled = match value.as_str() {
                "{referer}" => fill.referer.map(str::to_owned),
                "{cookie}" => fill.cookie.map(str::to_owned),
                "{origin}" => fill.origin.map(str::to_owned),
                "{content-type}" => fill.content_type.map(str::to_owned),
                "{content-length}" => fill.content_length.map(|n| n.to_string()),
                fixed => Some(fixed.to_owned()),
            };
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = filled.and_then(|value| HeaderValue::from_str(&value).ok());
            if let (Ok(name), Some(value)) = (name, value) {
                headers.append(name, value);
            }
        }
        headers
    }
}

impl QuicProfile {
    fn check(&self) -> Result<(), Error> {
        let (from, to) = self.first_piece;
        let wrong = |field, value| Err(Error::Unsupported { field, value });
        if !(1..=to).contains(&from) || to > FIRST_PIECE_LEN_MAX {
            return wrong("quic.first_piece", format!("{from} to {to}"));
        }
        if self.initial_datagram < DATAGRAM_LEN_MIN {
            return wrong("quic.initial_datagram", self.initial_datagram.to_string());
        }
        if self.ack_eliciting_threshold > ACK_THRESHOLD_MAX {
            return wrong("quic.ack_eliciting_threshold", self.ack_eliciting_threshold.to_string());
        }
        Ok(())
    }
}

impl HeadersProfile {
    fn of(&self, kind: Kind) -> &[(String, String)] {
        match kind {
            Kind::Navigation => &self.navigation,
            Kind::Script => &self.script,
            Kind::Style => &self.style,
            Kind::Image => &self.image,
            Kind::Fetch => &self.fetch,
        }
    }

    fn all(&self) -> impl Iterator<Item = &(String, String)> {
        [&self.navigation, &self.script, &self.style, &self.image, &self.fetch].into_iter().flatten()
    }
}

fn hex_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts
        .iter()
        .map(|text| hex(text))
        .collect::<Option<_>>()
        .ok_or_else(|| serde::de::Error::custom("an id is 1 to 255 bytes in hexadecimal, two digits each"))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| Some(pair[0] << 4 | pair.get(1)?)).collect::<Option<_>>()?;
    (1..=255).contains(&bytes.len()).then_some(bytes)
}
