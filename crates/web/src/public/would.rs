//! What rules say about a host nobody has tried to reach yet.
//!
//! A host is put to the conditions as a flow of which little is known: its name, and how it is come to. What the answer does
//! not depend on stays unknown, so that a condition holds, does not hold, or depends on more than the name.

use std::collections::HashMap;

use daylight_expr::{ErrorKind, Knowledge, NoLists, Program, Row, ValueRef, compile};
use daylight_inspect::{RecordSchema, column};
use daylight_policy::audit::HostName;
use daylight_policy::{Condition, Match, Policy, Rule, Verdict};
use serde::Serialize;

/// How a host is come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Way {
    /// Its address is asked for, by DNS.
    Lookup,
    /// A page is opened: TLS over TCP, port 443.
    Web,
    /// In any other way.
    Other,
}

impl Way {
    pub(super) const ALL: [Self; 3] = [Self::Lookup, Self::Web, Self::Other];
}

/// A field of a condition, as far as a host has something to say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Hostname,
    Query,
    Sni,
    Protocol,
    Transport,
    Port,
    /// Whether the flow speaks this protocol.
    Dns,
    Tls,
    OtherProtocol,
    /// Something else.
    More,
}

/// The fields in which a host's name stands.
const HOST_FIELDS: [&str; 3] = ["hostname", "dns.query", "tls.sni"];

impl Meaning {
    fn of(name: &str) -> Self {
        match name {
            "hostname" => Self::Hostname,
            "dns.query" => Self::Query,
            "tls.sni" => Self::Sni,
            "protocol" => Self::Protocol,
            "transport" => Self::Transport,
            "dst_port" => Self::Port,
            "dns" => Self::Dns,
            "tls" => Self::Tls,
            _ if column(name).is_none() => Self::OtherProtocol,
            _ => Self::More,
        }
    }
}

/// A flow to a host, of which only the host and the way are known.
struct ToHost<'a> {
    host: &'a str,
    way: Way,
    meanings: HashMap<u32, Meaning>,
}

impl<'a> ToHost<'a> {
    fn new(host: &'a HostName, way: Way, program: &Program) -> Self {
        let fields = program.fields().iter().copied();
        let meanings = fields.zip(program.field_names().map(Meaning::of)).collect();
        Self { host: host.as_str(), way, meanings }
    }

    /// What is known of a field; none if nothing is.
    fn known(&self, id: u32) -> Option<Option<ValueRef<'_>>> {
        let meaning = self.meanings.get(&id).copied().unwrap_or(Meaning::More);
        let text = |text| Some(Some(ValueRef::Str(text)));
        match (meaning, self.way) {
            (Meaning::Hostname, _) | (Meaning::Query, Way::Lookup) | (Meaning::Sni, Way::Web) => {
                text(self.host)
            }
            (Meaning::Query, _) | (Meaning::Sni, Way::Lookup) => Some(None),
            (Meaning::Protocol, Way::Lookup) => text("dns"),
            (Meaning::Protocol, Way::Web) => text("tls"),
            (Meaning::Transport, Way::Web) => text("tcp"),
            (Meaning::Port, Way::Lookup) => Some(Some(ValueRef::Uint(53))),
            (Meaning::Port, Way::Web) => Some(Some(ValueRef::Uint(443))),
            (Meaning::Dns, Way::Lookup) | (Meaning::Tls, Way::Web) => Some(Some(ValueRef::Bool(true))),
            (Meaning::Dns | Meaning::Tls | Meaning::OtherProtocol, Way::Lookup | Way::Web) => Some(None),
            _ => None,
        }
    }
}

impl Row for ToHost<'_> {
    fn values(&self, id: u32) -> impl Iterator<Item = ValueRef<'_>> {
        self.known(id).flatten().into_iter()
    }

    fn knowledge(&self, id: u32) -> Knowledge {
        if self.known(id).is_some() { Knowledge::Final } else { Knowledge::Nothing }
    }
}

/// Whether a condition holds for a host.
fn holds(program: Option<&Program>, host: &HostName, way: Way) -> Option<bool> {
    program.map_or(Some(true), |program| program.decide(&ToHost::new(host, way, program)))
}

fn reads_host(program: Option<&Program>) -> bool {
    program.is_some_and(|program| program.field_names().any(|name| HOST_FIELDS.contains(&name)))
}

/// What a rule has to do with a host. Of several ways to it the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cover {
    /// It goes by other things than names, and may apply to connections to any host.
    General,
    /// Its lists decide that, and nobody knows them.
    Open,
    /// It would apply, if another rule did not go before it.
    Overruled,
    /// It applies to some connections to the host.
    Depends,
    /// It applies to the host.
    Yes,
}

