//! What the header lines of requests and responses tell (RFC 9110), and the risks in them.

use super::attack::{self, Attack};
use super::message;
use super::parser::{Exchange, Half, Upgrade};
use super::software::{self, Agent};
use super::*;
use crate::names::dns::idn_risks;
use crate::web::websocket;
use crate::{Sink, Value, common};

/// Headers that say how long the body is, and what it is. True if it was one.
pub(super) fn framing(half: &mut Half, name: &[u8], value: &[u8], out: &mut Sink<'_>) -> bool {
    let Half { message, body, .. } = half;
    match name {
        b"content-length" => {
            let length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            match (message.length, length) {
                (_, None) => out.risk(&SUSPICIOUS_HEADER, || "Content-Length is no number".to_owned()),
                (Some(one), Some(other)) if one != other => {
                    out.risk(&SUSPICIOUS_HEADER, || format!("Content-Length {one} and {other}"));
                }
                _ => message.length = length,
            }
            if message.response
                && let Some(length) = length
            {
                out.set(CONTENT_LENGTH, length);
            }
        }
        b"transfer-encoding" => {
            let last = value.rsplit(|b| *b == b',').next().unwrap_or_default().trim_ascii();
            message.chunked = last.eq_ignore_ascii_case(b"chunked");
        }
        b"content-encoding" => body.encoded = !value.eq_ignore_ascii_case(b"identity") && !value.is_empty(),
        b"content-disposition" => {
            if let Some(filename) = message::parameter(value, "filename") {
                let filename: String = filename.chars().take(256).collect();
                out.push(FILENAME, filename.clone());
                body.filename = Some(filename);
            }
        }
        b"content-type" => {
            let plain = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
            let plain = plain.get(..128).unwrap_or(plain).to_ascii_lowercase();
            body.declared = String::from_utf8_lossy(&plain).into();
            out.set_text(if message.response { CONTENT_TYPE } else { REQUEST_CONTENT_TYPE }, value);
        }
        b"upgrade" => {
            message.upgrade = if value.eq_ignore_ascii_case(b"websocket") {
                Upgrade::Websocket
            } else if value.eq_ignore_ascii_case(b"h2c") {
                Upgrade::H2c
            } else {
                Upgrade::Other
            };
            if message.response && message.code == 101 {
                out.set_text(UPGRADE, value.get(..64).unwrap_or(value));
            }
            // The request's is needed with the response.
            return message.response;
        }
        _ => return false,
    }
    if message.length.is_some() && message.chunked {
        out.risk(&SUSPICIOUS_HEADER, || "Content-Length besides Transfer-Encoding".to_owned());
    }
    true
}

pub(super) fn request_header(
    half: &mut Half,
    exchange: &mut Exchange,
    name: &[u8],
    value: &[u8],
    out: &mut Sink<'_>,
) {
    let text = |value: &[u8]| Value::text(value.get(..1024).unwrap_or(value));
    match name {
        b"host" => {
            half.message.hosts += 1;
            if half.message.hosts == 2 {
                out.risk(&SUSPICIOUS_HEADER, || "two Host headers".to_owned());
            }
            if half.message.authority.is_empty() && half.message.hosts == 1 {
                half.message.authority = value.to_vec();
                half.message.in_host = true;
            }
            let host = message::host_of(value);
            out.hostname(host);
            out.set_text(HOST, value);
            exchange.add(HOST, text(value), out);
            host_risks(host, out);
        }
        b"user-agent" => {
            out.set_text(common::USER_AGENT, value);
            out.set_text(USER_AGENT, value);
            exchange.add(USER_AGENT, text(value), out);
            agent_risks(value, out);
        }
        b"referer" => {
            let value = secrets::redact(value);
            out.set_text(REFERRER, &value);
            exchange.add(REFERRER, text(&value), out);
        }
        b"origin" => {
            out.set_text(ORIGIN, value);
            exchange.add(ORIGIN, text(value), out);
        }
        b"authorization" | b"proxy-authorization" => authorization(exchange, name, value, out),
        b"upgrade" => exchange.upgrade = half.message.upgrade,
        b"x-forwarded-for" | b"forwarded" | b"x-forwarded-from" | b"client-ip" | b"via"
        | b"xroxy-connection" | b"proxy-connection" => {
            if name == b"x-forwarded-for" {
                out.set_text(X_FORWARDED_FOR, value);
            }
            let upper = String::from_utf8_lossy(name).to_ascii_uppercase();
            let shown = format!("{upper} -> {}", String::from_utf8_lossy(value.get(..256).unwrap_or(value)));
            exchange.add(PROXIED, Value::from(shown.clone()), out);
            out.push(PROXIED, shown);
        }
        b"sec-websocket-protocol" => out.set_text(websocket::SUBPROTOCOL, value),
        _ => {}
    }
}

