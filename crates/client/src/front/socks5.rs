//! SOCKS 5 (RFC 1928): `CONNECT` and `UDP ASSOCIATE`.

use std::io;
use std::net::SocketAddr;

use daylight_session::Destination;
use fast_socks5::server::{Socks5ServerProtocol, SocksServerError, states};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{ReplyError, Socks5Command};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{REQUEST_PATIENCE, destination, relay_program, udp};
use crate::{ConnectError, Tunnel};

pub(super) const VERSION: u8 = 5;
/// Said instead of an address that is nobody's business.
const NOWHERE: ([u8; 4], u16) = ([0; 4], 0);

type Request = Socks5ServerProtocol<TcpStream, states::CommandRead>;

pub(super) async fn serve<T: Tunnel>(connection: TcpStream, tunnel: T) -> io::Result<()> {
    let local = connection.local_addr()?;
    let peer = connection.peer_addr()?;
    let read = async {
        Socks5ServerProtocol::accept_no_auth(connection)
            .await
            .map_err(failed)?
            .read_command()
            .await
            .map_err(failed)
    };
    let (request, command, target) = timeout(REQUEST_PATIENCE, read).await??;
    match command {
        Socks5Command::TCPConnect => match of_target(target) {
            Some(destination) => connect(request, destination, tunnel).await,
            None => refuse(request, &ReplyError::AddressTypeNotSupported).await,
        },
        Socks5Command::UDPAssociate => associate(request, local, peer, tunnel).await,
        Socks5Command::TCPBind => refuse(request, &ReplyError::CommandNotSupported).await,
    }
}

async fn connect<T: Tunnel>(request: Request, destination: Destination, tunnel: T) -> io::Result<()> {
    match tunnel.connect(destination).await {
        Ok(stream) => {
            let connection = request.reply_success(NOWHERE.into()).await.map_err(failed)?;
            relay_program(connection, stream).await;
            Ok(())
        }
        Err(error) => refuse(request, &reply(error)).await,
    }
}

async fn associate<T: Tunnel>(
    request: Request,
    local: SocketAddr,
    peer: SocketAddr,
    tunnel: T,
) -> io::Result<()> {
    let association = match tunnel.associate().await {
        Ok(association) => association,
        Err(error) => return refuse(request, &reply(error)).await,
    };
    // On the address at which the program came, so that it is as reachable, and no more.
    match udp::Relay::bind(local.ip(), peer.ip()).await {
        Ok(relay) => {
            let connection = request.reply_success(relay.address()?).await.map_err(failed)?;
            relay.run(connection, association).await
        }
        Err(_) => refuse(request, &ReplyError::GeneralFailure).await,
    }
}

async fn refuse(request: Request, reply: &ReplyError) -> io::Result<()> {
    request.reply_error(reply).await.map_err(failed)
}

fn failed(error: SocksServerError) -> io::Error {
    match error {
        SocksServerError::Io { source, .. } => source,
        other => io::Error::other(other),
    }
}

/// None for a name that can't be one.
pub(super) fn of_target(target: TargetAddr) -> Option<Destination> {
    match target {
        TargetAddr::Ip(address) => Some(address.into()),
        TargetAddr::Domain(name, port) => destination(&name, port),
    }
}

/// RFC 1928 §6 has no words for some of them.
fn reply(error: ConnectError) -> ReplyError {
    match error {
        ConnectError::NotAllowed => ReplyError::ConnectionNotAllowed,
        ConnectError::NetworkUnreachable => ReplyError::NetworkUnreachable,
        ConnectError::HostUnreachable | ConnectError::Name => ReplyError::HostUnreachable,
        ConnectError::Refused | ConnectError::Reset => ReplyError::ConnectionRefused,
        ConnectError::Timeout => ReplyError::TtlExpired,
        ConnectError::Busy | ConnectError::Failed(_) | ConnectError::TunnelDown => ReplyError::GeneralFailure,
    }
}
