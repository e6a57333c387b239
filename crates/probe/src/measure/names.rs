//! The first step: what the name is said to be, in every way of asking.

use std::net::IpAddr;

use daylight_verdict::extras::{DnsReply, QueryKind, ResolverKind};
use daylight_verdict::ooni::{Answer, Failure, Query};

use super::clock::{Clock, ms};
use crate::dns::{self, Exchange, Lookup, RecordType, Resolver};
use crate::settings::Settings;
use crate::tls::Roots;

/// A question, with why it was asked.
pub(super) struct Asked {
    pub(super) resolver: ResolverKind,
    pub(super) query: QueryKind,
    pub(super) exchange: Exchange,
}

/// Everything that was asked for one target.
#[derive(Default)]
pub(super) struct Names {
    pub(super) lookups: Vec<(QueryKind, Lookup)>,
    pub(super) asked: Vec<Asked>,
}

/// Asks in every way, all at once, and waits for all answers.
pub(super) async fn resolve(host: &str, settings: &Settings, roots: &Roots) -> Names {
    let odd = settings.steps.odd_queries;
    // Long enough that nobody has registered it, and like other names in form.
    let random = format!("{:016x}.com", rand::random::<u64>());
    let control = settings.control.host.as_str();
    let mut plan: Vec<(ResolverKind, QueryKind, Resolver, &str, RecordType)> = Vec::new();
    for kind in [RecordType::A, RecordType::Aaaa] {
        for server in &settings.nameservers {
            plan.push((ResolverKind::System, QueryKind::Target, Resolver::Udp(*server), host, kind));
        }
        for resolver in &settings.resolvers {
            plan.push((kind_of(resolver), QueryKind::Target, resolver.clone(), host, kind));
        }
    }
    if odd {
        let udp = settings.resolvers.iter().filter(|resolver| matches!(resolver, Resolver::Udp(_)));
        let own = settings.nameservers.iter().map(|server| (ResolverKind::System, Resolver::Udp(*server)));
        for (kind, resolver) in own.chain(udp.map(|resolver| (ResolverKind::Udp, resolver.clone()))) {
            plan.push((kind, QueryKind::Control, resolver.clone(), control, RecordType::A));
            plan.push((kind, QueryKind::Random, resolver, &random, RecordType::A));
        }
        if let Some(nobody) = settings.non_resolver {
            for (query, name) in [(QueryKind::Target, host), (QueryKind::Control, control)] {
                plan.push((ResolverKind::NonResolver, query, Resolver::Udp(nobody), name, RecordType::A));
            }
        }
    }
    let patience = settings.waits.dns;
    let asking = plan.iter().map(|(kind, query, resolver, name, record)| async move {
        let exchange = dns::ask(resolver, name, *record, patience, roots).await;
        Asked { resolver: *kind, query: *query, exchange }
    });
    let random_lookup =
        async { if odd { Some((QueryKind::Random, settings.lookup(&random).await)) } else { None } };
    let (target, random, asked) = tokio::join!(settings.lookup(host), random_lookup, crate::all(asking));
    let lookups = std::iter::once((QueryKind::Target, target)).chain(random).collect();
    Names { lookups, asked }
}

/// Asks as a browser does, for a redirect's host.
pub(super) async fn resolve_again(host: &str, settings: &Settings) -> Names {
    let lookup = settings.lookup(host).await;
    Names { lookups: vec![(QueryKind::Target, lookup)], asked: Vec::new() }
}

fn kind_of(resolver: &Resolver) -> ResolverKind {
    match resolver {
        Resolver::Udp(_) => ResolverKind::Udp,
        Resolver::Tcp(_) => ResolverKind::Tcp,
        Resolver::Dot(..) => ResolverKind::Dot,
        Resolver::Doh(..) => ResolverKind::Doh,
    }
}

impl Names {
    /// What the system's resolver gave for the target.
    pub(super) fn system(&self) -> Vec<IpAddr> {
        let targets = self.lookups.iter().filter(|(query, _)| *query == QueryKind::Target);
        targets.flat_map(|(_, lookup)| lookup.addresses.iter().copied()).collect()
    }

