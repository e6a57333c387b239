//! One indicator: what a word in a list stands for.

use std::net::IpAddr;

use crate::catalog::host;
use crate::catalog::is_public_suffix;
use crate::catalog::prefix::{Prefix, number};

/// Something that a flow can be compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Indicator {
    /// A name and all names below it.
    Domain(String),
    /// A name alone: the host of a URL.
    Host(String),
    /// An address, or all addresses in a prefix.
    Network(Prefix),
    /// An address with a port.
    Endpoint(u128, u16),
    /// JA3 or JA4.
    Fingerprint(String),
    /// SHA-1 or SHA-256 of a certificate.
    Certificate(String),
}

/// What a word stands for. The error says why it stands for nothing.
pub(crate) fn read(word: &str) -> Result<Indicator, String> {
    let text = refang(word);
    let text = text.trim_matches(['"', '\'', ' ', '\t']);
    if let Some((scheme, rest)) = text.split_once("://") {
        return url(rest, scheme);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Indicator::Network(Prefix::of(number(address), 128)));
    }
    if let Ok(endpoint) = text.parse::<std::net::SocketAddr>() {
        return Ok(Indicator::Endpoint(number(endpoint.ip()), endpoint.port()));
    }
    if let Some((before, length)) = text.split_once('/') {
        if before.parse::<IpAddr>().is_ok()
            && length.bytes().all(|b| b.is_ascii_digit())
            && !length.is_empty()
        {
            return Ok(Indicator::Network(Prefix::with_address(text)?.0));
        }
        return url(text, "");
    }
    if let Some(hash) = hash(text) {
        return Ok(hash);
    }
    if is_ja4(text) {
        return Ok(Indicator::Fingerprint(text.to_owned()));
    }
    match text.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => Ok(Indicator::Host(domain(name)?)),
        _ => Ok(Indicator::Domain(domain(text)?)),
    }
}

/// Takes back what people do to addresses so that nobody clicks on them: `hxxps[:]//evil[.]example`.
fn refang(word: &str) -> String {
    let mut text = word.replace("[.]", ".").replace("(.)", ".").replace("[dot]", ".").replace("[:]", ":");
    text = text.replace("[://]", "://");
    if text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("hxxp")) {
        text.replace_range(1..3, "tt");
    }
    text
}

/// The host of a URL, of which `rest` is what follows the scheme.
fn url(rest: &str, scheme: &str) -> Result<Indicator, String> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let default = match scheme.to_ascii_lowercase().as_str() {
        "http" => Some(80),
        "https" => Some(443),
        "ftp" => Some(21),
        _ => None,
    };
    if let Ok(endpoint) = authority.parse::<std::net::SocketAddr>() {
        return Ok(Indicator::Endpoint(number(endpoint.ip()), endpoint.port()));
    }
    if let Ok(address) = authority.trim_matches(['[', ']']).parse::<IpAddr>() {
        let address = number(address);
        return Ok(match default {
            Some(port) => Indicator::Endpoint(address, port),
            None => Indicator::Network(Prefix::of(address, 128)),
        });
    }
    let host = authority.split(':').next().unwrap_or_default();
    domain(host).map(Indicator::Host)
}

/// A name as it is looked up.
fn domain(text: &str) -> Result<String, String> {
    // As in ad blockers' lists and as wildcards; all of them mean the names below as well.
    let name = text.strip_prefix("||").unwrap_or(text);
    let name = name.strip_suffix('^').unwrap_or(name);
    let name = name.strip_prefix("*.").or_else(|| name.strip_prefix('.')).unwrap_or(name);
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let unreadable = || format!("{text:?} is not a domain, address, URL or fingerprint");
    if !name.is_ascii() {
        return Err(format!("{text:?}: names must be as on the wire (xn--…)"));
    }
    host::check(&name).map_err(|_| unreadable())?;
    let last = name.rsplit('.').next().unwrap_or_default();
    if !name.contains('.') || last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(unreadable());
    }
    if is_public_suffix(&name)
        && psl::suffix(name.as_bytes()).is_some_and(|s| s.typ() == Some(psl::Type::Icann))
    {
        return Err(format!("{text:?} is a public suffix: it would name everybody below it"));
    }
    Ok(name)
}

/// Hexadecimal digits (colons may stand between pairs): by their number JA3 (MD5), or a certificate's SHA-1 or SHA-256.
fn hash(text: &str) -> Option<Indicator> {
    let mut digits = text.to_ascii_lowercase();
    if text.len() % 3 == 2 && text.bytes().skip(2).step_by(3).all(|b| b == b':') {
        digits.retain(|c| c != ':');
    }
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    match digits.len() {
        32 => Some(Indicator::Fingerprint(digits)),
        40 | 64 => Some(Indicator::Certificate(digits)),
        _ => None,
    }
}

/// `t13d1516h2_8daaf6152771_b186095e22b6`
fn is_ja4(text: &str) -> bool {
    let mut parts = text.split('_');
    let (Some(a), Some(b), Some(c), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let hex = |part: &str| part.len() == 12 && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    a.len() == 10 && a.is_ascii() && a.starts_with(['t', 'q', 'd']) && hex(b) && hex(c)
}
