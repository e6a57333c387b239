//! One target, measured.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;

use daylight_probe::helper::{Limits, Options, Policy, serve};
use daylight_probe::measure::Measured;
use daylight_probe::output;
use daylight_verdict::Classifier;
use daylight_verdict::extras::{AddressKind, Extras, NameKind, QueryKind, Step};
use daylight_verdict::fingerprint::Fingerprints;
use daylight_verdict::ooni::{self, Failure};
use daylight_verdict::record::{Blocking, State};
use daylight_verdict::rules::Rules;

use crate::world::{Censor, Dns, TARGET, World};

/// A helper that may go to private addresses, for there is nothing else here.
async fn helper(world: &World) -> SocketAddr {
    let policy =
        Policy { resolvers: world.settings.resolvers.clone(), roots: world.roots.clone(), private: true };
    let options = Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        policy,
        limits: Limits::default(),
        behind_proxy: false,
        version: "0".to_owned(),
    };
    let serving = serve(options).await.unwrap();
    let address = serving.address().unwrap();
    tokio::spawn(async move {
        static NEVER: AtomicBool = AtomicBool::new(false);
        serving.run(&NEVER).await;
    });
    address
}

fn extras(measured: &Measured) -> &Extras {
    measured.measurement.test_keys.x_daylight.as_ref().unwrap()
}

/// What is to be thought of a measurement, as it is read back from its line.
fn verdict(measured: &Measured) -> (State, Option<String>) {
    let line = output::line(measured, false).unwrap();
    let read = ooni::read(&line).unwrap().measurement;
    let classifier = Classifier::new(Rules::own().unwrap(), Fingerprints::own(), false);
    let record = classifier.classify(&read, Default::default()).unwrap();
    (record.state, record.mechanism.map(|mechanism| mechanism.to_string()))
}

/// How a cell of the matrix ended at last.
fn cell(extras: &Extras, name: NameKind, at: AddressKind) -> Option<Failure> {
    let last = extras.tls_matrix.iter().rev().find(|cell| cell.name == name && cell.at == at);
    last.unwrap_or_else(|| panic!("no cell {name:?} {at:?}")).failure.clone()
}

#[tokio::test]
async fn an_open_site() {
    let mut world = World::new(Censor::Open, Dns::Honest).await;
    world.settings.pairs = 1;
    let measured = world.measure(Some(helper(&world).await)).await;
    let keys = &measured.measurement.test_keys;
    assert!(!keys.requests.is_empty(), "{:#?}", (&keys.queries, &keys.tcp_connect, &keys.tls_handshakes));
    let page = &keys.requests[0];
    assert_eq!((page.failure.clone(), page.response.code), (None, 200));
    assert_eq!(page.response.body.len(), world.page.len());
    assert_eq!(page.response.headers["Server"].text(), "own");
    assert_eq!(keys.tls_handshakes[0].failure, None);
    assert_eq!(keys.tls_handshakes[0].tls_version, "TLSv1.3");
    assert!(!keys.tls_handshakes[0].peer_certificates.is_empty());

    let control = keys.control.as_ref().unwrap();
    assert_eq!(keys.control_failure, None);
    assert_eq!(control.dns.addrs, ["127.0.0.3"]);
    assert_eq!(
        (control.http_request.status_code, control.http_request.title.as_str()),
        (200, "A page of ours")
    );
    assert_eq!(control.http_request.body_length, world.page.len() as i64);
    assert!(control.tcp_connect.values().all(|tcp| tcp.status == Some(true)), "{control:?}");

    let extras = extras(&measured);
    assert_eq!(extras.category.as_deref(), Some("NEWS"));
    for (name, at) in [
        (NameKind::Target, AddressKind::Target),
        (NameKind::Control, AddressKind::Target),
        (NameKind::None, AddressKind::Target),
        (NameKind::Split, AddressKind::Target),
        (NameKind::EchGrease, AddressKind::Target),
        (NameKind::Target, AddressKind::Control),
    ] {
        assert_eq!(cell(extras, name, at), None, "{name:?} {at:?}");
    }
    assert!(extras.controls.iter().all(|visit| visit.as_expected), "{:?}", extras.controls);
    assert_eq!(extras.controls.len(), 2);
    assert!(extras.dns.iter().any(|reply| reply.query == QueryKind::Random));
    assert!(extras.retests.is_empty());
    let pair = &extras.throttling[0];
    assert!(pair.target.bytes >= 36_000 && pair.control.bytes >= 36_000, "{pair:?}");
    assert!(pair.target.rtt_ms.is_some());

    assert_eq!((keys.blocking, keys.accessible), (Blocking::None, Some(true)));
    assert_eq!(verdict(&measured), (State::Ok, None));

    // What is written is what is read.
    let line = output::line(&measured, false).unwrap();
    let read = ooni::read(&line).unwrap();
    assert_eq!(read.notes, Vec::<String>::new());
    assert_eq!(read.measurement.input.as_deref(), Some(world.url.as_str()));
    assert_eq!(read.measurement.probe_ip, "127.0.0.1");
    let again = read.measurement.test_keys.x_daylight.unwrap();
    assert_eq!((&again.dns, &again.tls_matrix), (&extras.dns, &extras.tls_matrix));
}

