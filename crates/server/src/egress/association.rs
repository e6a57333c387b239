//! Datagrams to anywhere from one port of the server (UDP association of RFC 1928 §7).

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use daylight_session::Destination;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::{Egress, EgressError};

/// Names whose address an association remembers, so that a datagram doesn't wait for each one's lookup.
const NAMES_MAX: usize = 32;
/// For how long.
const NAMES_AGE: Duration = Duration::from_secs(60);

/// The longest datagram, in bytes.
const DATAGRAM_LEN_MAX: usize = 65_535;

thread_local! {
    /// What this thread receives into, so that an idle association has no buffer.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A socket of each family. Whoever has its port may send to it, as programs that talk peer to peer need it.
#[derive(Debug)]
pub struct Association {
    egress: Arc<Egress>,
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    names: Mutex<Vec<(Destination, SocketAddr, Instant)>>,
}

impl Association {
    pub(super) async fn new(egress: Arc<Egress>) -> Result<Self, EgressError> {
        let bind = async |any: IpAddr| {
            let any = SocketAddr::new(any, 0);
            match egress.sources.of(any) {
                Ok(source) => UdpSocket::bind(SocketAddr::new(source.unwrap_or_else(|| any.ip()), 0)).await,
                Err(error) => Err(error),
            }
        };
        let v4 = bind(Ipv4Addr::UNSPECIFIED.into()).await;
        let v6 = bind(Ipv6Addr::UNSPECIFIED.into()).await;
        match (v4, v6) {
            (Err(error), Err(_)) => Err(EgressError::from(error)),
            (v4, v6) => {
                let (v4, v6) = (v4.ok(), v6.ok());
                Ok(Self { egress, v4, v6, names: Mutex::default() })
            }
        }
    }

    /// Sends a datagram, after its destination's name is looked up if need be.
    ///
    /// # Errors
    /// If the destination is not allowed, has no address, or the system refuses it. The association is of use still.
    pub async fn send(&self, destination: &Destination, data: &[u8]) -> Result<(), EgressError> {
        let address = self.address(destination).await?;
        let socket = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let socket = socket.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NetworkUnreachable))?;
        socket.send_to(data, address).await?;
        Ok(())
    }

    /// Waits for a datagram, and who sent it.
    ///
    /// # Errors
    /// The socket's, after which the association is of no use.
    pub async fn receive(&self) -> io::Result<(SocketAddr, Bytes)> {
        loop {
            let socket = tokio::select! {
                socket = readable(self.v4.as_ref()) => socket?,
                socket = readable(self.v6.as_ref()) => socket?,
            };
            match try_receive(socket) {
                // An ICMP message about an earlier datagram: not this one's fault.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock
                            | io::ErrorKind::ConnectionRefused
                            | io::ErrorKind::HostUnreachable
                            | io::ErrorKind::NetworkUnreachable
                    ) => {}
                other => return other,
            }
        }
    }

    async fn address(&self, destination: &Destination) -> Result<SocketAddr, EgressError> {
        if matches!(destination, Destination::Name(..)) {
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            let known = names.iter().find(|(name, _, at)| name == destination && at.elapsed() < NAMES_AGE);
            if let Some((_, address, _)) = known {
                return Ok(*address);
            }
        }
        let resolved = self.egress.resolve(destination).await?;
        let has_socket = |address: &&SocketAddr| match address.is_ipv4() {
            true => self.v4.is_some(),
            false => self.v6.is_some(),
        };
        let address = *resolved
            .iter()
            .find(has_socket)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NetworkUnreachable))?;
        if matches!(destination, Destination::Name(..)) {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            names.retain(|(name, _, at)| name != destination && at.elapsed() < NAMES_AGE);
            if names.len() == NAMES_MAX {
                names.remove(0);
            }
            names.push((destination.clone(), address, Instant::now()));
        }
        Ok(address)
    }
}

/// The socket, once it has something; never without one.
async fn readable(socket: Option<&UdpSocket>) -> io::Result<&UdpSocket> {
    match socket {
        Some(socket) => socket.readable().await.map(|()| socket),
        None => std::future::pending().await,
    }
}

fn try_receive(socket: &UdpSocket) -> io::Result<(SocketAddr, Bytes)> {
    let mut buffer = BUFFER.take();
    buffer.resize(DATAGRAM_LEN_MAX, 0);
    let received = socket.try_recv_from(&mut buffer);
    let received =
        received.map(|(len, from)| (from, Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default())));
    BUFFER.set(buffer);
    received
}
