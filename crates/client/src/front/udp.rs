//! The UDP side of SOCKS 5 (RFC 1928 §7): a program's datagrams, each with the destination before it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::OnceLock;

use bytes::Bytes;
use daylight_session::Destination;
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{new_udp_header, parse_udp_request};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UdpSocket};

use super::socks5::of_target;
use crate::Association;

const DATAGRAM_LEN_MAX: usize = 65_535;

/// One association of one program.
pub(super) struct Relay {
    socket: UdpSocket,
    /// Whose datagrams are taken.
    program: IpAddr,
    /// The first port that they came from, to which answers go: others are another program's.
    from: OnceLock<SocketAddr>,
}

impl Relay {
    pub(super) async fn bind(local: IpAddr, program: IpAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind((local, 0)).await?;
        Ok(Self { socket, program, from: OnceLock::new() })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Carries datagrams until the connection that asked for it ends, or the tunnel's side does.
    pub(super) async fn run(self, mut asked: TcpStream, association: impl Association) -> io::Result<()> {
        let (out, back) = (pin!(self.carry_out(&association)), pin!(self.carry_back(&association)));
        let mut ignored = [0; 64];
        let end = async { while asked.read(&mut ignored).await.is_ok_and(|len| len > 0) {} };
        tokio::select! {
            outcome = out => outcome,
            () = back => Ok(()),
            () = end => Ok(()),
        }
    }

    async fn carry_out(&self, association: &impl Association) -> io::Result<()> {
        let mut buffer = vec![0; DATAGRAM_LEN_MAX];
        loop {
            let (len, from) = match self.socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                // The program's port was closed when an answer came.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            if from.ip() != self.program || *self.from.get_or_init(|| from) != from {
                continue;
            }
            let Some((destination, data)) = unwrap(buffer.get(..len).unwrap_or_default()).await else {
                continue;
            };
            // As with UDP, nobody is told.
            let _ = association.send(destination, data).await;
        }
    }

    async fn carry_back(&self, association: &impl Association) {
        while let Some((source, data)) = association.recv().await {
            let (Some(to), Some(datagram)) = (self.from.get(), wrap(source, &data)) else { continue };
            let _ = self.socket.send_to(&datagram, to).await;
        }
    }
}

/// What a program's datagram says; none if it is cut, or a fragment.
async fn unwrap(datagram: &[u8]) -> Option<(Destination, Bytes)> {
    let (fragment, target, data) = parse_udp_request(datagram).await.ok()?;
    (fragment == 0).then_some(())?;
    Some((of_target(target)?, Bytes::copy_from_slice(data)))
}

fn wrap(source: Destination, data: &[u8]) -> Option<Vec<u8>> {
    let source = match source {
        Destination::Address(address) => TargetAddr::Ip(address),
        Destination::Name(name, port) => TargetAddr::Domain(name.as_str().into(), port),
    };
    let mut datagram = match source {
        TargetAddr::Ip(address) => new_udp_header(address),
        TargetAddr::Domain(name, port) => new_udp_header((name.as_str(), port)),
    }
    .ok()?;
    datagram.extend_from_slice(data);
    Some(datagram)
}
