//! What a request says, read with care.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use crate::locale::Locale;
use crate::range::Range;
use crate::report::{Scope, Subject};

/// The longest value of a filter or search, in bytes; names in DNS have 255.
pub(crate) const VALUE_LEN_MAX: usize = 1024;
/// Pairs in a query that are looked at.
const PAIRS_MAX: usize = 64;

/// How pages look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Theme {
    /// As the reader's system.
    #[default]
    Auto,
    Dark,
    Light,
}

impl Theme {
    pub(crate) const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Dark => "dark",
            Self::Light => "light",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.name() == name)
    }
}

/// A request.
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// The parts of the path, decoded; `/` has one, which is empty.
    pub(crate) path: Vec<String>,
    /// The path with its query, as it came.
    pub(crate) address: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) locale: &'static Locale,
    pub(crate) theme: Theme,
    /// Who asks; behind a proxy, as that says.
    pub(crate) peer: IpAddr,
    /// True if the reader's own connection is kept secret.
    pub(crate) is_tls: bool,
    /// This machine's time.
    pub(crate) now_ns: i64,
}

impl Asked {
    /// `None` if the path is no text.
    pub(crate) fn read(parts: Parts, peer: IpAddr, is_tls: bool, now_ns: i64) -> Option<Self> {
        let decoded = |part: &str| percent_decode_str(part).decode_utf8().ok().map(|text| text.into_owned());
        let path: Option<Vec<String>> = parts.uri.path().strip_prefix('/')?.split('/').map(decoded).collect();
        let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).take(PAIRS_MAX);
        let query = pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        let chosen = cookie(&parts.headers, "daylight-language").and_then(|code| Locale::named(&code));
        let accepted = || Locale::accepted(text(&parts.headers, &header::ACCEPT_LANGUAGE));
        let theme = cookie(&parts.headers, "daylight-theme").and_then(|name| Theme::named(&name));
        Some(Self {
            path: path?,
            address: parts.uri.path_and_query().map_or("/", |address| address.as_str()).to_owned(),
            query,
            locale: chosen.unwrap_or_else(accepted),
            theme: theme.unwrap_or_default(),
            method: parts.method,
            headers: parts.headers,
            peer,
            is_tls,
            now_ns,
        })
    }

    /// A value of the query that isn't empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn header(&self, name: &HeaderName) -> &str {
        text(&self.headers, name)
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        cookie(&self.headers, name)
    }

    /// The time, filters and search in the query. What is too long to be one is left out.
    pub(crate) fn scope(&self) -> Scope {
        let fits = |value: &&str| value.len() <= VALUE_LEN_MAX;
        let filters = Subject::ALL.into_iter().filter_map(|subject| {
            self.get(subject.name()).filter(fits).map(|value| (subject, value.to_owned()))
        });
        Scope {
            range: Range::of(self.get("range"), self.get("from"), self.get("to"), self.now_ns),
            filters: filters.collect(),
            search: self.get("search").filter(fits).map(str::to_owned),
        }
    }

    /// True if another site's page made the reader's browser send this.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(self.header(&HeaderName::from_static("sec-fetch-site")), "cross-site" | "same-site")
    }

    /// True if a program asks, and not a person for a page.
    pub(crate) fn is_api(&self) -> bool {
        self.path.first().is_some_and(|first| first == "api")
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The cookie of this name; if there are several, the first.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

/// The host that is asked for, without its port and brackets, in lower case.
pub(crate) fn host(headers: &HeaderMap) -> Option<String> {
    let mut all = headers.get_all(header::HOST).iter();
    let host = all.next()?.to_str().ok()?;
    if all.next().is_some() {
        return None;
    }
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    Some(bare.trim_end_matches('.').to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn asked(uri: &str, headers: &[(&str, &str)]) -> Option<Asked> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Asked::read(parts, IpAddr::from([127, 0, 0, 1]), false, 1_795_000_000_000_000_000)
    }

    #[test]
    fn what_is_read() {
        let request = asked(
            "/host/a%2Fb%20c?range=7d&application=you%26me&search=&sort=x",
            &[("accept-language", "fr-CA, de;q=0.5"), ("cookie", "a=b; daylight-theme=dark")],
        )
        .unwrap();
        assert_eq!(request.path, ["host", "a/b c"]);
        assert_eq!(request.scope().range.preset, Some("7d"));
        assert_eq!(request.scope().filters[&Subject::Application], "you&me");
        assert_eq!(request.scope().search, None);
        assert_eq!((request.locale.code, request.theme), ("fr", Theme::Dark));
        assert!(asked("/%ff", &[]).is_none());
        assert_eq!(asked("/", &[("accept-language", "xx, be;q=0")]).unwrap().locale.code, "en");
    }

    #[test]
    fn hosts() {
        let of = |value: &'static str| {
            host(&HeaderMap::from_iter([(header::HOST, header::HeaderValue::from_static(value))]))
        };
        assert_eq!(of("LocalHost:7676").as_deref(), Some("localhost"));
        assert_eq!(of("[::1]:80").as_deref(), Some("::1"));
        assert_eq!(of("127.0.0.1").as_deref(), Some("127.0.0.1"));
        assert_eq!(host(&HeaderMap::new()), None);
    }
}
