//! A question by UDP, with all answers to it.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::sleep_until;

use super::message::{query, read};
use super::{Exchange, MESSAGE_BYTES_MAX, Patience, Reply};
use daylight_verdict::ooni::Failure;

use crate::evidence::{self, Transport};
use crate::failure;
use crate::net::options;

/// When the question is asked again, if no answer has come, from the first time on. Each time with a new identifier, so
/// that two answers to one query can't be the same answer to two.
const REPEAT: [Duration; 2] = [Duration::from_millis(1200), Duration::from_millis(2800)];
/// Answers kept of one exchange.
const REPLIES_MAX: usize = 32;

pub(super) async fn ask(mut exchange: Exchange, to: SocketAddr, patience: Patience) -> Exchange {
    let otherwise = match collect(&mut exchange, to, patience).await {
        Ok(()) => Failure::GenericTimeout,
        Err(error) => failure::of_io(&error),
    };
    exchange.conclude(otherwise)
}

/// Sends, and listens until the time for all answers is over: to the end also when there is one already.
async fn collect(exchange: &mut Exchange, to: SocketAddr, patience: Patience) -> io::Result<()> {
    let socket = open(to).await?;
    let mut ids = Vec::new();
    let mut repeats = REPEAT.iter();
    let mut next_send = Some(exchange.begun);
    let mut refused = None;
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let wait = if exchange.replies.is_empty() { patience.timeout } else { patience.all };
        let end = exchange.begun + wait;
        let now = Instant::now();
        if now >= end {
            break;
        }
        if let Some(at) = next_send
            && now >= at
            && exchange.replies.is_empty()
        {
            let id = rand::random();
            let bytes = query(id, &exchange.name, exchange.kind).ok_or(io::ErrorKind::InvalidInput)?;
            ids.push(id);
            next_send = repeats.next().map(|after| exchange.begun + *after);
            match socket.send(&bytes).await {
                // An ICMP error that came for an earlier one.
                Err(error) if ids.len() > 1 => refused = Some(error),
                sent => drop(sent?),
            }
        }
        let until = next_send.filter(|_| exchange.replies.is_empty()).map_or(end, |at| at.min(end));
        tokio::select! {
            () = sleep_until(until.into()) => {}
            received = receive(&socket, &mut buffer) => match received {
                // It may be forged: an answer may still come.
                Err(error) => {
                    refused = Some(error);
                    let pause = end.min(Instant::now() + Duration::from_millis(10));
                    sleep_until(pause.into()).await;
                }
                Ok((length, ttl)) => {
                    let at = Instant::now();
                    let bytes = buffer.get(..length).unwrap_or_default();
                    if let Some(message) = read(bytes, &exchange.name, exchange.kind)
                        && let Some(attempt) = ids.iter().position(|id| *id == message.id)
                        && exchange.replies.len() < REPLIES_MAX
                    {
                        exchange.replies.push(Reply { at, ttl, attempt, message, bytes: bytes.to_vec() });
                    }
                }
            },
        }
    }
    match refused {
        Some(error) if exchange.replies.is_empty() => Err(error),
        _ => Ok(()),
    }
}

async fn open(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(evidence::any(to)).await?;
    evidence::is_own(Transport::Udp, socket.local_addr());
    // Connected, so that ICMP errors are told.
    socket.connect(to).await?;
    if to.is_ipv4() {
        setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
    } else {
        setsockopt(&socket, options::Ipv6RecvHopLimit, &1)?;
    }
    Ok(socket)
}

/// A datagram's length, and the TTL that it had left.
async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Option<u8>)> {
    socket
        .async_io(Interest::READABLE | Interest::ERROR, || {
            let mut parts = [IoSliceMut::new(buffer)];
            let mut control = nix::cmsg_space!(libc::c_int);
            let got = recvmsg::<SockaddrStorage>(
                socket.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                MsgFlags::MSG_DONTWAIT,
            )?;
            let ttl = got.cmsgs()?.find_map(|message| match message {
                ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => {
                    u8::try_from(ttl).ok()
                }
                _ => None,
            });
            Ok((got.bytes, ttl))
        })
        .await
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::dns::{RecordType, Resolver, answer};

    async fn server() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        (socket, at)
    }

    fn exchange(to: SocketAddr) -> Exchange {
        Exchange::new(&Resolver::Udp(to), "a.example", RecordType::A)
    }

    const PATIENCE: Patience =
        Patience { timeout: Duration::from_secs(20), all: Duration::from_millis(1500) };

    #[tokio::test]
    async fn keeps_all_answers() {
        let (server, at) = server().await;
        let answering = async {
            let mut buffer = [0; 512];
            let (n, from) = server.recv_from(&mut buffer).await.unwrap();
            for address in ["10.10.34.36", "192.0.2.1"] {
                let bytes = answer(&buffer[..n], 0, &[address.parse().unwrap()]);
                server.send_to(&bytes, from).await.unwrap();
            }
            // Of another transaction.
            let mut wrong = answer(&buffer[..n], 0, &["192.0.2.9".parse().unwrap()]);
            wrong[0] ^= 1;
            server.send_to(&wrong, from).await.unwrap();
        };
        let (exchange, ()) = tokio::join!(ask(exchange(at), at, PATIENCE), answering);
        assert_eq!(exchange.addresses(), ["10.10.34.36".parse::<IpAddr>().unwrap()]);
        assert_eq!(exchange.failure, None);
        let all: Vec<_> =
            exchange.replies.iter().map(|reply| (reply.message.addresses()[0], reply.ttl)).collect();
        assert_eq!(
            all,
            [("10.10.34.36".parse().unwrap(), Some(64)), ("192.0.2.1".parse().unwrap(), Some(64))]
        );
    }

    #[tokio::test]
    async fn asks_again_when_a_query_is_lost() {
        let (server, at) = server().await;
        let answering = async {
            let mut buffer = [0; 512];
            let (first, _) = server.recv_from(&mut buffer).await.unwrap();
            let lost = buffer[..first].to_vec();
            let (n, from) = server.recv_from(&mut buffer).await.unwrap();
            assert_ne!(lost[..2], buffer[..2]);
            server.send_to(&answer(&buffer[..n], 3, &[]), from).await.unwrap();
        };
        let patience = Patience { all: Duration::from_secs(2), ..PATIENCE };
        let (exchange, ()) = tokio::join!(ask(exchange(at), at, patience), answering);
        assert_eq!(exchange.failure, Some(Failure::DnsNxdomain));
        assert_eq!(exchange.replies[0].attempt, 1);
    }

    #[tokio::test]
    async fn nobody_there() {
        let (server, at) = server().await;
        drop(server);
        let patience = Patience { timeout: Duration::from_millis(300), ..PATIENCE };
        let exchange = ask(exchange(at), at, patience).await;
        assert_eq!(exchange.failure, Some(Failure::ConnectionRefused));
        assert!(exchange.replies.is_empty());
    }
}
