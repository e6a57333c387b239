//! Hypertext Transfer Protocol, versions 1.0 and 1.1 (RFC 9110, RFC 9112).
//!
//! Known by a first line that ends in exactly ` HTTP/1.x` after a known method, or begins so in a response; RTSP, SIP,
//! ICY and SSDP differ in that token. Both directions are read as streams of messages: heads line by line, bodies by
//! length, by chunks or until the end, requests and responses paired in order (pipelining). What the payload turns out
//! to be besides refines the label: `http-connect` after CONNECT, `http-proxy` for absolute targets, `websocket` and
//! `http2` after an upgrade; their fields are these, `http.*`, too. After CONNECT and unknown upgrades the stream is
//! identified anew.
//!
//! `message` reads lines, `headers` takes in what heads tell, `parser` follows the messages, `body` what they carry;
//! `magic` names files; `attack`, `secrets` and `software` judge.
//!
//! Limits: a line has at most 32 KiB and a head 64 KiB, else the direction is given up; 64 requests wait for their
//! responses at a time; content encodings are not undone; of multipart forms only the whole is seen; HTTP/0.9 is not
//! recognised. Without events the flow is done with after three transactions, or when their bodies' first kilobyte was
//! seen.

pub mod attack;
mod body;
pub(in crate::web) mod headers;
pub mod magic;
mod matcher;
pub mod message;
mod parser;
pub mod secrets;
pub mod software;

use crate::names::dns::{ERROR_CODE, IDN_HOMOGRAPH, IDN_NAME, INVALID_CHARACTERS};
use crate::{Dir, Family, Pattern, Probe, Protocol, ProtocolId, Risk, Verdict, fields, risk, risks, tcp};

fields! { ProtocolId::Http;
    METHOD: Str "method" "Method of the first request";
    HOST: Str "host" "Host of the first request, with its port";
    URI: Str "uri" "Target of the first request, as sent";
    VERSION: Str "version" "HTTP version of the first message";
    STATUS: Uint "status" "Status of the first final response";
    REASON: Str "reason" "Reason phrase of the first final response";
    INFO_CODE: Uint "info_code" "Status of the last interim response (100 to 199)";
    INFO_REASON: Str "info_reason" "Reason phrase of the last interim response";
    USER_AGENT: Str "user_agent" "User-Agent of the first request";
    REFERRER: Str "referrer" "Referer of the first request that has one";
    ORIGIN: Str "origin" "Origin of the first request that has one";
    REQUEST_CONTENT_TYPE: Str "request_content_type" "Content-Type of the first request that has one";
    CONTENT_TYPE: Str "content_type" "Content-Type of the first response that has one";
    CONTENT_LENGTH: Uint "content_length" "Content-Length of the first response that has one";
    SERVER: Str "server" "Server of the first response that has one";
    POWERED_BY: Str "powered_by" "X-Powered-By of the first response that has one";
    LOCATION: Str "location" "Location of the first response that redirects";
    REQUEST_BODY_LEN: Uint "request_body_len" "Bytes of the first request's body that were seen";
    RESPONSE_BODY_LEN: Uint "response_body_len" "Bytes of the first response's body that were seen, or that its Content-Length announces if no events are wanted";
    REQUEST_MIME_TYPE: Str "request_mime_type" "What the first request body is by its first bytes";
    MIME_TYPE: Str "mime_type" "What the first response body is by its first bytes";
    FILENAME: [Str] "filename" "Names in Content-Disposition";
    USERNAME: Str "username" "User name of Basic or Digest authentication";
    X_FORWARDED_FOR: Str "x_forwarded_for" "X-Forwarded-For of the first request that has one";
    PROXIED: [Str] "proxied" "Headers that proxies add, as NAME -> value";
    METHODS: [Str] "methods" "Methods of all requests";
    URLS: [Str] "urls" "Targets of all requests";
    STATUSES: [Uint] "statuses" "Statuses of all final responses";
    UPGRADE: Str "upgrade" "Protocol that was switched to";
    DEPTH: Uint "depth" "Place of a transaction within its flow, from 1 (events)";
    REQUEST_FILENAMES: [Str] "request_filenames" "Names in the request's Content-Disposition (events)";
    RESPONSE_FILENAMES: [Str] "response_filenames" "Names in the response's Content-Disposition (events)";
    FILE_FROM_CLIENT: Bool "file_from_client" "The body is a request's (file events)";
    FILE_MIME_TYPE: Str "file_mime_type" "What the body is by its first bytes (file events)";
    FILE_NAME: Str "file_name" "Its name in Content-Disposition (file events)";
    FILE_SEEN_BYTES: Uint "file_seen_bytes" "Bytes of the body that were seen (file events)";
    FILE_TOTAL_BYTES: Uint "file_total_bytes" "Bytes that the body should have (file events)";
    FILE_MISSING_BYTES: Uint "file_missing_bytes" "Bytes of the body that the capture lost (file events)";
    FILE_SHA1: Bytes "file_sha1" "SHA-1 of the body, if all of it was seen (file events)";
}

