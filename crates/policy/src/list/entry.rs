//! One entry of a list, as it is looked up.

use std::borrow::Cow;
use std::net::IpAddr;

use daylight_expr::Network;
use daylight_inspect::catalog::registrable_domain;

use super::ListKind;
use super::forms::Found;

/// Reads an entry. The error says what is wrong with it, and what to do.
pub(super) fn read(word: &str, kind: ListKind) -> Result<Found<'_>, String> {
    Ok(match kind {
        ListKind::Domains => Found::Text(domain(word)?),
        ListKind::Prefixes => Found::Network(network(word)?),
        ListKind::Ja4 => Found::Text(ja4(word)?),
        ListKind::Sha256 => Found::Text(sha256(word)?),
        ListKind::Text => Found::Text(word.into()),
    })
}

/// A name, perhaps with `*.` or `.` (only the names below it) or `=` (only itself) before it.
fn domain(word: &str) -> Result<Cow<'_, str>, String> {
    let name = word.strip_prefix("*.").or_else(|| word.strip_prefix(['.', '='])).unwrap_or(word);
    let name = name.strip_suffix('.').unwrap_or(name);
    if !name.is_ascii() {
        return Err(format!("{word:?} has letters that names on the wire do not have: write it as xn--…"));
    }
    if name.parse::<IpAddr>().is_ok() || word.parse::<Network>().is_ok() {
        return Err(format!("{word:?} is an address: it belongs in a list of kind \"prefixes\""));
    }
    let good = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    if name.len() > 253 || !name.split('.').all(good) {
        return Err(format!("{word:?} is not a domain name such as example.org"));
    }
    if !word.starts_with('=') && registrable_domain(name).is_none() {
        return Err(format!(
            "{word:?} is a public suffix: it would name everybody below it. List the names that are meant"
        ));
    }
    Ok(Cow::Borrowed(word))
}

fn network(word: &str) -> Result<Network, String> {
    let network: Network = word.parse().map_err(|error| match word.split_once('/') {
        Some(_) => format!("{word:?}: {error}"),
        None => format!("{word:?} is not an address or a prefix such as 192.0.2.0/24 or 2001:db8::/32"),
    })?;
    let (low, high) = network.range();
    if (low.is_unspecified() || low == IpAddr::from([0, 0, 0, 0])) && low != high && word.ends_with("/0") {
        return Err(format!(
            "{word:?} is every address there is; leave the list out of the rule to mean that"
        ));
    }
    Ok(network)
}

fn ja4(word: &str) -> Result<Cow<'_, str>, String> {
    let parts: Vec<&str> = word.split('_').collect();
    let hex = |part: &&str| part.len() == 12 && part.bytes().all(|b| b.is_ascii_hexdigit());
    match parts.as_slice() {
        [a, b, c] if a.len() == 10 && a.is_ascii() && hex(b) && hex(c) => Ok(lower(word)),
        _ => Err(format!("{word:?} is not a JA4 such as t13d1516h2_8daaf6152771_b186095e22b6")),
    }
}

fn sha256(word: &str) -> Result<Cow<'_, str>, String> {
    let digits: Cow<'_, str> = if word.contains(':') { word.replace(':', "").into() } else { word.into() };
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(format!("{word:?} is not a SHA-256 hash: 64 hexadecimal digits"));
    }
    Ok(match digits {
        Cow::Borrowed(digits) => lower(digits),
        Cow::Owned(digits) => digits.to_ascii_lowercase().into(),
    })
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) { text.to_ascii_lowercase().into() } else { text.into() }
}
