//! Records as IPFIX (RFC 7011), for collectors of flows.
//!
//! Addresses, ports, times, counters and ends are the information elements that everybody knows; what the server sent is the
//! reverse of what the client sent (RFC 5103). Everything else is an element of our own, under a private enterprise number,
//! and is described to the collector by the options of RFC 5610: its number, type and name.
//!
//! **The enterprise number.** None is registered for Daylight. The default, 32473, is the one that is set aside for examples
//! (RFC 5612): fine between an exporter and a collector of one house, not beyond. Who has a number of their own sets `pen`.
//! The numbers of the elements under it stand in `elements.txt`; they are never used for anything else.
//!
//! A record holds what was seen, so there is a template for each set of columns that comes up ([`Encoder`]). Over UDP templates
//! are sent again from time to time; over TCP and into files (RFC 5655), once.

mod elements;
mod encode;
#[cfg(test)]
mod tests;
mod transport;

use std::path::PathBuf;
use std::time::Duration;

pub use encode::Encoder;
pub use transport::{Ipfix, IpfixFile};

/// The enterprise number for examples (RFC 5612).
pub const PEN_EXAMPLE: u32 = 32473;

/// Where the collector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IpfixTo {
    /// `host:4739`. What is lost on the way is lost; the collector can tell by the sequence numbers.
    Udp(String),
    /// `host:4739`.
    Tcp(String),
    /// A file, which is added to.
    File(PathBuf),
}

/// How records are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpfixOptions {
    /// Where to.
    pub to: IpfixTo,
    /// The private enterprise number of our elements.
    pub pen: u32,
    /// The observation domain.
    pub domain: u32,
    /// The longest message in bytes, without the headers of UDP and IP: below the path's MTU, for fragments are lost easily.
    /// Over TCP and in files messages are as long as they may be.
    pub message_bytes_max: usize,
    /// Over UDP, how often templates are sent again.
    pub template_interval: Duration,
}

impl Default for IpfixOptions {
    fn default() -> Self {
        Self {
            to: IpfixTo::Udp("localhost:4739".to_owned()),
            pen: PEN_EXAMPLE,
            domain: 0,
            message_bytes_max: 1400,
            template_interval: Duration::from_secs(60),
        }
    }
}
