//! What is known, and what is not, in sentences.

use daylight_verdict::record::{Place, Position};

use crate::detect::{End, Kind, Seen};
use crate::incident::{Incident, NetworkPart};
use crate::study::Study;
use crate::when::{self, Moment};

const COUNTRIES: &str = include_str!("../../../../data/probe/countries.tsv");
/// So many names are listed; the rest is a number.
const LISTED_MAX: usize = 5;

/// A country's English name, or its code.
pub(crate) fn country(code: &str) -> &str {
    let lines = COUNTRIES.lines().filter_map(|line| line.split_once('\t'));
    match code {
        "ZZ" | "" => "a country that is not known",
        _ => lines.filter(|(known, _)| *known == code).map(|(_, name)| name).next().unwrap_or(code),
    }
}

/// What a mechanism does, for people. The longest term that it lies within is meant.
pub(crate) fn mechanism(term: &str) -> &'static str {
    const TERMS: [(&str, &str); 22] = [
        ("dns", "look-ups of the name get wrong answers or none"),
        ("dns.injection", "forged answers arrive when the name is looked up"),
        ("dns.nxdomain", "the name is said not to exist"),
        ("dns.blockpage", "the name leads to the address of a block page"),
        ("dns.timeout", "look-ups of the name go unanswered"),
        ("ip", "the address can't be reached"),
        ("ip.blackhole", "packets to the address vanish"),
        ("ip.reset", "connections to the address are cut off"),
        ("tcp", "connections fail"),
        ("tls", "encrypted connections fail"),
        ("tls.reset", "encrypted connections are cut off once the name is said"),
        ("tls.timeout", "encrypted connections fall silent once the name is said"),
        ("tls.mitm", "encrypted connections are answered with another certificate"),
        ("tls.throttle", "encrypted connections to the name are slowed down"),
        ("http", "requests are interfered with"),
        ("http.blockpage", "a page of the network comes in place of the site"),
        ("http.redirect", "requests are sent to another place"),
        ("http.reset", "connections are cut off once the site is asked for"),
        ("http.transparent-proxy", "requests pass through a proxy that nobody chose"),
        ("quic", "QUIC is interfered with"),
        ("quic.drop", "QUIC falls silent once the name is said"),
        ("udp", "UDP is interfered with"),
    ];
    let within = |general: &str| {
        term.strip_prefix(general).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let best = TERMS.iter().filter(|(general, _)| within(general)).max_by_key(|(general, _)| general.len());
    best.map_or("interfered with in a way that was not named", |(_, words)| words)
}

/// The mechanism of something seen: its term, or that there is none.
pub(crate) fn term<'a>(study: &'a Study, seen: &Seen) -> &'a str {
    study.rows.mechanism(seen.mechanism).unwrap_or("not named")
}

/// `1 network`, `3 networks`, `2 series`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 || noun.ends_with('s') { "" } else { "s" };
    format!("{} {noun}{ending}", thousands(number as u64))
}

/// A number with commas between thousands.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share as percent.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 1.0 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

/// `a, b and c`; of more than a few the rest as a number.
pub(crate) fn list(names: &[&str], what: &str) -> String {
    let (shown, rest) = names.split_at(names.len().min(if names.len() == LISTED_MAX + 1 {
        LISTED_MAX + 1
    } else {
        LISTED_MAX
    }));
    match (shown, rest.len()) {
        ([], _) => String::new(),
        ([one], 0) => (*one).to_owned(),
        ([first @ .., last], 0) => format!("{} and {last}", first.join(", ")),
        (all, more) => format!("{} and {} more {what}", all.join(", "), thousands(more as u64)),
    }
}

/// When something began, with its uncertainty.
pub(crate) fn began(onset: &Moment) -> String {
    match onset.earliest {
        Some(earliest) if onset.latest - earliest <= 3600 => when::minute(onset.best),
        Some(earliest) => when::range(earliest, onset.latest),
        None => format!("at or before {}, when the data begin", when::minute(onset.best)),
    }
}

/// The day, or the hours, that something began in, as a phrase for a sentence.
pub(crate) fn began_phrase(onset: &Moment) -> String {
    match onset.earliest {
        None => format!("At or before {} (where the data begin)", when::minute(onset.best)),
        Some(earliest) if when::day(earliest) == when::day(onset.latest) => {
            format!("On {}", when::day(onset.best))
        }
        Some(earliest) if onset.latest - earliest > when::DAY_S => {
            format!("Between {} and {}", when::day(earliest), when::day(onset.latest))
        }
        Some(_) => format!("On or about {}", when::day(onset.best)),
    }
}

