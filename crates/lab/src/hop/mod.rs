//! A link of the lab: frames from one interface to another, delayed, lost, limited, or meddled with.
//!
//! The kernels that the lab runs on need not have netem, so a link's bad habits are made here, in user space. A [`Hop`] is a
//! thread with a packet socket on each of two interfaces. [`Core`] decides what becomes of a frame and when: it is given
//! frames and times, gives frames back when they are due, and touches neither sockets nor clocks.
//!
//! ```text
//!   left (clients)                                                    right (servers)
//!        │  outbound →   adversaries, in order  →  line: rate, delay, loss …   │
//!        │  ← inbound    adversaries, in order  ←  line: rate, delay, loss …   │
//! ```
//!
//! The adversaries stand at the left end. So an answer that they forge is there before the true one, which has to come over
//! the line; this is how races are won on real networks.
//!
//! **Large frames.** Kernels hand frames of up to 64 KiB to virtual interfaces and leave checksums to be done. They pass
//! untouched, with the kernel's note (`PACKET_VNET_HDR`), as long as nobody looks at packets. If there is an adversary, or
//! the line counts packets (loss, rate, MTU), they are cut into what a wire would carry ([`large`]). The other way,
//! turning offloads off on the hosts' interfaces, would slow down every link of the lab, and would break in silence
//! wherever a scenario's program turns them on again.
//!
//! **Cost**, against the kernel's bridge in the same run (`tests/path/line.rs`: one TCP stream of iperf3 between namespaces, two
//! cores that others were using too): 60 % of its throughput with large frames untouched (3.6 of 6.0 Gbit/s), 22 % with
//! every packet cut and looked at (1.3 Gbit/s), and at the shortest 40 and 70 µs more for a round trip.

mod core;
pub mod impairment;
pub mod large;
pub mod random;
mod run;
mod tap;

pub use self::core::{Core, HopConfig, HopCounters};
pub use impairment::Impairment;
pub use run::{Hop, HopError, HopReport};

use serde::{Deserialize, Serialize};

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From left to right: away from the clients.
    Outbound,
    /// From right to left: back to them.
    Inbound,
}

impl Direction {
    /// The other way.
    pub fn reverse(self) -> Self {
        match self {
            Self::Outbound => Self::Inbound,
            Self::Inbound => Self::Outbound,
        }
    }

    /// 0 for outbound, 1 for inbound.
    pub fn index(self) -> usize {
        self as usize
    }
}