/// What becomes of a way to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fate {
    /// It is stopped.
    Blocked,
    /// That depends on more than the name.
    Depends,
    /// It is slowed down.
    Limited,
    /// It passes.
    Passes,
}

/// What a policy says about a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// For each way: what becomes of it, and the place of the rule that has the say (none: no rule has).
    pub(super) ways: Vec<(Way, Fate, Option<usize>)>,
    /// The rules that have to do with the host, by their places, in the file's order.
    pub(super) rules: Vec<(usize, Cover)>,
    /// The rules that have to do with it at other hours than now.
    pub(super) at_other_hours: Vec<usize>,
}

/// Judges a host by a policy. Rules that do not ask for names and whose conditions the name does not settle
/// ([`Cover::General`]) have no part in what becomes of the host: they are about other things.
pub(super) fn judge(policy: &Policy, host: &HostName, now_ns: i64) -> Judged {
    let (in_force, _) = policy.in_force(now_ns);
    let mut order: Vec<(usize, &Rule)> =
        policy.rules().iter().enumerate().filter(|(at, _)| in_force.get(*at) == Some(&true)).collect();
    if policy.matching() == Match::All {
        order.sort_by_key(|(_, rule)| match rule.action.verdict() {
            Some(Verdict::Drop) => 0,
            Some(Verdict::Reject) => 1,
            Some(Verdict::Limit(_)) => 2,
            Some(Verdict::Allow) | None => 3,
        });
    }
    let mut judged = Judged::default();
    let mut covers: Vec<Option<Cover>> = vec![None; policy.rules().len()];
    for way in Way::ALL {
        let mut decided = None;
        let mut open = Vec::new();
        for &(at, rule) in &order {
            let program = rule.condition.program();
            let verdict = rule.action.verdict();
            let is_late = decided.is_some() && verdict.is_some();
            let cover = match holds(program, host, way) {
                Some(true) if is_late => Cover::Overruled,
                Some(true) => Cover::Yes,
                None if reads_host(program) => {
                    if is_late {
                        Cover::Overruled
                    } else {
                        Cover::Depends
                    }
                }
                None if !is_late => Cover::General,
                None | Some(false) => continue,
            };
            if let Some(known) = covers.get_mut(at) {
                *known = (*known).max(Some(cover));
            }
            match (cover, verdict) {
                (Cover::Yes, Some(verdict)) => decided = Some((fate(verdict), at)),
                (Cover::Depends, Some(verdict)) => open.push((fate(verdict), at)),
                _ => {}
            }
        }
        let (fate, rule) = decided.map_or_else(|| (Fate::Passes, None), |(fate, at)| (fate, Some(at)));
        judged.ways.push(match open.iter().find(|(other, _)| *other != fate) {
            Some((_, at)) => (way, Fate::Depends, Some(*at)),
            None => (way, fate, rule),
        });
    }
    let others = policy.rules().iter().enumerate().filter(|(at, rule)| {
        in_force.get(*at) == Some(&false)
            && now_ns < rule.expires_ns
            && Way::ALL.iter().any(|way| holds(rule.condition.program(), host, *way) == Some(true))
    });
    judged.at_other_hours = others.map(|(at, _)| at).collect();
    judged.rules = covers.into_iter().enumerate().filter_map(|(at, cover)| Some((at, cover?))).collect();
    judged
}

fn fate(verdict: Verdict) -> Fate {
    match verdict {
        Verdict::Drop | Verdict::Reject => Fate::Blocked,
        Verdict::Limit(_) => Fate::Limited,
        Verdict::Allow => Fate::Passes,
    }
}

/// The entry of a list by which a rule covers a host, as the list has it.
pub(super) fn entry_of(rule: &Rule, host: &HostName) -> Option<String> {
    let Condition::When(program) = &rule.condition else { return None };
    let entries =
        Way::ALL.into_iter().flat_map(|way| program.explain(&ToHost::new(host, way, program)).asked);
    entries.filter(|asked| asked.outcome == Some(true)).find_map(|asked| asked.entry)
}

/// A condition as the log tells it, where nobody knows the lists. It is compiled once, not for each who asks.
#[derive(Clone, Debug)]
pub(super) enum ToldCondition {
    /// It always holds.
    Always,
    /// It asks no lists.
    Plain(Program),
    /// It depends on lists, if it asks them for names.
    Lists {
        /// Whether it may do so.
        names: bool,
    },
    /// It is not of the language that this program knows.
    Unknown,
}

impl ToldCondition {
    pub(super) fn read(condition: &str) -> Self {
        if condition == "true" {
            return Self::Always;
        }
        match compile(condition, &RecordSchema, &NoLists) {
            Ok(program) => Self::Plain(program),
            Err(error) if matches!(error.kind(), ErrorKind::UnknownList(_)) => {
                Self::Lists { names: HOST_FIELDS.iter().any(|field| condition.contains(field)) }
            }
            Err(_) => Self::Unknown,
        }
    }

