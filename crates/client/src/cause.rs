//! Why a transport does not carry.

use serde::{Deserialize, Serialize};

/// How far a connection to a server got.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Stage {
    /// The server's name is looked up.
    Name,
    /// TCP's handshake.
    Connect,
    /// The handshake of TLS or QUIC.
    Tls,
    /// The transport's own authentication and the session's handshake.
    Session,
    /// The session carries.
    Data,
}

/// Why a transport does not carry. Byte counts are of what came from the server on that connection.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "cause")]
#[non_exhaustive]
pub enum Cause {
    /// TLS was ended by an alert (RFC 8446 §6).
    Alert {
        /// Its number.
        alert: u8,
    },
    /// The server is at its limit.
    Busy,
    /// The server's certificate is not good for its name: somebody may be between.
    Certificate,
    /// The session's handshake was answered wrongly, or as a stranger's is: the card is not (or no longer) good, or somebody
    /// is between.
    Handshake,
    /// The name was not found.
    Name,
    /// TCP was refused.
    Refused,
    /// The connection was reset, or ended where it must not.
    Reset {
        /// Where.
        stage: Stage,
        /// Bytes until then.
        received_bytes: u64,
    },
    /// No more bytes came although some were waited for.
    Stalled {
        /// Bytes until then.
        received_bytes: u64,
    },
    /// Bytes come much slower than they could.
    Throttled {
        /// Bytes a second.
        rate: u64,
        /// Bytes a second to compare with.
        control: u64,
    },
    /// No answer in time.
    Timeout {
        /// Where.
        stage: Stage,
    },
    /// There is no way to the server: this machine may be offline.
    Unreachable,
    /// It works here, and this program can't do it: a fault, or a transport that it does not know.
    Unsupported,
}
