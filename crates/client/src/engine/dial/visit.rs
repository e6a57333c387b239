//! A visit to the server's site, as a browser makes it, before a script of the page would ask for anything.
//!
//! The first flights of a connection are what tells most of what is in it. Here they are those of a real page load: the
//! page, and then its style sheets, scripts and pictures, among which the tunnel's own requests begin.

use std::io::Read;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use daylight_browser::{Fill, Kind, Profile};
use flate2::read::GzDecoder;
use html5gum::{Token, Tokenizer};
use http::{HeaderMap, Request, header};
use tokio::time::timeout;
use url::Url;

/// A page that is slower than this is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most of a page that is read for what it names, in bytes.
const PAGE_LEN_MAX: usize = 256 << 10;
/// The most pieces of a page that are fetched.
const PIECES_MAX: usize = 16;
/// Where the visit is cut off, in bytes of a piece.
const PIECE_LEN_MAX: usize = 4 << 20;

/// A connection that takes requests, of either HTTP.
pub(super) trait Requests {
    /// A request that was sent, and is not answered yet.
    type Asked: Send + 'static;

    /// Sends one without a body. `None` if the connection takes no more.
    async fn ask(&self, request: Request<()>) -> Option<Self::Asked>;

    /// The headers and the body, or as much of it as is wanted. `None` if there is none.
    fn answer(
        asked: Self::Asked,
        len_max: usize,
    ) -> impl Future<Output = Option<(HeaderMap, Vec<u8>)>> + Send;
}

/// HTTP/2.
impl Requests for daylight_browser::SendRequest {
    type Asked = http2::client::ResponseFuture;

    async fn ask(&self, request: Request<()>) -> Option<Self::Asked> {
        let (response, _) = self.clone().ready().await.ok()?.send_request(request, true).ok()?;
        Some(response)
    }

    async fn answer(asked: Self::Asked, len_max: usize) -> Option<(HeaderMap, Vec<u8>)> {
        let (head, mut body) = asked.await.ok()?.into_parts();
        let mut read = Vec::new();
        while let Some(data) = std::future::poll_fn(|context| body.poll_data(context)).await {
            let data = data.ok()?;
            body.flow_control().release_capacity(data.len()).ok()?;
            read.extend_from_slice(&data);
            if read.len() > len_max {
                break;
            }
        }
        Some((head.headers, read))
    }
}

/// HTTP/3.
impl Requests for h3::client::SendRequest<h3_quinn::OpenStreams, Bytes> {
    type Asked = h3::client::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

    async fn ask(&self, request: Request<()>) -> Option<Self::Asked> {
        let mut stream = self.clone().send_request(request).await.ok()?;
        // Who has answered already may want no more of the request.
        let _ = stream.finish().await;
        Some(stream)
    }

    async fn answer(mut asked: Self::Asked, len_max: usize) -> Option<(HeaderMap, Vec<u8>)> {
        let (head, ()) = asked.recv_response().await.ok()?.into_parts();
        let mut read = Vec::new();
        while let Some(mut data) = asked.recv_data().await.ok()? {
            let data = data.copy_to_bytes(data.remaining());
            read.extend_from_slice(&data);
            if read.len() > len_max {
                break;
            }
        }
        Some((head.headers, read))
    }
}

/// Visits the site's front page. Returns when the page has come and its pieces were asked for; those come while other
/// requests are made. A site that has no page is left at that.
pub(super) async fn visit<R: Requests>(requests: &R, profile: &Profile, authority: &str) {
    let Ok(front) = Url::parse(&format!("https://{authority}/")) else { return };
    let Ok(Some(page)) = timeout(PATIENCE, page(requests, profile, &front)).await else { return };
    for (kind, piece) in pieces(&page, &front) {
        let Some(asked) = ask(requests, profile, kind, &piece, Some(&front)).await else { return };
        tokio::spawn(async move { R::answer(asked, PIECE_LEN_MAX).await });
    }
}

async fn ask<R: Requests>(
    requests: &R,
    profile: &Profile,
    kind: Kind,
    url: &Url,
    referer: Option<&Url>,
) -> Option<R::Asked> {
    let fill = Fill { referer: referer.map(Url::as_str), ..Fill::default() };
    let mut request = Request::get(url.as_str()).body(()).ok()?;
    *request.headers_mut() = profile.headers(kind, &fill);
    requests.ask(request).await
}

async fn page<R: Requests>(requests: &R, profile: &Profile, front: &Url) -> Option<String> {
    let asked = ask(requests, profile, Kind::Navigation, front, None).await?;
    let (headers, bytes) = R::answer(asked, PAGE_LEN_MAX).await?;
    let mut text = Vec::new();
    match headers.get(header::CONTENT_ENCODING).map(|encoding| encoding.as_bytes()) {
        None => text = bytes,
        Some(b"gzip") => {
            // What is cut in its middle gives what came before.
            let _ = GzDecoder::new(&bytes[..]).take(PAGE_LEN_MAX as u64).read_to_end(&mut text);
        }
        // What only a browser reads is a page without pieces here.
        Some(_) => {}
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// What a page is made of, of the same site, in its order.
fn pieces(page: &str, front: &Url) -> Vec<(Kind, Url)> {
    let mut pieces: Vec<(Kind, Url)> = Vec::new();
    for Ok(token) in Tokenizer::new(page) {
        let Token::StartTag(tag) = token else { continue };
        let attribute = |name: &[u8]| {
            let value = tag.attributes.iter().find(|(key, _)| key.as_slice() == name)?.1;
            std::str::from_utf8(value).ok().map(str::trim)
        };
        let found = match tag.name.as_slice() {
            b"link" if attribute(b"rel") == Some("stylesheet") => {
                attribute(b"href").map(|at| (Kind::Style, at))
            }
            b"script" => attribute(b"src").map(|at| (Kind::Script, at)),
            b"img" => attribute(b"src").map(|at| (Kind::Image, at)),
            _ => None,
        };
        let Some((kind, at)) = found else { continue };
        let Ok(mut url) = front.join(at) else { continue };
        url.set_fragment(None);
        let is_new = pieces.iter().all(|(_, other)| *other != url);
        if url.origin() == front.origin() && is_new {
            pieces.push((kind, url));
        }
    }
    pieces.truncate(PIECES_MAX);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_page() {
        let front = Url::parse("https://site.example/").unwrap();
        let page = r#"<!doctype html><LINK rel="stylesheet" href="/a.css"><link rel=icon href=b.ico>
            <img alt="x" src='c.png#there'><img src=c.png><img src="https://other.example/d.png">
            <script src=e.js></script><script>"<img src=f.png>"</script><img src="data:image/png;base64,AA==">"#;
        let found = pieces(page, &front);
        let found: Vec<_> = found.iter().map(|(kind, url)| (*kind, url.path())).collect();
        let expected = [(Kind::Style, "/a.css"), (Kind::Image, "/c.png"), (Kind::Script, "/e.js")];
        assert_eq!(found[..3], expected);
    }
}
