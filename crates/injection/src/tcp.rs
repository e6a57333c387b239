//! What speaks against segments that came in a server's name.

use daylight_packet::TcpHeader;

use crate::analysis::Looked;
use crate::benign::Benign;
use crate::connection::{Connection, Norm, TTL_NOISE};
use crate::finding::{Kind, Told};
use crate::packet::{Seen, is_after};
use crate::tell::Tell;

/// Nobody is further away.
const HOPS_MAX: u8 = 40;
/// What systems begin TTLs with.
const FIRST_TTLS: [u8; 3] = [64, 128, 255];
/// A handshake must take so long for half of it to tell anything.
const ROUND_TRIP_NS_MIN: i64 = 4_000_000;
/// Packets overtake one another by no more than this, or by half a round trip.
const OVERTAKEN_NS: i64 = 3_000_000;
/// A server goes on within this time; what comes later may be of another connection of which the capture lacks the SYN.
const WENT_ON_NS_MAX: i64 = 10_000_000_000;
/// What is sent for one reason comes within this time.
const BURST_NS: i64 = 1_000_000_000;
/// Copies come within this time.
const COPIES_NS: i64 = 10_000_000;
/// Identifications that follow one another are no further apart.
const IP_ID_STEP_MAX: u16 = 4096;

/// How far away a sender is, by the TTL that is left.
fn distance(ttl: u8) -> u8 {
    FIRST_TTLS.into_iter().find(|first| *first >= ttl).unwrap_or(255) - ttl
}

/// What speaks against each of the server's packets that answers something: by its place in the connection.
pub(crate) fn look(connection: &Connection, norm: Option<&Norm>) -> Vec<Looked> {
    let scene = Scene { connection, norm };
    let answers = connection.packets.iter().enumerate().filter(|(_, seen)| !connection.is_client(seen));
    answers
        .filter_map(|(at, seen)| {
            let kind = seen.kind().filter(|kind| *kind != Kind::SynAck)?;
            Some(Looked { at, kind, tells: scene.tells(seen) })
        })
        .collect()
}

struct Scene<'a> {
    connection: &'a Connection,
    norm: Option<&'a Norm>,
}

impl<'a> Scene<'a> {
    fn tells(&self, seen: &Seen) -> Vec<Told> {
        let mut all = Vec::new();
        all.extend(self.ttl(seen));
        all.extend(self.dont_fragment(seen));
        all.extend(self.ip_id(seen));
        all.extend(self.copied(seen));
        all.extend(self.timestamps(seen));
        all.extend(self.acknowledges(seen));
        all.extend(self.contents(seen));
        all.extend(self.went_on(seen));
        if seen.is_reset() {
            all.extend(self.too_fast(seen));
            all.extend(self.window(seen));
            all.extend(self.sequence(seen));
            all.extend(self.burst(seen));
        }
        all.sort_by_key(|told| told.tell);
        all
    }