#[tokio::test]
async fn a_name_that_is_reset() {
    let world = World::new(Censor::Reset, Dns::Honest).await;
    let measured = world.measure(None).await;
    let keys = &measured.measurement.test_keys;
    assert_eq!(keys.tls_handshakes[0].failure, Some(Failure::ConnectionReset));
    assert!(keys.requests.is_empty());
    assert!(keys.control.is_none() && keys.control_failure.is_some());
    let extras = extras(&measured);
    assert_eq!(cell(extras, NameKind::Target, AddressKind::Target), Some(Failure::ConnectionReset));
    assert_eq!(cell(extras, NameKind::Target, AddressKind::Control), None);
    assert_eq!(cell(extras, NameKind::Control, AddressKind::Target), None);
    // The box looks at the first segment alone.
    assert_eq!(cell(extras, NameKind::Split, AddressKind::Target), None);
    let tries = extras
        .tls_matrix
        .iter()
        .filter(|cell| cell.name == NameKind::Target && cell.at == AddressKind::Target);
    assert_eq!(tries.map(|cell| cell.attempt).collect::<Vec<_>>(), [0, 1]);
    let [now, later] = extras.retests.as_slice() else { panic!("{:?}", extras.retests) };
    assert_eq!((now.step, now.name, now.failure.clone()), (Step::Tls, NameKind::Control, None));
    assert_eq!((later.name, later.failure.clone()), (NameKind::Target, Some(Failure::ConnectionReset)));
    assert!(later.after_ms >= 200.0);

    let (state, mechanism) = verdict(&measured);
    // The box stands before the target's address alone, and no helper vouches for the target: it may do so itself.
    assert_eq!(state, State::LikelyBlocked, "{mechanism:?}");
    assert_eq!(mechanism.as_deref(), Some("tls.reset.sni"));
}

#[tokio::test]
async fn two_answers_to_one_question() {
    let mut world = World::new(Censor::Open, Dns::Raced).await;
    world.settings.steps.throttling = false;
    world.settings.waits.connect = std::time::Duration::from_secs(2);
    let measured = world.measure(None).await;
    let extras = extras(&measured);
    let replies: Vec<_> = extras
        .dns
        .iter()
        .filter(|reply| {
            reply.hostname == TARGET && reply.query_type == "A" && !reply.resolver_address.is_empty()
        })
        .map(|reply| (reply.index, reply.late, reply.addrs[0].as_str(), reply.ip_ttl))
        .collect();
    assert_eq!(replies, [(0, false, "127.0.0.66", Some(64)), (1, true, "127.0.0.3", Some(64))]);
    let duplicates = &measured.measurement.test_keys.x_dns_duplicate_responses;
    assert_eq!(duplicates.len(), 1);
    // The late answer's address was visited too.
    let visited = &measured.measurement.test_keys.tcp_connect;
    assert!(visited.iter().any(|tcp| tcp.ip == "127.0.0.3" && tcp.status.success), "{visited:?}");
}

#[tokio::test]
async fn a_name_that_does_not_exist() {
    let world = World::new(Censor::Open, Dns::NoSuchName).await;
    let measured = world.measure(None).await;
    let keys = &measured.measurement.test_keys;
    let wire = keys.queries.iter().find(|query| query.engine == "udp").unwrap();
    assert_eq!(wire.failure, Some(Failure::DnsNxdomain));
    assert!(keys.tcp_connect.is_empty());
}

#[tokio::test]
async fn a_name_that_is_slow() {
    let mut world = World::new(Censor::Slow(20_000), Dns::Honest).await;
    world.settings.steps.matrix = false;
    world.settings.steps.quic = false;
    let measured = world.measure(None).await;
    let pairs = &extras(&measured).throttling;
    assert_eq!(pairs.len(), 4);
    for pair in pairs {
        let ratio = pair.target.rate_bytes_per_s / pair.control.rate_bytes_per_s;
        assert!(ratio < 0.5, "{pair:?}");
        assert!(pair.target.rate_bytes_per_s < 40_000.0, "{pair:?}");
    }
    let (state, mechanism) = verdict(&measured);
    assert_eq!((state, mechanism.as_deref()), (State::Impaired, Some("tls.throttle.sni")));
}

/// A server whose certificate is of an authority of its own is reached all the same.
#[tokio::test]
async fn a_private_authority() {
    let mut world = World::new(Censor::Open, Dns::Honest).await;
    world.url = world.url.replace("https://", "tls://").trim_end_matches('/').to_owned();
    world.roots = daylight_probe::tls::Roots::of([]);
    let measured = world.measure(None).await;
    let keys = &measured.measurement.test_keys;
    assert_eq!((keys.tls_handshakes[0].failure.clone(), keys.tls_handshakes[0].no_tls_verify), (None, true));
    assert!(keys.requests.is_empty() && keys.x_control_request.is_none());
    assert_eq!(cell(extras(&measured), NameKind::Target, AddressKind::Target), None);
    assert!(extras(&measured).tls_matrix.iter().all(|cell| cell.valid_for_target == Some(false)));
}
