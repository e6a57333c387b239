//! Where on the path it happens: probes that don't get far enough, with the control's name and with the target's.
//!
//! [`place`](place()) reasons, and is tested with tables; `probe` sends. There are three tiers of privilege. Two need none: a plain
//! socket, and the error queue, which names the routers. Where the probe hears its own packets ([`evidence`]), the TTL
//! that an answer came with is known too, and with it an injector that copies the TTL of the packet it answers.

mod icmp;
mod place;
mod probe;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use daylight_verdict::extras::{Hop as WrittenHop, Trace, TraceStep};
use daylight_verdict::record::Method;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

pub use place::{Place, Reply, Seen, copier, place, place_of_copier};

use self::probe::Hop;
use crate::evidence::{self, Book};
use crate::http;
use crate::measure::clock_ms;
use crate::plan::{Scheme, Target};
use crate::settings::Settings;
use crate::tls::{Roots, recorder};

/// With this, a packet goes the whole way.
const FULL: u8 = 64;
/// Nothing is further away.
const HOPS_MAX: u8 = 30;
/// What is silent is asked again this often: losses are no box.
const TRIES: usize = 3;
/// How often the whole search is made; the place is what most of them say.
const ROUNDS: u32 = 3;
/// Past the server by so many hops, for injectors that copy the TTL.
const PAST: u8 = 2;
/// Routers answer within this, or not at all.
const WAIT: Duration = Duration::from_millis(1000);

/// Searches for the place at the first of the target's addresses. Empty if both names fare the same.
pub async fn locate(target: &Target, addresses: &[IpAddr], settings: &Settings, roots: &Roots) -> Vec<Trace> {
    let Some(address) = addresses.first() else { return Vec::new() };
    let to = SocketAddr::new(*address, target.port());
    let payloads = match target.scheme() {
        Scheme::Https | Scheme::Tls => hello(target.host(), roots).zip(hello(&settings.control.host, roots)),
        Scheme::Http => Some((get(target, target.host()), get(target, &settings.control.host))),
        Scheme::Tcp => None,
    };
    let Some((own, control)) = payloads else { return Vec::new() };
    let step = if target.scheme() == Scheme::Http { TraceStep::Http } else { TraceStep::Tls };
    let connect = settings.waits.connect;
    // Blocking sockets: what matters here are errors of single packets, which only they tell in order.
    let book = evidence::book();
    let work =
        tokio::task::spawn_blocking(move || search(to, step, &own, &control, connect, book.as_deref()));
    work.await.ok().flatten().into_iter().collect()
}

fn search(
    to: SocketAddr,
    step: TraceStep,
    own: &[u8],
    innocuous: &[u8],
    connect: Duration,
    book: Option<&Book>,
) -> Option<Trace> {
    let send = |payload: &[u8], ttl| probe::send(to, payload, ttl, connect, WAIT, book).ok();
    // With the whole way to go: if both names fare the same, each time, there is nothing to search for.
    let plain = (0..TRIES).find_map(|_| {
        let (full, plain) = (send(innocuous, FULL)?, send(own, FULL)?);
        (full.reply != plain.reply).then_some(plain)
    })?;
    let copier = (plain.reply_ttl.is_some() && plain.reply.ends())
        .then(|| copier(&[Some(plain), send(own, FULL - 3), send(own, FULL - 7)]))
        .flatten();
    let routers = routers(to);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let control = sweep(innocuous, HOPS_MAX, &send);
        let of_hops = control.iter().find(|seen| seen.reply.ends()).map_or(HOPS_MAX, |seen| seen.ttl);
        let target = sweep(own, of_hops.saturating_add(PAST).min(HOPS_MAX), &send);
        let found = match copier {
            Some(hop) => Some(place_of_copier(hop, &target, &control)),
            None => place(&target, &control),
        };
        rounds.push((found, target, control));
    }
    let agreeing = |found: &Option<Place>| rounds.iter().filter(|(other, ..)| other == found).count();
    let (found, target, control) =
        rounds.iter().max_by_key(|(found, ..)| (found.is_some(), agreeing(found)))?;
    let method = if book.is_some() {
        Method::Raw
    } else if routers.iter().any(|hop| matches!(hop, Hop::Router(..))) {
        Method::ErrorQueue
    } else {
        Method::PlainSocket
    };
    Some(Trace {
        step,
        address: to.to_string(),
        method,
        hop: found.map(|place| place.hop),
        of_hops: control.iter().find(|seen| seen.reply.ends()).map(|seen| seen.ttl),
        position: found.map(|place| place.position),
        ttl_copied: found.is_some_and(|place| place.ttl_copied),
        agreeing: (u32::try_from(agreeing(found)).unwrap_or(u32::MAX), ROUNDS),
        hops: write(&routers, target, control),
    })
}

/// One TTL after the other, until something other than a router answers.
fn sweep(payload: &[u8], hops_max: u8, send: &impl Fn(&[u8], u8) -> Option<Seen>) -> Vec<Seen> {
    let mut all = Vec::new();
    for ttl in 1..=hops_max {
        let mut last = Seen { ttl, reply: Reply::Silence, exceeded_too: false, reply_ttl: None };
        for _ in 0..TRIES {
            if let Some(seen) = send(payload, ttl) {
                last = seen;
                if seen.reply != Reply::Silence {
                    break;
                }
            }
        }
        all.push(last);
        if last.reply.ends() {
            break;
        }
    }
    all
}

/// The routers on the way, as far as they tell.
fn routers(to: SocketAddr) -> Vec<Hop> {
    let mut all = Vec::new();
    for ttl in 1..=HOPS_MAX {
        let hop = (0..TRIES)
            .map(|_| probe::syn(to, ttl, WAIT).unwrap_or(Hop::Nothing))
            .find(|hop| *hop != Hop::Nothing)
            .unwrap_or(Hop::Nothing);
        all.push(hop);
        // Three in a row that say nothing, and it is over: the rest would not either.
        let quiet = all.iter().rev().take_while(|hop| **hop == Hop::Nothing).count();
        if hop == Hop::Server || quiet >= 3 {
            break;
        }
    }
    all
}

fn write(routers: &[Hop], target: &[Seen], control: &[Seen]) -> Vec<WrittenHop> {
    let count = target.len().max(control.len());
    let word = |seen: &[Seen], n: usize| seen.get(n).map(|seen| seen.reply.as_str().to_owned());
    (0..count)
        .zip(1u8..)
        .map(|(n, ttl)| {
            let (address, rtt_ms) = match routers.get(n) {
                Some(Hop::Router(address, took)) => (Some(address.to_string()), Some(clock_ms(*took))),
                _ => (None, None),
            };
            WrittenHop { ttl, address, rtt_ms, target: word(target, n), control: word(control, n) }
        })
        .collect()
}

/// The bytes of a ClientHello.
fn hello(name: &str, roots: &Roots) -> Option<Vec<u8>> {
    let verifier = recorder(roots, name).ok()?;
    let mut config = ClientConfig::builder_with_provider(Arc::clone(roots.provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(name.to_owned()).ok()?;
    let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).ok()?;
    Some(bytes)
}

/// The bytes of a request.
fn get(target: &Target, host: &str) -> Vec<u8> {
    let path = target.url().path();
    let agent = http::BROWSER;
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n")
        .into_bytes()
}
