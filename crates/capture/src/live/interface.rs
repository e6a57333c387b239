//! What the system says of its interfaces.

use std::ffi::c_int;
use std::io;
use std::path::PathBuf;

use daylight_packet::LinkType;

use super::LiveError;
use crate::sys;

/// The number of an interface; `None` if there is none of that name. It changes when an interface is made anew.
pub fn index_of(interface: &str) -> Option<u32> {
    u32::try_from(sys::index_of(interface)).ok().filter(|index| *index != 0)
}

/// The names of all interfaces of the network namespace.
pub fn interfaces() -> Vec<String> {
    let Ok(names) = nix::net::if_::if_nameindex() else { return Vec::new() };
    names.iter().map(|interface| interface.name().to_string_lossy().into_owned()).collect()
}

/// True if the interface has no address and belongs to no bridge: nobody on this machine waits for what comes there.
pub(super) fn is_idle(interface: &str) -> bool {
    let Ok(mut addresses) = nix::ifaddrs::getifaddrs() else { return false };
    let addressed = addresses.any(|a| {
        let family = a.address.as_ref().and_then(nix::sys::socket::SockaddrLike::family);
        a.interface_name == interface
            && match family {
                Some(nix::sys::socket::AddressFamily::Inet) => true,
                // Every interface that is up has a link-local one.
                Some(nix::sys::socket::AddressFamily::Inet6) => {
                    let address = a.address.as_ref().and_then(|address| address.as_sockaddr_in6());
                    address.is_some_and(|address| !address.ip().is_unicast_link_local())
                }
                _ => false,
            }
    });
    !addressed && !file(interface, "master").exists()
}

/// Its file under `/sys/class/net`.
pub(super) fn file(interface: &str, name: &str) -> PathBuf {
    ["/sys/class/net", interface, name].iter().collect()
}

/// How the frames of an interface begin, and if they must be had without their link header, which nobody could read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: c_int,
    pub(super) link: LinkType,
    pub(super) cooked: bool,
    pub(super) loopback: bool,
}

/// `ARPHRD_RAWIP` of `linux/if_arp.h`, of modems.
const RAW_IP: u16 = 519;

/// # Errors
/// If there is no such interface.
pub(super) fn link(interface: &str) -> Result<Link, LiveError> {
    let index = sys::index_of(interface);
    if index == 0 {
        return Err(LiveError::NoInterface { interface: interface.into(), others: interfaces() });
    }
    let hardware = sys::hardware_type(interface).map_err(|cause| LiveError::System {
        interface: interface.into(),
        what: "its kind can't be asked for",
        cause,
    })?;
    let (link, cooked) = match hardware {
        libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => (LinkType::ETHERNET, false),
        libc::ARPHRD_IEEE80211 => (LinkType(105), false),
        libc::ARPHRD_IEEE80211_RADIOTAP => (LinkType(127), false),
        // Begins with the IP header anyhow.
        libc::ARPHRD_NONE | RAW_IP => (LinkType::RAW, false),
        _ => (LinkType::RAW, true),
    };
    Ok(Link { index, link, cooked, loopback: hardware == libc::ARPHRD_LOOPBACK })
}

/// Not permitted is said as such.
pub(super) fn failed(interface: &str, what: &'static str) -> impl FnOnce(io::Error) -> LiveError {
    let interface = interface.to_owned();
    move |cause| match cause.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => LiveError::NotPermitted { interface },
        _ => LiveError::System { interface, what, cause },
    }
}
