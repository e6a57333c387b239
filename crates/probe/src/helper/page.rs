//! A helper's visit to a page: as a browser, with redirects and cookies, never to an address that is not public.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ::http::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderValue, USER_AGENT};
use daylight_verdict::ooni::{Body, ControlHttp, Failure};

use super::Policy;
use crate::http::{self, Request, Response};
use crate::jar::Jar;
use crate::net::connect;
use crate::plan::{Scheme, Target};
use crate::tls::{Hello, handshake};

/// As OONI's helper waits.
const TIMEOUT: Duration = Duration::from_secs(15);
const REDIRECTS_MAX: usize = 10;
/// OONI's helper takes pages up to this size.
const BODY_BYTES_MAX: usize = 1 << 24;
/// The longest title that counts (probe-cli's `WebGetTitle`).
const TITLE_BYTES_MAX: usize = 128;

/// Fetches a page, in the headers that the probe asked for, and describes it.
pub(super) async fn fetch(
    target: &Target,
    headers: &[(String, Vec<String>)],
    policy: &Policy,
) -> ControlHttp {
    let outcome = match tokio::time::timeout(TIMEOUT, follow(target, headers, policy)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::GenericTimeout),
    };
    match outcome {
        Ok((response, h3)) => ControlHttp {
            body_length: i64::try_from(response.body.len()).unwrap_or(i64::MAX),
            discovered_h3_endpoint: h3,
            failure: None,
            title: title(&response.body),
            headers: first_of_each(&response),
            status_code: response.status.into(),
        },
        Err(failure) => ControlHttp {
            body_length: -1,
            discovered_h3_endpoint: String::new(),
            failure: Some(legacy(failure)),
            title: String::new(),
            headers: Default::default(),
            status_code: -1,
        },
    }
}

/// The page at the end of the redirects, and where HTTP/3 is offered for the first one.
async fn follow(
    target: &Target,
    headers: &[(String, Vec<String>)],
    policy: &Policy,
) -> Result<(Response, String), Failure> {
    let (mut target, mut jar, mut h3) = (target.clone(), Jar::default(), None);
    for _ in 0..=REDIRECTS_MAX {
        let mut request =
            Request::visit(target.url(), &http::authority(target.url()), &jar.cookies(target.host()))?;
        put(&mut request, headers);
        let response = one(&target, &request, policy).await?;
        let offer = h3.get_or_insert_with(|| alternative(&response, &target)).clone();
        jar.take(target.host(), &response);
        let next = matches!(response.status, 301 | 302 | 303 | 307 | 308)
            .then(|| response.header("Location").and_then(|place| target.redirected(place).ok()))
            .flatten()
            .filter(|next| matches!(next.scheme(), Scheme::Http | Scheme::Https));
        match next {
            Some(next) => target = next,
            None => return Ok((response, offer)),
        }
    }
    Err(Failure::from("unknown_failure: stopped after 10 redirects"))
}

/// The three headers that a probe may choose.
fn put(request: &mut Request, headers: &[(String, Vec<String>)]) {
    for known in [USER_AGENT, ACCEPT, ACCEPT_LANGUAGE] {
        let asked = headers.iter().find(|(name, _)| known.as_str().eq_ignore_ascii_case(name));
        let value =
            asked.and_then(|(_, values)| values.first()).and_then(|value| HeaderValue::from_str(value).ok());
        if let Some(value) = value
            && let Some(slot) = request.headers.iter_mut().find(|(name, _)| *name == known)
        {
            slot.1 = value;
        }
    }
}

