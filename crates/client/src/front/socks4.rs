//! SOCKS 4 and 4a: what old programs speak.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use daylight_session::Destination;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{REQUEST_PATIENCE, destination, relay_program};
use crate::Tunnel;

pub(super) const VERSION: u8 = 4;
const CONNECT: u8 = 1;
const GRANTED: u8 = 0x5a;
const REJECTED: u8 = 0x5b;
/// The longest user name and host name.
const TEXT_LEN_MAX: usize = 255;

pub(super) async fn serve<T: Tunnel>(mut connection: TcpStream, tunnel: T) -> io::Result<()> {
    let Some(destination) = timeout(REQUEST_PATIENCE, read_request(&mut connection)).await?? else {
        return reply(&mut connection, REJECTED).await;
    };
    match tunnel.connect(destination).await {
        Ok(stream) => {
            reply(&mut connection, GRANTED).await?;
            relay_program(connection, stream).await;
            Ok(())
        }
        Err(_) => reply(&mut connection, REJECTED).await,
    }
}

/// Where the program wants to go; none if that can't be done.
async fn read_request(connection: &mut TcpStream) -> io::Result<Option<Destination>> {
    let _version = connection.read_u8().await?;
    let command = connection.read_u8().await?;
    let port = connection.read_u16().await?;
    let ip = Ipv4Addr::from(connection.read_u32().await?);
    let _user = read_text(connection).await?;
    // 4a: an address that can't be one says that a name follows.
    let target = match ip.octets() {
        [0, 0, 0, last] if last != 0 => destination(&read_text(connection).await?, port),
        _ => Some((IpAddr::from(ip), port)).map(|address| Destination::Address(address.into())),
    };
    Ok(target.filter(|_| command == CONNECT))
}

/// Text up to a zero byte.
async fn read_text(connection: &mut TcpStream) -> io::Result<String> {
    let mut text = Vec::new();
    loop {
        match connection.read_u8().await? {
            0 => return String::from_utf8(text).map_err(|_| io::ErrorKind::InvalidData.into()),
            byte if text.len() < TEXT_LEN_MAX => text.push(byte),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

async fn reply(connection: &mut TcpStream, code: u8) -> io::Result<()> {
    connection.write_all(&[0, code, 0, 0, 0, 0, 0, 0]).await
}
