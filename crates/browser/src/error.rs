//! What can go wrong.

use std::io;

use boring::error::ErrorStack;

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The profile can't be read.
    #[error("the browser profile can't be read: {0}")]
    Profile(#[from] toml::de::Error),

    /// The profile asks for what this client cannot do.
    #[error(
        "the browser profile's `{field}` has {value}, which is not supported; take it out, or take a profile of this release"
    )]
    Unsupported {
        /// Where in the profile.
        field: &'static str,
        /// What stands there.
        value: String,
    },

    /// BoringSSL refused a setting.
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] ErrorStack),

    /// None of the system's certificate authorities could be loaded.
    #[error(
        "the system's certificate authorities can't be loaded ({0}); install them (`ca-certificates` on Debian) or give a file of your own"
    )]
    Roots(String),

    /// The file of certificate authorities has none in it.
    #[error(
        "there is no certificate in the given PEM text; it should hold at least one between BEGIN and END lines"
    )]
    NoRoots,

    /// The name of the server isn't one.
    #[error("`{0}` is not the name or the address of a server")]
    ServerName(String),

    /// The server's certificate isn't trusted.
    #[error("the certificate of {server} isn't good: {reason}")]
    Certificate {
        /// As given to connect.
        server: String,
        /// In the words of BoringSSL.
        reason: String,
    },

    /// The handshake failed.
    #[error("the TLS handshake with {server} failed: {reason}")]
    Handshake {
        /// As given to connect.
        server: String,
        /// In the words of BoringSSL.
        reason: String,
        /// The alert by which the other side ended it (RFC 8446 §6), if it sent one.
        alert: Option<u8>,
    },

    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),

    /// The server doesn't speak HTTP/2.
    #[error("the server chose no HTTP/2 (it chose {0})")]
    NotHttp2(String),

    /// HTTP/2 went wrong.
    #[error("HTTP/2: {0}")]
    Http2(#[from] http2::Error),
}

/// BoringSSL's words for alerts that came, with their numbers.
const ALERTS: [(&str, u8); 15] = [
    ("SSLV3_ALERT_UNEXPECTED_MESSAGE", 10),
    ("SSLV3_ALERT_BAD_RECORD_MAC", 20),
    ("TLSV1_ALERT_RECORD_OVERFLOW", 22),
    ("SSLV3_ALERT_HANDSHAKE_FAILURE", 40),
    ("SSLV3_ALERT_BAD_CERTIFICATE", 42),
    ("SSLV3_ALERT_ILLEGAL_PARAMETER", 47),
    ("TLSV1_ALERT_ACCESS_DENIED", 49),
    ("TLSV1_ALERT_DECODE_ERROR", 50),
    ("TLSV1_ALERT_DECRYPT_ERROR", 51),
    ("TLSV1_ALERT_PROTOCOL_VERSION", 70),
    ("TLSV1_ALERT_INSUFFICIENT_SECURITY", 71),
    ("TLSV1_ALERT_INTERNAL_ERROR", 80),
    ("TLSV1_ALERT_USER_CANCELLED", 90),
    ("TLSV1_ALERT_UNRECOGNIZED_NAME", 112),
    ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", 120),
];

/// The alert that an error of BoringSSL's speaks of.
pub(crate) fn alert(reason: &str) -> Option<u8> {
    ALERTS.iter().find(|(words, _)| reason.contains(words)).map(|&(_, alert)| alert)
}
