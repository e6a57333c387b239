//! Addresses within text: found in the forms that programs write them in, and replaced by their pseudonyms in the same form.
//!
//! Dotted IPv4 and IPv6 with colons are found wherever they stand; whose they are decides what becomes of them. Other forms
//! (hexadecimal, decimal, dashes as in host names of providers, the names of reverse DNS, Base64 …) are looked for by what
//! they would be for the flow's client alone: any number could be an address, but only that one tells who it was.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

/// Shorter ones would be found in anything.
const NEEDLE_BYTES_MIN: usize = 6;

/// The forms of one address beside the usual.
pub(super) struct Forms {
    finder: Option<AhoCorasick>,
    /// What comes in place of each.
    replacements: Vec<String>,
}

impl Forms {
    pub(super) fn new(address: IpAddr, pseudonym: IpAddr) -> Self {
        let pairs = forms(address).into_iter().zip(forms(pseudonym));
        let (needles, replacements): (Vec<String>, Vec<String>) =
            pairs.filter(|(needle, _)| needle.len() >= NEEDLE_BYTES_MIN).unzip();
        let finder = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(&needles)
            .ok();
        Self { finder, replacements }
    }

    /// The text with the address replaced, if it is in it.
    pub(super) fn replace(&self, text: &str) -> Option<String> {
        let finder = self.finder.as_ref()?;
        finder.is_match(text).then(|| finder.replace_all(text, &self.replacements))
    }
}

/// The forms of an address in which it can be had out of text; those of two addresses of a family stand in one order.
fn forms(address: IpAddr) -> Vec<String> {
    let joined = |parts: &[String], by: &str| parts.join(by);
    match address {
        IpAddr::V4(ip) => {
            let octets = ip.octets();
            let backwards = {
                let mut octets = octets;
                octets.reverse();
                octets
            };
            let of = |octets: &[u8; 4], form: fn(&u8) -> String| octets.iter().map(form).collect::<Vec<_>>();
            let decimal = of(&octets, |n| n.to_string());
            let reversed = of(&backwards, |n| n.to_string());
            let hex = of(&octets, |n| format!("{n:02x}"));
            let hex_reversed = of(&backwards, |n| format!("{n:02x}"));
            let mut forms = Vec::new();
            for by in ["-", "_", ",", "%2e", " "] {
                forms.extend([joined(&decimal, by), joined(&reversed, by)]);
            }
            forms.push(joined(&reversed, "."));
            for by in ["", ":", "-", ".", " ", "%", "\\x"] {
                forms.extend([joined(&hex, by), joined(&hex_reversed, by)]);
            }
            forms.push(joined(&of(&octets, |n| format!("{n:03}")), "-"));
            forms.push(joined(&of(&octets, |n| format!("0x{n:x}")), "."));
            forms.push(joined(&of(&octets, |n| if *n == 0 { "0".into() } else { format!("0{n:o}") }), "."));
            forms.push(joined(&of(&octets, |n| format!("0{n:o}")), "."));
            forms.push(u32::from(ip).to_string());
            forms.push(u32::from_le_bytes(octets).to_string());
            forms.push(format!("0x{:x}", u32::from(ip)));
            forms.push(base64(&octets));
            forms
        }
        IpAddr::V6(ip) => {
            let octets = ip.octets();
            let hex: Vec<String> = octets.iter().map(|n| format!("{n:02x}")).collect();
            let nibbles: Vec<String> = hex.concat().chars().map(String::from).collect();
            let backwards: Vec<String> = nibbles.iter().rev().cloned().collect();
            let groups: Vec<String> = ip.segments().iter().map(|n| format!("{n:x}")).collect();
            let full: Vec<String> = ip.segments().iter().map(|n| format!("{n:04x}")).collect();
            let mut forms = Vec::new();
            for by in ["", ":", "-", " ", "%", "\\x"] {
                forms.push(joined(&hex, by));
            }
            for by in ["-", "_", "%3a", "."] {
                forms.extend([joined(&groups, by), joined(&full, by), ip.to_string().replace(':', by)]);
            }
            for by in [".", "-", ""] {
                forms.push(joined(&backwards, by));
            }
            forms.push(joined(&nibbles, "."));
            forms.push(u128::from(ip).to_string());
            forms.push(base64(&octets));
            forms
        }
    }
}

/// Base64 without padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for i in 0..=group.len() {
            out.push(char::from(DIGITS[(word >> (18 - 6 * i) & 63) as usize]));
        }
    }
    out
}