risks! {
    NUMERIC_IP_HOST: Low Client "numeric-ip-host" "The server is called by its address and not by a name: ordinary on local networks and for devices, and frequent with malware.";
    BINARY_TRANSFER: Medium Server "binary-transfer" "A program or installer comes over unencrypted HTTP, where anybody on the way can change it. Known by its first bytes.";
    DISGUISED_EXECUTABLE: High Server "disguised-executable" "A program or script comes under the Content-Type of something harmless (image, text, audio …).";
    CONTENT_MISMATCH: Low Server "content-mismatch" "A body's first bytes contradict its Content-Type. Mostly a badly set-up server.";
    SUSPICIOUS_USER_AGENT: Medium Client "suspicious-user-agent" "The user agent is that of a scanner or attack tool, empty, without letters, one word of random letters, over 768 bytes long, or has control characters. The list is in web/http/software.rs. Harmless if the scan was ordered.";
    SCRIPTED_CLIENT: Low Client "scripted-client" "The client is a script, a library or a command-line tool by its user agent. Ordinary on servers.";
    CRAWLER: Low Client "crawler" "The client says that it is a crawler.";
    SQL_INJECTION: High Client "url-sql-injection" "The URL holds SQL as injections do. The patterns are in web/http/attack.rs.";
    XSS: High Client "url-xss" "The URL holds script as cross-site scripting does. The patterns are in web/http/attack.rs.";
    COMMAND_INJECTION: Severe Client "url-command-injection" "The URL holds commands or code for the server to run. The patterns are in web/http/attack.rs.";
    PATH_TRAVERSAL: High Client "url-path-traversal" "The URL leads out of the served tree or to a system's file. The patterns are in web/http/attack.rs.";
    SUSPICIOUS_URL: Medium Client "suspicious-url" "The URL is one that only probes ask for (/.env, /.git/, setup.cgi …). The list is in web/http/attack.rs.";
    EXPLOIT_ATTEMPT: Severe Client "exploit-attempt" "A header or form holds a Log4j look-up (CVE-2021-44228) or a shell function (CVE-2014-6271).";
    SUSPICIOUS_HEADER: Medium Both "suspicious-header" "A head breaks the rules in a way that request smuggling uses: Content-Length twice with different values or besides Transfer-Encoding, blanks before a colon, two Host headers, a line without a colon.";
    OBSOLETE_SERVER: Low Server "obsolete-server" "The server says that it runs a version which nobody mends any more. Distributions may have mended it all the same. The versions are in web/http/software.rs.";
}

/// Those above and those that DNS raises too.
const ALL_RISKS: &[&Risk] = &[
    &NUMERIC_IP_HOST,
    &BINARY_TRANSFER,
    &DISGUISED_EXECUTABLE,
    &CONTENT_MISMATCH,
    &SUSPICIOUS_USER_AGENT,
    &SCRIPTED_CLIENT,
    &CRAWLER,
    &SQL_INJECTION,
    &XSS,
    &COMMAND_INJECTION,
    &PATH_TRAVERSAL,
    &SUSPICIOUS_URL,
    &EXPLOIT_ATTEMPT,
    &SUSPICIOUS_HEADER,
    &OBSOLETE_SERVER,
    &ERROR_CODE,
    &IDN_NAME,
    &IDN_HOMOGRAPH,
    &INVALID_CHARACTERS,
    &risk::CLEAR_TEXT_CREDENTIALS,
    &risk::MALFORMED_PACKET,
];

