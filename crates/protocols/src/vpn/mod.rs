//! Private networks and proxies.

pub mod ah;
pub mod esp;
pub mod ike;
pub mod openvpn;
pub mod socks;
pub mod wireguard;
