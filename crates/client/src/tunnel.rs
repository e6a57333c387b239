//! What the front ends want of a tunnel.

use std::io;

use bytes::Bytes;
use daylight_session::{Destination, code};
use daylight_tunnel::relay::Side;
use tokio::io::{AsyncRead, AsyncWrite};

/// Carries streams and datagrams to their destinations. Clones are handles of one tunnel.
pub trait Tunnel: Clone + Send + Sync + 'static {
    /// A connection to a destination. Dropped before it is shut down it is reset; a read fails, and does not end, if the
    /// other side was cut off.
    type Stream: AsyncRead + AsyncWrite + Side + Unpin + Send + 'static;
    /// Datagrams to and from any destinations.
    type Association: Association;

    /// Opens a stream to `destination`. It waits, within bounds, while the tunnel is being made.
    fn connect(
        &self,
        destination: Destination,
    ) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send;

    /// Opens an association. It waits, within bounds, while the tunnel is being made.
    fn associate(&self) -> impl Future<Output = Result<Self::Association, ConnectError>> + Send;
}

/// Datagrams to and from any destinations; it ends when dropped. As with UDP, some get lost.
pub trait Association: Send + Sync + 'static {
    /// Sends a datagram, or drops it if there is no room.
    ///
    /// # Errors
    /// If this or any datagram can't be sent; the association may go on.
    fn send(
        &self,
        destination: Destination,
        data: Bytes,
    ) -> impl Future<Output = Result<(), ConnectError>> + Send;

    /// The next datagram and where it came from; none if the association has ended. Nothing is lost if the future is
    /// dropped.
    fn recv(&self) -> impl Future<Output = Option<(Destination, Bytes)>> + Send;
}

/// Why there is no connection to a destination.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server is at a limit, or is being stopped.
    #[error("the server is at its limit: try again in a minute")]
    Busy,
    /// Something that has no name here, with the session's code.
    #[error("the connection failed at the server (code {0})")]
    Failed(u64),
    /// The destination's host can't be reached.
    #[error("the destination can't be reached")]
    HostUnreachable,
    /// The name does not exist, or has no address.
    #[error("there is no such name: check its spelling")]
    Name,
    /// The destination's network can't be reached.
    #[error("the destination's network can't be reached")]
    NetworkUnreachable,
    /// Rules of the server, or of this client, forbid the destination.
    #[error("this destination is not allowed here")]
    NotAllowed,
    /// The destination refused the connection.
    #[error("the destination refused the connection")]
    Refused,
    /// The connection was reset on its way.
    #[error("the connection was cut")]
    Reset,
    /// The destination did not answer in time.
    #[error("the destination did not answer in time")]
    Timeout,
    /// There is no tunnel at present.
    #[error("the tunnel is down: it is being made again")]
    TunnelDown,
}

impl ConnectError {
    /// By a code of the session's `RESET`.
    #[must_use]
    pub fn of_code(code: u64) -> Self {
        match code {
            code::NOT_ALLOWED => Self::NotAllowed,
            code::NETWORK_UNREACHABLE => Self::NetworkUnreachable,
            code::HOST_UNREACHABLE => Self::HostUnreachable,
            code::REFUSED => Self::Refused,
            code::TIMEOUT => Self::Timeout,
            code::NAME => Self::Name,
            code::RESET => Self::Reset,
            code::BUSY => Self::Busy,
            other => Self::Failed(other),
        }
    }
}

impl From<&io::Error> for ConnectError {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Self::Reset,
            io::ErrorKind::HostUnreachable | io::ErrorKind::AddrNotAvailable => Self::HostUnreachable,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => Self::NetworkUnreachable,
            io::ErrorKind::PermissionDenied => Self::NotAllowed,
            io::ErrorKind::TimedOut => Self::Timeout,
            _ => Self::Failed(code::INTERNAL),
        }
    }
}
