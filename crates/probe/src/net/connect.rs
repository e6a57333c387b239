//! A TCP connection to one address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};

use super::{TcpInfo, tcp_info};
use daylight_verdict::ooni::Failure;

use crate::evidence::{self, Transport};
use crate::failure;

/// How a connection attempt ended.
#[derive(Debug)]
pub struct Connect {
    /// The endpoint.
    pub to: SocketAddr,
    /// When it was begun.
    pub begun: Instant,
    /// When it had ended.
    pub ended: Instant,
    /// What the kernel knew of it.
    pub info: Option<TcpInfo>,
    /// The probe's own address and port.
    pub from: Option<SocketAddr>,
    /// Why there is no connection.
    pub failure: Option<Failure>,
    /// The connection, until somebody takes it.
    pub stream: Option<TcpStream>,
}

impl Connect {
    /// How long it took.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.ended - self.begun
    }

    /// The connection, or why there is none.
    ///
    /// # Errors
    /// Why there is none.
    pub fn into_stream(self) -> Result<TcpStream, Failure> {
        match (self.stream, self.failure) {
            (Some(stream), _) => Ok(stream),
            (None, failure) => Err(failure.unwrap_or(Failure::ConnectionAlreadyClosed)),
        }
    }
}

/// Connects, from a fresh port that the system chooses.
pub async fn connect(to: SocketAddr, timeout: Duration) -> Connect {
    let begun = Instant::now();
    let stream = match tokio::time::timeout(timeout, dial(to)).await {
        Ok(stream) => stream,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
    };
    let ended = Instant::now();
    let info = stream.as_ref().ok().and_then(tcp_info);
    let from = stream.as_ref().ok().and_then(|stream| stream.local_addr().ok());
    let failure = stream.as_ref().err().map(failure::of_io);
    Connect { to, begun, ended, info, from, failure, stream: stream.ok() }
}

async fn dial(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = match to.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // What is written goes out as it was written: a ClientHello that was cut in two arrives in two.
    socket.set_nodelay(true)?;
    if evidence::book().is_some() {
        // The port is known before anything is sent from it, so that the SYN and its answer are heard.
        socket.bind(evidence::any(to))?;
        evidence::is_own(Transport::Tcp, socket.local_addr());
    }
    socket.connect(to).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn says_how_it_ended() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let connect_to_open = connect(open, Duration::from_secs(20)).await;
        assert_eq!(connect_to_open.failure, None);
        assert!(connect_to_open.info.is_some() && connect_to_open.from.unwrap().ip() == open.ip());
        drop(listener);
        let refused = connect(open, Duration::from_secs(20)).await;
        assert_eq!(refused.failure, Some(Failure::ConnectionRefused));
    }
}
