//! Why a step failed, in OONI's closed vocabulary (its data format `df-007-errors`, and netxlite's mapping).

use std::fmt;
use std::io::{self, ErrorKind};

use daylight_verdict::ooni::Failure;
use rustls::AlertDescription;

/// The failure outside the vocabulary. Addresses in the text are taken out.
pub(crate) fn unknown(text: impl fmt::Display) -> Failure {
    Failure::from(format!("unknown_failure: {}", crate::scrub::addresses(&text.to_string())).as_str())
}

/// The failure of a socket, or of TLS on it.
pub(crate) fn of_io(error: &io::Error) -> Failure {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return of_tls(tls);
    }
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Failure::ConnectionReset,
        ErrorKind::ConnectionAborted => Failure::ConnectionAborted,
        ErrorKind::ConnectionRefused => Failure::ConnectionRefused,
        ErrorKind::HostUnreachable => Failure::HostUnreachable,
        ErrorKind::InvalidInput => Failure::InvalidArgument,
        ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => Failure::NetworkUnreachable,
        ErrorKind::PermissionDenied => Failure::PermissionDenied,
        // The system's own has an error number; ours hasn't.
        ErrorKind::TimedOut if error.raw_os_error().is_some() => Failure::TimedOut,
        ErrorKind::TimedOut => Failure::GenericTimeout,
        ErrorKind::UnexpectedEof => Failure::Eof,
        _ => unknown(error),
    }
}

/// The failure of a TLS handshake.
pub(crate) fn of_tls(error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(error) => of_certificate(error),
        rustls::Error::AlertReceived(_)
        | rustls::Error::InvalidMessage(_)
        | rustls::Error::InappropriateMessage { .. }
        | rustls::Error::InappropriateHandshakeMessage { .. }
        | rustls::Error::PeerIncompatible(_)
        | rustls::Error::PeerMisbehaved(_)
        | rustls::Error::NoApplicationProtocol
        | rustls::Error::DecryptError => Failure::SslFailedHandshake,
        other => unknown(other),
    }
}

/// What is wrong with a certificate.
pub(crate) fn of_certificate(error: &rustls::CertificateError) -> Failure {
    use rustls::CertificateError as E;
    match error {
        E::NotValidForName | E::NotValidForNameContext { .. } => Failure::SslInvalidHostname,
        E::UnknownIssuer => Failure::SslUnknownAuthority,
        _ => Failure::SslInvalidCertificate,
    }
}

/// The failure of a QUIC handshake.
pub(crate) fn of_quic(error: &quinn::ConnectionError) -> Failure {
    use quinn::ConnectionError as E;
    match error {
        E::VersionMismatch => Failure::QuicIncompatibleVersion,
        E::TimedOut => Failure::GenericTimeout,
        E::Reset => Failure::ConnectionReset,
        E::TransportError(error) => of_quic_code(u64::from(error.code), &error.reason),
        E::ConnectionClosed(close) => of_quic_code(u64::from(close.error_code), ""),
        E::ApplicationClosed(_) => Failure::ConnectionRefused,
        other => unknown(other),
    }
}

/// Transport error codes: RFC 9000 §20.1; those of TLS alerts: RFC 9001 §4.8.
fn of_quic_code(code: u64, reason: &str) -> Failure {
    const CONNECTION_REFUSED: u64 = 2;
    const CRYPTO: u64 = 0x100;
    let alert =
        code.checked_sub(CRYPTO).and_then(|alert| u8::try_from(alert).ok()).map(AlertDescription::from);
    match (code, alert) {
        (CONNECTION_REFUSED, _) => Failure::ConnectionRefused,
        (_, Some(AlertDescription::UnknownCA)) => Failure::SslUnknownAuthority,
        (_, Some(AlertDescription::UnrecognisedName)) => Failure::SslInvalidHostname,
        (
            _,
            Some(
                AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnsupportedCertificate,
            ),
        ) => Failure::SslInvalidCertificate,
        (_, Some(_)) => Failure::SslFailedHandshake,
        (code, None) => unknown(format!("QUIC error {code:#x} {reason}")),
    }
}

/// The failure of an HTTP exchange.
pub(crate) fn of_http(error: &hyper::Error) -> Failure {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return of_io(io);
        }
        source = inner.source();
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return Failure::Eof;
    }
    unknown(error)
}

/// The failure of the system's own resolver. Only its words tell what happened.
pub(crate) fn of_lookup(error: &io::Error) -> Failure {
    let text = error.to_string();
    let says = |part: &str| text.contains(part);
    if says("Name or service not known") || says("No address associated") || says("nodename nor servname") {
        Failure::DnsNxdomain
    } else if says("Temporary failure in name resolution") || says("Non-recoverable failure") {
        Failure::DnsServerMisbehaving
    } else {
        of_io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_tls_errors_have_their_words() {
        for (error, word) in [
            (io::Error::from_raw_os_error(libc::ECONNRESET), "connection_reset"),
            (io::Error::from_raw_os_error(libc::ECONNREFUSED), "connection_refused"),
            (io::Error::from_raw_os_error(libc::ETIMEDOUT), "timed_out"),
            (io::Error::from(ErrorKind::TimedOut), "generic_timeout_error"),
            (io::Error::from_raw_os_error(libc::EHOSTUNREACH), "host_unreachable"),
            (io::Error::from_raw_os_error(libc::ENETUNREACH), "network_unreachable"),
            (io::Error::from(ErrorKind::UnexpectedEof), "eof_error"),
            (
                io::Error::other(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)),
                "ssl_unknown_authority",
            ),
            (
                io::Error::other(rustls::Error::InvalidCertificate(rustls::CertificateError::Expired)),
                "ssl_invalid_certificate",
            ),
            (
                io::Error::other(rustls::Error::AlertReceived(AlertDescription::HandshakeFailure)),
                "ssl_failed_handshake",
            ),
        ] {
            assert_eq!(of_io(&error).as_str(), word, "{error}");
        }
        let lookup = io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(of_lookup(&lookup), Failure::DnsNxdomain);
    }

    #[test]
    fn unknown_failures_name_no_address() {
        let failure = unknown("no luck with 192.0.2.7:443 and [2001:db8::1]:53");
        assert_eq!(failure.as_str(), "unknown_failure: no luck with [scrubbed] and [scrubbed]");
    }

    #[test]
    fn quic_alerts() {
        assert_eq!(of_quic_code(0x100 + 40, ""), Failure::SslFailedHandshake);
        assert_eq!(of_quic_code(0x100 + 112, ""), Failure::SslInvalidHostname);
        assert_eq!(of_quic_code(2, ""), Failure::ConnectionRefused);
        assert!(of_quic_code(7, "").as_str().starts_with("unknown_failure: "));
    }
}
