//! Harmless causes of what looks wrong.

use serde::Serialize;

/// A harmless cause of a tell. Two tells that no one cause explains are evidence together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Benign {
    /// Equal by chance.
    Coincidence,
    /// The network, or the capture, made a copy of a packet.
    Duplication,
    /// The server's system fills the field in this way in resets, or draws identifications from one counter for everybody.
    Kernel,
    /// Packets before it were lost, or the capture lacks them.
    Loss,
    /// The resolver leaves names out on purpose, or the name's owner published the address.
    Naming,
    /// A load balancer or a firewall of the server's own answers in its name.
    OwnBox,
    /// The path changed, or there are several.
    PathChange,
    /// The query was sent again, and the resolver turns its addresses.
    Rotation,
    /// The first packets took longer: an address had to be resolved, a radio to wake up.
    SlowStart,
    /// One of two packets that contradict each other, and nothing tells which.
    WhichOne,
}

impl Benign {
    /// The cause in words.
    #[must_use]
    pub fn as_text(self) -> &'static str {
        match self {
            Self::Coincidence => "equal by chance",
            Self::Duplication => "copied by the network or the capture",
            Self::Kernel => "the server's system fills it in so",
            Self::Loss => "packets before it were lost",
            Self::Naming => "the resolver filters, or the name's owner published it",
            Self::OwnBox => "a load balancer or firewall of the server's own",
            Self::PathChange => "another path",
            Self::Rotation => "the query was repeated, and answers rotate",
            Self::SlowStart => "the first packets were slow",
            Self::WhichOne => "one of two that contradict each other, unknown which",
        }
    }
}
