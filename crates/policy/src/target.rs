//! What the public log says was to be reached when a rule stopped something: a host, an entry of a list, never a client.
//!
//! Which entries can be told is settled when the policy is loaded, by the fields that its conditions look up in lists:
//! only [`OF_SERVERS`] and [`OF_PROGRAMS`] count. So a list of clients (`src_ip in $infected`) has no way into the log,
//! whatever is in it.

use daylight_expr::ast::{Expr, Node, SetItem};
use daylight_expr::{Row, Schema, ValueRef, parse};
use daylight_inspect::{FlowRecord, RecordSchema};
use daylight_protocols::{ProtocolId, common};

use crate::audit::{Domain, HostName, Label, Target};
use crate::list::{ListKind, NamedList};
use crate::policy::Policy;
use crate::rule::{Condition, Rule};

/// The fields of servers, which are told by the line of the list in which their value is found if it is certain who the
/// server is.
const OF_SERVERS: [&str; 5] = ["dst_ip", "ja3s", "ssh.hassh_server", "tls.cert_sha1", "tls.cert_sha256"];
/// Those that say what kind of program talks, and are told in the same way. A field that could be a person's or a single
/// client's (addresses, names of users and computers, what a certificate of the client says) must never be one.
const OF_PROGRAMS: [&str; 7] = ["alpn", "application", "category", "ja3", "ja4", "protocol", "ssh.hassh"];

/// In these a flow's host name may be what a client calls itself, rather than what it asks for.
const CLIENTS_NAME_THEMSELVES: [ProtocolId; 6] = [
    ProtocolId::Dhcp,
    ProtocolId::Dhcpv6,
    ProtocolId::Llmnr,
    ProtocolId::Mdns,
    ProtocolId::NetbiosDgm,
    ProtocolId::NetbiosNs,
];

/// IP protocol numbers (IANA).
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Ports below are servers' (RFC 6335 §6).
const SYSTEM_PORTS_END: u16 = 1024;

/// A list that a condition asks for, and that its rule's stops can be told by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground {
    /// The list's place in [`Policy::lists`].
    list: u32,
    by: By,
}

/// What of a flow is looked up in a list.
#[derive(Clone, Copy, Debug)]
enum By {
    /// The name that it asks for, in a list of domains.
    Name,
    /// A field of the server's, by its number in the record.
    Server(u32),
    /// A field of a program's.
    Program(u32),
}

impl By {
    fn field(name: &str) -> Option<Self> {
        let id = RecordSchema.field(name)?.id;
        match name {
            _ if OF_SERVERS.contains(&name) => Some(Self::Server(id)),
            _ if OF_PROGRAMS.contains(&name) => Some(Self::Program(id)),
            _ => None,
        }
    }
}

/// The lists by which the stops of a rule with this condition can be told.
pub(crate) fn grounds(condition: &Condition, lists: &[NamedList]) -> Box<[Ground]> {
    let mut grounds = Vec::new();
    // It was compiled before.
    if let Some(tree) = condition.program().and_then(|program| parse(program.source()).ok()) {
        asked(&tree, true, &mut |field, name| {
            let Some((at, list)) = (0..).zip(lists).find(|(_, list)| list.name() == name) else { return };
            let by = if list.kind() == ListKind::Domains { Some(By::Name) } else { By::field(field) };
            grounds.extend(by.map(|by| Ground { list: at, by }));
        });
    }
    grounds.into()
}

/// Calls `visit` with each field and list of which the condition asks whether the field is in the list. What follows from
/// a field's *not* being in a list is no reason to tell an entry of it; `wanted` is false within an odd number of `not`s.
fn asked(node: &Node, wanted: bool, visit: &mut dyn FnMut(&str, &str)) {
    match &node.expr {
        Expr::Or(terms) | Expr::And(terms) => terms.iter().for_each(|term| asked(term, wanted, visit)),
        Expr::Not(of) => asked(of, !wanted, visit),
        Expr::In { negated, left, set, .. } if *negated != wanted => {
            let Expr::Word(field) = &left.expr else { return };
            let field = field.strip_prefix('.').unwrap_or(field);
            for item in set {
                if let SetItem::One(Node { expr: Expr::List(list), .. }) = item {
                    visit(field, list);
                }
            }
        }
        _ => {}
    }
}

impl Policy {
    /// What the log says was to be reached when a rule stopped a flow, or a question of it of which this name was `asked`: the
    /// entry of the rule's list that covers the name; else the line of the rule's list on which the server's address,
    /// a fingerprint or the like stands; else the host; else nothing but the rule.
    ///
    /// Where it is not certain which end of a flow is the server, nothing of the server's is told by a line.
    pub fn target(&self, rule: &Rule, flow: &FlowRecord, asked: Option<&str>) -> Target {
        let host = asked.or_else(|| name_of(flow, rule)).and_then(|name| HostName::new(name).ok());
        let listed_name = || rule.grounds.iter().find_map(|ground| self.listed_name(*ground, host.as_ref()?));
        let listed_line = || rule.grounds.iter().find_map(|ground| self.listed_line(*ground, flow));
        let host = || host.clone().map(Target::Host);
        listed_name().or_else(listed_line).or_else(host).unwrap_or(Target::Rule)
    }

    fn listed_name(&self, ground: Ground, host: &HostName) -> Option<Target> {
        let By::Name = ground.by else { return None };
        let list = self.lists().get(ground.list as usize)?;
        let entry = list.list().entry(ValueRef::Str(host.as_str()))?;
        let name = Domain::new(&entry).ok().filter(|domain| domain.covers(host))?;
        Some(Target::ListName { list: Label::new(list.name()).ok()?, name })
    }

    fn listed_line(&self, ground: Ground, flow: &FlowRecord) -> Option<Target> {
        let field = match ground.by {
            By::Server(field) if is_server_certain(flow) => field,
            By::Program(field) => field,
            By::Server(_) | By::Name => return None,
        };
        let list = self.lists().get(ground.list as usize)?;
        let line = Row::values(flow, field).find_map(|value| list.line(value))?;
        Some(Target::ListLine { list: Label::new(list.name()).ok()?, digest: list.digest(), line })
    }
}

/// The name that a flow asks for.
fn name_of<'f>(flow: &'f FlowRecord, rule: &Rule) -> Option<&'f str> {
    if CLIENTS_NAME_THEMSELVES.contains(&flow.protocol) {
        return None;
    }
    // A name that was resolved before is a guess, for which only a rule that asks for it answers.
    let asks_guess = || {
        rule.condition
            .program()
            .is_some_and(|program| program.field_names().any(|name| name == "resolved_name"))
    };
    flow.text(common::HOSTNAME).or_else(|| flow.resolved_name.as_deref().filter(|_| asks_guess()))
}

/// Whether the flow's destination is its server beyond doubt: the handshake was seen, or the ports leave no choice. A flow
/// of which the filter has seen no beginning may stand in the record the other way round.
fn is_server_certain(flow: &FlowRecord) -> bool {
    let ends = &flow.ends;
    match ends.ip_protocol {
        // The client's SYN or the server's SYN-ACK, in Zeek's letters.
        TCP => flow.history.as_str().contains(['S', 'h']),
        UDP => ends.dst_port < SYSTEM_PORTS_END && ends.src_port >= SYSTEM_PORTS_END,
        _ => false,
    }
}
