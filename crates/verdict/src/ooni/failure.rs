//! Why a step failed: OONI's closed vocabulary (df-007-errors, and the strings that the probe itself writes).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest failure text that is kept, in bytes; the rest of a longer one is dropped.
pub const FAILURE_LEN_MAX: usize = 512;

macro_rules! failures {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// Why a step failed.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Failure {
            $($(#[$doc])* $variant,)*
            /// Any other text, as it stood: mostly `unknown_failure: …`.
            Other(Box<str>),
        }

        impl Failure {
            /// Every failure that has a name of its own.
            pub const NAMED: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in the measurement.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for Failure {
            fn from(text: &str) -> Self {
                match text {
                    $($word => Self::$variant,)*
                    other => Self::Other(clipped(other).into()),
                }
            }
        }
    };
}

failures! {
    /// `EAFNOSUPPORT`.
    AddressFamilyNotSupported = "address_family_not_supported",
    /// `EADDRINUSE`.
    AddressInUse = "address_in_use",
    /// `EADDRNOTAVAIL`.
    AddressNotAvailable = "address_not_available",
    /// `EISCONN`.
    AlreadyConnected = "already_connected",
    /// Android's resolver had no data: NXDOMAIN, or some other failure that it hides.
    AndroidDnsCacheNoData = "android_dns_cache_no_data",
    /// `EFAULT`.
    BadAddress = "bad_address",
    /// `EBADF`.
    BadFileDescriptor = "bad_file_descriptor",
    /// `ECONNABORTED`.
    ConnectionAborted = "connection_aborted",
    /// The connection was closed by this side before.
    ConnectionAlreadyClosed = "connection_already_closed",
    /// `EALREADY`.
    ConnectionAlreadyInProgress = "connection_already_in_progress",
    /// `ECONNREFUSED`.
    ConnectionRefused = "connection_refused",
    /// `ECONNRESET`.
    ConnectionReset = "connection_reset",
    /// `EDESTADDRREQ`.
    DestinationAddressRequired = "destination_address_required",
    /// The answer holds an address that cannot belong to a public name.
    DnsBogon = "dns_bogon_error",
    /// RCODE 3.
    DnsNxdomain = "dns_nxdomain_error",
    /// RCODE 0 without a record of the type asked for.
    DnsNoAnswer = "dns_no_answer",
    /// `EAI_FAIL`.
    DnsNonRecoverable = "dns_non_recoverable_failure",
    /// RCODE 5.
    DnsRefused = "dns_refused_error",
    /// A reply to some other query.
    DnsReplyWithWrongQueryId = "dns_reply_with_wrong_query_id",
    /// Any other RCODE, or a reply that doesn't parse.
    DnsServerMisbehaving = "dns_server_misbehaving",
    /// RCODE 2.
    DnsServfail = "dns_servfail_error",
    /// `EAI_AGAIN`.
    DnsTemporary = "dns_temporary_failure",
    /// The peer closed too early.
    Eof = "eof_error",
    /// A timer ran out.
    GenericTimeout = "generic_timeout_error",
    /// A redirect to somewhere that is no host.
    HttpInvalidRedirectLocationHost = "http_invalid_redirect_location_host",
    /// `EHOSTUNREACH`.
    HostUnreachable = "host_unreachable",
    /// The user stopped it.
    Interrupted = "interrupted",
    /// `EINVAL`.
    InvalidArgument = "invalid_argument",
    /// A text that should be JSON is not.
    JsonParse = "json_parse_error",
    /// `EMSGSIZE`.
    MessageSize = "message_size",
    /// `ENETDOWN`.
    NetworkDown = "network_down",
    /// `ENETRESET`.
    NetworkReset = "network_reset",
    /// `ENETUNREACH`.
    NetworkUnreachable = "network_unreachable",
    /// `ENOBUFS`.
    NoBufferSpace = "no_buffer_space",
    /// `ENOPROTOOPT`.
    NoProtocolOption = "no_protocol_option",
    /// `ENOTSOCK`.
    NotASocket = "not_a_socket",
    /// `ENOTCONN`.
    NotConnected = "not_connected",
    /// `EWOULDBLOCK`.
    OperationWouldBlock = "operation_would_block",
    /// `EACCES`, `EPERM`.
    PermissionDenied = "permission_denied",
    /// `EPROTONOSUPPORT`.
    ProtocolNotSupported = "protocol_not_supported",
    /// The server knows none of our QUIC versions.
    QuicIncompatibleVersion = "quic_incompatible_version",
    /// The handshake failed otherwise, such as by an alert.
    SslFailedHandshake = "ssl_failed_handshake",
    /// The certificate has expired, or is otherwise not valid.
    SslInvalidCertificate = "ssl_invalid_certificate",
    /// The certificate is for another name.
    SslInvalidHostname = "ssl_invalid_hostname",
    /// Nobody we trust vouches for the certificate.
    SslUnknownAuthority = "ssl_unknown_authority",
    /// `ETIMEDOUT`: the kernel's timer ran out.
    TimedOut = "timed_out",
    /// `EPROTOTYPE`.
    WrongProtocolType = "wrong_protocol_type",
    /// Older and test helpers' word for `ECONNREFUSED`.
    LegacyConnectionRefused = "connection_refused_error",
    /// The test helpers' word for a connection that failed otherwise.
    LegacyConnect = "connect_error",
    /// The test helpers' word for an unreachable host.
    LegacyHostUnreachable = "host_unreachable_error",
    /// Older and test helpers' word for NXDOMAIN.
    LegacyDnsName = "dns_name_error",
    /// Older probes' word for any failed lookup.
    LegacyDnsLookup = "dns_lookup_error",
    /// The test helpers' word for a server of names that fails.
    LegacyDnsServer = "dns_server_failure",
    /// Older and test helpers' word for `ETIMEDOUT`.
    LegacyTcpTimedOut = "tcp_timed_out_error",
    /// Older probes' word for a server that never answers.
    LegacyResponseNeverReceived = "response_never_received",
}

/// An empty text, which no measurement holds.
impl Default for Failure {
    fn default() -> Self {
        Self::Other("".into())
    }
}

impl Failure {
    /// A failure without a name of its own. Addresses are to be scrubbed from `text` beforehand.
    pub fn unknown(text: &str) -> Self {
        Self::Other(clipped(&format!("unknown_failure: {text}")).into())
    }

    /// A timer ran out, ours or the kernel's.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::GenericTimeout | Self::TimedOut | Self::LegacyTcpTimedOut)
            || matches!(self, Self::Other(text) if text.contains("context deadline exceeded"))
    }

    /// The connection was reset or aborted.
    pub fn is_reset(&self) -> bool {
        matches!(self, Self::ConnectionReset | Self::ConnectionAborted | Self::NetworkReset)
    }

    /// The connection was refused.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::ConnectionRefused | Self::LegacyConnectionRefused)
    }

    /// The name is said not to exist.
    pub fn is_nxdomain(&self) -> bool {
        matches!(self, Self::DnsNxdomain | Self::AndroidDnsCacheNoData | Self::LegacyDnsName)
    }

    /// The certificate was looked at and not accepted.
    pub fn is_certificate(&self) -> bool {
        matches!(self, Self::SslInvalidCertificate | Self::SslInvalidHostname | Self::SslUnknownAuthority)
    }

    /// This machine, or its own network, could not even send: no route, no such address family, not allowed.
    pub fn is_local(&self) -> bool {
        matches!(
            self,
            Self::AddressFamilyNotSupported
                | Self::AddressInUse
                | Self::AddressNotAvailable
                | Self::BadFileDescriptor
                | Self::Interrupted
                | Self::InvalidArgument
                | Self::NetworkDown
                | Self::NetworkUnreachable
                | Self::NoBufferSpace
                | Self::PermissionDenied
        )
    }
}

fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(FAILURE_LEN_MAX)]
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Failure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Failure;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a failure's text")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Failure, E> {
                Ok(text.into())
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_failure_survives_its_word() {
        for failure in Failure::NAMED {
            assert_eq!(&Failure::from(failure.as_str()), failure);
        }
    }

    #[test]
    fn other_texts_are_kept_but_clipped() {
        assert_eq!(Failure::from("unknown_failure: x").as_str(), "unknown_failure: x");
        let long = Failure::from("ä".repeat(FAILURE_LEN_MAX).as_str());
        assert_eq!(long.as_str().len(), FAILURE_LEN_MAX);
    }
}
