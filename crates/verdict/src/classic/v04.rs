//! As `web_connectivity` 0.4 judges: the last request, the lookup, the connections, in that order.

use super::diff::{Diff, Generation};
use super::{agree, asn, host};
use crate::ooni::{Control, Failure, Measurement, TestKeys, Transaction};
use crate::record::{Blocking, Classic, DnsConsistency};

pub(super) fn classic(measurement: &Measurement) -> Classic {
    let keys = &measurement.test_keys;
    let control = keys.control.as_ref().filter(|_| keys.control_failure.is_none());
    let input = measurement.input.as_deref().unwrap_or_default();
    let dns_consistency = control.map(|control| consistency(keys, input, control));
    let last = keys.requests.first();
    let diff = match (last, control) {
        (Some(last), Some(control)) => Diff::new(Generation::V04, &last.response, &control.http_request),
        _ => Diff::default(),
    };
    let (blocking, accessible) = judge(keys, input, control, last, dns_consistency, &diff);
    Classic {
        blocking,
        accessible,
        dns_consistency,
        body_proportion: diff.body_proportion,
        body_length_match: diff.body(),
        headers_match: diff.headers,
        status_code_match: diff.status,
        title_match: diff.title,
    }
}

const REACHED: (Blocking, Option<bool>) = (Blocking::None, Some(true));
const UNKNOWN: (Blocking, Option<bool>) = (Blocking::Unknown, None);

fn blocked(blocking: Blocking) -> (Blocking, Option<bool>) {
    (blocking, Some(false))
}

fn judge(
    keys: &TestKeys,
    input: &str,
    control: Option<&Control>,
    last: Option<&Transaction>,
    dns: Option<DnsConsistency>,
    diff: &Diff,
) -> (Blocking, Option<bool>) {
    // A page over TLS is the right one, whatever the resolver said.
    if last.is_some_and(|last| last.failure.is_none() && last.request.url.starts_with("https://")) {
        return REACHED;
    }
    let Some(control) = control else { return UNKNOWN };
    let is_consistent = dns == Some(DnsConsistency::Consistent);
    if is_consistent && lookup(keys, input).0.is_some_and(is_nonexistent) {
        // Debatable, but what OONI says of a name that exists nowhere.
        return REACHED;
    }
    if !is_consistent {
        return blocked(Blocking::Dns);
    }
    if !keys.tcp_connect.is_empty() && !keys.tcp_connect.iter().any(|tcp| tcp.status.success) {
        return blocked(Blocking::TcpIp);
    }
    let (None, Some(last)) = (&control.http_request.failure, last) else { return UNKNOWN };
    match &last.failure {
        Some(Failure::DnsNxdomain) => blocked(Blocking::Dns),
        Some(
            Failure::ConnectionRefused
            | Failure::ConnectionReset
            | Failure::Eof
            | Failure::GenericTimeout
            | Failure::SslInvalidHostname
            | Failure::SslInvalidCertificate
            | Failure::SslUnknownAuthority,
        ) => blocked(Blocking::HttpFailure),
        Some(_) => UNKNOWN,
        None if diff.is_same() => REACHED,
        None => blocked(Blocking::HttpDiff),
    }
}

fn is_nonexistent(failure: &Failure) -> bool {
    matches!(failure, Failure::DnsNxdomain | Failure::AndroidDnsCacheNoData)
}

/// The system's lookup: why it failed, or what it found.
fn lookup<'m>(keys: &'m TestKeys, input: &str) -> (Option<&'m Failure>, Vec<&'m str>) {
    let name = host(input).unwrap_or(input);
    let mut queries: Vec<_> = keys.queries.iter().filter(|query| query.hostname == name).collect();
    if queries.is_empty() {
        // The name in another spelling: IDNA.
        queries = keys.queries.iter().collect();
    }
    let found: Vec<_> =
        queries.iter().flat_map(|query| &query.answers).filter_map(|answer| answer.address()).collect();
    let failure = queries.iter().find_map(|query| query.failure.as_ref()).filter(|_| found.is_empty());
    (failure, found)
}

fn consistency(keys: &TestKeys, input: &str, control: &Control) -> DnsConsistency {
    use DnsConsistency::{Consistent, Inconsistent};
    if host(input).is_some_and(|host| host.parse::<std::net::IpAddr>().is_ok()) {
        return Consistent;
    }
    let (failure, found) = lookup(keys, input);
    if let (Some(ours), Some(theirs)) = (failure, &control.dns.failure) {
        let alike = *theirs == Failure::LegacyDnsName && is_nonexistent(ours);
        return if alike { Consistent } else { Inconsistent };
    }
    let theirs = || control.dns.addrs.iter().map(String::as_str);
    if agree(keys, found.iter().copied(), theirs()) {
        return Consistent;
    }
    // The probe compared networks too, by a database of its own. Where the measurement doesn't hold what that said, the
    // probe's own comparison is all there is.
    let networks_known = theirs().all(|address| asn(keys, address).is_some());
    match keys.dns_consistency.as_deref() {
        Some("consistent") if !networks_known => Consistent,
        _ => Inconsistent,
    }
}
