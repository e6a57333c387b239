//! The second step: the visit itself. A connection to every address, a handshake on each, and the page.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use daylight_verdict::ooni::{
    Body, Failure, NetworkEvent, Request as OoniRequest, Response as OoniResponse, TcpConnect, TcpStatus,
    TlsHandshake, Transaction,
};

use super::clock::Clock;
use crate::http::{self, Request};
use crate::net::{Connect, Operation, connect};
use crate::plan::{Scheme, Target};
use crate::settings::Settings;
use crate::tls::{Handshake, Hello, Roots, handshake};

/// What was done at one address.
pub(super) struct Visit {
    pub(super) to: SocketAddr,
    /// Whether an ordinary program would have gone there: the system's resolver gave the address.
    pub(super) classic: bool,
    /// For a handshake that is only made to see whether the address is the name's.
    pub(super) experiment: bool,
    pub(super) connect: Connect,
    pub(super) handshake: Option<Handshake>,
    pub(super) page: Option<http::Exchange>,
}

impl Visit {
    /// Why the page can't be asked for here.
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.connect.failure.as_ref().or_else(|| self.handshake.as_ref().and_then(Handshake::strict_failure))
    }
}

/// Connects to an address, and makes a handshake if the target speaks TLS.
pub(super) async fn open(
    target: &Target,
    to: SocketAddr,
    tls: bool,
    classic: bool,
    settings: &Settings,
    roots: &Roots,
) -> Visit {
    let mut connect = connect(to, settings.waits.connect).await;
    let shaken = match connect.stream.take() {
        Some(stream) if tls => {
            Some(handshake(stream, &Hello::of(target.host()), roots, settings.waits.handshake).await)
        }
        stream => {
            connect.stream = stream;
            None
        }
    };
    Visit { to, classic, experiment: false, connect, handshake: shaken, page: None }
}

/// Asks for the page on an open visit.
pub(super) async fn fetch(visit: &mut Visit, request: &Request, body_bytes_max: usize, wait: Duration) {
    visit.page = match &mut visit.handshake {
        Some(shaken) => match shaken.stream.take() {
            Some(stream) => Some(http::exchange(stream, request, body_bytes_max, wait).await),
            None => None,
        },
        None => match visit.connect.stream.take() {
            Some(stream) => Some(http::exchange(stream, request, body_bytes_max, wait).await),
            None => None,
        },
    };
}

/// Opens all addresses at once; for HTTP without TLS also a handshake on each, which tells whether it is the name's.
pub(super) async fn open_all(
    target: &Target,
    addresses: &[IpAddr],
    system: &[IpAddr],
    settings: &Settings,
    roots: &Roots,
) -> Vec<Visit> {
    let tls = matches!(target.scheme(), Scheme::Https | Scheme::Tls);
    let addresses = || addresses.iter().take(settings.addresses_max);
    let visits = addresses().map(|address| {
        let classic = system.contains(address);
        open(target, SocketAddr::new(*address, target.port()), tls, classic, settings, roots)
    });
    let beside = target.scheme() == Scheme::Http && target.port() == 80 && target.address().is_none();
    let experiments = addresses().filter(|_| beside).map(|address| async {
        let mut visit = open(target, SocketAddr::new(*address, 443), true, false, settings, roots).await;
        visit.experiment = true;
        visit
    });
    let (mut visits, experiments) = tokio::join!(crate::all(visits), crate::all(experiments));
    visits.extend(experiments);
    visits
}

/// What stands in OONI's lists for a visit.
pub(super) struct Written {
    pub(super) connect: TcpConnect,
    pub(super) handshake: Option<TlsHandshake>,
    pub(super) transaction: Option<Transaction>,
    pub(super) events: Vec<NetworkEvent>,
}

