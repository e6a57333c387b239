//! Another web server as a site: requests are handed on to it, and its answers back, as nginx's `proxy_pass` does.

use std::io;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version, request};

use http_body_util::BodyExt;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::answer::Answerer;
use super::pages::Status;
use super::{Public, SiteBody};

/// As with nginx: an origin has so long to take a connection and to begin its answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Of one connection, not of a message (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The other server.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    authority: Authority,
    client: Client<HttpConnector, SiteBody>,
}

impl Origin {
    pub(super) fn new(authority: Authority) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(TIMEOUT));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { authority, client }
    }

    pub(super) async fn answer(
        &self,
        answerer: &Answerer<'_>,
        public: Public,
        host: &str,
        body: SiteBody,
    ) -> Response<SiteBody> {
        let Some(request) = self.request(answerer.request, public, host, body) else {
            return answerer.page(Status::BAD_REQUEST);
        };
        match timeout(TIMEOUT, self.client.request(request)).await {
            Err(_) => answerer.page(Status::GATEWAY_TIMEOUT),
            Ok(Err(error)) if is_timeout(&error) => answerer.page(Status::GATEWAY_TIMEOUT),
            Ok(Err(_)) => answerer.page(Status::BAD_GATEWAY),
            Ok(Ok(response)) => hand_back(answerer, response),
        }
    }

    fn request(
        &self,
        parts: &request::Parts,
        public: Public,
        host: &str,
        body: SiteBody,
    ) -> Option<Request<SiteBody>> {
        let path = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone()).path_and_query(path);
        let mut request = Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = uri.build().ok()?;
        let headers = request.headers_mut();
        *headers = end_to_end(&parts.headers);
        // The origin tells its sites apart by it. The visitor's address is not handed on.
        headers.insert(header::HOST, HeaderValue::from_str(host).ok()?);
        let scheme = HeaderValue::from_static(public.scheme());
        headers.insert(HeaderName::from_static("x-forwarded-proto"), scheme);
        Some(request)
    }
}

fn hand_back(answerer: &Answerer<'_>, response: Response<hyper::body::Incoming>) -> Response<SiteBody> {
    let (mut parts, body) = response.into_parts();
    let mut headers = HeaderMap::with_capacity(parts.headers.len() + 3);
    answerer.name_server(&mut headers);
    for (name, value) in &end_to_end(&parts.headers) {
        if name != header::SERVER && name != header::DATE {
            headers.append(name.clone(), value.clone());
        }
    }
    answerer.keep_alive(&mut headers, false);
    parts.headers = headers;
    // The version is that of the visitor's connection.
    parts.version = Version::default();
    Response::from_parts(parts, body.map_err(io::Error::other).boxed_unsync())
}

/// The fields that are not of one connection alone, in their order: without the usual ones of those, and without what
/// `Connection` names.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if !HOP_BY_HOP.contains(name) && !named.contains(name) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept
}

fn is_timeout(error: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}
