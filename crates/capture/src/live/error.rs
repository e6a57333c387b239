//! What can go wrong with an interface.

use std::io;

/// Why an interface can't be listened to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// There is no such interface.
    #[error("there is no interface {interface}; there are: {}", list(others))]
    NoInterface {
        /// As it was asked for.
        interface: String,
        /// Those that are there.
        others: Vec<String>,
    },
    /// The process may not listen.
    #[error(
        "{interface} can't be listened to: it takes the capability CAP_NET_RAW; run as root, or give it to the program \
         (`setcap cap_net_raw=ep PROGRAM`, or AmbientCapabilities=CAP_NET_RAW in a systemd unit)"
    )]
    NotPermitted {
        /// Its name.
        interface: String,
    },
    /// AF_XDP takes more.
    #[error(
        "{interface} can't be listened to by AF_XDP: it takes the capabilities CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF; run \
         as root, or with `--capture packet`"
    )]
    XdpNotPermitted {
        /// Its name.
        interface: String,
    },
    /// The kernel or the driver has no AF_XDP.
    #[error("{interface} can't be listened to by AF_XDP: {what}: {cause}; use `--capture packet`")]
    Xdp {
        /// Its name.
        interface: String,
        /// What could not be done.
        what: &'static str,
        /// What the system says.
        cause: io::Error,
    },
    /// A setting that the ring can't have.
    #[error(
        "a ring of {bytes} bytes can't be had on {interface}: {cause}; choose a smaller one (`--buffer`)"
    )]
    Ring {
        /// Its name.
        interface: String,
        /// Bytes asked for.
        bytes: usize,
        /// What the system says.
        cause: io::Error,
    },
    /// A filter expression that can't be compiled.
    #[error("the filter `{expression}` can't be read: {message}; its language is that of pcap-filter(7)")]
    Filter {
        /// As it was given.
        expression: String,
        /// What libpcap says.
        message: String,
    },
    /// The library that compiles filters is missing.
    #[error("filters are compiled by libpcap, which can't be loaded: {0}; install it (Debian: libpcap0.8)")]
    NoLibpcap(String),
    /// Anything else.
    #[error("{interface}: {what}: {cause}")]
    System {
        /// Its name.
        interface: String,
        /// What could not be done.
        what: &'static str,
        /// What the system says.
        cause: io::Error,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
