//! Observations of what we measure beyond OONI.

use crate::classic::title;
use crate::extras::{
    AddressKind, ControlVisit, DnsReply, Extras, HttpCell, InjectedPacket, NameKind, QueryKind, QuicCell,
    QuicKind, ResolverKind, ThrottlingPair, TlsCell, TraceStep,
};
use crate::field::{Field, Observation, Value};
use crate::ooni::{Body, Control, ControlTls, Failure, Response};

/// A quarter of the control's rate or less is slow. Transfers are short, so what is let through at once hides part of a limit, and
/// the control's slow start another: in the lab a limit to a tenth of the line shows as 0.11 to 0.18 of the rate.
const SLOW: f64 = 0.25;

/// What stalls had begun: after fewer bytes not much more has come than a server's session tickets.
const STALL_BYTES_MIN: u64 = 4 << 10;

pub(super) fn observe(
    extras: &Extras,
    target: &str,
    control: Option<&Control>,
    steps: &mut Vec<Observation>,
) {
    steps.extend(extras.dns.iter().enumerate().map(|(at, _)| reply(extras, at)));
    if !extras.tls_matrix.is_empty() {
        steps.push(matrix(extras));
    }
    if !extras.quic.is_empty() {
        steps.push(quic(&extras.quic, control));
    }
    if !extras.throttling.is_empty() {
        steps.push(pairs(&extras.throttling));
    }
    steps.extend(extras.injected.iter().enumerate().map(|(at, one)| packet(at, one, target)));
}

/// A packet that came in a server's name.
fn packet(at: usize, packet: &InjectedPacket, target: &str) -> Observation {
    let mut seen = Observation::at(format!("x_daylight.injected[{at}]"));
    let step = match packet.step {
        TraceStep::Dns => "dns",
        TraceStep::Tcp => "tcp",
        TraceStep::Tls => "tls",
        TraceStep::Http => "http",
        TraceStep::Quic => "quic",
    };
    seen.set(Field::PacketStep, step);
    seen.set(Field::PacketKind, packet.kind.as_str());
    seen.set(Field::PacketInjected, is_injected(packet));
    seen.set(Field::PacketTarget, is_for(packet, target));
    seen.set(Field::PacketReset, is_reset(packet));
    seen.set(Field::PacketPage, matches!(packet.kind.as_str(), "data" | "fin-data"));
    seen.set(Field::PacketTells, packet.tells.join(" ").as_str());
    seen
}

/// What the extras tell of the whole visit.
pub(super) fn summarise(extras: &Extras, target: &str, seen: &mut Observation) {
    let visits = &extras.controls;
    seen.set(Field::NetworkDown, !visits.is_empty() && visits.iter().all(|visit| visit.failure.is_some()));
    let is_portal = |visit: &ControlVisit| visit.failure.is_none() && !visit.as_expected;
    seen.set(Field::Portal, visits.iter().any(is_portal));
    let system = |query: QueryKind| {
        extras.dns.iter().filter(move |reply| reply.resolver == ResolverKind::System && reply.query == query)
    };
    let has_answer = |query: QueryKind| system(query).any(|reply| !reply.addrs.is_empty());
    let asked = system(QueryKind::Control).next().is_some();
    seen.set(Field::ResolverBroken, asked && !has_answer(QueryKind::Control));
    seen.set(Field::ResolverWorks, has_answer(QueryKind::Control));
    let is_answered =
        |reply: &DnsReply| !reply.resolver_address.is_empty() && !reply.late && !reply.addrs.is_empty();
    seen.set(Field::ResolverAnswers, system(QueryKind::Target).any(is_answered));
    seen.set(Field::Wildcard, has_answer(QueryKind::Random));
    let is_foreign = |packet: &InjectedPacket| {
        packet.step == TraceStep::Tls && is_injected(packet) && is_reset(packet) && is_for(packet, target)
    };
    seen.set(Field::InjectedReset, extras.injected.iter().any(is_foreign));
}

fn is_injected(packet: &InjectedPacket) -> bool {
    packet.verdict == "injected"
}

fn is_reset(packet: &InjectedPacket) -> bool {
    matches!(packet.kind.as_str(), "rst" | "rst-ack")
}

/// Whether the connection was for this name.
fn is_for(packet: &InjectedPacket, target: &str) -> bool {
    let same = |name: &str| name.trim_end_matches('.').eq_ignore_ascii_case(target.trim_end_matches('.'));
    packet.name.as_deref().is_some_and(same)
}