async fn one(target: &Target, request: &Request, policy: &Policy) -> Result<Response, Failure> {
    let addresses: Vec<IpAddr> = match target.address() {
        Some(address) => vec![address],
        None => policy.resolve(target.host()).await?,
    };
    let mut last = Failure::DnsNoAnswer;
    for address in addresses.into_iter().filter(|address| policy.allows(*address)) {
        let to = SocketAddr::new(address, target.port());
        let stream = match connect(to, TIMEOUT / 3).await.into_stream() {
            Ok(stream) => stream,
            Err(failure) => {
                last = failure;
                continue;
            }
        };
        let exchange = if target.scheme() == Scheme::Https {
            let shaken = handshake(stream, &Hello::of(target.host()), &policy.roots, TIMEOUT / 3).await;
            if let Some(failure) = shaken.strict_failure() {
                return Err(failure.clone());
            }
            http::exchange(shaken.stream.ok_or(Failure::Eof)?, request, BODY_BYTES_MAX, TIMEOUT).await
        } else {
            http::exchange(stream, request, BODY_BYTES_MAX, TIMEOUT).await
        };
        return match (exchange.response, exchange.failure) {
            (Some(response), None) => Ok(response),
            (_, failure) => Err(failure.unwrap_or(Failure::Eof)),
        };
    }
    Err(last)
}

/// `Alt-Svc: h3="host:port"` of the first page, with the target's host where none stands (RFC 7838).
fn alternative(response: &Response, target: &Target) -> String {
    let offers = response.header("Alt-Svc").unwrap_or_default().split(',');
    let offer = offers
        .filter_map(|offer| offer.split(';').next()?.trim().strip_prefix("h3="))
        .map(|authority| authority.trim_matches('"'))
        .find(|authority| authority.contains(':'));
    match offer.and_then(|authority| authority.rsplit_once(':')) {
        Some(("", port)) => format!("{}:{port}", target.url().host_str().unwrap_or_default()),
        Some((host, port)) => format!("{host}:{port}"),
        None => String::new(),
    }
}

fn first_of_each(response: &Response) -> std::collections::BTreeMap<String, Body> {
    let mut headers = std::collections::BTreeMap::new();
    for (name, value) in &response.headers {
        headers.entry(name.clone()).or_insert_with(|| Body::from(value.as_str()));
    }
    headers
}

/// What stands between `<title>` and `</title>`, if it is not too long.
pub(super) fn title(body: &[u8]) -> String {
    let find = |from: usize, needle: &[u8]| {
        let rest = body.get(from..)?;
        rest.windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle)).map(|at| from + at)
    };
    let (open, close) = (b"<title>", b"</title>");
    let mut from = 0;
    while let Some(at) = find(from, open) {
        let start = at + open.len();
        let rest = body.get(start..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'<').unwrap_or(rest.len());
        let text = rest.get(..end).unwrap_or_default();
        let closed = rest
            .get(end..)
            .is_some_and(|rest| rest.get(..close.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(close)));
        if closed && (1..=TITLE_BYTES_MAX).contains(&text.len()) {
            return String::from_utf8_lossy(text).into_owned();
        }
        from = start;
    }
    String::new()
}

/// The words of OONI's first helper (`oonib`), which its successors kept.
fn legacy(failure: Failure) -> Failure {
    match failure {
        Failure::DnsNxdomain
        | Failure::DnsNoAnswer
        | Failure::DnsNonRecoverable
        | Failure::DnsRefused
        | Failure::DnsServerMisbehaving
        | Failure::DnsTemporary => Failure::LegacyDnsLookup,
        Failure::GenericTimeout => failure,
        Failure::ConnectionRefused => Failure::LegacyConnectionRefused,
        _ => Failure::from("unknown_error"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles() {
        assert_eq!(title(b"<html><TITLE>A page</Title>"), "A page");
        assert_eq!(title(b"<title></title><title>Second</title>"), "Second");
        assert_eq!(title(b"<title>never closed"), "");
        assert_eq!(title(&[b"<title>".as_slice(), &[b'x'; 129], b"</title>"].concat()), "");
        assert_eq!(title(b""), "");
    }

    #[test]
    fn offers_of_http3() {
        let target: Target = "https://a.example/".parse().unwrap();
        let of = |value: &str| {
            let headers = vec![("Alt-Svc".to_owned(), value.to_owned())];
            alternative(&Response { headers, ..Response::default() }, &target)
        };
        assert_eq!(of("h2=\":443\", h3=\":8443\"; ma=3600"), "a.example:8443");
        assert_eq!(of("h3=\"b.example:443\""), "b.example:443");
        assert_eq!(of("clear"), "");
    }
}
