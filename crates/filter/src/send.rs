//! Notices on their way out.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::kernel::MarkBits;

/// The kernel takes the packet as it is, header included (raw(7)).
const IPPROTO_RAW: i32 = 255;

/// Sends whole IP packets, marked so that the filter's own rules let them through.
pub struct NoticeSender {
    v4: Socket,
    v6: Option<Socket>,
}

impl NoticeSender {
    /// Opens the sockets; needs CAP_NET_RAW and, for the mark, CAP_NET_ADMIN.
    ///
    /// # Errors
    /// If there is no permission. A kernel without IPv6 is none.
    pub fn open(mark: MarkBits) -> io::Result<Self> {
        let open = |domain| {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(IPPROTO_RAW)))?;
            socket.set_mark(mark.notice())?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let v4 = open(Domain::IPV4)?;
        v4.set_header_included_v4(true)?;
        let v6: io::Result<Socket> = open(Domain::IPV6).and_then(|socket| {
            socket.set_header_included_v6(true)?;
            Ok(socket)
        });
        match v6 {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
            v6 => Ok(Self { v4, v6: v6.ok() }),
        }
    }

    /// Sends a packet to the address that it has in its header. It is never waited for room.
    ///
    /// # Errors
    /// If there is no route, no IPv6, or no room.
    pub fn send(&self, packet: &[u8], to: SocketAddr) -> io::Result<()> {
        let socket = if to.is_ipv4() { Some(&self.v4) } else { self.v6.as_ref() };
        let socket = socket.ok_or(io::ErrorKind::Unsupported)?;
        // The port would be taken for a protocol.
        let to = SockAddr::from(SocketAddr::new(to.ip(), 0));
        socket.send_to(packet, &to).map(drop)
    }
}