    /// All addresses of the target: the system's first, then others in the order of the resolvers, each once.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let mut all = self.system();
        // First answers alone: a second one is a sign of trouble, but its addresses were seen too.
        let others = self.asked.iter().filter(|asked| asked.query == QueryKind::Target);
        for reply in others.flat_map(|asked| &asked.exchange.replies) {
            all.extend(reply.message.addresses());
        }
        let mut seen = std::collections::HashSet::new();
        all.retain(|address| seen.insert(*address));
        all
    }

    /// As OONI's `queries`.
    pub(super) fn queries(&self, clock: Clock, depth: usize, transaction: i64) -> Vec<Query> {
        let depth = format!("depth={depth}");
        let own =
            self.lookups.iter().filter(|(query, _)| *query == QueryKind::Target).map(|(_, lookup)| Query {
                answers: lookup.addresses.iter().map(|address| answer(*address, None)).collect(),
                engine: "getaddrinfo".to_owned(),
                failure: lookup.failure.clone(),
                hostname: lookup.name.clone(),
                query_type: "ANY".to_owned(),
                t0: Some(clock.seconds(lookup.begun)),
                t: clock.seconds(lookup.ended),
                tags: vec!["classic".to_owned(), depth.clone()],
                transaction_id: transaction,
                ..Query::default()
            });
        let wire = self.asked.iter().filter(|asked| {
            // The rest is ours, and would mislead whoever takes it for an ordinary query.
            asked.query == QueryKind::Target && asked.resolver != ResolverKind::NonResolver
        });
        own.chain(wire.map(|asked| {
            let exchange = &asked.exchange;
            let answers = exchange.replies.first().map(|reply| answers(&reply.message)).unwrap_or_default();
            query(exchange, answers, exchange.failure.clone(), exchange.ended, clock, &depth, transaction)
        }))
        .collect()
    }

    /// As OONI's `x_dns_duplicate_responses`.
    pub(super) fn duplicates(&self, clock: Clock, transaction: i64) -> Vec<Query> {
        let targets = self.asked.iter().filter(|asked| asked.query == QueryKind::Target);
        targets
            .flat_map(|asked| {
                asked.exchange.replies.iter().skip(1).map(|reply| {
                    let failure = reply.message.failure();
                    let answers = answers(&reply.message);
                    query(&asked.exchange, answers, failure, reply.at, clock, "depth=0", transaction)
                })
            })
            .collect()
    }

    /// As our extras: every reply to every question.
    pub(super) fn replies(&self) -> Vec<DnsReply> {
        let own = self.lookups.iter().map(|(query, lookup)| DnsReply {
            query: *query,
            hostname: lookup.name.clone(),
            query_type: "ANY".to_owned(),
            resolver: ResolverKind::System,
            resolver_address: String::new(),
            index: 0,
            addrs: texts(&lookup.addresses),
            cnames: Vec::new(),
            rcode: None,
            extended_error: None,
            failure: lookup.failure.clone(),
            ip_ttl: None,
            took_ms: ms(lookup.ended - lookup.begun),
            late: false,
        });
        own.chain(self.asked.iter().flat_map(Asked::replies)).collect()
    }
}

impl Asked {
    fn replies(&self) -> Vec<DnsReply> {
        let exchange = &self.exchange;
        let none = DnsReply {
            query: self.query,
            hostname: exchange.name.clone(),
            query_type: exchange.kind.as_str().to_owned(),
            resolver: self.resolver,
            resolver_address: exchange.resolver.address(),
            index: 0,
            addrs: Vec::new(),
            cnames: Vec::new(),
            rcode: None,
            extended_error: None,
            failure: exchange.failure.clone(),
            ip_ttl: None,
            took_ms: ms(exchange.ended - exchange.begun),
            late: false,
        };
        if exchange.replies.is_empty() {
            return vec![none];
        }
        let replies = exchange.replies.iter().enumerate().map(|(n, reply)| {
            // One answer to each of two queries is no second answer.
            let earlier =
                exchange.replies.iter().take(n).filter(|other| other.attempt == reply.attempt).count();
            DnsReply {
                index: u32::try_from(earlier).unwrap_or(u32::MAX),
                addrs: texts(&reply.message.addresses()),
                cnames: reply.message.aliases(),
                rcode: u8::try_from(reply.message.code).ok(),
                extended_error: reply.message.extended_error.as_ref().map(|(code, _)| *code),
                failure: reply.message.failure(),
                ip_ttl: reply.ttl,
                took_ms: ms(reply.at - exchange.begun),
                late: n > 0,
                ..none.clone()
            }
        });
        replies.collect()
    }
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn query(
    exchange: &Exchange,
    answers: Vec<Answer>,
    failure: Option<Failure>,
    at: std::time::Instant,
    clock: Clock,
    depth: &str,
    transaction: i64,
) -> Query {
    Query {
        answers,
        engine: exchange.resolver.engine().to_owned(),
        failure,
        hostname: exchange.name.clone(),
        query_type: exchange.kind.as_str().to_owned(),
        resolver_address: exchange.resolver.address(),
        t0: Some(clock.seconds(exchange.begun)),
        t: clock.seconds(at),
        tags: vec![depth.to_owned()],
        transaction_id: transaction,
        ..Query::default()
    }
}

fn answers(message: &dns::Message) -> Vec<Answer> {
    let records = message.answers.iter().map(|record| match record {
        dns::Answer::Address { address, ttl } => answer(*address, Some(*ttl)),
        dns::Answer::Alias { name, ttl } => Answer {
            answer_type: "CNAME".to_owned(),
            hostname: Some(name.clone()),
            ttl: Some(*ttl),
            ..Answer::default()
        },
    });
    records.collect()
}

fn answer(address: IpAddr, ttl: Option<u32>) -> Answer {
    let text = Some(address.to_string());
    let (answer_type, ipv4, ipv6) = match address {
        IpAddr::V4(_) => ("A", text, None),
        IpAddr::V6(_) => ("AAAA", None, text),
    };
    Answer { answer_type: answer_type.to_owned(), ipv4, ipv6, ttl, ..Answer::default() }
}
