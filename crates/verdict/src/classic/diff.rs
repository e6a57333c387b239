//! Comparing the page that came here with the one that the control got.

use std::collections::{BTreeMap, BTreeSet};

use crate::ooni::{Body, ControlHttp, Response};

/// Above which share of the longer body the shorter one counts as alike.
const BODY_PROPORTION: f64 = 0.7;
/// Words shorter than this, in bytes, don't count in titles.
const WORD_LEN_MIN: usize = 5;
/// The longest title, in characters.
const TITLE_LEN_MAX: usize = 512;

/// Headers that so many servers send that they tell nothing of one.
const COMMON_HEADERS: [&str; 25] = [
    "accept-ranges",
    "age",
    "cache-control",
    "cf-ray",
    "content-encoding",
    "content-language",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "link",
    "location",
    "p3p",
    "pragma",
    "server",
    "set-cookie",
    "strict-transport-security",
    "vary",
    "via",
    "x-content-type-options",
    "x-frame-options",
    "x-powered-by",
    "x-varnish",
    "x-xss-protection",
];

/// Headers that frame a message (RFC 9110 §7.6.1, §8.6; RFC 9112 §6, §9), and so are everybody's. OONI counts them.
const FRAMING_HEADERS: [&str; 5] =
    ["connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"];

/// In what two pages are alike; `None` where that can't be told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Diff {
    pub(crate) body_proportion: Option<f64>,
    pub(crate) status: Option<bool>,
    pub(crate) headers: Option<bool>,
    pub(crate) title: Option<bool>,
}

/// Which generation of OONI's test compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    V04,
    V05,
}

impl Diff {
    pub(crate) fn new(generation: Generation, here: &Response, there: &ControlHttp) -> Self {
        let is_v04 = generation == Generation::V04;
        if there.status_code <= 0 || here.code <= 0 {
            let body_proportion = if is_v04 { proportion(here, there) } else { None };
            return Self { body_proportion, ..Self::default() };
        }
        let same_code = here.code == there.status_code;
        // An error of the control's own says nothing of the page.
        let control_is_odd = if is_v04 { there.status_code / 100 == 5 } else { there.status_code / 100 != 2 };
        let same_keys = keys(&here.headers) == keys(&there.headers);
        let has_shared = shared_headers(&here.headers, &there.headers).next().is_some();
        let ours = title(&here.body);
        let no_title = is_v04 && (here.body_is_truncated || ours.is_empty());
        Self {
            body_proportion: proportion(here, there),
            status: (same_code || !control_is_odd).then_some(same_code),
            headers: Some(has_shared || is_v04 && same_keys),
            title: (!no_title).then(|| long_words(&ours) == long_words(&there.title)),
        }
    }

    /// As 0.5 compares, for verdicts of our own: but headers that every message has are no sign of who speaks, and titles
    /// without a long word are not alike because of that.
    pub(crate) fn for_observation(here: &Response, there: &ControlHttp) -> Self {
        let diff = Self::new(Generation::V05, here, there);
        let telling = || {
            shared_headers(&here.headers, &there.headers).any(|key| !FRAMING_HEADERS.contains(&key.as_str()))
        };
        let titled = || !long_words(&title(&here.body)).is_empty() || !long_words(&there.title).is_empty();
        Self { headers: diff.headers.map(|_| telling()), title: diff.title.filter(|_| titled()), ..diff }
    }

    pub(crate) fn body(&self) -> Option<bool> {
        self.body_proportion.map(|proportion| proportion > BODY_PROPORTION)
    }

    /// Whether both got the same page: the same status, and one thing more.
    pub(crate) fn is_same(&self) -> bool {
        self.status == Some(true) && [self.body(), self.headers, self.title].contains(&Some(true))
    }
}

fn proportion(here: &Response, there: &ControlHttp) -> Option<f64> {
    let (ours, theirs) = (here.body.len() as f64, there.body_length as f64);
    (ours > 0.0 && theirs > 0.0 && !here.body_is_truncated).then(|| ours.min(theirs) / ours.max(theirs))
}

fn keys(headers: &BTreeMap<String, Body>) -> BTreeSet<String> {
    headers.keys().map(|key| key.to_ascii_lowercase()).collect()
}

