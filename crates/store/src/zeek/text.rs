//! Values as Zeek's ASCII writer writes them.

use std::io::Write;

use daylight_protocols::Value;

/// Stands for what was not seen.
pub(super) const UNSET: &str = "-";
/// Stands for a set or vector without elements, and for text without letters.
pub(super) const EMPTY: &str = "(empty)";

/// Text: control characters and tabs become `\xNN`, a backslash two; what would be taken for [`UNSET`] or [`EMPTY`] has
/// its first letter written so. Within sets and vectors the comma between elements is escaped too.
pub(super) fn string(text: &str, in_list: bool, line: &mut Vec<u8>) {
    if text.is_empty() {
        line.extend_from_slice(EMPTY.as_bytes());
        return;
    }
    let reserved = text == UNSET || text == EMPTY;
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            0..=0x1f | 0x7f => escaped(byte, line),
            b',' if in_list => escaped(byte, line),
            _ if reserved && i == 0 => escaped(byte, line),
            // Zeek leaves UTF-8 as it is, from version 4 on.
            _ => line.push(byte),
        }
    }
}

// Writing to a Vec can't fail, here and below.
fn escaped(byte: u8, line: &mut Vec<u8>) {
    let _ = write!(line, "\\x{byte:02x}");
}

pub(super) fn display(value: impl std::fmt::Display, line: &mut Vec<u8>) {
    let _ = write!(line, "{value}");
}

pub(super) fn boolean(value: bool, line: &mut Vec<u8>) {
    line.push(if value { b'T' } else { b'F' });
}

/// Seconds since 1970 with microseconds. What is finer is cut off, not rounded: a time must not move past another.
pub(super) fn time(ns: i64, line: &mut Vec<u8>) {
    let us = ns.div_euclid(1000);
    let sign = if us < 0 { "-" } else { "" };
    let us = us.unsigned_abs();
    let _ = write!(line, "{sign}{}.{:06}", us / 1_000_000, us % 1_000_000);
}

pub(super) fn interval(seconds: f64, line: &mut Vec<u8>) {
    let _ = write!(line, "{seconds:.6}");
}

/// A field's value in a column of this type.
pub(super) fn value(value: &Value, ty: &str, line: &mut Vec<u8>) {
    let in_list = ty.ends_with(']');
    if let Value::List(list) = value {
        if list.is_empty() {
            line.extend_from_slice(EMPTY.as_bytes());
        }
        for (i, v) in list.iter().enumerate() {
            if i > 0 {
                line.push(b',');
            }
            one(v, ty, in_list, line);
        }
    } else {
        one(value, ty, in_list, line);
    }
}

fn one(value: &Value, ty: &str, in_list: bool, line: &mut Vec<u8>) {
    let is_interval = ty.contains("interval");
    match value {
        Value::Bool(b) => boolean(*b, line),
        Value::Uint(n) if is_interval => interval(*n as f64, line),
        Value::Uint(n) => display(n, line),
        Value::Float(n) => interval(*n, line),
        Value::Str(s) => string(s, in_list, line),
        Value::Name(s) => string(s, in_list, line),
        Value::Bytes(bytes) => bytes.iter().for_each(|b| {
            let _ = write!(line, "{b:02x}");
        }),
        Value::Ip(ip) => display(ip, line),
        Value::Time(ns) => time(*ns, line),
        // Lists hold no lists.
        Value::List(_) => line.extend_from_slice(UNSET.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str, in_list: bool) -> String {
        let mut line = Vec::new();
        string(s, in_list, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn strings() {
        assert_eq!(text("a\tb\nc\0\x7f", false), r"a\x09b\x0ac\x00\x7f");
        assert_eq!(text(r"C:\temp", false), r"C:\\temp");
        assert_eq!(text("-", false), r"\x2d");
        assert_eq!(text("--", false), "--");
        assert_eq!(text("(empty)", false), r"\x28empty)");
        assert_eq!(text("", false), "(empty)");
        assert_eq!(text("a,b", false), "a,b");
        assert_eq!(text("a,b", true), r"a\x2cb");
        assert_eq!(text("müller \u{fffd}", false), "müller \u{fffd}");
    }

    #[test]
    fn times() {
        let at = |ns| {
            let mut line = Vec::new();
            time(ns, &mut line);
            String::from_utf8(line).unwrap()
        };
        assert_eq!(at(1_726_201_770_278_903_999), "1726201770.278903");
        assert_eq!(at(0), "0.000000");
        assert_eq!(at(-1), "-0.000001");
        assert_eq!(at(-1_500_000_000), "-1.500000");
    }
}