pub(super) fn response_header(
    half: &mut Half,
    exchange: &mut Exchange,
    name: &[u8],
    value: &[u8],
    out: &mut Sink<'_>,
) {
    match name {
        b"server" | b"x-powered-by" => {
            out.set_text(if name == b"server" { SERVER } else { POWERED_BY }, value);
            if let Some((product, why)) = software::obsolete(value) {
                out.risk(&OBSOLETE_SERVER, || format!("http.server={product} ({why})"));
            }
        }
        b"location" if (300..400).contains(&half.message.code) => {
            out.set_text(LOCATION, &secrets::redact(value))
        }
        b"sec-websocket-protocol" => {
            out.replace(websocket::SUBPROTOCOL, Value::text(value.get(..256).unwrap_or(value)))
        }
        b"via" => {
            let shown = format!("VIA -> {}", String::from_utf8_lossy(value.get(..256).unwrap_or(value)));
            exchange.add(PROXIED, Value::from(shown), out);
        }
        _ => {}
    }
}

/// Basic authentication sends user name and password as they are (RFC 7617), Digest only the name (RFC 7616).
fn authorization(exchange: &mut Exchange, name: &[u8], value: &[u8], out: &mut Sink<'_>) {
    let (scheme, rest) = value.split_at(value.iter().position(|b| *b == b' ').unwrap_or(value.len()));
    let user = if scheme.eq_ignore_ascii_case(b"basic") {
        let rest = rest.trim_ascii();
        let decoded = message::base64_decode(rest.get(..1024).unwrap_or(rest));
        let Some(colon) = decoded.iter().position(|b| *b == b':') else { return };
        let user = String::from_utf8_lossy(decoded.get(..colon.min(128)).unwrap_or_default()).into_owned();
        let header = String::from_utf8_lossy(name).into_owned();
        out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || format!("http.{header}=Basic http.username={user}"));
        user
    } else if scheme.eq_ignore_ascii_case(b"digest") {
        let key = b"username=\"";
        let Some(at) = rest.windows(key.len()).position(|w| w.eq_ignore_ascii_case(key)) else { return };
        let user = rest[at + key.len()..].split(|b| *b == b'"').next().unwrap_or_default();
        String::from_utf8_lossy(user.get(..128).unwrap_or(user)).into_owned()
    } else {
        return;
    };
    exchange.add(USERNAME, Value::from(user.clone()), out);
    out.set(USERNAME, user);
}

/// Raises what a user agent gives away.
pub(in crate::web) fn agent_risks(value: &[u8], out: &mut Sink<'_>) {
    let (risk, rule) = match software::agent(value) {
        Some(Agent::Suspicious(rule)) => (&SUSPICIOUS_USER_AGENT, rule),
        Some(Agent::Crawler(rule)) => (&CRAWLER, rule),
        Some(Agent::Script(rule)) => (&SCRIPTED_CLIENT, rule),
        None => return,
    };
    out.risk(risk, || {
        format!("http.user_agent={} rule={rule}", String::from_utf8_lossy(value.get(..128).unwrap_or(value)))
    });
}

/// Raises what a host name gives away.
pub(in crate::web) fn host_risks(host: &[u8], out: &mut Sink<'_>) {
    let odd = |b: &u8| !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'%'));
    if host.iter().any(odd) {
        out.risk(&INVALID_CHARACTERS, || {
            format!("http.host={}", String::from_utf8_lossy(host.get(..128).unwrap_or(host)).escape_debug())
        });
        return;
    }
    // Only an address ends in a figure or holds a colon.
    if host.last().is_some_and(u8::is_ascii_digit) || host.contains(&b':') {
        let address = std::str::from_utf8(host).ok().and_then(|h| h.parse::<std::net::IpAddr>().ok());
        if let Some(address) = address {
            out.risk(&NUMERIC_IP_HOST, || format!("http.host={address}"));
        }
    } else if host.windows(4).any(|w| w.eq_ignore_ascii_case(b"xn--")) {
        host.split(|b| *b == b'.').for_each(|label| idn_risks(label, out));
    }
}

/// Raises what a request target gives away. `shown` is the target without secrets.
pub(in crate::web) fn url_risks(target: &[u8], shown: &[u8], out: &mut Sink<'_>) {
    let shown = || String::from_utf8_lossy(shown.get(..256).unwrap_or(shown)).into_owned();
    if let Some((found, pattern)) = attack::attack(target) {
        let risk = match found {
            Attack::Sql => &SQL_INJECTION,
            Attack::Xss => &XSS,
            Attack::Command => &COMMAND_INJECTION,
            Attack::Traversal => &PATH_TRAVERSAL,
        };
        out.risk(risk, || format!("http.uri={} pattern={pattern}", shown()));
    }
    if let Some(file) = attack::probed(target) {
        out.risk(&SUSPICIOUS_URL, || format!("http.uri={} pattern={file}", shown()));
    }
    if let Some(query) = target.iter().position(|b| *b == b'?')
        && let Some(name) = secrets::secret_parameter(&target[query + 1..])
    {
        out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || format!("http.uri parameter {name}"));
    }
}
