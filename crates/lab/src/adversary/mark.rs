//! What gives an injector away: the header fields that it fills in its own way.

use serde::{Deserialize, Serialize};

use super::packet::Packet;
use crate::hop::random::Random;
use daylight_packet::build::Stamp;

/// How a header field is filled: a number, `"copied"` from the packet that was the reason, or `"random"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fill<T> {
    /// Always this.
    Fixed(T),
    /// By rule.
    By(Rule),
}

/// How a field is filled that is not fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// As in the packet that was the reason.
    Copied,
    /// Anew for every packet.
    Random,
}

/// The fields that differ between injectors. The default looks like an ordinary Linux host: TTL 64, IPID 0, DF, no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mark {
    /// Time to live, or hop limit. Random is 48 to 247.
    pub ttl: Fill<u8>,
    /// IPv4 identification.
    pub ip_id: Fill<u16>,
    /// TCP window. Random is never 0.
    pub window: Fill<u16>,
    /// The DF bit of IPv4.
    pub dont_fragment: bool,
}

impl Default for Mark {
    fn default() -> Self {
        Self { ttl: Fill::Fixed(64), ip_id: Fill::Fixed(0), window: Fill::Fixed(0), dont_fragment: true }
    }
}

impl Mark {
    /// The IP fields of a packet to be put in because of `reason`.
    pub fn stamp(&self, reason: &Packet<'_>, dice: &mut Random) -> Stamp {
        Stamp {
            ttl: match self.ttl {
                Fill::Fixed(n) => n,
                Fill::By(Rule::Copied) => reason.ttl,
                Fill::By(Rule::Random) => (48 + dice.below(200)) as u8,
            },
            ip_id: match self.ip_id {
                Fill::Fixed(n) => n,
                Fill::By(Rule::Copied) => reason.ip_id.unwrap_or(0),
                Fill::By(Rule::Random) => dice.bits16(),
            },
            dont_fragment: self.dont_fragment,
        }
    }

    /// The window of a segment to be put in because of `reason`.
    pub fn window(&self, reason: &Packet<'_>, dice: &mut Random) -> u16 {
        match self.window {
            Fill::Fixed(n) => n,
            Fill::By(Rule::Copied) => reason.tcp().map_or(0, |s| s.window),
            Fill::By(Rule::Random) => dice.bits16().max(1),
        }
    }
}