    /// Whether it holds for a host however it is come to.
    pub(super) fn covers_every_way(&self, host: &HostName) -> bool {
        match self {
            Self::Always => true,
            Self::Plain(program) => Way::ALL.iter().all(|way| holds(Some(program), host, *way) == Some(true)),
            Self::Lists { .. } | Self::Unknown => false,
        }
    }

    /// What it says about a host.
    pub(super) fn cover(&self, host: &HostName) -> Option<Cover> {
        let program = match self {
            Self::Always => return Some(Cover::Yes),
            Self::Lists { names: false } => return Some(Cover::General),
            Self::Lists { names: true } | Self::Unknown => return Some(Cover::Open),
            Self::Plain(program) => Some(program),
        };
        let ways = Way::ALL.map(|way| holds(program, host, way));
        if ways.contains(&Some(true)) {
            Some(Cover::Yes)
        } else {
            let cover = if reads_host(program) { Cover::Depends } else { Cover::General };
            ways.contains(&None).then_some(cover)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "[policy]\nname = \"test\"\nmatch = \"MATCH\"\n\
        [[list]]\nname = \"bad\"\nkind = \"domains\"\nfile = \"bad.txt\"\n";

    fn policy(matching: &str, rules: &[(&str, &str)]) -> Policy {
        let mut text = HEAD.replace("MATCH", matching);
        for (at, (when, action)) in rules.iter().enumerate() {
            let rate = if *action == "limit" { "rate = \"1 Mbit/s\"\nper = \"rule\"\n" } else { "" };
            text.push_str(&format!(
                "[[rule]]\nname = \"r{at}\"\nwhen = '{when}'\naction = \"{action}\"\n{rate}reason = \"x\"\n\
                 authority = \"y\"\nexpires = 2030-01-01\n"
            ));
        }
        let files = HashMap::from([(PathBuf::from("bad.txt"), b"evil.example\n*.worse.example\n".to_vec())]);
        Policy::parse(&text, "test.toml", &files, None).unwrap()
    }

    fn fates(policy: &Policy, host: &str) -> [Fate; 3] {
        let judged = judge(policy, &HostName::new(host).unwrap(), 1_800_000_000_000_000_000);
        judged.ways.iter().map(|(_, fate, _)| *fate).collect::<Vec<_>>().try_into().unwrap()
    }

    use Fate::{Blocked, Depends, Limited, Passes};

    #[test]
    fn a_list_covers_its_names_in_every_way() {
        let policy = policy("first", &[("hostname in $bad or dns.query in $bad", "reject")]);
        assert_eq!(fates(&policy, "evil.example"), [Blocked; 3]);
        assert_eq!(fates(&policy, "www.worse.example"), [Blocked; 3]);
        assert_eq!(fates(&policy, "good.example"), [Passes; 3]);
        let rule = &policy.rules()[0];
        assert_eq!(
            entry_of(rule, &HostName::new("www.worse.example").unwrap()).as_deref(),
            Some("*.worse.example")
        );
        assert_eq!(entry_of(rule, &HostName::new("good.example").unwrap()), None);
    }

    #[test]
    fn exceptions_go_before() {
        let rules = [("hostname == \"www.worse.example\"", "allow"), ("hostname in $bad", "drop")];
        let first = policy("first", &rules);
        assert_eq!(fates(&first, "www.worse.example"), [Passes; 3]);
        assert_eq!(fates(&first, "x.worse.example"), [Blocked; 3]);
        let judged = judge(&first, &HostName::new("www.worse.example").unwrap(), 0);
        assert_eq!(judged.rules, [(0, Cover::Yes), (1, Cover::Overruled)]);
        assert_eq!(fates(&policy("all", &rules), "www.worse.example"), [Blocked; 3]);
    }

    #[test]
    fn what_depends_on_more_than_the_name_is_said_to() {
        let mail = policy("first", &[("dst_port in {25, 465} and hostname in $bad", "reject")]);
        assert_eq!(fates(&mail, "evil.example"), [Passes, Passes, Depends]);
        assert_eq!(fates(&mail, "good.example"), [Passes; 3]);
        let some = policy("first", &[("src_ip in {10.0.0.0/8} and hostname in $bad", "reject")]);
        assert_eq!(fates(&some, "evil.example"), [Depends; 3]);
        let dns = policy("first", &[("dns and hostname in $bad", "reject")]);
        assert_eq!(fates(&dns, "evil.example"), [Blocked, Passes, Depends]);
        // Both rules lead to the same, whichever has the say.
        let both = policy(
            "first",
            &[("dst_port == 8 and hostname in $bad", "drop"), ("hostname in $bad", "reject")],
        );
        assert_eq!(fates(&both, "evil.example"), [Blocked; 3]);
    }

    #[test]
    fn rules_about_other_things_are_left_out() {
        let rules = [
            ("protocol == \"telnet\"", "reject"),
            ("dst_ip in {192.0.2.0/24}", "drop"),
            ("src_bytes > 1000", "limit"),
        ];
        let policy = policy("first", &rules);
        assert_eq!(fates(&policy, "good.example"), [Passes; 3]);
        let judged = judge(&policy, &HostName::new("good.example").unwrap(), 0);
        assert_eq!(judged.rules, [(0, Cover::General), (1, Cover::General), (2, Cover::General)]);
    }

    #[test]
    fn limits_and_rules_for_everything_count() {
        let closed = policy("first", &[("hostname == \"good.example\"", "allow"), ("true", "drop")]);
        assert_eq!(fates(&closed, "good.example"), [Passes; 3]);
        assert_eq!(fates(&closed, "other.example"), [Blocked; 3]);
        assert_eq!(fates(&policy("first", &[("true", "limit")]), "good.example"), [Limited; 3]);
        let expired = judge(&closed, &HostName::new("good.example").unwrap(), 2_000_000_000_000_000_000);
        assert_eq!(expired.ways[0], (Way::Lookup, Passes, None), "the rules are over");
        assert_eq!(fates(&policy("first", &[("hostname in $bad", "log")]), "evil.example"), [Passes; 3]);
    }

    #[test]
    fn hours_are_those_of_now() {
        let text = HEAD.replace("MATCH", "first")
            + "[[rule]]\nname = \"r\"\nwhen = \"hostname in $bad\"\naction = \"drop\"\nreason = \"x\"\nauthority = \"y\"\n\
               expires = 2029-12-31\nhours = [{ from = \"08:00\", to = \"16:00\" }]\n";
        let files = HashMap::from([(PathBuf::from("bad.txt"), b"evil.example\n".to_vec())]);
        let policy = Policy::parse(&text, "test.toml", &files, None).unwrap();
        let host = HostName::new("evil.example").unwrap();
        const HOUR_NS: i64 = 3_600_000_000_000;
        let noon = judge(&policy, &host, 12 * HOUR_NS);
        assert_eq!((noon.ways[0].1, noon.at_other_hours.len()), (Blocked, 0));
        let evening = judge(&policy, &host, 20 * HOUR_NS);
        assert_eq!((evening.ways[0].1, evening.at_other_hours), (Passes, vec![0]));
        assert!(judge(&policy, &HostName::new("good.example").unwrap(), 0).at_other_hours.is_empty());
        assert!(judge(&policy, &host, i64::MAX).at_other_hours.is_empty(), "it is over");
    }

    #[test]
    fn conditions_alone_tell_what_they_can() {
        let host = HostName::new("evil.example").unwrap();
        for (condition, cover) in [
            ("true", Some(Cover::Yes)),
            ("hostname == \"evil.example\"", Some(Cover::Yes)),
            ("dns.query == \"evil.example\"", Some(Cover::Yes)),
            ("hostname == \"other.example\"", None),
            ("hostname in $bad or dns.query in $bad", Some(Cover::Open)),
            ("dst_ip in $bad-addresses", Some(Cover::General)),
            ("hostname contains \"evil\" and src_port > 1024", Some(Cover::Depends)),
            ("protocol == \"telnet\"", Some(Cover::General)),
            ("of a later version", Some(Cover::Open)),
        ] {
            assert_eq!(ToldCondition::read(condition).cover(&host), cover, "{condition}");
        }
    }

    proptest! {
        /// What is settled while nothing is known but the name is so for pages too.
        #[test]
        fn what_the_name_settles_is_settled_for_pages(
            rules in proptest::collection::vec((0_usize..5, 0_usize..4), 0..5), all: bool, host in 0_usize..3
        ) {
            let conditions = ["hostname in $bad", "dns", "dst_port == 443 and hostname in $bad", "src_port > 9", "true"];
            let actions = ["allow", "drop", "reject", "limit"];
            let rules: Vec<(&str, &str)> = rules.into_iter().map(|(c, a)| (conditions[c], actions[a])).collect();
            let policy = policy(if all { "all" } else { "first" }, &rules);
            let fates = fates(&policy, ["evil.example", "a.worse.example", "good.example"][host]);
            if fates[2] != Depends && !rules.iter().any(|(when, _)| *when == "dns" || *when == "src_port > 9") {
                prop_assert_eq!(fates, [fates[2]; 3]);
            }
        }
    }
}