/// Hypertext Transfer Protocol 1.
pub const PROTOCOL: Protocol = Protocol {
    name: "http",
    title: "Hypertext Transfer Protocol 1",
    family: Family::Web,
    source: "RFC 9110, RFC 9112",
    ports: &[tcp(80), tcp(8080), tcp(8000), tcp(8008), tcp(8081), tcp(8888), tcp(3128), tcp(631), tcp(5985)],
    well_known: true,
    patterns: PATTERNS,
    identify,
    parser: Some(|| Box::new(parser::Http::default())),
    fields: FIELDS,
    risks: ALL_RISKS,
    ..Protocol::BASE
};

macro_rules! methods {
    ($($method:literal)*) => { &[
        Pattern::tcp().min(9).starts(b"HTTP/1."), Pattern::tcp().starts(b"\r\n"), Pattern::tcp().starts(b"\n"), $(Pattern::tcp().starts($method)),*
    ] };
}

/// A response, an empty line, and one for each of [`message::METHODS`].
const PATTERNS: &[Pattern] = methods! {
    b"GET " b"POST " b"HEAD " b"PUT " b"DELETE " b"OPTIONS " b"CONNECT " b"TRACE " b"PATCH " b"PROPFIND " b"PROPPATCH " b"MKCOL "
    b"COPY " b"MOVE " b"LOCK " b"UNLOCK " b"REPORT " b"SEARCH " b"MKCALENDAR " b"ACL " b"CHECKOUT " b"MERGE " b"MKACTIVITY "
    b"NOTIFY " b"SUBSCRIBE " b"UNSUBSCRIBE " b"RPC_IN_DATA " b"RPC_OUT_DATA " b"BITS_POST " b"CCM_POST " b"PURGE " b"POLL "
};

/// No method that is known is longer, with the blank after it.
const METHOD_BYTES_MAX: usize = 14;

/// Line ends before a request; a message is not looked for behind more.
const EMPTY_BYTES_MAX: usize = 64;

/// A request target that is longer than what there is to see counts if it has this many bytes and is a path.
const LONG_TARGET_BYTES: usize = 1024;

fn identify(p: &Probe<'_>) -> Verdict {
    // Servers ignore empty lines before a request line (RFC 9112 §2.2), so they must not hide it.
    let empty = p.payload.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    if empty > 0 {
        return match p.payload.get(empty..) {
            _ if empty > EMPTY_BYTES_MAX => Verdict::No,
            // No pattern has seen to it that the method is whole.
            Some(rest) if rest.len() < METHOD_BYTES_MAX && rest.iter().all(u8::is_ascii_uppercase) => {
                Verdict::Need(p.payload.len() + 1)
            }
            None => Verdict::No,
            Some(payload) => match identify(&Probe { payload, ..*p }) {
                Verdict::Need(n) => Verdict::Need(n + empty),
                said => said,
            },
        };
    }
    if p.payload.starts_with(b"HTTP/1.") {
        // Up to the blank after the status.
        let Some(line) = p.payload.get(..13) else { return Verdict::Need(13) };
        let line = line.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
        return match (message::status_line(line), p.dir) {
            (Some(_), Dir::Server) => Verdict::Yes,
            (Some(_), Dir::Client) => Verdict::YesReversed,
            (None, _) => Verdict::No,
        };
    }
    let yes = if p.dir == Dir::Client { Verdict::Yes } else { Verdict::YesReversed };
    match p.payload.iter().position(|b| *b == b'\n') {
        Some(end) if message::request_line(&p.payload[..end]).is_some() => yes,
        Some(_) => Verdict::No,
        None => {
            let mut words = p.payload.splitn(2, |b| *b == b' ');
            let (method, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let sane = |b: &u8| !b.is_ascii_control() || matches!(b, b'\r' | b'\t');
            if message::method_name(method).is_none() || !rest.iter().all(sane) {
                return Verdict::No;
            }
            let path = rest.starts_with(b"/") || rest.starts_with(b"http://");
            if path && rest.len() >= LONG_TARGET_BYTES {
                return yes;
            }
            Verdict::Need(p.payload.len() + 1)
        }
    }
}

#[cfg(test)]
mod tests;