/// How something ended.
pub(crate) fn ended(end: &End) -> String {
    match end {
        End::At(moment) => format!("ended {}", began(moment)),
        End::Continues => "continues at the end of the data".to_owned(),
        End::NotMeasuredSince(at) => {
            format!("not measured since {}; whether it goes on is not known", when::minute(*at))
        }
    }
}

/// An incident in a few words, for headings.
pub(crate) fn heading(study: &Study, incident: &Incident) -> String {
    let place = country(&incident.country);
    match incident.kind {
        Kind::Interference => format!(
            "{} interfered with on {} in {place}",
            subject(study, incident),
            count(incident.severity.networks as usize, "network")
        ),
        Kind::Silence => {
            format!(
                "Measurements fall silent on {} in {place}",
                count(incident.severity.networks as usize, "network")
            )
        }
        Kind::Slowness => {
            format!(
                "Connections slower on {} in {place}",
                count(incident.severity.networks as usize, "network")
            )
        }
    }
}

fn subject(study: &Study, incident: &Incident) -> String {
    match incident.targets.as_slice() {
        [one] => study.rows.target(*one).to_owned(),
        more => count(more.len(), "target"),
    }
}

/// An incident in a sentence or two that can be printed as they are.
pub(crate) fn lead(study: &Study, incident: &Incident) -> String {
    let place = country(&incident.country);
    let networks = count(incident.severity.networks as usize, "network");
    let of_networks = if incident.severity.networks < incident.severity.networks_measured {
        format!(" (of {} measured)", incident.severity.networks_measured)
    } else {
        String::new()
    };
    let end = match incident.end {
        End::Continues => "It continues at the end of the data.".to_owned(),
        End::At(moment) => format!("It ended {}.", began(&moment)),
        End::NotMeasuredSince(at) => {
            format!("It has not been measured since {}; whether it goes on is not known.", when::day(at))
        }
    };
    let when = began_phrase(&incident.onset);
    match incident.kind {
        Kind::Interference => {
            let names: Vec<&str> = incident.targets.iter().map(|t| study.rows.target(*t)).collect();
            let what = if names.len() == 1 {
                format!("{} became unreachable or impaired", list(&names, "targets"))
            } else {
                format!(
                    "{} became unreachable or impaired: {}",
                    count(names.len(), "target"),
                    list(&names, "targets")
                )
            };
            let ways = ways(study, incident);
            let weak = if incident.certain {
                ""
            } else {
                " Nothing of it is proven by an artefact such as a block page; it fails here and works elsewhere, and nothing else explains it."
            };
            format!("{when}, on {networks}{of_networks} in {place}, {what}. {ways}{weak} {end}")
        }
        Kind::Silence => format!(
            "{when}, far fewer probes than usual measured from {networks}{of_networks} in {place}. That is what a shutdown looks like from outside; it is also what it looks like when people stop measuring. {end}"
        ),
        Kind::Slowness => {
            format!("{when}, connections took longer than usual on {networks}{of_networks} in {place}. {end}")
        }
    }
}

/// How many ways, over all networks.
fn ways(study: &Study, incident: &Incident) -> String {
    let main: std::collections::BTreeSet<&str> = incident
        .networks
        .iter()
        .filter_map(|part| part.mechanisms.first())
        .filter_map(|seen| study.rows.mechanism(seen.mechanism))
        .collect();
    match (main.len(), incident.severity.networks as usize) {
        (0, _) => String::new(),
        (1, _) => {
            let words = main.iter().next().map_or("", |term| mechanism(term));
            format!("The mechanism: {words}.")
        }
        (ways, networks) if ways == networks && ways > 1 => "Each network does it in its own way.".to_owned(),
        (ways, _) => format!("It is done in {ways} different ways, which differ by network."),
    }
}

/// What is known of an incident on one network.
pub(crate) fn known(study: &Study, part: &NetworkPart) -> String {
    let network = study.rows.network_label(part.network);
    let mut text = match part.mechanisms.first() {
        Some(first) => format!(
            "{network}: {}, for {} ({}; {}, {}).",
            mechanism(term(study, first)),
            count(part.targets.len(), "target"),
            term(study, first),
            count(first.measurements as usize, "measurement"),
            probes(study, first.probes)
        ),
        None => format!("{network}: {} fewer probes than usual.", percent(part.share)),
    };
    if part.silent && !part.mechanisms.is_empty() {
        text.push_str(" Measuring itself fell silent here too.");
    }
    text
}

/// `2 probes`; where probes aren't named, reports stand for them.
pub(crate) fn probes(study: &Study, number: u32) -> String {
    count(number as usize, if study.rows.probes_named { "probe" } else { "report" })
}

