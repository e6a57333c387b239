//! What an answer is made of: nginx's header fields, in nginx's order.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode, Version, request};
use http_body_util::{BodyExt, Empty, Full};
use hyper::ext::ReasonPhrase;

use super::SiteBody;
use super::pages::{Status, page, without_tls};

/// What of a request and a site is in every answer.
pub(super) struct Answerer<'a> {
    /// What the server calls itself.
    pub(super) server: &'a str,
    pub(super) request: &'a request::Parts,
}

/// Header fields that are gathered in the order in which they are sent.
pub(super) type Fields = Vec<(HeaderName, String)>;

impl Answerer<'_> {
    /// An answer with a body of `len` bytes. Fields before `Connection` are in `early`, others in `late`.
    pub(super) fn answer(
        &self,
        status: Status,
        early: Fields,
        late: Fields,
        body: Option<SiteBody>,
    ) -> Response<SiteBody> {
        let head_only = self.request.method == Method::HEAD;
        let mut response = Response::new(match body {
            Some(body) if !head_only => body,
            _ => empty(),
        });
        *response.status_mut() = StatusCode::from_u16(status.code).unwrap_or_default();
        self.name_status(status, response.extensions_mut());
        let headers = response.headers_mut();
        self.name_server(headers);
        for (name, value) in early {
            put(headers, name, &value);
        }
        self.keep_alive(headers, status.closes);
        for (name, value) in late {
            put(headers, name, &value);
        }
        response
    }

    /// The short page of a status.
    pub(super) fn page(&self, status: Status) -> Response<SiteBody> {
        self.page_with(status, Vec::new(), Vec::new())
    }

    /// nginx's own status 497, which others see as 400.
    pub(super) fn without_tls(&self) -> Response<SiteBody> {
        self.page_of(
            Status::BAD_REQUEST,
            without_tls(self.server, &self.request.headers),
            Vec::new(),
            Vec::new(),
        )
    }

    pub(super) fn page_with(&self, status: Status, early: Fields, late: Fields) -> Response<SiteBody> {
        self.page_of(status, page(status, self.server, &self.request.headers), early, late)
    }

    fn page_of(&self, status: Status, page: Bytes, early: Fields, late: Fields) -> Response<SiteBody> {
        let mut fields = vec![
            (header::CONTENT_TYPE, "text/html".to_owned()),
            (header::CONTENT_LENGTH, page.len().to_string()),
        ];
        fields.extend(early);
        self.answer(status, fields, late, Some(full(page)))
    }

    /// `Server` and `Date`, which come first.
    pub(super) fn name_server(&self, headers: &mut HeaderMap) {
        put(headers, header::SERVER, self.server);
        put(headers, header::DATE, &httpdate::fmt_http_date(SystemTime::now()));
    }

    fn name_status(&self, status: Status, extensions: &mut http::Extensions) {
        if self.request.version <= Version::HTTP_11 {
            extensions.insert(ReasonPhrase::from_static(status.reason.as_bytes()));
        }
    }

    /// `Connection`, which HTTP/2 doesn't have.
    pub(super) fn keep_alive(&self, headers: &mut HeaderMap, closes: bool) {
        if self.request.version > Version::HTTP_11 {
            return;
        }
        let asked =
            self.request.headers.get(header::CONNECTION).map(HeaderValue::as_bytes).unwrap_or_default();
        let keeps = match self.request.version {
            Version::HTTP_11 => !has_token(asked, b"close"),
            _ => has_token(asked, b"keep-alive"),
        };
        put(headers, header::CONNECTION, if keeps && !closes { "keep-alive" } else { "close" });
    }
}

fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(token))
}

/// Values are made here or come from files' names, escaped: they fit. One that doesn't is left out.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

pub(super) fn empty() -> SiteBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(super) fn full(bytes: impl Into<Bytes>) -> SiteBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
