//! The system calls on a netlink socket: the one file of this module that says `unsafe`.

#![allow(unsafe_code)] // system calls on a netlink socket, each behind a safe function

use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// Datagrams that one call receives at most; their headers lie on the stack.
pub(super) const DATAGRAMS_MAX: usize = 128;

/// Buffers of equal size in one allocation, into which datagrams are received again and again.
pub(super) struct Ring {
    memory: Box<[u8]>,
    buffer_len: usize,
    /// Length of the datagram in each buffer; valid for as many as the last call received.
    lens: Box<[usize]>,
}

impl Ring {
    pub(super) fn new(buffers: usize, buffer_len: usize) -> Self {
        let buffers = buffers.clamp(1, DATAGRAMS_MAX);
        Self { memory: vec![0; buffers * buffer_len].into(), buffer_len, lens: vec![0; buffers].into() }
    }

    /// The datagram that the last call put into buffer `index`.
    pub(super) fn datagram(&self, index: usize) -> &[u8] {
        let len = self.lens.get(index).copied().unwrap_or(0);
        let start = index * self.buffer_len;
        self.memory.get(start..start + len).unwrap_or_default()
    }
}

/// A netlink socket of the netfilter family, connected to the kernel, which alone can then send to it.
pub(super) struct Socket(OwnedFd);

impl Socket {
    pub(super) fn open() -> io::Result<Self> {
        // SAFETY: a call without pointers.
        let fd = unsafe {
            libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_NETFILTER)
        };
        check(fd as isize)?;
        // SAFETY: `fd` was just opened and nobody else has it.
        let socket = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        // SAFETY: sockaddr_nl is plain numbers, for which zeros are valid.
        let mut kernel: libc::sockaddr_nl = unsafe { mem::zeroed() };
        kernel.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        let len = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        let address = ptr::from_ref(&kernel).cast::<libc::sockaddr>();
        // SAFETY: `address` points to `len` readable bytes for the time of the call. Port 0 asks for one of the
        // kernel's choice.
        check(unsafe { libc::bind(fd, address, len) } as isize)?;
        // SAFETY: as above; port 0 is the kernel's own.
        check(unsafe { libc::connect(fd, address, len) } as isize)?;
        Ok(socket)
    }

    /// Sets a number as option.
    pub(super) fn set(&self, level: i32, name: i32, value: i32) -> io::Result<()> {
        self.set_raw(level, name, &value)
    }

    /// For how long a receiving call waits; zero is for ever.
    pub(super) fn set_receive_timeout(&self, timeout: Duration) -> io::Result<()> {
        let value = libc::timeval {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_usec: timeout.subsec_micros() as libc::suseconds_t,
        };
        self.set_raw(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &value)
    }

    fn set_raw<T: Copy>(&self, level: i32, name: i32, value: &T) -> io::Result<()> {
        let len = size_of::<T>() as libc::socklen_t;
        // SAFETY: `value` points to `len` readable bytes for the time of the call.
        let done =
            unsafe { libc::setsockopt(self.0.as_raw_fd(), level, name, ptr::from_ref(value).cast(), len) };
        check(done as isize).map(drop)
    }

    /// What the socket has for memory; the order is the kernel's (`linux/sock_diag.h`).
    pub(super) fn memory(&self) -> io::Result<Memory> {
        let mut values = [0u32; 9];
        let mut len = size_of_val(&values) as libc::socklen_t;
        // SAFETY: `values` has `len` writable bytes, of which the kernel fills some or all.
        let done = unsafe {
            libc::getsockopt(
                self.0.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                values.as_mut_ptr().cast(),
                &mut len,
            )
        };
        check(done as isize)?;
        let [_, receive_buffer_bytes, .., overruns] = values;
        Ok(Memory { receive_buffer_bytes, overruns })
    }

    /// Sends one datagram; netlink takes it whole or not at all, and has worked it off when the call returns.
    pub(super) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        loop {
            // SAFETY: the pointer and the length are those of a slice.
            let sent = unsafe {
                libc::send(self.0.as_raw_fd(), datagram.as_ptr().cast(), datagram.len(), libc::MSG_NOSIGNAL)
            };
            match check(sent) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done.map(drop),
            }
        }
    }

    /// Receives one datagram, or its beginning, without waiting; with `peek` it stays in the queue.
    pub(super) fn receive_now(&self, into: &mut [u8], peek: bool) -> io::Result<usize> {
        let flags = libc::MSG_DONTWAIT | if peek { libc::MSG_PEEK } else { 0 };
        // SAFETY: the pointer and the length are those of a slice that this call alone uses.
        let got = unsafe { libc::recv(self.0.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), flags) };
        check(got)
    }

    /// Fills the ring's buffers with what is there, at least one datagram if it may wait; returns how many.
    pub(super) fn receive(&self, ring: &mut Ring, wait: bool) -> io::Result<usize> {
        let count = ring.lens.len().min(DATAGRAMS_MAX);
        let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; DATAGRAMS_MAX];
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; DATAGRAMS_MAX];
        let buffers = ring.memory.chunks_exact_mut(ring.buffer_len);
        for ((buffer, part), header) in buffers.zip(&mut parts).zip(&mut headers).take(count) {
            let part =
                part.write(libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() });
            // SAFETY: mmsghdr is plain numbers and pointers that may be null: no address and no ancillary data.
            let header = header.write(unsafe { mem::zeroed() });
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
        }
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: the first `count` headers were written above. Each points to one part on this stack frame, and that
        // to a buffer of its own, which nobody else borrows during the call. The last argument may be null.
        let got = unsafe {
            libc::recvmmsg(
                self.0.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                count as libc::c_uint,
                flags as _,
                ptr::null_mut(),
            )
        };
        let got = check(got as isize)?;
        for (len, header) in ring.lens.iter_mut().zip(&headers).take(got.min(count)) {
            // SAFETY: the first `count` headers were written above, and the kernel wrote the lengths of the first
            // `got`.
            *len = (unsafe { header.assume_init_ref() }.msg_len as usize).min(ring.buffer_len);
        }
        Ok(got)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What a socket has for memory, and how many datagrams found no room in it.
pub(super) struct Memory {
    pub(super) receive_buffer_bytes: u32,
    pub(super) overruns: u32,
}

fn check(returned: isize) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}