/// The text with every address in it for which `pseudonym` gives one replaced by that, if there is any.
pub(super) fn replace(text: &str, mut pseudonym: impl FnMut(IpAddr) -> Option<IpAddr>) -> Option<String> {
    if !text.bytes().any(|b| b.is_ascii_digit() || b == b':') {
        return None;
    }
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for run in runs(text, |b| b.is_ascii_digit() || b == b'.') {
        dotted(text, run, &mut pseudonym, &mut edits);
    }
    for run in runs(text, |b| b.is_ascii_hexdigit() || b == b':' || b == b'.') {
        colons(text, run, &mut pseudonym, &mut edits);
    }
    nibbles(text, &mut pseudonym, &mut edits);
    if edits.is_empty() {
        return None;
    }
    // Those that begin first, of these the longest; what lies within another's range is dropped.
    edits.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let (mut out, mut at) = (String::with_capacity(text.len() + 16), 0);
    for (range, replacement) in edits {
        if range.start >= at {
            out.push_str(text.get(at..range.start).unwrap_or_default());
            out.push_str(&replacement);
            at = range.end;
        }
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Some(out)
}

/// The longest pieces that consist of such bytes.
fn runs(text: &str, of: impl Fn(u8) -> bool) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut start = None;
    for (i, byte) in text.bytes().chain([b'\n']).enumerate() {
        match (of(byte), start) {
            (true, None) => start = Some(i),
            (false, Some(from)) => {
                // Nothing shorter than `::1` is one.
                if i - from >= 3 {
                    runs.push(from..i);
                }
                start = None;
            }
            _ => {}
        }
    }
    runs
}

/// Four labels in a row are an address, in whatever they stand; before `.in-addr`, backwards.
fn dotted(
    text: &str,
    run: Range<usize>,
    pseudonym: &mut impl FnMut(IpAddr) -> Option<IpAddr>,
    edits: &mut Vec<(Range<usize>, String)>,
) {
    let mut labels: Vec<(Range<usize>, Option<u8>)> = Vec::new();
    let mut start = run.start;
    for label in text.get(run).unwrap_or_default().split('.') {
        // Zeros before it don't make it another number here, although some programs read octal digits then.
        let value = Some(label).filter(|l| (1..=3).contains(&l.len())).and_then(|l| l.parse().ok());
        labels.push((start..start + label.len(), value));
        start += label.len() + 1;
    }
    let mut at = 0;
    while let Some([a, b, c, d]) = labels.get(at..at + 4) {
        at += 1;
        let (Some(w), Some(x), Some(y), Some(z)) = (a.1, b.1, c.1, d.1) else { continue };
        let range = a.0.start..d.0.end;
        let rest = text.get(range.end..).unwrap_or_default();
        let arpa = rest.get(..8).is_some_and(|rest| rest.eq_ignore_ascii_case(".in-addr"));
        let replacement = if arpa {
            let Some(IpAddr::V4(to)) = pseudonym(Ipv4Addr::new(z, y, x, w).into()) else { continue };
            let [a, b, c, d] = to.octets();
            format!("{d}.{c}.{b}.{a}")
        } else {
            let Some(to) = pseudonym(Ipv4Addr::new(w, x, y, z).into()) else { continue };
            to.to_string()
        };
        edits.push((range, replacement));
    }
}

/// IPv6, with what may stand before and after it: `[fe80::1]:443`, `fe80::1:` at the end of a clause.
fn colons(
    text: &str,
    run: Range<usize>,
    pseudonym: &mut impl FnMut(IpAddr) -> Option<IpAddr>,
    edits: &mut Vec<(Range<usize>, String)>,
) {
    let whole = text.get(run.clone()).unwrap_or_default();
    if whole.bytes().filter(|b| *b == b':').count() < 2 {
        return;
    }
    let front = whole.len() - whole.trim_start_matches('.').len();
    let single = |s: &str| s.starts_with(':') && !s.starts_with("::");
    for start in [front, front + usize::from(single(whole.get(front..).unwrap_or_default()))] {
        let mut end = whole.len();
        // A piece may be too much at the end: a port after a dot (as BSD writes it), a full stop, a colon.
        while let Some(piece) = whole.get(start..end).filter(|piece| piece.len() >= 2) {
            if let Ok(ip) = piece.parse::<Ipv6Addr>() {
                if let Some(to) = pseudonym(ip.to_canonical()) {
                    let to = match to {
                        IpAddr::V4(to) if ip.to_ipv4_mapped().is_some() => to.to_ipv6_mapped().to_string(),
                        to => to.to_string(),
                    };
                    edits.push((run.start + start..run.start + end, to));
                }
                return;
            }
            match piece.rfind(['.', ':']) {
                Some(at) if at > 0 => end = start + at,
                _ => break,
            }
        }
    }
}

