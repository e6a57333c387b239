//! A packet socket that takes whole frames from an interface and puts whole frames onto one.
//!
//! The socket asks for `PACKET_VNET_HDR`: every frame comes with the kernel's note of what is still to be done to it (a
//! checksum to complete, a large segment to cut), and the note may be handed back with the frame. So a bulk transfer
//! passes in pieces of up to 64 KiB, and nobody has to turn offloads off on the interfaces of others.
//!
//! Frames go through `recvmmsg` and `sendmmsg`: one system call for many. VLAN tags that the kernel has taken off a frame
//! are not put back.
#![allow(unsafe_code)] // system calls on a packet socket, each behind a safe function

use std::ffi::c_int;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::sys::{self, check};

/// What the kernel still owes a frame: `struct virtio_net_hdr` of `linux/virtio_net.h`, in the machine's byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Offload {
    /// [`NEEDS_CHECKSUM`](Self::NEEDS_CHECKSUM), [`VALID_DATA`](Self::VALID_DATA) and others.
    pub flags: u8,
    /// What has to be cut: 0 for nothing.
    pub gso_type: u8,
    /// Length of all headers, as a hint.
    pub header_bytes: u16,
    /// Payload of each piece.
    pub gso_bytes: u16,
    /// Where the checksum begins to be counted.
    pub checksum_start: u16,
    /// Where it is put, from there.
    pub checksum_offset: u16,
}

const _: () = assert!(size_of::<Offload>() == 10);

impl Offload {
    /// The transport's checksum holds the pseudo-header only.
    pub const NEEDS_CHECKSUM: u8 = 1;
    /// The transport's checksum was verified.
    pub const VALID_DATA: u8 = 2;
    /// Nothing is to be cut.
    pub const GSO_NONE: u8 = 0;
    /// TCP over IPv4.
    pub const GSO_TCPV4: u8 = 1;
    /// TCP over IPv6.
    pub const GSO_TCPV6: u8 = 4;
    /// UDP datagrams, each of `gso_bytes`.
    pub const GSO_UDP_L4: u8 = 5;
    /// A bit of `gso_type`: the first piece says that congestion was met.
    pub const GSO_ECN: u8 = 0x80;

    /// True if the frame stands for several.
    pub fn is_large(&self) -> bool {
        self.gso_type & !Self::GSO_ECN != Self::GSO_NONE
    }
}

/// A frame from its Ethernet header on, with what is still owed to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawFrame {
    /// What is still to be done.
    pub offload: Offload,
    /// The frame.
    pub bytes: Vec<u8>,
}

/// Frames received or sent in one system call.
pub const BATCH_FRAMES_MAX: usize = 32;
/// No frame is longer: an IP packet of 64 KiB and its link header.
pub const FRAME_BYTES_MAX: usize = 65_536 + 64;
/// Asked of the kernel for each direction of a socket.
const SOCKET_BUFFER_BYTES: c_int = 32 << 20;
/// `PACKET_IGNORE_OUTGOING` of `linux/if_packet.h`: what was sent is not received again.
const PACKET_IGNORE_OUTGOING: c_int = 23;

/// A packet socket bound to one interface of the calling thread's network namespace.
#[derive(Debug)]
pub struct RawSocket {
    fd: OwnedFd,
}

impl AsFd for RawSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl RawSocket {
    /// Opens a socket on `interface`. It does not block.
    ///
    /// # Errors
    /// If there is no such interface, or without the right to open packet sockets (`CAP_NET_RAW`).
    pub fn open(interface: &str) -> io::Result<Self> {
        let (this, _) = Self::bound(interface, &[PACKET_IGNORE_OUTGOING])?;
        Ok(this)
    }

    /// Opens a socket on an interface that is to be listened to: it also takes frames that are for others, and those that
    /// the machine itself sends there.
    ///
    /// # Errors
    /// As [`RawSocket::open`].
    pub fn listening(interface: &str) -> io::Result<Self> {
        let (this, index) = Self::bound(interface, &[])?;
        // The kernel takes the mode back when the socket is closed.
        let member = sys::promiscuous(index);
        sys::set(this.fd.as_fd(), libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &member)?;
        Ok(this)
    }

