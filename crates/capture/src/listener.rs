//! What a machine sends and receives itself, on all of its interfaces, as IP packets.
//!
//! A packet socket that is bound to no interface and takes link headers off (`SOCK_DGRAM`): enough for a program that keeps
//! its own packets as evidence, and no more. It changes nothing on any interface. For whole frames of one interface there is
//! [`raw_socket`](crate::raw_socket).

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;

/// Asked of the kernel, so that bursts are not lost while the program is busy.
const SOCKET_BUFFER_BYTES: usize = 8 << 20;
/// EtherTypes of what is heard.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// What comes over the loopback interface is heard once as sent and once as received.
const LOOPBACK: u16 = libc::ARPHRD_LOOPBACK;

/// A packet that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// When, by the kernel: nanoseconds since 1970.
    pub ts_ns: i64,
    /// How many bytes of the packet are in the buffer.
    pub cap_len: usize,
    /// How many it has.
    pub wire_len: u32,
}

/// Hears the packets of the calling thread's network namespace.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
}

impl Listener {
    /// Opens the socket. It does not block.
    ///
    /// # Errors
    /// Without the right to open packet sockets (`CAP_NET_RAW`).
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Packet, SockType::Datagram, flags, SockProtocol::EthAll)?;
        setsockopt(&fd, sockopt::ReceiveTimestampns, &true)?;
        // Beyond the system's limit only the administrator may go; up to it is better than nothing.
        if setsockopt(&fd, sockopt::RcvBufForce, &SOCKET_BUFFER_BYTES).is_err() {
            setsockopt(&fd, sockopt::RcvBuf, &SOCKET_BUFFER_BYTES)?;
        }
        Ok(Self { fd })
    }

    /// Waits until something can be received, no longer than `timeout`. Says whether there is something.
    ///
    /// # Errors
    /// If the system call fails; an interruption is no failure.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Receives an IP packet into `buffer`, as much as it holds. `None` if there is none now.
    ///
    /// # Errors
    /// If the system call fails for another reason than that nothing is there.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Heard>> {
        loop {
            let room = buffer.len();
            let mut parts = [IoSliceMut::new(buffer)];
            let mut control = nix::cmsg_space!(TimeSpec);
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
            let got = match recvmsg::<LinkAddr>(self.fd.as_raw_fd(), &mut parts, Some(&mut control), flags) {
                Ok(got) => got,
                Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENETDOWN) => return Ok(None),
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let Some(link) = got.address else { continue };
            // Its number is in network order.
            let is_ip = matches!(u16::from_be(link.protocol()), IPV4 | IPV6);
            let is_echo = link.hatype() == LOOPBACK && link.pkttype() == libc::PACKET_OUTGOING;
            if !is_ip || is_echo {
                continue;
            }
            let at = got.cmsgs()?.find_map(|message| match message {
                ControlMessageOwned::ScmTimestampns(at) => Some(at),
                _ => None,
            });
            let Some(at) = at else { continue };
            return Ok(Some(Heard {
                ts_ns: at.tv_sec().saturating_mul(1_000_000_000).saturating_add(at.tv_nsec()),
                cap_len: got.bytes.min(room),
                wire_len: u32::try_from(got.bytes).unwrap_or(u32::MAX),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_is_sent_on_loopback_is_heard_once() {
        let listener = match Listener::open() {
            Ok(listener) => listener,
            Err(error) => {
                eprintln!("skipped: {error}: it needs CAP_NET_RAW");
                return;
            }
        };
        let [a, b] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let text = format!("heard of {}", a.local_addr().unwrap());
        a.send_to(text.as_bytes(), b.local_addr().unwrap()).unwrap();
        // Another packet of the same socket marks the end.
        a.send_to(b"done", b.local_addr().unwrap()).unwrap();
        let port = a.local_addr().unwrap().port().to_be_bytes();
        let (mut heard, mut buffer) = (Vec::new(), [0; 200]);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20)
            && heard.last().is_none_or(|(_, bytes)| *bytes != b"done")
        {
            listener.wait(Duration::from_millis(100)).unwrap();
            while let Some(one) = listener.receive(&mut buffer).unwrap() {
                let packet = &buffer[..one.cap_len];
                if packet[0] == 0x45 && packet[9] == 17 && packet[20..22] == port {
                    heard.push((one, packet[28..].to_vec()));
                }
            }
        }
        assert_eq!(heard.len(), 2, "{heard:?}");
        assert_eq!(heard[0].1, text.as_bytes());
        assert_eq!(heard[0].0.wire_len as usize, 28 + text.len());
        assert!(heard[0].0.ts_ns > 1_600_000_000_000_000_000);
    }
}
