//! Causes, from what connections and sessions say of themselves.

use std::io;

use daylight_browser::Error;
use daylight_session::{CloseReason, PathError, code};
use daylight_tunnel::driver::PathFailure;

use crate::cause::{Cause, Stage};

/// Of a connection that failed.
pub(super) fn of_io(error: &io::Error, stage: Stage, received_bytes: u64) -> Cause {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Cause::Refused,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => Cause::Unreachable,
        io::ErrorKind::TimedOut => Cause::Timeout { stage },
        // Transports say so of answers that are not the server's.
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData => Cause::Handshake,
        _ => Cause::Reset { stage, received_bytes },
    }
}

/// Of a handshake of TLS, or what comes right after it.
pub(super) fn of_tls(error: &Error) -> Cause {
    match error {
        Error::Certificate { .. } => Cause::Certificate,
        Error::Handshake { alert: Some(alert), .. } => Cause::Alert { alert: *alert },
        Error::Handshake { .. } => Cause::Reset { stage: Stage::Tls, received_bytes: 0 },
        Error::Io(error) => of_io(error, Stage::Tls, 0),
        Error::Http2(_) => Cause::Reset { stage: Stage::Session, received_bytes: 0 },
        _ => Cause::Unsupported,
    }
}

/// Of a path that ended, with the reason of its session's end, if that has ended too.
pub(super) fn of_path(
    failure: &PathFailure,
    closed: Option<CloseReason>,
    stage: Stage,
    received_bytes: u64,
) -> Cause {
    match failure {
        PathFailure::Connection(error) => of_io(error, stage, received_bytes),
        PathFailure::Session(PathError::Timeout) if stage == Stage::Data => Cause::Stalled { received_bytes },
        PathFailure::Session(PathError::Timeout) => Cause::Timeout { stage },
        PathFailure::Session(PathError::Handshake | PathError::Record) => Cause::Handshake,
        PathFailure::Session(PathError::Refused) => Cause::Busy,
        PathFailure::Session(PathError::SessionEnded) => match closed {
            Some(CloseReason::Peer(code::BUSY | code::NONE)) => Cause::Busy,
            Some(CloseReason::Timeout) => Cause::Timeout { stage },
            _ => Cause::Reset { stage, received_bytes },
        },
        PathFailure::NotNow(_) => Cause::Busy,
        _ => Cause::Reset { stage, received_bytes },
    }
}