/// The names of headers that both have and that aren't common.
fn shared_headers(
    here: &BTreeMap<String, Body>,
    there: &BTreeMap<String, Body>,
) -> impl Iterator<Item = String> {
    let theirs = keys(there);
    keys(here).into_iter().filter(move |key| theirs.contains(key) && !COMMON_HEADERS.contains(&key.as_str()))
}

fn long_words(title: &str) -> BTreeSet<String> {
    title.split(' ').filter(|word| word.len() >= WORD_LEN_MIN).map(str::to_lowercase).collect()
}

/// The page's title: what stands between `<title>` and `</title>`, if it is not empty, not too long and has no `<`.
pub(crate) fn title(body: &Body) -> String {
    let bytes = body.bytes();
    let mut rest: &[u8] = &bytes;
    while let Some(at) = memchr::memchr(b'<', rest) {
        rest = &rest[at..];
        let Some(inner) = after(rest, b"<title>") else {
            rest = &rest[1..];
            continue;
        };
        let len = memchr::memchr(b'<', inner).unwrap_or(inner.len());
        let (text, end) = inner.split_at(len);
        if after(end, b"</title>").is_some() {
            let text = String::from_utf8_lossy(text);
            if (1..=TITLE_LEN_MAX).contains(&text.chars().count()) {
                return text.into_owned();
            }
        }
        rest = end;
    }
    String::new()
}

fn after<'a>(bytes: &'a [u8], tag: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(tag.len())?;
    head.eq_ignore_ascii_case(tag).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(code: i64, body: &str, headers: &[&str]) -> Response {
        let headers = headers.iter().map(|name| ((*name).to_owned(), Body::default())).collect();
        Response { code, body: body.into(), headers, ..Response::default() }
    }

    fn control(code: i64, length: i64, title: &str, headers: &[&str]) -> ControlHttp {
        let headers = headers.iter().map(|name| ((*name).to_owned(), Body::default())).collect();
        ControlHttp {
            status_code: code,
            body_length: length,
            title: title.into(),
            headers,
            ..ControlHttp::default()
        }
    }

    #[test]
    fn titles_are_found_as_ooni_finds_them() {
        for (body, expected) in [
            ("<TITLE>One</Title>", "One"),
            ("<title></title><title>Two</title>", "Two"),
            ("<title>a<b></title>", ""),
            ("<title lang=en>x</title>", ""),
            ("<title>open", ""),
            ("<<title>ä</title>", "ä"),
        ] {
            assert_eq!(title(&body.into()), expected, "{body}");
        }
        assert_eq!(title(&format!("<title>{}</title>", "x".repeat(513)).as_str().into()), "");
    }

    #[test]
    fn every_long_word_of_a_title_must_be_in_both() {
        let diff = |ours: &str, theirs: &str| {
            let here = response(200, &format!("<title>{ours}</title>"), &[]);
            Diff::new(Generation::V05, &here, &control(200, 0, theirs, &[])).title
        };
        assert_eq!(diff("Welcome to Wonderland", "wonderland WELCOME"), Some(true));
        assert_eq!(diff("Welcome to Wonderland", "Welcome"), Some(false));
        assert_eq!(diff("abc", "xyz"), Some(true), "short words don't count");
    }

    #[test]
    fn the_generations_differ_on_the_controls_errors_and_on_equal_headers() {
        let here = response(200, "body", &["Date", "Server"]);
        let there = control(404, 4, "", &["Server", "Date"]);
        let (v04, v05) =
            (Diff::new(Generation::V04, &here, &there), Diff::new(Generation::V05, &here, &there));
        assert_eq!((v04.status, v05.status), (Some(false), None));
        assert_eq!((v04.headers, v05.headers), (Some(true), Some(false)));
        assert_eq!((v04.title, v05.title), (None, Some(true)));
        assert_eq!(Diff::new(Generation::V04, &here, &control(503, 4, "", &[])).status, None);
    }

    #[test]
    fn the_same_status_and_one_thing_more_is_the_same_page() {
        let here = response(200, &"x".repeat(100), &["X-Own"]);
        let same = |there: &ControlHttp| Diff::new(Generation::V05, &here, there).is_same();
        assert!(same(&control(200, 71, "another title altogether", &[])));
        assert!(!same(&control(200, 70, "another title altogether", &[])));
        assert!(same(&control(200, 1, "another title altogether", &["x-own"])));
        assert!(!same(&control(201, 100, "", &["x-own"])));
    }
}
