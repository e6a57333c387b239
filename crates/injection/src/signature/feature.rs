//! Features of packets that are made by others.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;

use crate::finding::Kind;

/// What of a packet signatures look at.
#[derive(Clone, Debug)]
pub(crate) struct Specimen {
    pub(crate) kind: Kind,
    pub(crate) ttl: u8,
    pub(crate) ip_id: Option<u16>,
    pub(crate) dont_fragment: Option<bool>,
    pub(crate) window: Option<u16>,
    /// A reset's sequence number, from what the client had acknowledged.
    pub(crate) seq_offset: Option<u32>,
    pub(crate) seq: Option<u32>,
    pub(crate) payload: Vec<u8>,
    pub(crate) payload_len: u32,
    /// The addresses of an answer, and how long they may be kept.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) dns_ttl: Option<u32>,
}

/// The features as they stand in a file. All that are given have to fit.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct FeaturesText {
    kinds: Vec<Kind>,
    ip_id: Option<u16>,
    dont_fragment: Option<bool>,
    window: Option<u16>,
    has_window: Option<bool>,
    window_minus_ttl: Option<u16>,
    ttl: Option<u8>,
    ttls_min: Option<usize>,
    copies: Option<usize>,
    identical: Option<bool>,
    seq_steps: Vec<u32>,
    seq_zero: Option<bool>,
    payload_bytes: Option<u32>,
    payload_contains: Option<String>,
    addresses: Vec<IpAddr>,
    dns_ttl: Option<u32>,
}

/// A feature.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Feature {
    Kinds(Vec<Kind>),
    IpId(u16),
    DontFragment(bool),
    Window(u16),
    HasWindow(bool),
    WindowMinusTtl(u16),
    Ttl(u8),
    TtlsMin(usize),
    Copies(usize),
    Identical,
    SeqSteps(Vec<u32>),
    SeqZero,
    PayloadBytes(u32),
    PayloadContains(String),
    Addresses(Vec<IpAddr>),
    DnsTtl(u32),
}

/// What a feature is a choice of. Features of one group are not independent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Answer,
    Content,
    Copies,
    Fragment,
    Identification,
    Lifetime,
    Sequence,
    Ttl,
    Window,
}

impl FeaturesText {
    /// The features, or what is wrong with them.
    pub(super) fn features(self) -> Result<Vec<Feature>, &'static str> {
        if self.identical == Some(false) || self.seq_zero == Some(false) {
            return Err("`identical` and `seq-zero` are left out where they don't hold");
        }
        if self.payload_contains.as_ref().is_some_and(|text| text.len() < 4) {
            return Err("`payload-contains` has four bytes at least: less is found in anything");
        }
        let steps = Some(self.seq_steps).filter(|steps| !steps.is_empty());
        let all = [
            Some(self.kinds).filter(|kinds| !kinds.is_empty()).map(Feature::Kinds),
            self.ip_id.map(Feature::IpId),
            self.dont_fragment.map(Feature::DontFragment),
            self.window.map(Feature::Window),
            self.has_window.map(Feature::HasWindow),
            self.window_minus_ttl.map(Feature::WindowMinusTtl),
            self.ttl.map(Feature::Ttl),
            self.ttls_min.map(Feature::TtlsMin),
            self.copies.map(Feature::Copies),
            self.identical.map(|_| Feature::Identical),
            steps.map(Feature::SeqSteps),
            self.seq_zero.map(|_| Feature::SeqZero),
            self.payload_bytes.map(Feature::PayloadBytes),
            self.payload_contains.map(Feature::PayloadContains),
            Some(self.addresses).filter(|all| !all.is_empty()).map(Feature::Addresses),
            self.dns_ttl.map(Feature::DnsTtl),
        ];
        Ok(all.into_iter().flatten().collect())
    }
}

impl Feature {
    fn group(&self) -> Option<Group> {
        Some(match self {
            // What kind it is follows from what it is for.
            Self::Kinds(_) => return None,
            Self::IpId(_) => Group::Identification,
            Self::DontFragment(_) => Group::Fragment,
            Self::Window(_) | Self::HasWindow(_) | Self::WindowMinusTtl(_) => Group::Window,
            Self::Ttl(_) | Self::TtlsMin(_) => Group::Ttl,
            Self::Copies(_) | Self::Identical => Group::Copies,
            Self::SeqSteps(_) | Self::SeqZero => Group::Sequence,
            Self::PayloadBytes(_) | Self::PayloadContains(_) => Group::Content,
            Self::Addresses(_) => Group::Answer,
            Self::DnsTtl(_) => Group::Lifetime,
        })
    }

