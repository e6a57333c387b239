//! LDAP search filters as text (RFC 4515), bounded in depth and length.

use crate::ber::{Ber, OCTET_STRING, SEQUENCE};

/// The text is cut here; `…` shows it.
const TEXT_MAX: usize = 512;
/// Filters nested deeper than this are shown as `…`.
const DEPTH_MAX: u32 = 16;

/// The filter of this tag and value as text.
pub(super) fn text(tag: u8, value: &[u8]) -> String {
    let mut out = String::new();
    if write(tag, value, 0, &mut out).is_none() {
        out.push('…');
    }
    out
}

/// `None` if it was cut or is broken.
fn write(tag: u8, value: &[u8], depth: u32, out: &mut String) -> Option<()> {
    if depth > DEPTH_MAX || out.len() > TEXT_MAX {
        return None;
    }
    let mut b = Ber::new(value);
    out.push('(');
    match tag {
        0xa0 | 0xa1 => {
            out.push(if tag == 0xa0 { '&' } else { '|' });
            while !b.is_empty() {
                let (tag, value) = b.element()?;
                write(tag, value, depth + 1, out)?;
            }
        }
        0xa2 => {
            out.push('!');
            let (tag, value) = b.element()?;
            write(tag, value, depth + 1, out)?;
        }
        0xa3 | 0xa5 | 0xa6 | 0xa8 => {
            escape(b.expect(OCTET_STRING)?, out);
            out.push_str(match tag {
                0xa5 => ">=",
                0xa6 => "<=",
                0xa8 => "~=",
                _ => "=",
            });
            escape(b.expect(OCTET_STRING)?, out);
        }
        0xa4 => {
            escape(b.expect(OCTET_STRING)?, out);
            out.push('=');
            let mut parts = b.within(SEQUENCE)?;
            let mut star = false;
            while let Some((tag, part)) = parts.element() {
                // Initial (0x80) comes without a star before it, final (0x82) without one after it.
                if tag != 0x80 {
                    out.push('*');
                }
                escape(part, out);
                star = tag != 0x82;
                if out.len() > TEXT_MAX {
                    return None;
                }
            }
            if star {
                out.push('*');
            }
        }
        0x87 => {
            escape(value, out);
            out.push_str("=*");
        }
        0xa9 => {
            let (mut rule, mut kind, mut wanted, mut dn) = (None, None, None, false);
            while let Some((tag, part)) = b.element() {
                match tag {
                    0x81 => rule = Some(part),
                    0x82 => kind = Some(part),
                    0x83 => wanted = Some(part),
                    _ => dn = part != [0],
                }
            }
            escape(kind.unwrap_or_default(), out);
            if dn {
                out.push_str(":dn");
            }
            if let Some(rule) = rule {
                out.push(':');
                escape(rule, out);
            }
            out.push_str(":=");
            escape(wanted?, out);
        }
        _ => return None,
    }
    out.push(')');
    Some(())
}

/// RFC 4515 §3: specials, controls and what is not ASCII become `\` and two hexadecimal digits.
fn escape(bytes: &[u8], out: &mut String) {
    use std::fmt::Write as _;
    for byte in bytes.iter().take(TEXT_MAX) {
        match byte {
            b'*' | b'(' | b')' | b'\\' | 0..=0x1f | 0x7f.. => {
                let _ = write!(out, "\\{byte:02x}");
            }
            _ => out.push(char::from(*byte)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ber::build::{octets, tlv};

    #[test]
    fn extensible_matches() {
        // The rule LDAP_MATCHING_RULE_BIT_AND, as Active Directory's clients use it.
        let value =
            [tlv(0x81, &[b"1.2.840.113556.1.4.803"]), tlv(0x82, &[b"flags"]), tlv(0x83, &[b"2"])].concat();
        assert_eq!(text(0xa9, &value), "(flags:1.2.840.113556.1.4.803:=2)");
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let mut nested = tlv(0x87, &[b"a"]);
        for _ in 0..40 {
            nested = tlv(0xa2, &[&nested]);
        }
        assert!(text(0xa0, &nested).ends_with('…'));
        let long: Vec<u8> =
            (0..200).flat_map(|_| tlv(0xa3, &[&octets(b"attribute"), &octets(b"value")])).collect();
        let shown = text(0xa1, &long);
        assert!(shown.ends_with('…') && shown.len() < 2 * TEXT_MAX, "{shown}");
    }
}
