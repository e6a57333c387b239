//! Sending with a limited TTL, without any right that an ordinary program lacks.
//!
//! *Plain socket*: a connection is made with the ordinary TTL, then the TTL is lowered, and the name goes out. Its ports are
//! the same for every packet of the connection, so that a path that depends on them stays one (as Paris traceroute does);
//! what a router says comes as the connection's error, without its address.
//! *Error queue*: for a SYN the kernel queues the router's ICMP message, with its address (Linux 5.13 and later for TCP).

use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::icmp::Listener;
use super::place::{Reply, Seen};
use crate::evidence::{self, Book, Transport};

/// After a router's message an injected packet is waited for this long, and after one that may be injected a router's.
const AFTERMATH: Duration = Duration::from_millis(400);

fn socket(to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    // Errors of the path are told at once, and not only when the connection has given up.
    if to.is_ipv4() {
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
    } else {
        setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
    }
    Ok(socket)
}

fn limit(socket: &Socket, to: SocketAddr, ttl: u8) -> io::Result<()> {
    if to.is_ipv4() { socket.set_ttl_v4(ttl.into()) } else { socket.set_unicast_hops_v6(ttl.into()) }
}

/// Sends a payload with a limited TTL on a fresh connection, and says what came; with a book, also with which TTL.
///
/// # Errors
/// If there is no connection.
pub(super) fn send(
    to: SocketAddr,
    payload: &[u8],
    ttl: u8,
    connect: Duration,
    wait: Duration,
    book: Option<&Book>,
) -> io::Result<Seen> {
    let socket = socket(to)?;
    let mut port = None;
    if let Some(book) = book {
        socket.bind(&evidence::any(to).into())?;
        port = socket.local_addr()?.as_socket().map(|local| local.port());
        port.inspect(|port| book.own(Transport::Tcp, *port));
    }
    socket.connect_timeout(&to.into(), connect)?;
    let local = socket.local_addr()?.as_socket().map_or(0, |local| local.port());
    let icmp = Listener::open(to);
    limit(&socket, to, ttl)?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(payload)?;
    let (mut seen, mut end) =
        (Seen { ttl, reply: Reply::Silence, exceeded_too: false, reply_ttl: None }, Instant::now() + wait);
    let mut buffer = [0; 2048];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        stream.set_read_timeout(Some(left))?;
        seen.reply = match stream.read(&mut buffer) {
            Ok(0) => Reply::Fin,
            Ok(n) => what(payload, buffer.get(..n).unwrap_or_default()),
            Err(error) => match error.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Reply::Reset,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    if !seen.exceeded_too {
                        seen.exceeded_too = true;
                        end = end.min(Instant::now() + AFTERMATH);
                    }
                    continue;
                }
                io::ErrorKind::Interrupted => continue,
                _ => break,
            },
        };
        break;
    }
    if let (Some(book), Some(port)) = (book, port)
        && seen.reply.ends()
    {
        seen.reply_ttl = book.last_ttl(to, port);
    }
    if seen.reply.ends() && seen.reply != Reply::Answer && !seen.exceeded_too {
        seen.exceeded_too = exceeds_too(&stream, icmp.as_ref(), local, to);
    }
    // Else the kernel would go on for a quarter of an hour to send what can't arrive, and the server would wait.
    let socket = SockRef::from(&stream);
    limit(&socket, to, 64)?;
    socket.set_linger(Some(Duration::ZERO))?;
    if seen.reply == Reply::Silence && seen.exceeded_too {
        seen.reply = Reply::TtlExceeded;
    }
    if seen.reply == Reply::TtlExceeded {
        seen.exceeded_too = false;
    }
    Ok(seen)
}

/// Whether a router says of what was answered already that its TTL ran out.
fn exceeds_too(stream: &TcpStream, icmp: Option<&Listener>, local: u16, to: SocketAddr) -> bool {
    if let Some(icmp) = icmp {
        return icmp.hears_exceeded(local, to, AFTERMATH);
    }
    // If the answer was no reset, the connection is told.
    std::thread::sleep(AFTERMATH);
    let error = stream.take_error().ok().flatten().map(|error| error.kind());
    matches!(error, Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable))
}

/// What kind of answer this is, by its first bytes (RFC 8446 §5.1).
fn what(payload: &[u8], answer: &[u8]) -> Reply {
    let asked_tls = payload.first() == Some(&22);
    match answer.first() {
        Some(22) if asked_tls => Reply::Answer,
        Some(21) if asked_tls => Reply::Alert,
        _ if asked_tls => Reply::Page,
        _ => Reply::Answer,
    }
}

/// What a SYN with a limited TTL met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hop {
    /// This router, after this time.
    Router(IpAddr, Duration),
    /// The server answered.
    Server,
    /// Nothing came.
    Nothing,
}

/// Sends a SYN with a limited TTL, and reads the router's message from the error queue.
///
/// # Errors
/// If the socket can't be made.
pub(super) fn syn(to: SocketAddr, ttl: u8, wait: Duration) -> io::Result<Hop> {
    let socket = socket(to)?;
    limit(&socket, to, ttl)?;
    socket.set_nonblocking(true)?;
    let begun = Instant::now();
    match socket.connect(&to.into()) {
        Ok(()) => return Ok(Hop::Server),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        // A refusal is an answer too.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(Hop::Server),
        Err(error) => return Err(error),
    }
    let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(&socket), PollFlags::POLLOUT)];
    if poll(&mut fds, PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX))? == 0 {
        return Ok(Hop::Nothing);
    }
    if let Some(router) = router(&socket)? {
        return Ok(Hop::Router(router, begun.elapsed()));
    }
    match socket.take_error()? {
        None => Ok(Hop::Server),
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Hop::Server),
        // A router that the kernel gives no address of.
        Some(_) => Ok(Hop::Nothing),
    }
}

/// The sender of the ICMP message in the error queue.
fn router(socket: &Socket) -> io::Result<Option<IpAddr>> {
    let mut buffer = [0; 512];
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let mut control = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let got = match recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags) {
        Ok(got) => got,
        Err(nix::errno::Errno::EAGAIN) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let found = got.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4RecvErr(error, Some(from)) if error.ee_origin == libc::SO_EE_ORIGIN_ICMP => {
            Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr))))
        }
        ControlMessageOwned::Ipv6RecvErr(error, Some(from))
            if error.ee_origin == libc::SO_EE_ORIGIN_ICMP6 =>
        {
            Some(IpAddr::V6(Ipv6Addr::from(from.sin6_addr.s6_addr)))
        }
        _ => None,
    });
    Ok(found)
}
