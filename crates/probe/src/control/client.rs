//! Asks a helper, over one front after the other.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use daylight_verdict::ooni::{Control, ControlRequest, Failure};
use jiff::Timestamp;
use url::Url;

use super::Pack;
use crate::net::connect;
use crate::tls::{Hello, Roots, handshake};
use crate::{dns, http};

/// No helper's answer is longer.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// One way to a helper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// The helper's URL, `https` or `http`.
    pub url: Url,
    /// Where its host is. None to ask the system's resolver.
    pub addresses: Vec<IpAddr>,
    /// Another name to show in the handshake, where the front takes requests for several.
    pub server_name: Option<String>,
}

impl Front {
    /// The ordinary way to a URL.
    #[must_use]
    pub fn of(url: Url) -> Self {
        Self { url, addresses: Vec::new(), server_name: None }
    }
}

/// Whence a control came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// From a helper, just now.
    Helper(Url),
    /// From a pack that was made then.
    Pack(Timestamp),
}

/// What the control said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What it saw.
    pub control: Option<Control>,
    /// Whence it came.
    pub source: Option<Source>,
    /// Why the last of the helpers could not be asked.
    pub failure: Option<Failure>,
}

/// The helpers, and what was brought along.
#[derive(Clone, Debug, Default)]
pub struct Helpers {
    /// Ways to helpers, in the order of trying.
    pub fronts: Vec<Front>,
    /// Packs whose signatures were found good.
    pub packs: Vec<Pack>,
}

impl Helpers {
    /// Asks the fronts in turn, then looks into the packs.
    pub async fn ask(&self, request: &ControlRequest, roots: &Roots, timeout: Duration) -> Answer {
        let mut failure = None;
        for front in &self.fronts {
            match front.ask(request, roots, timeout).await {
                Ok(control) => {
                    let source = Some(Source::Helper(front.url.clone()));
                    return Answer { control: Some(control), source, failure: None };
                }
                Err(why) => failure = Some(why),
            }
        }
        // The newest that knows the target.
        let found = self
            .packs
            .iter()
            .filter_map(|pack| Some((pack.made, pack.control(&request.http_request)?)))
            .max_by_key(|(made, _)| *made);
        match found {
            Some((made, control)) => {
                Answer { control: Some(control.clone()), source: Some(Source::Pack(made)), failure: None }
            }
            None => Answer {
                control: None,
                source: None,
                failure: failure.or_else(|| Some(Failure::from("unknown_failure: no helper is set"))),
            },
        }
    }
}

impl Front {
    /// Asks this helper.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask(
        &self,
        request: &ControlRequest,
        roots: &Roots,
        timeout: Duration,
    ) -> Result<Control, Failure> {
        let body = serde_json::to_vec(request).map_err(|_| Failure::InvalidArgument)?;
        let post = http::Request::post(&self.url, "application/json", body)?;
        let response = self.exchange(&post, roots, timeout).await?;
        if response.status != 200 {
            return Err(Failure::from("http_request_failed"));
        }
        serde_json::from_slice(&response.body).map_err(|_| Failure::JsonParse)
    }

    async fn exchange(
        &self,
        request: &http::Request,
        roots: &Roots,
        timeout: Duration,
    ) -> Result<http::Response, Failure> {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.url.port_or_known_default().unwrap_or(443);
        let mut addresses = self.addresses.clone();
        if addresses.is_empty() {
            match host.parse() {
                Ok(address) => addresses.push(address),
                Err(_) => {
                    let lookup = dns::lookup(host, timeout).await;
                    if let Some(failure) = lookup.failure {
                        return Err(failure);
                    }
                    addresses = lookup.addresses;
                }
            }
        }
        let mut last = Failure::DnsNoAnswer;
        for address in addresses {
            // Shorter than for the answer, so that a dead address leaves time for the next.
            let stream = match connect(SocketAddr::new(address, port), timeout / 3).await.into_stream() {
                Ok(stream) => stream,
                Err(failure) => {
                    last = failure;
                    continue;
                }
            };
            let exchange = if self.url.scheme() == "https" {
                let shown = self.server_name.as_deref().unwrap_or(host);
                let hello = Hello { server_name: Some(shown), judged_for: shown, ..Hello::of(host) };
                let shaken = handshake(stream, &hello, roots, timeout / 3).await;
                // A helper that can be forged is worse than none.
                if let Some(failure) = shaken.strict_failure() {
                    last = failure.clone();
                    continue;
                }
                let Some(stream) = shaken.stream else { continue };
                http::exchange(stream, request, ANSWER_BYTES_MAX, timeout).await
            } else {
                http::exchange(stream, request, ANSWER_BYTES_MAX, timeout).await
            };
            match (exchange.response, exchange.failure) {
                (Some(response), None) => return Ok(response),
                (_, failure) => last = failure.unwrap_or(Failure::Eof),
            }
        }
        Err(last)
    }
}
