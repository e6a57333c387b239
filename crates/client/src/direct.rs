//! Connections without the tunnel, for what is to go direct.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use daylight_session::Destination;
use tokio::net::{TcpSocket, TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;

use crate::{Association, ConnectError, Tunnel};

/// How long one address is tried.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest datagram.
const DATAGRAM_LEN_MAX: usize = 65_535;

/// Dials by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct {
    /// `SO_MARK` of its sockets, by which routes know them; it takes `CAP_NET_ADMIN`.
    pub mark: Option<u32>,
}

impl Direct {
    pub(crate) async fn dial(self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(mark) = self.mark {
            socket2::SockRef::from(&socket).set_mark(mark)?;
        }
        socket.set_nodelay(true)?;
        timeout(PATIENCE, socket.connect(address)).await?
    }
}

/// The addresses of a destination, at least one.
async fn addresses(destination: &Destination) -> Result<Vec<SocketAddr>, ConnectError> {
    match destination {
        Destination::Address(address) => Ok(vec![*address]),
        Destination::Name(name, port) => {
            let found = lookup_host((name.as_str(), *port)).await.map_err(|_| ConnectError::Name)?;
            let found: Vec<_> = found.collect();
            if found.is_empty() { Err(ConnectError::Name) } else { Ok(found) }
        }
    }
}

impl Tunnel for Direct {
    type Stream = TcpStream;
    type Association = DirectAssociation;

    async fn connect(&self, destination: Destination) -> Result<TcpStream, ConnectError> {
        let mut outcome = Err(ConnectError::Name);
        for address in addresses(&destination).await? {
            outcome = self.dial(address).await.map_err(|error| (&error).into());
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    async fn associate(&self) -> Result<DirectAssociation, ConnectError> {
        let bind = |any: IpAddr| {
            let socket = std::net::UdpSocket::bind((any, 0))?;
            if let Some(mark) = self.mark {
                socket2::SockRef::from(&socket).set_mark(mark)?;
            }
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        };
        let v4 = bind(Ipv4Addr::UNSPECIFIED.into()).map_err(|error| ConnectError::from(&error))?;
        // Some machines have no IPv6.
        Ok(DirectAssociation { v4, v6: bind(Ipv6Addr::UNSPECIFIED.into()).ok() })
    }
}

/// A UDP socket of each kind of address.
#[derive(Debug)]
pub struct DirectAssociation {
    v4: UdpSocket,
    v6: Option<UdpSocket>,
}

impl Association for DirectAssociation {
    async fn send(&self, destination: Destination, data: Bytes) -> Result<(), ConnectError> {
        let fits = |address: &&SocketAddr| address.is_ipv4() || self.v6.is_some();
        let addresses = addresses(&destination).await?;
        let address = addresses.iter().find(fits).ok_or(ConnectError::NetworkUnreachable)?;
        let socket = if address.is_ipv4() { &self.v4 } else { self.v6.as_ref().unwrap_or(&self.v4) };
        socket.send_to(&data, address).await.map_err(|error| ConnectError::from(&error))?;
        Ok(())
    }

    async fn recv(&self) -> Option<(Destination, Bytes)> {
        loop {
            let socket = tokio::select! {
                ready = self.v4.readable() => ready.is_ok().then_some(&self.v4)?,
                ready = readable(self.v6.as_ref()) => ready.ok()?,
            };
            // Asked here, and not before, for the buffer: most associations wait most of the time.
            let mut buffer = vec![0; DATAGRAM_LEN_MAX];
            // What a former datagram met, such as a closed port, comes as an error here: the next may fare better.
            if let Ok((len, from)) = socket.try_recv_from(&mut buffer) {
                return Some((from.into(), Bytes::copy_from_slice(buffer.get(..len)?)));
            }
        }
    }
}

async fn readable(socket: Option<&UdpSocket>) -> io::Result<&UdpSocket> {
    match socket {
        Some(socket) => socket.readable().await.map(|()| socket),
        None => std::future::pending().await,
    }
}
