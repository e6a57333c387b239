//! The first packet of a TCP connection, which the kernel keeps for a listener that asks for it (tcp(7), Linux 4.2).
//!
//! It shows a server what a connection looked like when it arrived, without any right to capture.
#![allow(unsafe_code)] // two socket options, each behind a safe function

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// An IPv6 header with a TCP header and all options that fit is 100 bytes; extension headers may come before it.
const SYN_BYTES_MAX: usize = 512;

/// Makes a listening socket keep the first packet of each connection that comes from now on.
///
/// # Errors
/// If the kernel doesn't know how.
pub fn save_syns(listener: &impl AsFd) -> io::Result<()> {
    let on: c_int = 1;
    // SAFETY: the pointer is to an int of that size, which lives through the call.
    let done = unsafe {
        libc::setsockopt(
            listener.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SAVE_SYN,
            (&raw const on).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The first packet of an accepted connection, from its IP header to the end of its TCP header. It can be had once.
///
/// # Errors
/// If the listener was not told to keep it, or it was fetched before.
pub fn saved_syn(connection: &impl AsFd) -> io::Result<Vec<u8>> {
    let mut packet = vec![0u8; SYN_BYTES_MAX];
    let mut length = SYN_BYTES_MAX as libc::socklen_t;
    // SAFETY: the pointers are to that many bytes and to their number, which both live through the call.
    let done = unsafe {
        libc::getsockopt(
            connection.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_SAVED_SYN,
            packet.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    packet.truncate(length as usize);
    if packet.is_empty() {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_listener_keeps_the_first_packet() {
        for (at, first) in [("127.0.0.1:0", 0x45), ("[::1]:0", 0x60)] {
            let Ok(listener) = TcpListener::bind(at) else { continue };
            save_syns(&listener).unwrap();
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            let packet = saved_syn(&accepted).unwrap();
            assert_eq!(packet[0] & 0xf0, first & 0xf0);
            assert!(packet.len() >= 40);
            assert!(saved_syn(&accepted).is_err(), "it can be had once");
        }
    }
}
