//! Connections to the first of several addresses that answers (Happy Eyeballs, RFC 8305).

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Sources;

/// How long one attempt has before the next one begins beside it (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Of a name with more addresses than this the others are not tried.
const ATTEMPTS_MAX: usize = 8;
/// After so many seconds of silence the other end is asked whether it is still there, so that a connection whose other
/// end has vanished goes too.
const KEEP_ALIVE_IDLE_S: u32 = 180;
/// Seconds between questions.
const KEEP_ALIVE_INTERVAL_S: u32 = 30;
/// Questions without an answer after which the connection is over.
const KEEP_ALIVE_COUNT: u32 = 6;

/// The order of attempts: the families take turns, beginning with that of the first address, which the system thinks best.
pub(super) fn in_turn(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = VecDeque::new();
    while order.len() < ATTEMPTS_MAX {
        let before = order.len();
        order.extend(first.next());
        order.extend(second.next());
        if order.len() == before {
            break;
        }
    }
    order.truncate(ATTEMPTS_MAX);
    order
}

/// Connects to the first that answers; attempts that are too late are given up.
///
/// # Errors
/// The last attempt's, if all fail.
pub(super) async fn connect(mut left: VecDeque<SocketAddr>, sources: Sources) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        if let Some(address) = left.pop_front() {
            attempts.spawn(attempt(address, sources));
        } else if attempts.is_empty() {
            return Err(failure);
        }
        tokio::select! {
            Some(done) = attempts.join_next() => match done {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = error,
                Err(error) => failure = io::Error::other(error),
            },
            () = sleep(ATTEMPT_DELAY), if !left.is_empty() => {}
        }
    }
}

async fn attempt(address: SocketAddr, sources: Sources) -> io::Result<TcpStream> {
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_keepalive(true)?;
    setsockopt(&socket, sockopt::TcpKeepIdle, &KEEP_ALIVE_IDLE_S)?;
    setsockopt(&socket, sockopt::TcpKeepInterval, &KEEP_ALIVE_INTERVAL_S)?;
    setsockopt(&socket, sockopt::TcpKeepCount, &KEEP_ALIVE_COUNT)?;
    if let Some(source) = sources.of(address)? {
        // The port is chosen when the destination is known: one can serve many destinations.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let addresses = |list: &[&str]| {
            list.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 443)).collect::<Vec<_>>()
        };
        let order = in_turn(addresses(&["2a00::1", "2a00::2", "2a00::3", "1.1.1.1", "1.1.1.2"]));
        assert_eq!(order, addresses(&["2a00::1", "1.1.1.1", "2a00::2", "1.1.1.2", "2a00::3"]));
        let order = in_turn(addresses(&["1.1.1.1", "2a00::1"]));
        assert_eq!(order, addresses(&["1.1.1.1", "2a00::1"]));
        assert_eq!(in_turn(addresses(&["1.1.1.1"; 20])).len(), ATTEMPTS_MAX);
    }
}