fn reply(extras: &Extras, at: usize) -> Observation {
    let mut seen = Observation::at(format!("x_daylight.dns[{at}]"));
    let Some(reply) = extras.dns.get(at) else { return seen };
    let resolver = match reply.resolver {
        ResolverKind::System => "system",
        ResolverKind::Udp => "udp",
        ResolverKind::Tcp => "tcp",
        ResolverKind::Dot => "dot",
        ResolverKind::Doh => "doh",
        ResolverKind::NonResolver => "non-resolver",
    };
    seen.set(Field::DnsResolver, resolver);
    let query = match reply.query {
        QueryKind::Target => "target",
        QueryKind::Control => "control",
        QueryKind::Random => "random",
    };
    seen.set(Field::DnsQuery, query);
    seen.set(Field::DnsAnswered, !reply.addrs.is_empty());
    // That a name has no address of one family is no failure where it has one of the other; and of a lost datagram nothing
    // is left to be said once the same resolver has answered.
    let other_family = |other: &DnsReply| {
        other.query == reply.query
            && other.resolver == reply.resolver
            && other.resolver_address == reply.resolver_address
            && other.hostname == reply.hostname
            && other.query_type != reply.query_type
            && !other.addrs.is_empty()
    };
    if let Some(failure) = reply.failure.as_ref().filter(|_| !extras.dns.iter().any(other_family)) {
        seen.set(Field::DnsFailure, failure.as_str());
    }
    seen.set_some(Field::DnsExtended, reply.extended_error.map(|code| Value::Uint(code.into())));
    let same_query = |other: &&DnsReply| {
        other.query == reply.query
            && other.resolver == reply.resolver
            && other.resolver_address == reply.resolver_address
            && other.query_type == reply.query_type
            && other.hostname == reply.hostname
            && other.failure.is_none()
    };
    let all: Vec<_> = extras.dns.iter().filter(same_query).collect();
    seen.set(Field::DnsReplies, Value::Uint(all.len() as u64));
    let differs = |other: &&DnsReply| {
        !other.addrs.is_empty()
            && !reply.addrs.is_empty()
            && !other.addrs.iter().any(|address| reply.addrs.contains(address))
    };
    seen.set(Field::DnsConflict, all.iter().any(differs));
    seen
}

/// What the target's name gets in a request to the control's server, beside the page that it got at its own address. Whoever
/// answers for a name on the way does so whatever the address; a site's own page is to be had from the site alone.
pub(super) fn elsewhere(extras: &Extras, page: &Response) -> Option<&'static str> {
    let is_such = |cell: &&HttpCell| cell.name == NameKind::Target && cell.at == AddressKind::Control;
    let cell = extras.http.iter().rfind(is_such)?;
    let Some(status) = cell.status_code.filter(|_| cell.failure.is_none()) else { return Some("failed") };
    if i64::from(status) != page.code {
        return Some("other");
    }
    // A cell holds a page's beginning alone.
    let (whole, beginning) = (page.body.bytes(), cell.body.as_bytes());
    let is_beginning = !beginning.is_empty() && whole.starts_with(beginning);
    let titled = title(&page.body);
    let is_titled = !titled.is_empty() && titled == title(&Body::from(cell.body.as_str()));
    let location = page.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("location"));
    let leads = location.map(|(_, place)| place.text());
    let leads_there = leads.is_some() && leads.as_deref() == cell.location.as_deref();
    Some(if is_beginning || is_titled || leads_there { "same" } else { "other" })
}

/// What most of some attempts came to; success counts when half of them have it, so that a lost packet decides nothing.
fn most<'a>(outcomes: impl Iterator<Item = &'static str> + 'a) -> Option<&'static str> {
    let outcomes: Vec<_> = outcomes.collect();
    let count = |word: &str| outcomes.iter().filter(|outcome| **outcome == word).count();
    if outcomes.is_empty() {
        return None;
    }
    if count("ok") * 2 >= outcomes.len() {
        return Some("ok");
    }
    let failures = outcomes.iter().filter(|outcome| **outcome != "ok");
    let commonest = failures.copied().max_by_key(|outcome| (count(outcome), *outcome))?;
    Some(if count(commonest) * 2 > outcomes.len() - count("ok") { commonest } else { "mixed" })
}

fn outcome(cell: &TlsCell) -> &'static str {
    match &cell.failure {
        None => "ok",
        Some(_) if !cell.connected => "connect",
        Some(failure) if failure.is_reset() => "reset",
        Some(Failure::Eof) => "closed",
        Some(failure) if failure.is_timeout() => "timeout",
        Some(_) => "alert",
    }
}