    /// Whether many systems have it that have nothing to do with each other.
    pub(super) fn is_common(&self) -> bool {
        match self {
            Self::Kinds(_) | Self::DontFragment(_) | Self::HasWindow(_) | Self::TtlsMin(_) => true,
            Self::IpId(id) => matches!(id, 0 | 1 | 0xffff),
            // 512 and up in powers of two, and the greatest there is.
            Self::Window(window) => matches!(window, 0 | 0xffff) || window.is_power_of_two(),
            Self::Ttl(_) | Self::PayloadBytes(_) | Self::SeqZero => true,
            Self::Copies(_) | Self::Identical => true,
            Self::DnsTtl(ttl) => ttl % 60 == 0,
            Self::Addresses(all) => all.iter().any(|address| daylight_packet::is_special(*address)),
            Self::WindowMinusTtl(_) | Self::SeqSteps(_) | Self::PayloadContains(_) => false,
        }
    }

    pub(super) fn fits(&self, packets: &[&Specimen]) -> bool {
        let all = |is: &dyn Fn(&Specimen) -> bool| packets.iter().all(|packet| is(packet));
        match self {
            Self::Kinds(_) => true,
            Self::IpId(id) => all(&|packet| packet.ip_id == Some(*id)),
            Self::DontFragment(set) => all(&|packet| packet.dont_fragment == Some(*set)),
            Self::Window(window) => all(&|packet| packet.window == Some(*window)),
            Self::HasWindow(has) => all(&|packet| packet.window.is_some_and(|window| (window != 0) == *has)),
            Self::WindowMinusTtl(gap) => {
                all(&|packet| packet.window.and_then(|w| w.checked_sub(packet.ttl.into())) == Some(*gap))
            }
            Self::Ttl(ttl) => all(&|packet| packet.ttl == *ttl),
            Self::TtlsMin(least) => {
                let mut ttls: Vec<u8> = packets.iter().map(|packet| packet.ttl).collect();
                ttls.sort_unstable();
                ttls.dedup();
                ttls.len() >= *least
            }
            Self::Copies(least) => packets.len() >= *least,
            Self::Identical => packets.windows(2).all(|pair| {
                let of =
                    |packet: &Specimen| (packet.kind, packet.ttl, packet.ip_id, packet.window, packet.seq);
                of(pair[0]) == of(pair[1])
            }),
            Self::SeqSteps(steps) => {
                let mut found: Vec<u32> = packets.iter().filter_map(|packet| packet.seq_offset).collect();
                found.sort_unstable();
                found.dedup();
                found == *steps
            }
            Self::SeqZero => packets.iter().any(|packet| packet.kind.is_reset() && packet.seq == Some(0)),
            Self::PayloadBytes(bytes) => packets.iter().any(|packet| packet.payload_len == *bytes),
            Self::PayloadContains(text) => packets
                .iter()
                .any(|packet| packet.payload.windows(text.len()).any(|bytes| bytes == text.as_bytes())),
            Self::Addresses(these) => {
                all(&|packet| packet.addresses.iter().any(|address| these.contains(address)))
            }
            Self::DnsTtl(ttl) => all(&|packet| packet.dns_ttl == Some(*ttl)),
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |all: Vec<String>| all.join("/");
        match self {
            Self::Kinds(kinds) => {
                write!(f, "kind={}", join(kinds.iter().map(|kind| kind.as_str().to_owned()).collect()))
            }
            Self::IpId(id) => write!(f, "ip-id={id:#06x}"),
            Self::DontFragment(set) => write!(f, "df={}", u8::from(*set)),
            Self::Window(window) => write!(f, "window={window}"),
            Self::HasWindow(has) => write!(f, "window{}", if *has { ">0" } else { "=0" }),
            Self::WindowMinusTtl(gap) => write!(f, "window-ttl={gap}"),
            Self::Ttl(ttl) => write!(f, "ttl={ttl}"),
            Self::TtlsMin(least) => write!(f, "ttls>={least}"),
            Self::Copies(least) => write!(f, "copies>={least}"),
            Self::Identical => f.write_str("identical"),
            Self::SeqSteps(steps) => {
                write!(f, "seq=+{}", join(steps.iter().map(ToString::to_string).collect()))
            }
            Self::SeqZero => f.write_str("seq=0"),
            Self::PayloadBytes(bytes) => write!(f, "payload={bytes}"),
            Self::PayloadContains(text) => write!(f, "text={text}"),
            Self::Addresses(all) => {
                write!(f, "address={}", join(all.iter().map(ToString::to_string).collect()))
            }
            Self::DnsTtl(ttl) => write!(f, "dns-ttl={ttl}"),
        }
    }
}

/// How many of the features are independent of one another.
pub(super) fn independent(features: &[Feature]) -> usize {
    let mut groups: Vec<Group> = features.iter().filter_map(Feature::group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.len()
}

/// Which packets are of the kinds that the features are about.
pub(super) fn chosen(features: &[Feature], packets: &[Specimen]) -> Vec<usize> {
    let kinds = features.iter().find_map(|feature| match feature {
        Feature::Kinds(kinds) => Some(kinds),
        _ => None,
    });
    let is_of = |packet: &Specimen| kinds.is_none_or(|kinds| kinds.contains(&packet.kind));
    packets.iter().enumerate().filter(|(_, packet)| is_of(packet)).map(|(at, _)| at).collect()
}
