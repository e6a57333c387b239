//! Host names as lists of them are written: what is a name, and what somebody wrote instead.

/// Says what is wrong with a name, if anything: it must be a host name in lower case, in ASCII, and nothing else.
/// Underscores are accepted, as they are used (`_dmarc`).
pub(crate) fn check(name: &str) -> Result<(), String> {
    let wrong = |why: String| Err(format!("{name:?} {why}"));
    if name.is_empty() {
        return Err("an empty name".into());
    }
    if let Some((_, rest)) = name.split_once("://") {
        let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
        return wrong(format!("is a URL: write only the host, {host:?}"));
    }
    if let Some((host, _)) = name.split_once('/') {
        return wrong(if host.parse::<std::net::IpAddr>().is_ok() {
            "is an address prefix: it belongs under `prefixes`".into()
        } else {
            format!("has a path: write only the host, {host:?}")
        });
    }
    if name.parse::<std::net::IpAddr>().is_ok() {
        return wrong("is an address: it belongs under `prefixes`".into());
    }
    if let Some((host, _)) = name.split_once(':') {
        return wrong(format!("has a port: write only the host, {host:?}"));
    }
    if let Some(rest) = name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
        return wrong(format!("needs no wildcard: {rest:?} stands for the names below it too"));
    }
    if name.chars().any(|c| c.is_ascii_uppercase()) {
        return wrong(format!("has capital letters: write {:?}", name.to_ascii_lowercase()));
    }
    if !name.is_ascii() {
        return wrong(
            "has letters that host names on the wire do not have: write it as they have it, xn--…".into(),
        );
    }
    if let Some(bad) = name.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-' | '_' | '.')) {
        return wrong(format!("has {bad:?} in it, which host names do not have"));
    }
    if name.ends_with('.') {
        return wrong(format!("ends in a dot: write {:?}", name.trim_end_matches('.')));
    }
    if name.len() > 253 || name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return wrong("is not a host name: labels have 1 to 63 characters, all of it at most 253".into());
    }
    Ok(())
}
