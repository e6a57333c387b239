//! The short pages that say what went wrong, in nginx's words.

use bytes::Bytes;
use http::HeaderMap;
use http::header;

/// A status with nginx's name of it, which isn't always the RFC's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    /// nginx ends the connection after it.
    pub(super) closes: bool,
}

macro_rules! statuses {
    ($($name:ident = $code:literal $reason:literal $closes:literal),* $(,)?) => {
        impl Status {
            $(pub(super) const $name: Self = Self { code: $code, reason: $reason, closes: $closes };)*
        }
    };
}

statuses! {
    MOVED = 301 "Moved Permanently" false,
    BAD_REQUEST = 400 "Bad Request" true,
    FORBIDDEN = 403 "Forbidden" false,
    NOT_FOUND = 404 "Not Found" false,
    NOT_ALLOWED = 405 "Not Allowed" false,
    PRECONDITION_FAILED = 412 "Precondition Failed" false,
    TOO_LARGE = 413 "Request Entity Too Large" true,
    RANGE_NOT_SATISFIABLE = 416 "Requested Range Not Satisfiable" false,
    INTERNAL = 500 "Internal Server Error" true,
    BAD_GATEWAY = 502 "Bad Gateway" false,
    GATEWAY_TIMEOUT = 504 "Gateway Time-out" false,
}

/// Six times, after pages of errors for Chrome and old Internet Explorers: they put pages of their own in the place of short ones.
const PADDING: &str = "<!-- a padding to disable MSIE and Chrome friendly error page -->\r\n";

/// The page of a status, for the browser that sent these headers. `server` is what it names at its foot.
pub(super) fn page(status: Status, server: &str, headers: &HeaderMap) -> Bytes {
    let Status { code, reason, .. } = status;
    let head = format!("{code} {reason}");
    padded(code, format!("{}{}", top(&head, &head), foot(server)), headers)
}

/// The page of a request without TLS where there should be TLS.
pub(super) fn without_tls(server: &str, headers: &HeaderMap) -> Bytes {
    const WHAT: &str = "The plain HTTP request was sent to HTTPS port";
    let top = top(&format!("400 {WHAT}"), "400 Bad Request");
    padded(400, format!("{top}<center>{WHAT}</center>\r\n{}", foot(server)), headers)
}

fn top(title: &str, heading: &str) -> String {
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{heading}</h1></center>\r\n"
    )
}

fn foot(server: &str) -> String {
    format!("<hr><center>{server}</center>\r\n</body>\r\n</html>\r\n")
}

fn padded(code: u16, mut page: String, headers: &HeaderMap) -> Bytes {
    if code >= 400 && wants_padding(headers) {
        page.push_str(&PADDING.repeat(6));
    }
    page.into()
}

fn wants_padding(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let has = |word: &[u8]| agent.windows(word.len()).any(|window| window == word);
    !has(b"Opera") && (has(b"MSIE ") || (has(b"Chrome/") && !has(b"Gecko/")))
}
