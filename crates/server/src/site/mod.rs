//! What visitors see: a real web site, which is also what every probe and every failed authentication gets.
//!
//! It answers as nginx does, header for header, whatever HTTP version carries it: from a folder, or from another web
//! server behind it. Where it differs from nginx, and a stranger could see it, the documentation says so.

mod answer;
mod conditions;
mod folder;
mod mime;
mod origin;
mod pages;
mod path;
mod range;

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version, header, request};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;

use answer::{Answerer, full};
use folder::Folder;
use origin::Origin;
use pages::{Status, page};

/// The body of an answer. An error ends the visitor's connection, or stream, in its middle.
pub type SiteBody = UnsyncBoxBody<Bytes, io::Error>;

/// A visitor may send so much, as with nginx; none of it is kept.
const BODY_BYTES_MAX: u64 = 1 << 20;

/// Where the site comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder of files; `index.html` is a folder's page.
    Folder(PathBuf),
    /// Another web server, which speaks HTTP/1.1 there.
    Origin(Authority),
    /// The same address by HTTPS, to which all are sent.
    Https,
}

/// How visitors reach the site, for redirects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Public {
    /// By HTTPS rather than HTTP.
    pub https: bool,
    /// The port; the scheme's usual one isn't shown.
    pub port: u16,
}

impl Default for Public {
    fn default() -> Self {
        Self { https: true, port: 443 }
    }
}

impl Public {
    fn scheme(self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    fn origin(self, host: &str) -> String {
        let usual = if self.https { 443 } else { 80 };
        let port = if self.port == usual { String::new() } else { format!(":{}", self.port) };
        format!("{}://{host}{port}", self.scheme())
    }
}

/// Why a site can't be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// The folder can't be opened.
    #[error("can't open the site's folder {path}: {cause}; make it, or name another one in `site.folder`")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
}

/// A site.
#[derive(Clone, Debug)]
pub struct Site {
    source: Opened,
    server: String,
    public: Public,
}

#[derive(Clone, Debug)]
enum Opened {
    Folder(Folder),
    Origin(Origin),
    Https,
}

impl Site {
    /// Opens a site that calls itself `server` in `Server` and on pages of errors.
    ///
    /// # Errors
    /// If the folder can't be opened.
    pub fn open(source: &Source, server: &str, public: Public) -> Result<Self, SiteError> {
        let source = match source {
            Source::Folder(path) => Opened::Folder(
                Folder::open(path).map_err(|cause| SiteError::Folder { path: path.clone(), cause })?,
            ),
            Source::Origin(authority) => Opened::Origin(Origin::new(authority.clone())),
            Source::Https => Opened::Https,
        };
        Ok(Self { source, server: server.to_owned(), public })
    }

    /// Names the server in the headers of an answer that is not the site's own, as the site does in all of its.
    pub fn name(&self, headers: &mut HeaderMap) {
        // A configuration's word is one for a header too; without one there is none.
        let name = HeaderValue::from_str(&self.server).ok();
        name.and_then(|name| headers.insert(header::SERVER, name));
    }

    /// What whoever sends no request is told, as a whole message of HTTP/1.1; the connection is to end behind it.
    #[must_use]
    pub fn refusal(&self) -> Bytes {
        let Self { server, .. } = self;
        let page = page(Status::BAD_REQUEST, server, &HeaderMap::new());
        let date = httpdate::fmt_http_date(std::time::SystemTime::now());
        let head = format!(
            "HTTP/1.1 400 Bad Request\r\nServer: {server}\r\nDate: {date}\r\nContent-Type: text/html\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            page.len()
        );
        [head.as_bytes(), &page].concat().into()
    }

    /// Answers a request that came without TLS where there should be TLS.
    pub fn answer_without_tls<B>(&self, request: Request<B>) -> Response<SiteBody> {
        let (request, _) = request.into_parts();
        Answerer { server: &self.server, request: &request }.without_tls()
    }

    /// Answers a request, on HTTP/1.0, 1.1, 2 or 3. With HTTP/1 the connection's end goes by the answer's `Connection`.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<SiteBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (request, body) = request.into_parts();
        let body = body.map_err(io::Error::other).boxed_unsync();
        let answerer = Answerer { server: &self.server, request: &request };
        let Some(host) = well_formed_host(&request) else { return answerer.page(Status::BAD_REQUEST) };
        if !is_nginx_method(&request.method) || request.uri.path().is_empty() {
            return answerer.page(Status::BAD_REQUEST);
        }
        if declared_len(&request).is_some_and(|len| len > BODY_BYTES_MAX) {
            return answerer.page(Status::TOO_LARGE);
        }
        match &self.source {
            Opened::Folder(folder) => {
                if !body.is_end_stream() {
                    tokio::spawn(discard(body));
                }
                let (folder, server, public) = (folder.clone(), self.server.clone(), self.public);
                let answered = tokio::task::spawn_blocking(move || {
                    folder.answer(&Answerer { server: &server, request: &request }, public, &host)
                });
                answered.await.unwrap_or_else(|_| {
                    let status = Status::INTERNAL;
                    let mut failed = Response::new(full(page(status, &self.server, &HeaderMap::new())));
                    *failed.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                    failed
                })
            }
            Opened::Origin(origin) => origin.answer(&answerer, self.public, &host, body).await,
            Opened::Https => {
                let asked = request.uri.path_and_query().map_or("/", |asked| asked.as_str());
                let location = format!("{}{asked}", self.public.origin(&host));
                answerer.page_with(Status::MOVED, vec![(header::LOCATION, location)], Vec::new())
            }
        }
    }
}

/// The site's name as the request has it, without a port: none if it is missing (HTTP/1.1 and later), doubled or malformed.
fn well_formed_host(request: &request::Parts) -> Option<String> {
    let mut fields = request.headers.get_all(header::HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return None;
    }
    let name = match (request.uri.authority(), field) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(field)) => field.to_str().ok()?,
        (None, None) if request.version < Version::HTTP_11 => return Some(String::new()),
        (None, None) => return None,
    };
    let end = match name.strip_prefix('[') {
        Some(address) => address.find(']')? + 2,
        None => name.find(':').unwrap_or(name.len()),
    };
    let name = name.get(..end)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_good = !name.is_empty()
        && !name.contains("..")
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    is_good.then(|| name.to_ascii_lowercase())
}

/// nginx takes capitals, `_` and `-` for a method; it has never taken CONNECT.
fn is_nginx_method(method: &Method) -> bool {
    *method != Method::CONNECT
        && method.as_str().bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-'))
}

fn declared_len(request: &request::Parts) -> Option<u64> {
    request.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads what nobody asked for, so that the connection can go on behind it; no more than nginx would take.
async fn discard(mut body: SiteBody) {
    let mut left = BODY_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let len = frame.data_ref().map_or(0, Bytes::len) as u64;
        match left.checked_sub(len) {
            Some(less) => left = less,
            None => return,
        }
    }
}
