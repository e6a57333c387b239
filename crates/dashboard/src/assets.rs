//! Files that pages load: in the program itself, compressed once, and named by their content so that they may be kept for ever.

use std::io::Write as _;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use ring::digest::{SHA256, digest};

use crate::auth::hex;
use crate::request::Asked;
use crate::response::{self, Body};

const FILES: [(&str, &str, &str); 6] = [
    ("style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    ("app.js", "text/javascript; charset=utf-8", include_str!("assets/app.js")),
    ("live.js", "text/javascript; charset=utf-8", include_str!("assets/live.js")),
    ("charts.js", "text/javascript; charset=utf-8", include_str!("assets/charts.js")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ("manifest.json", "application/manifest+json", include_str!("assets/manifest.json")),
];

struct Asset {
    name: &'static str,
    content_type: &'static str,
    plain: &'static str,
    gzip: Bytes,
    etag: String,
}

/// One version for all, so that modules which load one another fit together.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all: String = FILES.iter().map(|(_, _, text)| *text).collect();
    hex(digest(&SHA256, all.as_bytes()).as_ref()).chars().take(12).collect()
});

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |(name, content_type, plain): (&'static str, &'static str, &'static str)| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        // Into memory, which doesn't fail; were it to, what is empty is not sent.
        let _ = encoder.write_all(plain.as_bytes());
        let gzip = encoder.finish().unwrap_or_default().into();
        let etag = hex(digest(&SHA256, plain.as_bytes()).as_ref()).chars().take(20).collect();
        Asset { name, content_type, plain, gzip, etag }
    };
    FILES.into_iter().map(asset).collect()
});

/// Where a file is.
pub(crate) fn address(name: &str) -> String {
    format!("/static/{name}?v={}", *VERSION)
}

/// Gives a file out.
pub(crate) fn answer(name: &str, asked: &Asked) -> Response<Body> {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return response::answer(StatusCode::NOT_FOUND, response::TEXT, "There is no such file.\n");
    };
    let accepts = asked.header(&header::ACCEPT_ENCODING).split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(|part| matches!(part, "q=0" | "q=0.0"))
    });
    let is_packed = accepts && !asset.gzip.is_empty();
    let etag = format!("\"{}{}\"", asset.etag, if is_packed { "-gzip" } else { "" });
    let known = asked.header(&header::IF_NONE_MATCH);
    let is_known = known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag);
    let mut response = match (is_known, is_packed) {
        (true, _) => response::answer(StatusCode::NOT_MODIFIED, asset.content_type, ""),
        (false, true) => response::answer(StatusCode::OK, asset.content_type, asset.gzip.clone()),
        (false, false) => response::answer(StatusCode::OK, asset.content_type, asset.plain),
    };
    let headers = response.headers_mut();
    let is_versioned = asked.get("v") == Some(VERSION.as_str());
    let keep = if is_versioned { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if is_packed && !is_known {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response::set(&mut response, header::ETAG, &etag);
    response
}
