//! The parts of an HTTP/1 message's head: start lines and header lines (RFC 9112 §2 to §5).
//!
//! Read as tolerantly as servers do: lines may end in LF alone, several blanks may part the words, and header names may
//! have blanks before the colon.

/// A request's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// The method, as it is.
    pub method: &'a [u8],
    /// The request target, as it is.
    pub target: &'a [u8],
    /// x of `HTTP/1.x`.
    pub minor: u8,
}

/// A response's first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusLine<'a> {
    /// x of `HTTP/1.x`.
    pub minor: u8,
    /// The status, 100 to 999.
    pub code: u16,
    /// The reason phrase, which may be empty.
    pub reason: &'a [u8],
}

/// Methods by which a first payload is recognised: RFC 9110, WebDAV and its extensions (RFC 4918, 3253, 3744, 5323),
/// UPnP eventing, RPC over HTTP, BITS.
pub const METHODS: &[&str] = &[
    "GET",
    "POST",
    "HEAD",
    "PUT",
    "DELETE",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "PATCH",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "MKCALENDAR",
    "ACL",
    "CHECKOUT",
    "MERGE",
    "MKACTIVITY",
    "NOTIFY",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "RPC_IN_DATA",
    "RPC_OUT_DATA",
    "BITS_POST",
    "CCM_POST",
    "PURGE",
    "POLL",
];

/// A known method's name.
pub fn method_name(method: &[u8]) -> Option<&'static str> {
    METHODS.iter().copied().find(|m| m.as_bytes() == method)
}

/// Reads a request line. The version token must be exactly that of HTTP/1: RTSP, SIP, ICY and SSDP over UDP look alike
/// but for it.
pub fn request_line(line: &[u8]) -> Option<RequestLine<'_>> {
    let line = line.trim_ascii_end();
    let blank = line.iter().position(|b| matches!(b, b' ' | b'\t'))?;
    let (method, rest) = line.split_at(blank);
    let token = |b: &u8| b.is_ascii_uppercase() || matches!(b, b'-' | b'_');
    if !(2..=24).contains(&method.len()) || !method.iter().all(token) {
        return None;
    }
    let (rest, version) = rest.split_at_checked(rest.len().checked_sub(8)?)?;
    let minor = minor_version(version)?;
    if !matches!(rest.last(), Some(b' ' | b'\t')) {
        return None;
    }
    let target = rest.trim_ascii();
    if target.is_empty() { None } else { Some(RequestLine { method, target, minor }) }
}

fn minor_version(version: &[u8]) -> Option<u8> {
    let digit = *version.strip_prefix(b"HTTP/1.")?.first()?;
    digit.is_ascii_digit().then(|| digit - b'0')
}

/// Reads a status line.
pub fn status_line(line: &[u8]) -> Option<StatusLine<'_>> {
    let (version, rest) = line.split_at_checked(8)?;
    let minor = minor_version(version)?;
    if !matches!(rest.first(), Some(b' ' | b'\t')) {
        return None;
    }
    let (digits, reason) = rest.trim_ascii_start().split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_digit)
        || digits[0] == b'0'
        || !matches!(reason.first(), None | Some(b' ' | b'\t'))
    {
        return None;
    }
    let code = digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
    Some(StatusLine { minor, code, reason: reason.trim_ascii() })
}

/// A request line, or a status line at the end of content that has no line end of its own. Content may quote a status
/// line: after other bytes its reason must be plain words up to the line's end.
pub fn start_within(line: &[u8]) -> Option<&[u8]> {
    if request_line(line).is_some() || status_line(line).is_some() {
        return Some(line);
    }
    let at = line.windows(7).rposition(|w| w == b"HTTP/1.")?;
    let is_plain = |b: &u8| b.is_ascii_alphabetic() || matches!(b, b' ' | b'-');
    status_line(&line[at..]).filter(|s| s.reason.iter().all(is_plain)).map(|_| &line[at..])
}

/// Splits a header line. `None` if there is no colon, or no name before it.
pub fn header_line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|b| *b == b':')?;
    let name = line[..colon].trim_ascii();
    if name.is_empty() { None } else { Some((name, line[colon + 1..].trim_ascii())) }
}

/// The host without its port, of a `Host` header or an authority: `example.com:80`, `[2001:db8::1]:80`.
pub fn host_of(authority: &[u8]) -> &[u8] {
    let after = authority.iter().rposition(|b| *b == b'@').map_or(authority, |at| &authority[at + 1..]);
    if let Some(rest) = after.strip_prefix(b"[") {
        return rest.split(|b| *b == b']').next().unwrap_or(rest);
    }
    match after.iter().position(|b| *b == b':') {
        // More than one colon: an IPv6 address without its brackets.
        Some(at) if !after[at + 1..].contains(&b':') => &after[..at],
        _ => after,
    }
}

/// The authority of a target in absolute form, `http://authority/path`.
pub fn absolute_authority(target: &[u8]) -> Option<&[u8]> {
    let at = target.windows(3).take(16).position(|w| w == b"://")?;
    if at == 0 || !target[..at].iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    target[at + 3..].split(|b| matches!(b, b'/' | b'?' | b'#')).next().filter(|a| !a.is_empty())
}

