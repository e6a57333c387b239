//! What a helper does for one request: OONI's `web-connectivity` helper, key for key.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use daylight_verdict::extras::{AddressKind, NameKind, QuicKind};
use daylight_verdict::ooni::{Control, ControlDns, ControlRequest, ControlTcp, ControlTls, Failure, IpInfo};

use super::{Policy, page};
use crate::all;
use crate::measure::quic;
use crate::net::connect;
use crate::plan::{Scheme, Target};
use crate::tls::{Hello, handshake};

/// For a connection with its handshake, as OONI's helper waits.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Endpoints of one request that are connected to.
pub(super) const ENDPOINTS_MAX: usize = 64;

// `ip_info`'s flags.
const BY_PROBE: u32 = 1;
const BY_HELPER: u32 = 2;
const BOGON: u32 = 4;
const VALID: u32 = 8;

/// Measures what a probe asked for.
pub(super) async fn measure(target: &Target, request: &ControlRequest, policy: &Policy) -> Control {
    let dns = match target.address() {
        Some(_) => ControlDns::default(),
        None => lookup(target.host(), policy).await,
    };
    let mut ip_info = ip_info(request, &dns.addrs);
    let endpoints = endpoints(target, &ip_info, policy);
    let headers: Vec<_> = request.http_request_headers.clone().into_iter().collect();
    let visits = all(endpoints.iter().map(|(to, tls)| visit(target, *to, *tls, policy)));
    let (visits, http_request) = tokio::join!(visits, page::fetch(target, &headers, policy));

    let (mut tcp_connect, mut tls_handshake) = (BTreeMap::new(), BTreeMap::new());
    for ((to, _), (tcp, tls)) in endpoints.iter().zip(visits) {
        tcp_connect.insert(to.to_string(), tcp);
        if let Some(tls) = tls {
            if tls.failure.is_none()
                && let Some(info) = ip_info.get_mut(&to.ip().to_string())
            {
                info.flags |= VALID;
            }
            tls_handshake.insert(to.to_string(), tls);
        }
    }
    let mut quic_handshake = BTreeMap::new();
    if request.x_quic_enabled && !http_request.discovered_h3_endpoint.is_empty() {
        let tried = all(endpoints.iter().map(|(to, _)| try_quic(target, *to, policy))).await;
        quic_handshake.extend(endpoints.iter().map(|(to, _)| to.to_string()).zip(tried));
    }
    Control { tcp_connect, tls_handshake, quic_handshake, http_request, http3_request: None, dns, ip_info }
}

async fn lookup(host: &str, policy: &Policy) -> ControlDns {
    match policy.resolve(host).await {
        Ok(addresses) => {
            let addrs = addresses.iter().map(ToString::to_string).collect();
            ControlDns { failure: None, addrs }
        }
        Err(failure) => {
            let failure = match failure {
                Failure::DnsNxdomain => Some(Failure::LegacyDnsName),
                // The first helper gave an empty answer for this, and no failure.
                Failure::DnsNoAnswer => None,
                Failure::DnsNonRecoverable
                | Failure::DnsRefused
                | Failure::DnsServerMisbehaving
                | Failure::DnsTemporary => Some(Failure::LegacyDnsServer),
                _ => Some(Failure::from("unknown_error")),
            };
            ControlDns { failure, addrs: Vec::new() }
        }
    }
}

fn ip_info(request: &ControlRequest, addrs: &[String]) -> BTreeMap<String, IpInfo> {
    let mut all: BTreeMap<String, IpInfo> = BTreeMap::new();
    let probes = request.tcp_connect.iter().filter_map(|text| text.parse::<SocketAddr>().ok());
    for address in probes.map(|to| to.ip()).take(ENDPOINTS_MAX) {
        all.entry(address.to_string()).or_default().flags |= BY_PROBE;
    }
    for text in addrs {
        all.entry(text.clone()).or_default().flags |= BY_HELPER;
    }
    for (text, info) in &mut all {
        if text.parse().is_ok_and(daylight_packet::is_special) {
            info.flags |= BOGON;
        }
    }
    all
}

