//! Requests for a file only if it has changed (RFC 9110 §13), as nginx reads them.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{self, HeaderName};

/// What of a file tells one version from another.
#[derive(Clone, Debug)]
pub(super) struct Version {
    /// With its quotation marks.
    pub(super) etag: String,
    /// In whole seconds.
    pub(super) modified: SystemTime,
}

/// What the conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The file is to be sent.
    Send,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

impl Version {
    /// A file's time of change and length make its tag, in nginx's form.
    pub(super) fn new(modified: SystemTime, len: u64) -> Self {
        let seconds = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Self { etag: format!("\"{seconds:x}-{len:x}\""), modified }
    }

    /// Weighs a request's conditions.
    pub(super) fn weigh(&self, headers: &HeaderMap) -> Outcome {
        let value = |name: HeaderName| headers.get(name).map(http::HeaderValue::as_bytes);
        if value(header::IF_UNMODIFIED_SINCE).is_some_and(|since| date(since) < Some(self.modified))
            || value(header::IF_MATCH).is_some_and(|tags| !self.is_among(tags, false))
        {
            return Outcome::Failed;
        }
        let since = value(header::IF_MODIFIED_SINCE);
        let tags = value(header::IF_NONE_MATCH);
        // A browser sends back what it was given: another date is another version, an earlier one too.
        let same_date = since.is_none_or(|since| date(since) == Some(self.modified));
        let same_tag = tags.is_none_or(|tags| self.is_among(tags, true));
        if (since.is_some() || tags.is_some()) && same_date && same_tag {
            Outcome::NotModified
        } else {
            Outcome::Send
        }
    }

    /// Whether parts that were asked for may be sent: with `If-Range` only of this very version.
    pub(super) fn may_be_in_parts(&self, headers: &HeaderMap) -> bool {
        headers.get(header::IF_RANGE).is_none_or(|version| {
            let version = version.as_bytes();
            version == self.etag.as_bytes() || date(version) == Some(self.modified)
        })
    }

    fn is_among(&self, tags: &[u8], or_weakly: bool) -> bool {
        tags == b"*"
            || tags.split(|byte| *byte == b',').any(|tag| {
                let tag = tag.trim_ascii();
                let strong = if or_weakly { tag.strip_prefix(b"W/").unwrap_or(tag) } else { tag };
                strong == self.etag.as_bytes()
            })
    }
}

fn date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_weighed_as_nginx_does() {
        let version = Version::new(SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_900), 0x2a);
        assert_eq!(version.etag, "\"2ebc98a1-2a\"");
        let (same, earlier, later) =
            ("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:36 GMT", "Sun Nov  6 08:49:38 1994");
        for (headers, expected) in [
            (vec![], Outcome::Send),
            (vec![("if-modified-since", same)], Outcome::NotModified),
            (vec![("if-modified-since", earlier)], Outcome::Send),
            (vec![("if-modified-since", later)], Outcome::Send),
            (vec![("if-modified-since", "yesterday")], Outcome::Send),
            (vec![("if-none-match", "\"x\", W/\"2ebc98a1-2a\"")], Outcome::NotModified),
            (vec![("if-none-match", "*")], Outcome::NotModified),
            (vec![("if-none-match", "\"x\""), ("if-modified-since", same)], Outcome::Send),
            (vec![("if-match", "\"2ebc98a1-2a\"")], Outcome::Send),
            (vec![("if-match", "W/\"2ebc98a1-2a\"")], Outcome::Failed),
            (vec![("if-unmodified-since", earlier)], Outcome::Failed),
            (vec![("if-unmodified-since", later)], Outcome::Send),
        ] {
            let map = headers
                .iter()
                .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
                .collect();
            assert_eq!(version.weigh(&map), expected, "{headers:?}");
        }
    }
}
