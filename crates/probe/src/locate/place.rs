//! From what came back for each TTL to a place on the path. No packets here: this is CenTrace's reasoning (Raman et al.,
//! CoNEXT 2022), with a correction for injectors that copy the probe's TTL.

use daylight_verdict::record::Position;

/// What came back for one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// A router said that the TTL ran out, and nothing else came.
    TtlExceeded,
    /// The server's own answer, as the control name gets it.
    Answer,
    /// A TLS alert.
    Alert,
    /// RST.
    Reset,
    /// FIN without data.
    Fin,
    /// Data that are not the protocol's: a page.
    Page,
    /// Nothing.
    Silence,
}

impl Reply {
    /// The word in a measurement's trace.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TtlExceeded => "ttl-exceeded",
            Self::Answer => "answer",
            Self::Alert => "alert",
            Self::Reset => "reset",
            Self::Fin => "fin",
            Self::Page => "page",
            Self::Silence => "silence",
        }
    }

    /// Whether it ends the exchange.
    #[must_use]
    pub fn ends(self) -> bool {
        !matches!(self, Self::TtlExceeded | Self::Silence)
    }
}

/// What came back for a probe with a name and a TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The TTL it was sent with.
    pub ttl: u8,
    /// What came.
    pub reply: Reply,
    /// Whether a router said as well that the TTL ran out: the original went on, and the answer to it is somebody else's.
    pub exceeded_too: bool,
    /// The TTL that the reply arrived with, where that can be seen.
    pub reply_ttl: Option<u8>,
}

/// Where it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The hop, from 1.
    pub hop: u8,
    /// How far the server is.
    pub of_hops: Option<u8>,
    /// How the device stands to the path.
    pub position: Position,
    /// Whether the hop was corrected for an injector that copies the TTL.
    pub ttl_copied: bool,
}

/// Finds the place from the replies to the target's name and to the control's. `None` if both names fare the same, or too
/// little came back.
#[must_use]
pub fn place(target: &[Seen], control: &[Seen]) -> Option<Place> {
    let end = control.iter().find(|seen| seen.reply.ends());
    let of_hops = end.map(|seen| seen.ttl);
    let found = |hop, position| Some(Place { hop, of_hops, position, ttl_copied: false });
    let Some(stop) = target.iter().find(|seen| seen.reply.ends()) else {
        // Silence from some hop on: the first at which the control's name still gets something.
        let silent = target.iter().find(|seen| {
            seen.reply == Reply::Silence
                && control.iter().any(|other| other.ttl == seen.ttl && other.reply != Reply::Silence)
        })?;
        // A router that never answers is not where it happens: from there on all has to be silent.
        let all_silent =
            target.iter().filter(|seen| seen.ttl >= silent.ttl).all(|seen| seen.reply == Reply::Silence);
        if !all_silent || of_hops.is_none() {
            return None;
        }
        let position = if Some(silent.ttl) >= of_hops { Position::Endpoint } else { Position::InPath };
        return found(silent.ttl, position);
    };
    let end = end?;
    if stop.reply == end.reply {
        return None;
    }
    if let Some(place) = copied(stop, end.ttl) {
        return Some(place);
    }
    match stop.ttl.cmp(&end.ttl) {
        std::cmp::Ordering::Less if stop.exceeded_too => found(stop.ttl, Position::OnPath),
        std::cmp::Ordering::Less => found(stop.ttl, Position::InPath),
        std::cmp::Ordering::Equal => found(stop.ttl, Position::Endpoint),
        std::cmp::Ordering::Greater => found(stop.ttl, Position::PastEndpoint),
    }
}

/// An injector that copies what was left of the probe's TTL into its packet: of a TTL p, p − h are left at its hop h, and
/// p − 2h when the packet arrives. It is only seen once p is nearly twice its distance.
fn copied(stop: &Seen, of_hops: u8) -> Option<Place> {
    /// Real stacks begin with 64, 128 or 255; what arrives with less than this has not begun there.
    const REPLY_TTL_MAX: u8 = 20;
    let reply_ttl = stop.reply_ttl.filter(|ttl| *ttl <= REPLY_TTL_MAX)?;
    let left = stop.ttl.checked_sub(reply_ttl)?;
    // Not beyond the server, by more than the two paths may differ.
    let hop = left / 2;
    (stop.ttl > of_hops && hop >= 1 && hop <= of_hops.saturating_add(2)).then_some(Place {
        hop: hop.min(of_hops),
        of_hops: Some(of_hops),
        position: Position::OnPath,
        ttl_copied: true,
    })
}

/// The hop of an injector that copies the TTL of the packet it answers. `None` if this is none.
///
/// It is recognised by probes that go the whole way with three TTLs or more: what is missing of the TTL when the answer
/// arrives is always the same. To a box at hop h, h − 1 routers have taken one each, and they take another each from its answer:
/// so 2 (h − 1) are missing, if both ways are equally long. A box that copies what it has itself taken one from seems half a hop
/// further.
#[must_use]
pub fn copier(probes: &[Option<Seen>]) -> Option<u8> {
    const PROBES_MIN: usize = 3;
    let mut missing = None;
    let mut ttls = Vec::new();
    for seen in probes.iter().flatten() {
        let left = seen.ttl.checked_sub(seen.reply_ttl.filter(|_| seen.reply.ends())?)?;
        if *missing.get_or_insert(left) != left {
            return None;
        }
        ttls.push(seen.ttl);
    }
    ttls.sort_unstable();
    ttls.dedup();
    (ttls.len() >= PROBES_MIN).then_some(missing? / 2 + 1)
}

