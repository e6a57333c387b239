//! The helper: what a probe's target looks like from here, by OONI's `web-connectivity` protocol, and a few things more.
//!
//! A request names a URL and the addresses that the probe was given for it; the helper looks the name up, connects to all
//! of them, fetches the page, and says how that went. It never goes where the public can't ([`is_special`]), unless told to,
//! and not often for one asker ([`Limits`]).
//!
//! `docs/reference/helper.md` describes what goes over the wire.

mod extras;
mod limits;
mod measure;
mod page;
mod serve;

use std::net::IpAddr;

use daylight_packet::is_special;
use daylight_verdict::ooni::{ControlRequest, Failure};

pub use limits::Limits;
pub use serve::{HelperError, Options, Serving, Tls, run, serve};

use crate::control::{Entry, Pack, PackError, Signer};
use crate::dns::{self, Patience, RecordType, Resolver};
use crate::plan::{Plan, Scheme, Target};
use crate::tls::Roots;

/// Whom a helper asks, and where it goes.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Resolvers, the first that answers counting. None for the system's.
    pub resolvers: Vec<Resolver>,
    /// The authorities that are believed.
    pub roots: Roots,
    /// Whether it also goes to addresses that are not public: for a lab alone.
    pub private: bool,
}

/// How long a helper waits for a resolver, as OONI's.
const LOOKUP: std::time::Duration = std::time::Duration::from_secs(4);

impl Policy {
    fn allows(&self, address: IpAddr) -> bool {
        self.private || !is_special(address)
    }

    /// The addresses of a name, of both families.
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        if self.resolvers.is_empty() {
            let lookup = dns::lookup(host, LOOKUP).await;
            return lookup.failure.map_or(Ok(lookup.addresses), Err);
        }
        let patience = Patience { timeout: LOOKUP, all: std::time::Duration::ZERO };
        let mut last = Failure::DnsNoAnswer;
        for resolver in &self.resolvers {
            let ask = |kind| dns::ask(resolver, host, kind, patience, &self.roots);
            let (v4, v6) = tokio::join!(ask(RecordType::A), ask(RecordType::Aaaa));
            let addresses = [v4.addresses(), v6.addresses()].concat();
            if !addresses.is_empty() {
                return Ok(addresses);
            }
            let answered = !v4.replies.is_empty();
            last = v4.failure.unwrap_or(Failure::DnsNoAnswer);
            // What a resolver says counts; one that says nothing is passed over.
            if answered && matches!(last, Failure::DnsNxdomain | Failure::DnsNoAnswer) {
                break;
            }
        }
        Err(last)
    }
}

/// What a control pack has of a plan. Only web pages have something to compare.
async fn entries(plan: &Plan, policy: &Policy, each: &dyn Fn(&str)) -> Vec<Entry> {
    let mut entries = Vec::new();
    for item in &plan.items {
        if !matches!(item.target.scheme(), Scheme::Http | Scheme::Https) {
            continue;
        }
        each(item.target.input());
        let request =
            ControlRequest { http_request: item.target.input().to_owned(), ..ControlRequest::default() };
        let control = measure::measure(&item.target, &request, policy).await;
        entries.push(Entry { input: item.target.input().to_owned(), control });
    }
    entries
}

/// Measures what a plan names, and signs what came of it as a control pack. `each` is told what is begun.
///
/// # Errors
/// If the pack would be too long.
pub fn make_pack(
    plan: &Plan,
    policy: &Policy,
    signer: &Signer,
    each: &dyn Fn(&str),
) -> Result<Vec<u8>, PackError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| PackError::Start(error.to_string()))?;
    let entries = runtime.block_on(entries(plan, policy, each));
    runtime.shutdown_background();
    Pack::write(jiff::Timestamp::now(), &entries, signer)
}

/// A request that was read and found to be one.
///
/// # Errors
/// What is wrong with it, for whoever sent it.
pub fn read_request(body: &[u8]) -> Result<(Target, ControlRequest), String> {
    let request: ControlRequest = serde_json::from_slice(body)
        .map_err(|error| format!("the request is no JSON of this kind: {error}"))?;
    let target: Target = request.http_request.parse().map_err(|error| format!("http_request: {error}"))?;
    if !matches!(target.scheme(), Scheme::Http | Scheme::Https) || !request.http_request.contains("://") {
        return Err("http_request: it has to be an http or https URL".to_owned());
    }
    if request.tcp_connect.len() > measure::ENDPOINTS_MAX {
        return Err(format!("tcp_connect: no more than {} endpoints are taken", measure::ENDPOINTS_MAX));
    }
    Ok((target, request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_looked_at_before_anything_is_done() {
        let read = |body: &str| read_request(body.as_bytes());
        let (target, request) =
            read(r#"{"http_request":"https://a.example/","tcp_connect":["192.0.2.1:443"],"http_request_headers":{}}"#)
                .unwrap();
        assert_eq!((target.host(), request.tcp_connect.len()), ("a.example", 1));
        for (body, part) in [
            ("{", "no JSON"),
            ("{}", "write a URL"),
            (r#"{"http_request":"ftp://a.example/"}"#, "write an http"),
            (r#"{"http_request":"a.example"}"#, "http or https URL"),
            (r#"{"http_request":"tcp://a.example:22"}"#, "http or https URL"),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains(part), "{body}: {error}");
        }
        let many: Vec<_> = (0..65).map(|n| format!("\"192.0.2.{n}:443\"")).collect();
        let body = format!(r#"{{"http_request":"https://a.example/","tcp_connect":[{}]}}"#, many.join(","));
        assert!(read(&body).unwrap_err().contains("no more than 64"));
    }
}