/// The value of a parameter such as `filename` in `attachment; filename="a.exe"`. The extended form of RFC 8187
/// (`filename*=UTF-8''a%20b`) is decoded, and preferred.
pub fn parameter(value: &[u8], name: &str) -> Option<String> {
    let mut plain = None;
    for part in value.split(|b| *b == b';').skip(1).take(32) {
        let Some(at) = part.iter().position(|b| *b == b'=') else { continue };
        let (key, text) = (part[..at].trim_ascii(), part[at + 1..].trim_ascii());
        let text = text.strip_prefix(b"\"").map_or(text, |t| t.strip_suffix(b"\"").unwrap_or(t));
        if key.eq_ignore_ascii_case(name.as_bytes()) {
            plain.get_or_insert_with(|| String::from_utf8_lossy(text).into_owned());
        } else if key.strip_suffix(b"*").is_some_and(|k| k.eq_ignore_ascii_case(name.as_bytes())) {
            let mut parts = text.splitn(3, |b| *b == b'\'');
            if let (Some(_), Some(_), Some(encoded)) = (parts.next(), parts.next(), parts.next()) {
                return Some(String::from_utf8_lossy(&percent_decode(encoded, false)).into_owned());
            }
        }
    }
    plain.filter(|p| !p.is_empty())
}

/// Undoes percent-encoding; in a query `+` stands for a space. What is not properly encoded stays.
pub fn percent_decode(text: &[u8], plus: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&b, after)) = rest.split_first() {
        let hex = |b: Option<&u8>| b.and_then(|b| (*b as char).to_digit(16));
        match (b, hex(after.first()), hex(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                rest = &after[2..];
                continue;
            }
            (b'+', ..) if plus => out.push(b' '),
            _ => out.push(b),
        }
        rest = after;
    }
    out
}

/// Decodes base64 (RFC 4648), for Basic authentication: stops at the first byte that is none.
pub fn base64_decode(text: &[u8]) -> Vec<u8> {
    let (mut bits, mut count, mut out) = (0u32, 0, Vec::with_capacity(text.len() / 4 * 3));
    for b in text {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines() {
        let get = request_line(b"GET /a?b HTTP/1.1").unwrap();
        assert_eq!((get.method, get.target, get.minor), (&b"GET"[..], &b"/a?b"[..], 1));
        assert_eq!(request_line(b"POST  /a b  HTTP/1.0  ").unwrap().target, b"/a b");
        for line in [
            "GET /",
            "GET / HTTP/2.0",
            "OPTIONS rtsp://h/ RTSP/1.0",
            "REGISTER sip:h SIP/2.0",
            "get / HTTP/1.1",
            "GET  HTTP/1.1",
            "GET /HTTP/1.1",
            "SOURCE /live ICE/1.0",
            "GET / HTTP/1.1x",
            " / HTTP/1.1",
            "",
        ] {
            assert_eq!(request_line(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn status_lines() {
        let found = status_line(b"HTTP/1.1 404 Not Found").unwrap();
        assert_eq!((found.minor, found.code, found.reason), (1, 404, &b"Not Found"[..]));
        assert_eq!(status_line(b"HTTP/1.0 200").unwrap().reason, b"");
        for line in [
            "ICY 200 OK",
            "HTTP/2 200",
            "HTTP/1.1 20",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1200 OK",
            "RTSP/1.0 200 OK",
            "HTTP/1.1 0xx",
        ] {
            assert_eq!(status_line(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn hosts() {
        for (text, host) in [
            ("example.com", "example.com"),
            ("example.com:8080", "example.com"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("user:secret@example.com:1", "example.com"),
            ("", ""),
        ] {
            assert_eq!(host_of(text.as_bytes()), host.as_bytes());
        }
        assert_eq!(absolute_authority(b"http://a.example:81/x?u=http://b/"), Some(&b"a.example:81"[..]));
        assert_eq!(absolute_authority(b"/x?u=http://b/"), None);
        assert_eq!(absolute_authority(b"*"), None);
    }

    #[test]
    fn where_a_message_begins_after_a_gap() {
        for (line, start) in [
            (&b"GET /a HTTP/1.1"[..], Some(&b"GET /a HTTP/1.1"[..])),
            (b"HTTP/1.1 404 <not here>", Some(b"HTTP/1.1 404 <not here>")),
            (b"\x89PNG\x00HTTP/1.1 200 OK", Some(b"HTTP/1.1 200 OK")),
            (b"<pre>HTTP/1.1 200 OK</pre>", None),
            (b"\"GET / HTTP/1.1\"", None),
            (b"HTTP/1.", None),
        ] {
            assert_eq!(start_within(line), start, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn header_lines_and_parameters() {
        assert_eq!(header_line(b"Host :  a.example "), Some((&b"Host"[..], &b"a.example"[..])));
        assert_eq!(header_line(b"no colon"), None);
        assert_eq!(header_line(b": x"), None);
        let p = |v: &str| parameter(v.as_bytes(), "filename");
        assert_eq!(p("attachment; filename=\"a b.exe\"").as_deref(), Some("a b.exe"));
        assert_eq!(p("attachment; filename=x; filename*=UTF-8''%e2%82%ac.txt").as_deref(), Some("€.txt"));
        assert_eq!(p("inline"), None);
        assert_eq!(p("attachment; filename="), None);
    }

    #[test]
    fn decodings() {
        assert_eq!(percent_decode(b"a%20b+c%zz%4", true), b"a b c%zz%4");
        assert_eq!(base64_decode(b"QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), b"Aladdin:open sesame"); // RFC 7617 §2
    }
}