fn matrix(extras: &Extras) -> Observation {
    let cells = &extras.tls_matrix;
    let mut seen = Observation::at("x_daylight.tls_matrix".to_owned());
    let of = |name: NameKind, at: AddressKind| {
        let such = || cells.iter().filter(|cell| cell.name == name && cell.at == at);
        // Where a block lingers, the attempt after the one that set it off doesn't even get a connection: only those that
        // had one say what the name does.
        let connected = such().any(|cell| cell.connected);
        most(such().filter(|cell| cell.connected || !connected).map(outcome))
    };
    let (here, elsewhere) = (AddressKind::Target, AddressKind::Control);
    seen.set_some(Field::SniTargetHere, of(NameKind::Target, here));
    seen.set_some(Field::SniTargetElsewhere, of(NameKind::Target, elsewhere));
    seen.set_some(Field::SniControlHere, of(NameKind::Control, here));
    // The visit to the control is that handshake: it is not made again.
    let visited = extras.controls.iter().any(|visit| visit.as_expected).then_some("ok");
    seen.set_some(Field::SniControlElsewhere, of(NameKind::Control, elsewhere).or(visited));
    seen.set_some(Field::SniSplitHere, of(NameKind::Split, here));
    let own = || {
        let is_own =
            |cell: &&TlsCell| cell.name == NameKind::Target && cell.at == here && cell.failure.is_none();
        cells.iter().filter(is_own).filter_map(|cell| cell.valid_for_target)
    };
    seen.set(Field::SniForged, own().next().is_some() && own().all(|valid| !valid));
    seen
}

fn quic(cells: &[QuicCell], helper: Option<&Control>) -> Observation {
    let mut seen = Observation::at("x_daylight.quic".to_owned());
    let of = |kind: QuicKind, name: Option<NameKind>, at: AddressKind| {
        let is_such = |cell: &&QuicCell| {
            cell.kind == kind && cell.at == at && name.is_none_or(|name| cell.name == name)
        };
        most(cells.iter().filter(is_such).map(|cell| match &cell.failure {
            None => "ok",
            Some(failure) if failure.is_timeout() => "timeout",
            Some(_) => "failed",
        }))
    };
    let (here, elsewhere) = (AddressKind::Target, AddressKind::Control);
    let (handshake, target, control) = (QuicKind::Handshake, Some(NameKind::Target), Some(NameKind::Control));
    seen.set_some(Field::QuicTargetHere, of(handshake, target, here));
    seen.set_some(Field::QuicControlHere, of(handshake, control, here));
    seen.set_some(Field::QuicTargetElsewhere, of(handshake, target, elsewhere));
    seen.set_some(Field::QuicControlElsewhere, of(handshake, control, elsewhere));
    seen.set_some(Field::QuicNegotiationHere, of(QuicKind::VersionNegotiation, None, here));
    let reached = |(address, quic): (&String, &ControlTls)| {
        quic.failure.is_none() && cells.iter().any(|cell| cell.at == here && cell.address == *address)
    };
    let asked = helper.map(|helper| &helper.quic_handshake).filter(|asked| !asked.is_empty());
    seen.set_some(Field::QuicControl, asked.map(|asked| asked.iter().any(reached)));
    seen
}

/// The middle one; of an even number the lower of the two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

/// The target's rate over the control's. What never began has none: that is another mechanism.
/// The target's rate by the control's. A page that is whole and much shorter is another one, a redirect or a notice, and says
/// nothing of rates.
fn ratio(pair: &ThrottlingPair) -> Option<f64> {
    let (target, control) = (&pair.target, &pair.control);
    let broke_off = target.failure.is_some() || target.stalled_at.is_some();
    let is_comparable = broke_off || target.bytes >= control.bytes / 2;
    (is_comparable && target.bytes > 0 && control.rate_bytes_per_s > 0.0)
        .then(|| target.rate_bytes_per_s / control.rate_bytes_per_s)
}

/// The median of the pairs' ratios.
pub(crate) fn rate_ratio(pairs: &[ThrottlingPair]) -> Option<f64> {
    median(pairs.iter().filter_map(ratio))
}

fn pairs(pairs: &[ThrottlingPair]) -> Observation {
    let mut seen = Observation::at("x_daylight.throttling".to_owned());
    let count = |is_such: &dyn Fn(&&ThrottlingPair) -> bool| {
        Value::Uint(pairs.iter().filter(|pair| is_such(pair)).count() as u64)
    };
    seen.set(Field::PairCount, count(&|_| true));
    seen.set_some(Field::PairRatio, rate_ratio(pairs).map(Value::Float));
    seen.set(Field::PairSlow, count(&|pair| ratio(pair).is_some_and(|ratio| ratio <= SLOW)));
    let stalls = |pair: &&ThrottlingPair| {
        pair.target.stalled_at.is_some()
            && pair.target.bytes >= STALL_BYTES_MIN
            && pair.control.stalled_at.is_none()
    };
    seen.set(Field::PairStalls, count(&stalls));
    // What is slow for everybody on the path is no throttling of one name. The least round trip is compared: a shaper's
    // own queue makes the others longer. Loss can't be: a policer is loss.
    let least = |of: &dyn Fn(&ThrottlingPair) -> Option<f64>| median(pairs.iter().filter_map(of));
    let (ours, theirs) = (least(&|pair| pair.target.rtt_min_ms), least(&|pair| pair.control.rtt_min_ms));
    let same = match (ours, theirs) {
        (Some(ours), Some(theirs)) => ours <= theirs * 1.5 + 10.0,
        _ => true,
    };
    seen.set(Field::PairPathSame, same);
    seen
}
