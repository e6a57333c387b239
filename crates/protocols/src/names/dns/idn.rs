//! Internationalised domain names: Punycode (RFC 3492), and whether a name passes itself off as another.

/// A label of 63 bytes cannot stand for more characters.
const CHARS_MAX: usize = 63;

/// Decodes a label that begins with `xn--`. `None` if it is not such a label, or broken.
pub fn decode(label: &[u8]) -> Option<String> {
    let (prefix, encoded) = label.split_at_checked(4)?;
    if !prefix.eq_ignore_ascii_case(b"xn--") || encoded.is_empty() {
        return None;
    }
    let (basic, extended) = match encoded.iter().rposition(|b| *b == b'-') {
        Some(at) => (&encoded[..at], &encoded[at + 1..]),
        None => (&[][..], encoded),
    };
    let mut chars: Vec<char> = basic.iter().take(CHARS_MAX).map(|b| *b as char).collect();
    if !basic.is_ascii() {
        return None;
    }
    let (mut n, mut i, mut bias) = (128u32, 0u32, 72u32);
    let mut digits = extended.iter();
    while digits.len() > 0 {
        let (old, mut weight, mut k) = (i, 1u32, 36u32);
        loop {
            let digit = match digits.next()? {
                b @ b'a'..=b'z' => b - b'a',
                b @ b'A'..=b'Z' => b - b'A',
                b @ b'0'..=b'9' => b - b'0' + 26,
                _ => return None,
            };
            let digit = u32::from(digit);
            i = i.checked_add(digit.checked_mul(weight)?)?;
            let threshold = k.saturating_sub(bias).clamp(1, 26);
            if digit < threshold {
                break;
            }
            weight = weight.checked_mul(36 - threshold)?;
            k += 36;
        }
        let count = chars.len() as u32 + 1;
        bias = adapt(i - old, count, old == 0);
        n = n.checked_add(i / count)?;
        i %= count;
        if chars.len() >= CHARS_MAX {
            return None;
        }
        chars.insert(i as usize, char::from_u32(n)?);
        i += 1;
    }
    Some(chars.into_iter().collect())
}

/// RFC 3492 §6.1
fn adapt(delta: u32, count: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / count;
    let mut k = 0;
    while delta > 455 {
        delta /= 35;
        k += 36;
    }
    k + 36 * delta / (delta + 38)
}

/// The scripts that have letters which look like those of another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    Latin,
    Greek,
    Cyrillic,
    Other,
}

fn script(c: char) -> Option<Script> {
    Some(match c {
        'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' => Script::Latin,
        '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}' => Script::Greek,
        '\u{400}'..='\u{52f}' => Script::Cyrillic,
        '0'..='9' | '-' | '_' => return None,
        _ => Script::Other,
    })
}

/// Cyrillic and Greek letters that look like a Latin one (a selection from Unicode Technical Standard 39's list of
/// confusables: the lower-case letters).
const LOOKALIKES: &str = "аеорсухіїјѕԁԛԝһӏοανρικυ";

/// True if a decoded label looks like one of another script: Latin mixed with Cyrillic or Greek letters, or made of
/// five letters or more that all look Latin. Ordinary words of those languages do neither.
pub fn is_homograph(label: &str) -> bool {
    let has = |wanted| label.chars().any(|c| script(c) == Some(wanted));
    let (latin, other) = (has(Script::Latin), has(Script::Greek) || has(Script::Cyrillic));
    let letters = || label.chars().filter(|c| script(*c).is_some());
    (latin && other) || (other && letters().count() >= 5 && letters().all(|c| LOOKALIKES.contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_decode() {
        assert_eq!(decode(b"xn--bcher-kva").as_deref(), Some("bücher"));
        assert_eq!(decode(b"XN--mnchen-3ya").as_deref(), Some("münchen"));
        // RFC 3492 §7.1 (A) and (B)
        assert_eq!(decode(b"xn--egbpdaj6bu4bxfgehfvwxn").as_deref(), Some("ليهمابتكلموشعربي؟"));
        assert_eq!(decode(b"xn--ihqwcrb4cv8a8dqg056pqjye").as_deref(), Some("他们为什么不说中文"));
    }

    #[test]
    fn broken_ones_do_not() {
        for label in [&b"xn--"[..], b"xn--\xff", b"xn--a-!!", b"xn--99999999999", b"bcher-kva", b"xn-"] {
            assert_eq!(decode(label), None, "{label:?}");
        }
    }

    #[test]
    fn homographs() {
        // Cyrillic а with Latin pple; all Cyrillic "аррӏе"
        assert!(is_homograph(&decode(b"xn--pple-43d").unwrap()));
        assert!(is_homograph(&decode(b"xn--80ak6aa92e").unwrap()));
        for plain in ["bücher", "пример", "россия", "ελλάδα", "他们", "москва-24"]
        {
            assert!(!is_homograph(plain), "{plain}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..63)) {
            let label = [b"xn--".as_slice(), &bytes].concat();
            if let Some(text) = decode(&label) {
                let _ = is_homograph(&text);
            }
        }
    }
}
