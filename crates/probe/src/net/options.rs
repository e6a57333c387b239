//! Socket options that nix has no name for. What has to be unsafe is within its macros.

use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};

sockopt_impl!(
    /// What the kernel knows of a connection: tcp(7).
    TcpInfoOption,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    TcpInfoHead
);

/// The beginning of the kernel's `struct tcp_info`, as far as it has been since Linux 4.9. What comes after it grows with
/// the kernel; a shorter structure is filled as far as it goes.
#[allow(unreachable_pub)] // the macro makes the option's type public, and with it what it gives
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TcpInfoHead {
    states: [u8; 8],
    timers_and_sizes: [u32; 15],
    /// Microseconds.
    pub(super) rtt: u32,
    /// Microseconds.
    pub(super) rttvar: u32,
    windows: [u32; 6],
    pub(super) total_retrans: u32,
    rates_and_bytes: [u64; 4],
    pub(super) segs_out: u32,
    segs_in: u32,
    notsent_bytes: u32,
    /// Microseconds.
    pub(super) min_rtt: u32,
}

const _: () = assert!(size_of::<TcpInfoHead>() == 152);

sockopt_impl!(
    /// That each datagram comes with its hop limit: ipv6(7).
    Ipv6RecvHopLimit,
    SetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_RECVHOPLIMIT,
    libc::c_int
);
