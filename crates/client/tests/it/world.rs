//! What the tests speak to.

use std::net::SocketAddr;
use std::time::Duration;

use daylight_client::front::{Front, Reach};
use daylight_client::{Association, ConnectError, Tunnel, direct::Direct};
use daylight_session::{Destination, code};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// A name that nothing but the tunnel knows.
pub(crate) const NAME: &str = "site.test";

/// A tunnel to one address, whatever the destination; some names fail by their own fault.
#[derive(Clone)]
pub(crate) struct Pretended {
    pub(crate) site: SocketAddr,
    pub(crate) echo: SocketAddr,
}

impl Tunnel for Pretended {
    type Stream = TcpStream;
    type Association = PretendedAssociation;

    async fn connect(&self, destination: Destination) -> Result<TcpStream, ConnectError> {
        let Destination::Name(name, _) = &destination else {
            return Direct::default().connect(destination).await;
        };
        match name.as_str() {
            NAME => Direct::default().connect(self.site.into()).await,
            "refused.test" => Err(ConnectError::of_code(code::REFUSED)),
            "forbidden.test" => Err(ConnectError::of_code(code::NOT_ALLOWED)),
            "slow.test" => Err(ConnectError::of_code(code::TIMEOUT)),
            "down.test" => Err(ConnectError::TunnelDown),
            _ => Err(ConnectError::of_code(code::NAME)),
        }
    }

    async fn associate(&self) -> Result<PretendedAssociation, ConnectError> {
        Ok(PretendedAssociation { inner: Direct::default().associate().await?, echo: self.echo })
    }
}

pub(crate) struct PretendedAssociation {
    inner: <Direct as Tunnel>::Association,
    echo: SocketAddr,
}

impl Association for PretendedAssociation {
    async fn send(&self, destination: Destination, data: bytes::Bytes) -> Result<(), ConnectError> {
        let known = matches!(&destination, Destination::Name(name, _) if name.as_str() == NAME);
        self.inner.send(if known { self.echo.into() } else { destination }, data).await
    }

    async fn recv(&self) -> Option<(Destination, bytes::Bytes)> {
        self.inner.recv().await
    }
}

/// A proxy before a pretended tunnel to a site and a UDP echo.
pub(crate) async fn proxy() -> SocketAddr {
    let tunnel = Pretended { site: site().await, echo: echo().await };
    let front = Front::bind(([127, 0, 0, 1], 0).into(), Reach::Loopback).await.expect("a port");
    let address = front.address();
    tokio::spawn(front.serve(tunnel));
    address
}

/// Answers each request with its head and its body, and closes.
pub(crate) async fn site() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let end = loop {
                    if let Some(end) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
                        break end + 4;
                    }
                    if connection.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                        return;
                    }
                };
                let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
                while seen.len() < end + length && connection.read_buf(&mut seen).await.unwrap_or(0) > 0 {}
                let answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", seen.len());
                let _ = connection.write_all(answer.as_bytes()).await;
                let _ = connection.write_all(&seen).await;
            });
        }
    });
    address
}

pub(crate) async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let address = socket.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_535];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..len], from).await;
        }
    });
    address
}
