//! What the network itself speaks.

pub mod bgp;
pub mod dhcp;
pub mod dhcpv6;
mod echo;
pub mod icmp;
pub mod icmpv6;
pub mod ntp;
pub mod snmp;
pub mod ssdp;
pub mod syslog;