/// Where an injector stands that was recognised as a [`copier`](copier()): beside the path if beyond its hop the target's name
/// still gets what the control's gets.
#[must_use]
pub fn place_of_copier(hop: u8, target: &[Seen], control: &[Seen]) -> Place {
    let of_hops = control.iter().find(|seen| seen.reply.ends()).map(|seen| seen.ttl);
    let goes_on = target.iter().any(|seen| {
        seen.ttl >= hop
            && seen.reply != Reply::Silence
            && control.iter().any(|other| other.ttl == seen.ttl && other.reply == seen.reply)
    });
    let position = if goes_on { Position::OnPath } else { Position::InPath };
    Place { hop: hop.min(of_hops.unwrap_or(hop)), of_hops, position, ttl_copied: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `e` ttl exceeded, `a` answer, `r` reset, `R` reset and ttl exceeded, `p` page, `.` silence, `l` alert.
    fn seen(replies: &str) -> Vec<Seen> {
        let all = replies.chars().zip(1..).map(|(c, ttl)| {
            let reply = match c {
                'e' => Reply::TtlExceeded,
                'a' => Reply::Answer,
                'l' => Reply::Alert,
                'r' | 'R' => Reply::Reset,
                'p' => Reply::Page,
                _ => Reply::Silence,
            };
            Seen { ttl, reply, exceeded_too: c == 'R', reply_ttl: None }
        });
        all.collect()
    }

    #[test]
    fn table() {
        use Position::{Endpoint, InPath, OnPath, PastEndpoint};
        for (target, control, expected) in [
            // A box in the path resets; one beside it resets and lets the original go on.
            ("eer", "eeeea", Some((3, InPath))),
            ("eeR", "eeeea", Some((3, OnPath))),
            ("r", "eea", Some((1, InPath))),
            // It drops: all is silent from its hop on.
            ("ee...", "eeeea", Some((3, InPath))),
            (".....", "eeeea", Some((1, InPath))),
            // A router without ICMP on the way is no box.
            ("e.ea", "e.ea", None),
            ("e.e..", "e.eea", Some((4, InPath))),
            // Another answer from the server itself, or what stands before it.
            ("eeer", "eeea", Some((4, Endpoint))),
            ("eeep", "eeea", Some((4, Endpoint))),
            ("eee.", "eeea", Some((4, Endpoint))),
            // Further than the server.
            ("eeeeeer", "eeea", Some((7, PastEndpoint))),
            // Both names fare the same.
            ("eeea", "eeea", None),
            ("eeer", "eeer", None),
            // The control's name gets nowhere either: nothing can be said.
            ("eee", "eee", None),
            ("...", "...", None),
            ("", "", None),
        ] {
            let found = place(&seen(target), &seen(control)).map(|place| (place.hop, place.position));
            assert_eq!(found, expected, "{target} {control}");
        }
    }

    #[test]
    fn a_copied_ttl_is_put_right() {
        // CenTrace's example: the server 17 hops away, a RST with a TTL of 2 for a probe with 38.
        let mut control = seen(&"e".repeat(17));
        control[16].reply = Reply::Answer;
        let mut target = seen(&".".repeat(38));
        target[37] = Seen { ttl: 38, reply: Reply::Reset, exceeded_too: false, reply_ttl: Some(2) };
        let place = place(&target, &control).unwrap();
        assert_eq!(
            (place.hop, place.of_hops, place.position, place.ttl_copied),
            (17, Some(17), Position::OnPath, true)
        );
    }

    #[test]
    fn a_copier_is_recognised_by_three_probes() {
        let probe = |ttl, reply_ttl| Some(Seen { ttl, reply: Reply::Reset, exceeded_too: false, reply_ttl });
        assert_eq!(copier(&[probe(64, Some(64)), probe(61, Some(61)), probe(57, Some(57))]), Some(1));
        assert_eq!(copier(&[probe(64, Some(56)), probe(61, Some(53)), probe(57, Some(49))]), Some(5));
        // One's own TTL, a random one, one that can't be seen, too few.
        assert_eq!(copier(&[probe(64, Some(60)), probe(61, Some(60)), probe(57, Some(60))]), None);
        assert_eq!(copier(&[probe(64, Some(60)), probe(61, Some(57)), probe(57, Some(91))]), None);
        assert_eq!(copier(&[probe(64, None), probe(61, None), probe(57, None)]), None);
        assert_eq!(copier(&[probe(64, Some(56)), probe(61, Some(53)), None]), None);
        let silent = Some(Seen { ttl: 57, reply: Reply::Silence, exceeded_too: false, reply_ttl: None });
        assert_eq!(copier(&[probe(64, Some(56)), probe(61, Some(53)), silent]), None);

        let at = |hop, target: &str| {
            let found = place_of_copier(hop, &seen(target), &seen("eeeea"));
            assert!(found.ttl_copied && found.of_hops == Some(5));
            (found.hop, found.position)
        };
        assert_eq!(at(3, "ee....."), (3, Position::InPath));
        assert_eq!(at(3, "eeeea"), (3, Position::OnPath));
        assert_eq!(at(9, "eeeea"), (5, Position::InPath));
    }

    #[test]
    fn an_ordinary_ttl_is_not_taken_for_a_copy() {
        let mut target = seen("eer");
        target[2].reply_ttl = Some(62);
        assert_eq!(place(&target, &seen("eeeea")).unwrap().position, Position::InPath);
    }
}
