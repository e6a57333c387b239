//! Takes addresses out of what is kept.
//!
//! Servers' addresses are evidence and stay. The probe's own ones go, wherever they stand: in error texts, in pages that
//! greet a visitor by his address, in headers of proxies.

use std::net::IpAddr;

/// What stands in an address's place, as in OONI's measurements.
pub const SCRUBBED: &str = "[scrubbed]";

/// Takes every address out of a text, with its port.
#[must_use]
pub fn addresses(text: &str) -> String {
    each(text, |_| true)
}

/// Takes these addresses out of a text.
#[must_use]
pub fn these(text: &str, own: &[IpAddr]) -> String {
    each(text, |address| own.contains(&address.to_canonical()))
}

/// True for what can be part of an address with a port.
fn may_belong(c: char) -> bool {
    c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '[' | ']' | '%')
}

fn each(text: &str, gone: impl Fn(IpAddr) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(may_belong) {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let (word, after) = from.split_at(from.find(|c| !may_belong(c)).unwrap_or(from.len()));
        // A letter before or after it makes a name of it: "deadbeef.example".
        let is_name = before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
            || after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        // Ends of sentences are no part of an address.
        let core = word.trim_end_matches(['.', ':']);
        match address(core) {
            Some(found) if !is_name && gone(found) => {
                out.push_str(SCRUBBED);
                out.push_str(word.get(core.len()..).unwrap_or_default());
            }
            _ => out.push_str(word),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The address in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn address(word: &str) -> Option<IpAddr> {
    if word.len() < 3 {
        return None;
    }
    if let Ok(address) = word.parse() {
        return Some(address);
    }
    if let Some(inner) = word.strip_prefix('[') {
        let (inner, _) = inner.split_once(']')?;
        return inner.parse().ok();
    }
    let (host, port) = word.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    host.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_an_address_go() {
        for (text, left) in [
            ("dial 192.0.2.7:443: refused", "dial [scrubbed]: refused"),
            ("from 192.0.2.7.", "from [scrubbed]."),
            ("2001:db8::7", "[scrubbed]"),
            ("at [2001:db8::7]:443, again", "at [scrubbed], again"),
            ("deadbeef.example and 1.2.3.4x and 10:20", "deadbeef.example and 1.2.3.4x and 10:20"),
            ("", ""),
            ("a: b", "a: b"),
        ] {
            assert_eq!(addresses(text), left);
        }
    }

    #[test]
    fn servers_stay() {
        let own = ["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        assert_eq!(
            these("you are 192.0.2.7 (2001:DB8:0::7), I am 198.51.100.1; ::ffff:192.0.2.7", &own),
            "you are [scrubbed] ([scrubbed]), I am 198.51.100.1; [scrubbed]"
        );
    }
}
