//! An HTTP answer that says who forbids it: 451 (RFC 7725).

use std::fmt::Write as _;

use super::{Refusal, shortened};

/// What is quoted of a policy, so that the answer stays within a few segments.
const QUOTED_LEN_MAX: usize = 300;

/// The answer to a request with this method. It asks for the connection to be closed.
pub fn unavailable(method: &str, refusal: &Refusal<'_>) -> Vec<u8> {
    let body = page(refusal);
    let mut head = String::from("HTTP/1.1 451 Unavailable For Legal Reasons\r\n");
    if let Some(page) = refusal.page.and_then(header_safe) {
        let _ = write!(head, "Link: <{page}>; rel=\"blocked-by\"\r\n");
    }
    let _ = write!(
        head,
        "Content-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut answer = head.into_bytes();
    if method != "HEAD" {
        answer.extend(body.as_bytes());
    }
    answer
}

/// A URL may go into a header field if nothing in it can end the field, or the brackets.
fn header_safe(url: &str) -> Option<&str> {
    let safe = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"');
    (url.len() <= QUOTED_LEN_MAX && url.bytes().all(safe)).then_some(url)
}

fn page(refusal: &Refusal<'_>) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>451 Unavailable For Legal Reasons</title>\
         <style>body{font:1.1em/1.5 sans-serif;max-width:36em;margin:3em auto;padding:0 1em}dt{color:#666}</style>\
         <h1>This is not available here</h1><p>It was not the site that refused, but a filter on the way to it.<dl>",
    );
    let rows = [
        ("Why", Some(refusal.reason)),
        ("On whose authority", Some(refusal.authority)),
        ("On what basis", Some(refusal.basis.words())),
        ("Rule", Some(refusal.rule)),
        ("In force until", Some(refusal.until)),
        ("Where to object", refusal.appeal),
        ("More, with proof", refusal.page),
    ];
    for (what, text) in rows {
        if let Some(text) = text {
            let _ = write!(page, "<dt>{what}<dd>{}", Escaped(shortened(text, QUOTED_LEN_MAX)));
        }
    }
    page.push_str("</dl></html>\n");
    page
}

/// Text in HTML.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in self.0.split_inclusive(['<', '>', '&', '"']) {
            let (text, last) = part.split_at(part.len() - usize::from(part.ends_with(['<', '>', '&', '"'])));
            f.write_str(text)?;
            f.write_str(match last {
                "<" => "&lt;",
                ">" => "&gt;",
                "&" => "&amp;",
                "\"" => "&quot;",
                _ => "",
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use daylight_policy::Basis;

    use super::*;

    const REFUSAL: Refusal<'_> = Refusal {
        rule: "gambling",
        reason: "<b>No</b> & \"never\"",
        authority: "The example school",
        until: "2027-01-01",
        appeal: Some("mailto:it@school.test"),
        page: Some("http://filter.school.test/blocked"),
        basis: Basis::External,
    };

    #[test]
    fn says_what_and_by_whom() {
        let answer = unavailable("GET", &REFUSAL);
        let text = std::str::from_utf8(&answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 451 Unavailable For Legal Reasons\r\n"));
        assert!(head.contains("Link: <http://filter.school.test/blocked>; rel=\"blocked-by\""));
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(body.contains("&lt;b&gt;No&lt;/b&gt; &amp; &quot;never&quot;") && !body.contains("<b>"));
        assert!(body.contains("The example school") && body.contains("required by somebody outside"));
        let head_only = unavailable("HEAD", &REFUSAL);
        assert!(head_only.ends_with(b"\r\n\r\n") && head_only.len() < answer.len());
    }

    #[test]
    fn a_url_cannot_add_headers() {
        for page in ["http://x/\r\nSet-Cookie: a", "http://x/>; rel=\"other\"", "http://x/ y"] {
            let answer = unavailable("GET", &Refusal { page: Some(page), ..REFUSAL });
            let head = String::from_utf8(answer).unwrap();
            assert!(!head.split("\r\n\r\n").next().unwrap().contains("Link"), "{page}");
        }
    }
}