    /// A socket with these options, bound to an interface, of which the number comes with it.
    fn bound(interface: &str, options: &[c_int]) -> io::Result<(Self, c_int)> {
        let index = sys::index_of(interface);
        if index == 0 {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        let fd = sys::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK)?;
        let this = Self { fd };
        this.set(libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
        for option in options {
            this.set(libc::SOL_PACKET, *option, 1)?;
        }
        for (forced, plain) in
            [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
        {
            // In a user namespace one may not go beyond the system's limit; up to it is better than nothing.
            if this.set(libc::SOL_SOCKET, forced, SOCKET_BUFFER_BYTES).is_err() {
                this.set(libc::SOL_SOCKET, plain, SOCKET_BUFFER_BYTES)?;
            }
        }
        sys::bind_packet(this.fd.as_fd(), index)?;
        Ok((this, index))
    }

    fn set(&self, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
        sys::set(self.fd.as_fd(), level, option, &value)
    }

    /// Receives what is there, into the first of `frames`, and says how many. None if nothing is there. A frame's memory
    /// is used again if it has room enough.
    ///
    /// # Errors
    /// If the system call fails for another reason than that nothing is there; interrupted calls give 0.
    pub fn receive(&self, frames: &mut [RawFrame]) -> io::Result<usize> {
        let count = frames.len().min(BATCH_FRAMES_MAX);
        // SAFETY: all-zero bytes are valid for both: null pointers and zero lengths.
        let (mut iov, mut messages): (
            [[libc::iovec; 2]; BATCH_FRAMES_MAX],
            [libc::mmsghdr; BATCH_FRAMES_MAX],
        ) = unsafe { zeroed() };
        for (frame, iov) in frames.iter_mut().zip(&mut iov) {
            frame.bytes.clear();
            frame.bytes.reserve(FRAME_BYTES_MAX);
            iov[0] = libc::iovec { iov_base: (&raw mut frame.offload).cast(), iov_len: size_of::<Offload>() };
            iov[1] = libc::iovec { iov_base: frame.bytes.as_mut_ptr().cast(), iov_len: FRAME_BYTES_MAX };
        }
        for (message, iov) in messages.iter_mut().zip(&mut iov).take(count) {
            message.msg_hdr.msg_iov = iov.as_mut_ptr();
            message.msg_hdr.msg_iovlen = 2;
        }
        // SAFETY: `count` messages point to two pieces each, of the length given, which nobody else uses; every bit
        // pattern is a valid `Offload`.
        let received = unsafe {
            libc::recvmmsg(
                self.fd.as_raw_fd(),
                messages.as_mut_ptr(),
                count as u32,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let received = match check(received) {
            Ok(n) => usize::try_from(n).unwrap_or(0),
            Err(e) if is_passing(&e) => return Ok(0),
            Err(e) => return Err(e),
        };
        for (frame, message) in frames.iter_mut().zip(&messages).take(received) {
            let len = (message.msg_len as usize).saturating_sub(size_of::<Offload>());
            // SAFETY: the kernel has written that many bytes after the header into memory reserved above.
            unsafe { frame.bytes.set_len(len.min(FRAME_BYTES_MAX)) };
        }
        Ok(received)
    }

    /// Sends the first of `frames`, and says how many were taken: fewer than there are if the socket is full now.
    ///
    /// # Errors
    /// If the first frame can't be sent at all: too long for the interface, the interface is down. It is up to the caller
    /// to leave it out and go on.
    pub fn send<'a>(&self, frames: impl ExactSizeIterator<Item = &'a RawFrame>) -> io::Result<usize> {
        let count = frames.len().min(BATCH_FRAMES_MAX);
        // SAFETY: all-zero bytes are valid for both: null pointers and zero lengths.
        let (mut iov, mut messages): (
            [[libc::iovec; 2]; BATCH_FRAMES_MAX],
            [libc::mmsghdr; BATCH_FRAMES_MAX],
        ) = unsafe { zeroed() };
        for ((frame, iov), message) in frames.zip(&mut iov).zip(&mut messages) {
            // `sendmmsg` only reads through these pointers.
            iov[0] = libc::iovec {
                iov_base: (&raw const frame.offload).cast_mut().cast(),
                iov_len: size_of::<Offload>(),
            };
            iov[1] =
                libc::iovec { iov_base: frame.bytes.as_ptr().cast_mut().cast(), iov_len: frame.bytes.len() };
            message.msg_hdr.msg_iov = iov.as_mut_ptr();
            message.msg_hdr.msg_iovlen = 2;
        }
        // SAFETY: `count` messages point to two pieces each, borrowed from `frames` for the call and only read.
        let sent = unsafe {
            libc::sendmmsg(self.fd.as_raw_fd(), messages.as_mut_ptr(), count as u32, libc::MSG_DONTWAIT)
        };
        match check(sent) {
            Ok(n) => Ok(usize::try_from(n).unwrap_or(0)),
            Err(e) if is_passing(&e) => Ok(0),
            Err(e) => Err(e),
        }
    }

    /// How many frames the kernel had to drop since the last call because they were not received in time.
    ///
    /// # Errors
    /// If the system call fails.
    pub fn missed(&self) -> io::Result<u64> {
        let stats: libc::tpacket_stats =
            sys::get(self.fd.as_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS)?;
        Ok(u64::from(stats.tp_drops))
    }
}

/// Nothing there, no room, or interrupted: not the end of the world. An interface that is taken down tells so once.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS | libc::ENETDOWN | libc::ENOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there() {
        let error = RawSocket::open("no-such-interface").unwrap_err();
        assert!(matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO | libc::ENOENT)), "{error}");
        assert!(RawSocket::open("a\0b").is_err());
    }

    #[test]
    fn what_is_large() {
        let offload = |gso_type| Offload { gso_type, ..Offload::default() };
        assert!(!offload(0).is_large() && !offload(Offload::GSO_ECN).is_large());
        assert!(offload(Offload::GSO_TCPV4).is_large());
        assert!(offload(Offload::GSO_TCPV6 | Offload::GSO_ECN).is_large());
    }
}