/// What is not known of an incident.
pub(crate) fn unknown(study: &Study, incident: &Incident) -> Vec<String> {
    let mut all = Vec::new();
    let label = |part: &NetworkPart| study.rows.network_label(part.network);
    if incident.kind == Kind::Interference {
        all.push(
            "Who ordered it, and why: measurements show what a network does, not on whose word.".to_owned(),
        );
    } else if incident.kind == Kind::Silence {
        all.push(
            "Whether the network was down, or measuring stopped: compare with the series of others."
                .to_owned(),
        );
    }
    let thin: Vec<String> = incident.affected().filter(|part| part.probes == 1).map(label).collect();
    if !thin.is_empty() && incident.kind == Kind::Interference {
        let names: Vec<&str> = thin.iter().map(String::as_str).collect();
        all.push(format!(
            "Whether it holds for all of {}: it rests on a single {} there.",
            list(&names, "networks"),
            if study.rows.probes_named { "probe" } else { "report" }
        ));
    }
    let unmeasured: Vec<String> =
        incident.affected().filter(|part| matches!(part.end, End::NotMeasuredSince(_))).map(label).collect();
    if !unmeasured.is_empty() {
        let names: Vec<&str> = unmeasured.iter().map(String::as_str).collect();
        all.push(format!(
            "Whether it goes on at {}: nobody measures there any more.",
            list(&names, "networks")
        ));
    }
    if incident.onset.earliest.is_none() {
        all.push("When it began: it was so when the data begin.".to_owned());
    }
    if incident.kind == Kind::Interference {
        all.push("Whether networks and targets that were not measured are affected.".to_owned());
        if places(study, incident).is_empty() {
            all.push(
                "Where on the path it is done: no measurement of it was located (`--locate`).".to_owned(),
            );
        }
    }
    all
}

/// The places of an incident: network, place, how many measurements found it there; the most frequent of each network.
pub(crate) fn places(study: &Study, incident: &Incident) -> Vec<(u32, Place, usize)> {
    let mut counts: std::collections::BTreeMap<(u32, u32), usize> = std::collections::BTreeMap::new();
    let until = incident.end.known_until(study.period.1);
    let networks: std::collections::BTreeSet<u32> =
        incident.networks.iter().map(|part| part.network).collect();
    for row in &study.rows.rows {
        let time = i64::from(row.time);
        if (row.place as usize) < study.rows.places.len()
            && row.interferes()
            && networks.contains(&row.network)
            && incident.targets.binary_search(&row.target).is_ok()
            && (incident.onset.best..=until).contains(&time)
        {
            *counts.entry((row.network, row.place)).or_default() += 1;
        }
    }
    let mut best: std::collections::BTreeMap<u32, (usize, u32)> = std::collections::BTreeMap::new();
    for ((network, place), count) in counts {
        let entry = best.entry(network).or_insert((0, place));
        if count > entry.0 {
            *entry = (count, place);
        }
    }
    best.into_iter()
        .filter_map(|(network, (count, place))| {
            Some((network, study.rows.places.get(place as usize)?.clone(), count))
        })
        .collect()
}

/// How a device stands to the path, for people.
pub(crate) fn position(position: Position) -> &'static str {
    match position {
        Position::InPath => "in the path: packets go through it",
        Position::OnPath => "beside the path: it watches and injects",
        Position::Endpoint => "at the target's own address",
        Position::PastEndpoint => "seemingly beyond the target, as it copies TTLs",
    }
}

/// What would make the report wrong.
pub(crate) fn caveats(study: &Study) -> Vec<String> {
    let arl = crate::detect::run_length::average_run_length(
        &study.parameters.shares,
        study.parameters.interference.onset,
        study.parameters.shares.before,
    );
    let expected = study.detected.probe_hours as f64 / arl;
    let mut all = vec![
        format!(
            "Chance. {} probe-hours in {} were looked at. If each failed by itself in {} of cases with nothing behind it, {} be expected by chance alone.",
            thousands(study.detected.probe_hours),
            count(study.detected.streams as usize, "series"),
            percent(study.parameters.shares.before),
            if expected < 0.1 { "less than one false beginning in ten such reports would".to_owned() } else { format!("{expected:.1} false beginnings would") }
        ),
        "Failures with one cause. A broken test helper, a fault of the probe's software or a site that turns away whole networks makes many probes fail at once, which no count of probes tells from blocking. The rules look for these; a new kind they may miss.".to_owned(),
        "Wrong networks. A probe behind a VPN, or a stale table of addresses, puts a measurement into a network that it was not made from.".to_owned(),
        "Who measures. Probes are where volunteers are. A network without an incident here may be one where nobody measured.".to_owned(),
    ];
    if !study.rows.probes_named {
        all.push("Probes are not named in these records: reports stand for them, and one probe that made many reports counts as many.".to_owned());
    }
    if study.rows.rule_sets.len() > 1 {
        all.push(format!("{} rule sets judged these measurements; a change of rules can look like a change of the network.", study.rows.rule_sets.len()));
    }
    all
}
