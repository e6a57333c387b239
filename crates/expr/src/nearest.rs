//! The nearest right name to a wrong one.

/// Names longer than this are not guessed at.
const NAME_LEN_MAX: usize = 96;

/// The candidate that `name` was most likely meant to be, if any is near enough to suggest. Case and the choice of
/// separator (`.`, `_`, `-`) count little, swapped parts (`ip_src` for `src_ip`) count little, and a missing prefix
/// (`sni` for `tls.sni`) counts little; everything else is edit distance (optimal string alignment), of which about a
/// third of the length is allowed. Among equally near ones the first wins. Costs one distance for each candidate.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = Folded::new(name)?;
    let allowed = 1 + wanted.text.len() / 3 * 2;
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let Some(folded) = Folded::new(candidate) else { continue };
        let score = wanted.score(&folded);
        if score <= allowed && best.is_none_or(|(least, _)| score < least) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

struct Folded {
    /// Lower case, with `.` for every separator.
    text: Vec<char>,
    /// Its parts, sorted.
    parts: Vec<String>,
}

impl Folded {
    fn new(name: &str) -> Option<Self> {
        if name.is_empty() || name.len() > NAME_LEN_MAX {
            return None;
        }
        let text: String =
            name.chars().map(|c| if matches!(c, '_' | '-') { '.' } else { c.to_ascii_lowercase() }).collect();
        let mut parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        parts.sort_unstable();
        Some(Self { text: text.chars().collect(), parts })
    }

    /// Twice the edit distance, with short cuts for the usual confusions.
    fn score(&self, candidate: &Self) -> usize {
        if self.text == candidate.text {
            return 0;
        }
        if self.parts == candidate.parts {
            return 1;
        }
        let mut score = 2 * distance(&self.text, &candidate.text);
        // The last part alone: `sni` for `tls.sni`, or `ssl.sni` for it.
        let last = |text: &[char]| text.iter().rposition(|c| *c == '.').map_or(0, |at| at + 1);
        let (a, b) = (&self.text[last(&self.text)..], &candidate.text[last(&candidate.text)..]);
        if a == b && a.len() >= 3 {
            score = score.min(3);
        }
        score
    }
}

/// Optimal string alignment distance: insertions, deletions, substitutions, and swaps of neighbours.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    let mut current = vec![0; b.len() + 1];
    for (i, x) in a.iter().enumerate() {
        current[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let mut least = (previous[j] + usize::from(x != y)).min(previous[j + 1] + 1).min(current[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            current[j + 1] = least;
        }
        std::mem::swap(&mut before, &mut previous);
        std::mem::swap(&mut previous, &mut current);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_was_meant() {
        let names =
            ["src_ip", "dst_ip", "src_port", "tls.sni", "tls.version", "protocol", "hostname", "dns.query"];
        for (wrong, right) in [
            ("protocl", Some("protocol")),
            ("prtoocol", Some("protocol")),
            ("ip.src", Some("src_ip")),
            ("SRC-IP", Some("src_ip")),
            ("sni", Some("tls.sni")),
            ("tls_version", Some("tls.version")),
            ("ssl.version", Some("tls.version")),
            ("host_name", Some("hostname")),
            ("dns.qry", Some("dns.query")),
            ("temperature", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, names), right, "{wrong}");
        }
        assert_eq!(nearest(&"a".repeat(70_000), names), None);
    }

    #[test]
    fn distances() {
        let d = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!(d("", "abc"), 3);
        assert_eq!(d("kitten", "sitting"), 3);
        assert_eq!(d("abcd", "acbd"), 1);
        assert_eq!(d("ca", "abc"), 3);
    }
}