/// Where to connect, and whether with TLS. Ports are the URL's own; else 443 for https, 80 and 443 for http.
fn endpoints(
    target: &Target,
    ip_info: &BTreeMap<String, IpInfo>,
    policy: &Policy,
) -> Vec<(SocketAddr, bool)> {
    let ports: &[u16] = match (target.url().port(), target.scheme()) {
        (Some(port), _) => &[port],
        (None, Scheme::Http) => &[80, 443],
        _ => &[443],
    };
    let addresses = ip_info.keys().filter_map(|text| text.parse::<IpAddr>().ok());
    addresses
        .filter(|address| policy.allows(*address))
        .flat_map(|address| ports.iter().map(move |port| (SocketAddr::new(address, *port), *port == 443)))
        .take(ENDPOINTS_MAX)
        .collect()
}

async fn visit(
    target: &Target,
    to: SocketAddr,
    tls: bool,
    policy: &Policy,
) -> (ControlTcp, Option<ControlTls>) {
    let connected = connect(to, TIMEOUT).await;
    let left = TIMEOUT.saturating_sub(connected.elapsed());
    let stream = match connected.into_stream() {
        Ok(stream) => stream,
        Err(failure) => {
            let failure = match failure {
                Failure::GenericTimeout => failure,
                Failure::ConnectionRefused => Failure::LegacyConnectionRefused,
                _ => Failure::LegacyConnect,
            };
            return (ControlTcp { status: Some(false), failure: Some(failure) }, None);
        }
    };
    let connected = ControlTcp { status: Some(true), failure: None };
    if !tls {
        return (connected, None);
    }
    let hello = Hello { alpn: &["h2", "http/1.1"], ..Hello::of(target.host()) };
    let shaken = handshake(stream, &hello, &policy.roots, left).await;
    let failure = shaken.strict_failure().cloned();
    let tls = ControlTls { server_name: target.host().to_owned(), status: Some(failure.is_none()), failure };
    (connected, Some(tls))
}

async fn try_quic(target: &Target, to: SocketAddr, policy: &Policy) -> ControlTls {
    let attempt = quic::Attempt {
        kind: QuicKind::Handshake,
        name: NameKind::Target,
        server_name: target.host(),
        at: AddressKind::Target,
        to,
    };
    let cells = quic::attempt(&attempt, &policy.roots, TIMEOUT / 2).await;
    let failure = cells.into_iter().next_back().and_then(|cell| cell.failure);
    ControlTls { server_name: target.host().to_owned(), status: Some(failure.is_none()), failure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Roots;

    #[test]
    fn ports_are_chosen_as_oonis_helper_does() {
        let policy = Policy { resolvers: Vec::new(), roots: Roots::of([]), private: false };
        let request = ControlRequest {
            tcp_connect: ["1.1.1.1:443", "10.0.0.1:443", "nonsense"].map(str::to_owned).to_vec(),
            ..ControlRequest::default()
        };
        let info = ip_info(&request, &["8.8.8.8".to_owned(), "1.1.1.1".to_owned()]);
        let flags: Vec<_> = info.iter().map(|(address, info)| (address.as_str(), info.flags)).collect();
        assert_eq!(flags, [("1.1.1.1", 3), ("10.0.0.1", 5), ("8.8.8.8", 2)]);
        let of = |url: &str| -> Vec<String> {
            let found = endpoints(&url.parse().unwrap(), &info, &policy);
            found.iter().map(|(to, tls)| format!("{to} {tls}")).collect()
        };
        assert_eq!(of("https://a.example/"), ["1.1.1.1:443 true", "8.8.8.8:443 true"]);
        assert_eq!(
            of("http://a.example/"),
            ["1.1.1.1:80 false", "1.1.1.1:443 true", "8.8.8.8:80 false", "8.8.8.8:443 true"]
        );
        assert_eq!(of("https://a.example:8443/"), ["1.1.1.1:8443 false", "8.8.8.8:8443 false"]);
    }
}