    /// Packets that are the server's, as far as anybody can tell: not resets, with the TTL that it is known by.
    fn genuine(&self, but: &Seen) -> impl Iterator<Item = &'a Seen> {
        let (norm, but) = (self.norm.copied(), but.number);
        self.connection.of_server().filter(move |seen| {
            seen.number != but && !seen.is_reset() && norm.is_some_and(|norm| norm.fits(seen.ttl))
        })
    }

    fn ttl(&self, seen: &Seen) -> Option<Told> {
        let norm = self.norm.filter(|norm| norm.number != seen.number && !norm.fits(seen.ttl))?;
        let mut told = Told::of(
            Tell::TtlGap,
            format!("TTL {}, the {}'s {}", seen.ttl, norm.what, norm.ttl),
            vec![norm.number],
        );
        // No path is that long: it began with a number that systems don't begin with.
        if distance(seen.ttl) > HOPS_MAX {
            told.benign = vec![Benign::OwnBox];
        }
        Some(told)
    }

    fn dont_fragment(&self, seen: &Seen) -> Option<Told> {
        let own = seen.dont_fragment?;
        let mut others = self.genuine(seen).filter_map(|other| Some((other.dont_fragment?, other.number)));
        let (theirs, number) = others.next()?;
        let word = |set: bool| if set { "set" } else { "clear" };
        (theirs != own && others.all(|(other, _)| other == theirs)).then(|| {
            Told::of(Tell::DfChanged, format!("DF {}, otherwise {}", word(own), word(theirs)), vec![number])
        })
    }

    fn ip_id(&self, seen: &Seen) -> Option<Told> {
        // 0 is what many systems put into packets that are not to be fragmented (RFC 6864 §4.1).
        let own = seen.ip_id.filter(|id| *id != 0)?;
        // A SYN/ACK's is 0 or random where those of the connection count up.
        let others: Vec<(u16, u64)> = self
            .genuine(seen)
            .filter(|other| !other.accepts())
            .filter_map(|other| Some((other.ip_id?, other.number)))
            .collect();
        let steady = others.windows(2).all(|pair| {
            let [a, b] = [pair[0].0, pair[1].0];
            b.wrapping_sub(a) <= IP_ID_STEP_MAX || a.wrapping_sub(b) <= IP_ID_STEP_MAX
        });
        let apart = |other: u16| own.wrapping_sub(other).min(other.wrapping_sub(own));
        let nearest = others.iter().min_by_key(|(id, _)| apart(*id))?;
        (others.len() >= 2 && steady && apart(nearest.0) > 2 * IP_ID_STEP_MAX).then(|| {
            Told::of(
                Tell::IpIdJump,
                format!("identification {own:#06x}, the nearest other {:#06x}", nearest.0),
                vec![nearest.1],
            )
        })
    }

    fn copied(&self, seen: &Seen) -> Option<Told> {
        let reason = self.connection.answered_by(seen)?;
        let id = seen.ip_id.filter(|id| *id != 0 && reason.ip_id == Some(*id));
        // What the server itself says elsewhere is no copy.
        let is_new = |window: &u16| self.genuine(seen).all(|other| other.tcp.window != *window);
        let window = Some(seen.tcp.window)
            .filter(|window| seen.is_reset() && *window != 0 && *window == reason.tcp.window)
            .filter(is_new);
        let values: Vec<String> = id
            .map(|id| format!("identification {id:#06x}"))
            .into_iter()
            .chain(window.map(|window| format!("window {window}")))
            .collect();
        let mut told =
            Told::of(Tell::Copied, format!("{}, as the client's", values.join(", ")), vec![reason.number]);
        if id.is_none() {
            // There are few windows that many systems have.
            told.benign = vec![Benign::Coincidence, Benign::Kernel, Benign::OwnBox];
        }
        (!values.is_empty()).then_some(told)
    }

    fn timestamps(&self, seen: &Seen) -> Option<Told> {
        let owed = !seen.is_reset() && !seen.timestamps && self.connection.has_timestamps();
        let accepted = self.connection.accepted()?;
        owed.then(|| Told::of(Tell::NoTimestamps, "no option of kind 8".to_owned(), vec![accepted.number]))
    }

    fn too_fast(&self, seen: &Seen) -> Option<Told> {
        let handshake = self.connection.round_trip_ns()?;
        let reason = self.connection.answered_by(seen).filter(|reason| reason.payload_len > 0)?;
        // Only what acknowledges those bytes answers them; anything else may have been on its way already.
        let answers = seen.has(TcpHeader::ACK) && is_after(seen.tcp.ack, reason.tcp.seq);
        let took = seen.since_ns(reason);
        if !answers || took < 0 || took.saturating_mul(2) >= handshake {
            return None;
        }
        let round_trip = self.connection.least_round_trip_ns(seen)?;
        (round_trip >= ROUND_TRIP_NS_MIN && took.saturating_mul(2) < round_trip).then(|| {
            Told::of(
                Tell::TooFast,
                format!(
                    "after {:.1} ms, the round trip takes {:.1} ms",
                    took as f64 / 1e6,
                    round_trip as f64 / 1e6
                ),
                [Some(reason.number), self.connection.accepted().map(|seen| seen.number)]
                    .into_iter()
                    .flatten()
                    .collect(),
            )
        })
    }

    fn acknowledges(&self, seen: &Seen) -> Option<Told> {
        let sent = seen.before.client_next?;
        let beyond = seen.has(TcpHeader::ACK) && is_after(seen.tcp.ack, sent);
        beyond.then(|| {
            let more = seen.tcp.ack.wrapping_sub(sent);
            Told::of(Tell::AckUnsent, format!("{more} bytes more than were sent"), Vec::new())
        })
    }

    /// Other bytes at the same place of the stream.
    fn contents(&self, seen: &Seen) -> Option<Told> {
        let other = self.connection.of_server().find(|other| differ(seen, other))?;
        let fits = |seen: &Seen| {
            let stamped = seen.timestamps || !self.connection.has_timestamps();
            self.norm.map(|norm| norm.fits(seen.ttl) && stamped)
        };
        let mut told = Told::of(
            Tell::ContentsDiffer,
            format!("at sequence number {}", seen.tcp.seq),
            vec![other.number],
        );
        match (fits(seen), fits(other)) {
            // The other one is the odd one out.
            (Some(true), Some(false)) => return None,
            (Some(false), Some(true)) => {}
            _ => told.benign = vec![Benign::WhichOne],
        }
        Some(told)
    }

    /// What ends a connection in the server's name, after which the server goes on.
    fn went_on(&self, seen: &Seen) -> Option<Told> {
        let norm = self.norm?;
        let ends = seen.is_reset() || seen.has(TcpHeader::FIN);
        let wait = self.connection.round_trip_ns().unwrap_or(0) / 2;
        // A FIN that comes again, with the data before it, goes on with nothing.
        let end = seen.data_end();
        let later = self.connection.of_server().find(|later| {
            later.number > seen.number
                && !later.is_reset()
                && norm.fits(later.ttl)
                && later.since_ns(seen) > wait.max(OVERTAKEN_NS)
                && later.since_ns(seen) <= WENT_ON_NS_MAX
                && (self.connection.is_accepted_by(later)
                    || later.payload_len > 0 && is_after(later.data_end(), end))
        });
        let later = later.filter(|_| ends)?;
        let what =
            if later.accepts() { "a SYN/ACK".to_owned() } else { format!("{} bytes", later.payload_len) };
        let ms = later.since_ns(seen) as f64 / 1e6;
        Some(Told::of(Tell::ServerWentOn, format!("{what} {ms:.1} ms later"), vec![later.number]))
    }

    fn window(&self, seen: &Seen) -> Option<Told> {
        let is_new = seen.tcp.window != 0
            && self.genuine(seen).next().is_some()
            && self.genuine(seen).all(|other| other.tcp.window != seen.tcp.window);
        is_new.then(|| Told::of(Tell::ResetWindow, format!("window {}", seen.tcp.window), Vec::new()))
    }

    fn sequence(&self, seen: &Seen) -> Option<Told> {
        let accepted = self.connection.accepted()?;
        let next = seen.before.server_next?;
        if seen.tcp.seq == 0 && next != 0 && accepted.number < seen.number {
            return Some(Told::of(Tell::SeqZero, "sequence number 0".to_owned(), vec![accepted.number]));
        }
        let beyond = is_after(seen.tcp.seq, next)
            && seen.before.client_acked.is_none_or(|acked| is_after(seen.tcp.seq, acked));
        beyond.then(|| {
            let more = seen.tcp.seq.wrapping_sub(next);
            Told::of(Tell::SeqBeyond, format!("{more} bytes beyond"), Vec::new())
        })
    }

    /// What resets tell together.
    fn burst(&self, seen: &Seen) -> Vec<Told> {
        let others: Vec<&Seen> = self
            .connection
            .of_server()
            .filter(|other| {
                other.is_reset() && other.number != seen.number && other.apart_ns(seen) <= BURST_NS
            })
            .collect();
        let numbers = |of: &dyn Fn(&&&Seen) -> bool| -> Vec<u64> {
            others.iter().filter(of).map(|other| other.number).collect()
        };
        let mut all = Vec::new();
        let varied = numbers(&|other| other.ttl.abs_diff(seen.ttl) > TTL_NOISE);
        // The server's own reset may be among them.
        let is_own = self.norm.is_some_and(|norm| norm.fits(seen.ttl));
        if !varied.is_empty() && !is_own {
            let ttls: Vec<String> = std::iter::once(seen)
                .chain(others.iter().copied())
                .map(|seen| seen.ttl.to_string())
                .collect();
            all.push(Told::of(Tell::ResetsVary, format!("TTLs {}", ttls.join(", ")), varied));
        }
        let alike = numbers(&|other| other.bytes == seen.bytes && other.apart_ns(seen) <= COPIES_NS);
        // Systems answer each of several segments with the same reset, but count their identification up.
        if !alike.is_empty() && seen.ip_id.is_some_and(|id| id != 0) && !self.comes_twice() {
            all.push(Told::of(Tell::ResetsAlike, format!("{} of them", alike.len() + 1), alike));
        }
        all.extend(self.steps(seen, &others));
        all
    }

    /// Resets at two places or more that the client has not acknowledged. A host resets once where it stands, and from then
    /// on where the client's acknowledgements are (RFC 9293 §3.10.7.1).
    fn steps(&self, seen: &Seen, others: &[&Seen]) -> Option<Told> {
        let is_own = |seen: &Seen| self.norm.is_some_and(|norm| norm.fits(seen.ttl));
        let odd_ones = others.iter().any(|other| !is_own(other)) || !is_own(seen);
        if is_own(seen) && odd_ones {
            return None;
        }
        let acked = seen.before.client_acked?;
        let all = || std::iter::once(seen).chain(others.iter().copied());
        let mut beyond: Vec<u32> = all()
            .map(|seen| seen.tcp.seq.wrapping_sub(acked))
            .filter(|more| more.cast_signed() > 0)
            .collect();
        beyond.sort_unstable();
        beyond.dedup();
        let steps: Vec<String> = beyond.iter().map(|more| format!("+{more}")).collect();
        (beyond.len() >= 2).then(|| {
            Told::of(
                Tell::ResetsInSteps,
                format!("at {}", steps.join(", ")),
                others.iter().map(|other| other.number).collect(),
            )
        })
    }

    /// Whether something else than resets came twice: the capture or the network makes copies.
    fn comes_twice(&self) -> bool {
        let packets = &self.connection.packets;
        packets.iter().enumerate().any(|(at, one)| {
            !one.is_reset()
                && packets
                    .iter()
                    .skip(at + 1)
                    .any(|other| other.bytes == one.bytes && other.since_ns(one) <= COPIES_NS)
        })
    }
}

/// Whether two segments have other bytes for the same place in the stream.
fn differ(a: &Seen, b: &Seen) -> bool {
    // Keep-alives of some systems carry one byte, whatever it may be (RFC 9293 §3.8.4).
    if a.number == b.number || a.payload_len <= 1 || b.payload_len <= 1 || a.is_reset() || b.is_reset() {
        return false;
    }
    let (first, second) = if is_after(b.tcp.seq, a.tcp.seq) { (a, b) } else { (b, a) };
    let skip = second.tcp.seq.wrapping_sub(first.tcp.seq) as usize;
    let overlap = first.payload().get(skip..).unwrap_or_default();
    overlap.iter().zip(second.payload()).any(|(a, b)| a != b)
}