/// Writes a visit down in OONI's words.
pub(super) fn write(
    visit: &Visit,
    request: Option<&Request>,
    target: &Target,
    clock: Clock,
    depth: usize,
    id: i64,
) -> Written {
    let address = visit.to.to_string();
    let mut tags = Vec::new();
    if visit.classic {
        tags.push("classic".to_owned());
    }
    tags.push(format!("tcptls_experiment={}", visit.experiment));
    tags.push(format!("depth={depth}"));
    tags.push(format!("fetch_body={}", visit.page.is_some()));
    let connect = TcpConnect {
        ip: visit.to.ip().to_string(),
        port: visit.to.port(),
        status: TcpStatus {
            blocked: None,
            failure: visit.connect.failure.clone(),
            success: visit.connect.failure.is_none(),
        },
        t0: Some(clock.seconds(visit.connect.begun)),
        t: clock.seconds(visit.connect.ended),
        tags: tags.clone(),
        transaction_id: id,
    };
    // A private authority's certificate says nothing of the network.
    let private = target.scheme() == Scheme::Tls;
    let handshake = visit.handshake.as_ref().map(|shaken| TlsHandshake {
        network: "tcp".to_owned(),
        address: address.clone(),
        cipher_suite: shaken.cipher_suite.clone().unwrap_or_default(),
        failure: if private { shaken.failure.clone() } else { shaken.strict_failure().cloned() },
        negotiated_protocol: shaken.alpn.clone().unwrap_or_default(),
        no_tls_verify: private,
        peer_certificates: shaken.chain.iter().map(|der| Body::base64(der)).collect(),
        server_name: target.host().to_owned(),
        t0: Some(clock.seconds(shaken.begun)),
        t: clock.seconds(shaken.ended),
        tags: tags.clone(),
        tls_version: shaken.version.unwrap_or_default().to_owned(),
        transaction_id: id,
    });
    let transaction = visit.page.as_ref().zip(request).map(|(page, request)| Transaction {
        network: "tcp".to_owned(),
        address: address.clone(),
        alpn: visit.handshake.as_ref().and_then(|shaken| shaken.alpn.clone()).unwrap_or_default(),
        failure: page.failure.clone(),
        request: written_request(request),
        response: page.response.as_ref().map(written_response).unwrap_or_default(),
        t0: Some(clock.seconds(page.begun)),
        t: clock.seconds(page.ended),
        tags: tags.clone(),
        transaction_id: id,
    });
    Written { connect, handshake, transaction, events: events(visit, &address, clock, &tags, id) }
}

fn events(visit: &Visit, address: &str, clock: Clock, tags: &[String], id: i64) -> Vec<NetworkEvent> {
    let Some(shaken) = &visit.handshake else { return Vec::new() };
    let events = shaken.watch.traffic().events.into_iter().map(|event| NetworkEvent {
        address: Some(address.to_owned()),
        failure: None,
        num_bytes: Some(event.bytes as u64),
        operation: match event.operation {
            Operation::Read => "read",
            Operation::Write => "write",
        }
        .to_owned(),
        proto: Some("tcp".to_owned()),
        t0: clock.seconds(event.at),
        t: clock.seconds(event.at),
        transaction_id: id,
        tags: tags.to_vec(),
    });
    events.collect()
}

fn written_request(request: &Request) -> OoniRequest {
    let headers = || {
        request
            .headers
            .iter()
            .map(|(name, value)| (http::title_case(name.as_str()), Body::from_bytes(value.as_bytes())))
    };
    OoniRequest {
        headers_list: headers().collect(),
        headers: headers().collect(),
        method: request.method.to_string(),
        x_transport: "tcp".to_owned(),
        url: request.url.to_string(),
        ..OoniRequest::default()
    }
}

fn written_response(response: &http::Response) -> OoniResponse {
    let headers = || response.headers.iter().map(|(name, value)| (name.clone(), Body::from(value.as_str())));
    let mut first = std::collections::BTreeMap::new();
    for (name, value) in headers() {
        first.entry(name).or_insert(value);
    }
    OoniResponse {
        body: Body::from_bytes(&response.body),
        body_is_truncated: response.truncated,
        code: response.status.into(),
        headers_list: headers().collect(),
        headers: first,
    }
}
