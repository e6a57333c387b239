//! Which packets of a connection came in the server's name and are not the server's: why, and whose they look like.
//!
//! **A packet's way**: [`Analysis::add`] decodes a frame and puts it with its connection; [`Analysis::finish`] compares what
//! the server seems to have sent with what is known to be the server's, and gives a [`Report`] of those connections that
//! something is wrong with. What speaks against a packet is a [`Tell`], kept with the numbers and values of the packets that
//! witness it. A tell that has harmless causes ([`Benign`]) says nothing alone: a packet is called *injected* if no one
//! harmless cause explains all of its tells, and *suspect* if one does. [`Signatures`] are data: what known equipment fills
//! into the packets that it makes.
//!
//! A crate of its own because three use it that don't use one another: the command over captures, the probe over its own
//! packets, and the report, which dumps them. Nothing here reads files, asks a clock or sends anything; the same packets
//! give the same report.
#![forbid(unsafe_code)]

mod analysis;
mod benign;
mod connection;
mod dissect;
mod dns;
mod finding;
mod name;
mod packet;
#[cfg(test)]
mod reference;
mod signature;
mod tcp;
mod tell;

pub use analysis::{Analysis, CONNECTIONS_MAX, Counters, Report};
pub use benign::Benign;
pub use dissect::{Field, dissect, title};
pub use finding::{Finding, Foreign, Kind, SignatureMatch, Step, Told, Verdict};
pub use packet::BYTES_KEPT_MAX;
pub use signature::{OWN_SIGNATURES, SIGNATURES_BYTES_MAX, SignatureError, Signatures};
pub use tell::Tell;
