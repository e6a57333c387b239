//! System calls of sockets that several parts make, each behind a safe function.
#![allow(unsafe_code)]

use std::ffi::{CString, c_int, c_void};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub(crate) fn length<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

pub(crate) fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A new socket, closed when the value is dropped.
pub(crate) fn socket(domain: c_int, kind: c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers. Protocol 0: a packet socket receives nothing before it is bound.
    let fd = check(unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: `socket` has just given this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets an option to a value that the kernel only reads, and that has no pointers into memory of ours.
pub(crate) fn set<T: Plain>(fd: BorrowedFd<'_>, level: c_int, option: c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer is to a value of that size, which lives through the call.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast::<c_void>(),
            length::<T>(),
        )
    })
    .map(drop)
}

/// Gets an option.
pub(crate) fn get<T: Plain>(fd: BorrowedFd<'_>, level: c_int, option: c_int) -> io::Result<T> {
    // SAFETY: all-zero bytes are valid for a plain type.
    let mut value: T = unsafe { zeroed() };
    let mut len = length::<T>();
    // SAFETY: both pointers are to values that live through the call; `len` is the size of what the first points to.
    check(unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, option, (&raw mut value).cast::<c_void>(), &raw mut len)
    })?;
    Ok(value)
}

/// Types for which every bit pattern is valid, without padding that would carry anything out.
///
/// # Safety
/// Whoever implements it says so.
pub(crate) unsafe trait Plain {}

macro_rules! plain {
    ($($t:ty),*) => { $(
        // SAFETY: C structures of integers.
        unsafe impl Plain for $t {}
    )* };
}
pub(crate) use plain;

plain!(
    c_int,
    u32,
    libc::tpacket_stats,
    libc::packet_mreq,
    libc::tpacket_stats_v3,
    libc::tpacket_req3,
    libc::fanout_args,
    libc::sock_fprog
);

/// Attaches a program (`SO_ATTACH_FILTER`, `PACKET_FANOUT_DATA`), which the kernel copies.
pub(crate) fn set_program(
    fd: BorrowedFd<'_>,
    level: c_int,
    option: c_int,
    program: &[crate::live::Instruction],
) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let filter = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast::<libc::sock_filter>() };
    set(fd, level, option, &filter)
}

/// Binds a packet socket to an interface, for all protocols.
pub(crate) fn bind_packet(fd: BorrowedFd<'_>, index: c_int) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid `sockaddr_ll`.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index;
    // SAFETY: the pointer is to a `sockaddr_ll` of that size, which lives through the call.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length::<libc::sockaddr_ll>()) })
        .map(drop)
}

/// The number of an interface, 0 if there is none of that name.
pub(crate) fn index_of(interface: &str) -> c_int {
    let Ok(name) = CString::new(interface) else { return 0 };
    // SAFETY: `name` is a string that ends with NUL, and lives through the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    c_int::try_from(index).unwrap_or(0)
}

/// True if there is an interface of this number.
pub(crate) fn index_is_there(index: c_int) -> bool {
    let mut name = [0u8; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the size that the call asks for.
    !unsafe { libc::if_indextoname(index as libc::c_uint, name.as_mut_ptr().cast()) }.is_null()
}

/// What kind of link an interface is: `ARPHRD_…`.
pub(crate) fn hardware_type(interface: &str) -> io::Result<u16> {
    let fd = socket(libc::AF_INET, libc::SOCK_DGRAM)?;
    // SAFETY: all-zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { zeroed() };
    let places = request.ifr_name.iter_mut().take(libc::IF_NAMESIZE - 1);
    places.zip(interface.bytes()).for_each(|(place, byte)| *place = byte as libc::c_char);
    // SAFETY: the request is an `ifreq` with a name that ends with NUL, which the call fills in.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCGIFHWADDR, &raw mut request) })?;
    // SAFETY: the call has set this member of the union.
    Ok(unsafe { request.ifr_ifru.ifru_hwaddr.sa_family })
}

/// What makes an interface promiscuous until the socket is closed.
pub(crate) fn promiscuous(index: c_int) -> libc::packet_mreq {
    libc::packet_mreq {
        mr_ifindex: index,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    }
}

pub(crate) fn wait(fds: &[BorrowedFd<'_>], timeout: Duration) -> io::Result<()> {
    let mut fds: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Shared memory of a socket, unmapped when the value is dropped.
pub(crate) struct Mapping {
    start: *mut u8,
    bytes: usize,
}

// SAFETY: plain memory, which belongs to the value; who may touch which part when is settled by its users.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps so many bytes of a socket, from `offset` on.
    pub(crate) fn of_socket(fd: BorrowedFd<'_>, bytes: usize, offset: i64) -> io::Result<Self> {
        Self::map(bytes, libc::MAP_SHARED | libc::MAP_POPULATE, fd.as_raw_fd(), offset)
    }

    /// New memory, all zeros.
    pub(crate) fn anonymous(bytes: usize) -> io::Result<Self> {
        Self::map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    }

    fn map(bytes: usize, flags: c_int, fd: c_int, offset: i64) -> io::Result<Self> {
        // SAFETY: a new mapping where the kernel finds room; nothing else is touched.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, fd, offset)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), bytes })
    }

    pub(crate) fn start(&self) -> *mut u8 {
        self.start
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nobody can have a reference into it that outlives the value.
        unsafe { libc::munmap(self.start.cast(), self.bytes) };
    }
}