/// The names of reverse DNS for IPv6: 32 digits backwards, then `.ip6.arpa`.
fn nibbles(
    text: &str,
    pseudonym: &mut impl FnMut(IpAddr) -> Option<IpAddr>,
    edits: &mut Vec<(Range<usize>, String)>,
) {
    let lower = text.to_ascii_lowercase();
    for (end, _) in lower.match_indices(".ip6.") {
        let Some(range) = end.checked_sub(63).map(|start| start..end) else { continue };
        let Some(name) = lower.get(range.clone()) else { continue };
        let digits: String = name.split('.').rev().filter(|label| label.len() == 1).collect();
        let Some(ip) = Some(digits).filter(|d| d.len() == 32).and_then(|d| u128::from_str_radix(&d, 16).ok())
        else {
            continue;
        };
        let Some(IpAddr::V6(to)) = pseudonym(Ipv6Addr::from(ip).into()) else { continue };
        let digits: Vec<String> =
            format!("{:032x}", u128::from(to)).chars().rev().map(String::from).collect();
        edits.push((range, digits.join(".")));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mapped(ip: IpAddr) -> Option<IpAddr> {
        match ip {
            IpAddr::V4(ip) if ip.octets()[0] == 10 => Some(Ipv4Addr::new(77, 1, 2, ip.octets()[3]).into()),
            IpAddr::V6(ip) if ip.segments()[0] == 0xfd00 => Some("2001:db8::7".parse().unwrap()),
            _ => None,
        }
    }

    #[test]
    fn where_addresses_stand() {
        for (text, expected) in [
            ("10.0.0.5", "77.1.2.5"),
            ("http://10.0.0.5:8080/a?b=10.0.0.6", "http://77.1.2.5:8080/a?b=77.1.2.6"),
            ("from 10.0.0.5.", "from 77.1.2.5."),
            ("v10.0.0.5x", "v77.1.2.5x"),
            ("1.10.0.0.5.2", "1.77.1.2.5.2"),
            ("010.000.000.005", "77.1.2.5"),
            ("5.0.0.10.in-addr.arpa", "5.2.1.77.in-addr.arpa"),
            ("5.0.0.10.IN-ADDR.ARPA", "5.2.1.77.IN-ADDR.ARPA"),
            ("[fd00::9]:443", "[2001:db8::7]:443"),
            ("FD00:0:0:0::9%eth0", "2001:db8::7%eth0"),
            ("addr:fd00::9: up", "addr:2001:db8::7: up"),
            ("fd00::9.443", "2001:db8::7.443"),
            ("::ffff:10.0.0.5", "::ffff:77.1.2.5"),
            ("::ffff:a00:5 ok", "::ffff:77.1.2.5 ok"),
            (
                "9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
                "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
            ),
        ] {
            assert_eq!(replace(text, mapped).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["", "8.8.8.8", "10.0.0", "1.2.3", "02:00:00:aa:bb:cc", "::", "a::b", "12:30:59", "10.0.0.256"]
        {
            assert_eq!(replace(text, mapped), None, "{text}");
        }
    }

    #[test]
    fn forms_of_the_client() {
        let forms = Forms::new("10.1.2.3".parse().unwrap(), "77.8.9.4".parse().unwrap());
        for (text, expected) in [
            ("ip-10-1-2-3.example", "ip-77-8-9-4.example"),
            ("3.2.1.10", "4.9.8.77"),
            ("id=0A010203;", "id=4d080904;"),
            ("0a:01:02:03", "4d:08:09:04"),
            ("167838211", "1292372228"),
            ("CgECAw==", "TQgJBA=="),
            ("%0A%01%02%03", "%4d%08%09%04"),
        ] {
            assert_eq!(forms.replace(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(forms.replace("10-1-2-4"), None);
    }

    proptest! {
        /// Whatever is around it, neither panics, and what is found once isn't there afterwards.
        #[test]
        fn nothing_is_left(before in "\\PC{0,12}", after in "\\PC{0,12}", last in any::<[u8; 3]>()) {
            let ip = Ipv4Addr::new(10, last[0], last[1], last[2]);
            let text = format!("{before} {ip} {after}");
            let replaced = replace(&text, mapped).unwrap();
            prop_assert!(!replaced.contains(&format!(" {ip} ")), "{replaced}");
            let forms = Forms::new(ip.into(), Ipv4Addr::new(77, 200, 201, 202).into());
            for form in super::forms(ip.into()).into_iter().filter(|f| f.len() >= NEEDLE_BYTES_MIN) {
                let replaced = forms.replace(&format!("{before} {form} {after}")).unwrap();
                prop_assert!(!replaced.to_lowercase().contains(&format!(" {form} ").to_lowercase()), "{form}: {replaced}");
            }
        }

        #[test]
        fn anything_can_be_read(text in "[0-9a-f.:%\\[\\] ü-]{0,64}") {
            let _ = replace(&text, mapped);
            let _ = replace(&text, Some);
        }
    }
}
