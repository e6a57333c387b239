//! Where in a TOML file a part of a decoded string stands.

use daylight_expr::Span;

/// The place in the file of `part`, a range of bytes of the decoded string whose value stands at `value`, quotes
/// included. The whole value if it can't be told.
pub(crate) fn within(text: &str, value: Span, decoded: &str, part: Span) -> Span {
    let Some(raw) = text.get(value.start..value.end) else { return value };
    let multiline = raw.starts_with("\"\"\"") || raw.starts_with("'''");
    let quotes = if multiline { 3 } else { 1 };
    let Some(mut inner) = raw.len().checked_sub(quotes).and_then(|end| raw.get(quotes..end)) else {
        return value;
    };
    let mut start = value.start + quotes;
    if multiline {
        // A line's end directly after the quotes doesn't count.
        let skipped = if inner.starts_with("\r\n") { 2 } else { usize::from(inner.starts_with('\n')) };
        start += skipped;
        inner = &inner[skipped..];
    }
    // The offset in the file of each byte of the decoded string, as far as it is needed.
    let place = |offset: usize| {
        if inner == decoded {
            return Some(start + offset);
        }
        let (mut raw_at, mut at) = (0, 0);
        while at < offset {
            let (raw_length, length) = one(inner.get(raw_at..)?)?;
            raw_at += raw_length;
            at += length;
        }
        Some(start + raw_at)
    };
    match (place(part.start), place(part.end)) {
        (Some(start), Some(end)) if start <= end && end <= value.end => Span::new(start, end),
        _ => value,
    }
}

/// How long the first character is, as written and decoded.
fn one(text: &str) -> Option<(usize, usize)> {
    let first = text.chars().next()?;
    if text.starts_with("\r\n") {
        return Some((2, 1));
    }
    if first != '\\' {
        return Some((first.len_utf8(), first.len_utf8()));
    }
    let escape = text[1..].chars().next()?;
    let digits = match escape {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        c if c.is_whitespace() => {
            // A backslash at the end of a line: white space up to the next character doesn't count.
            let rest = text[1..].trim_start();
            return Some((text.len() - rest.len(), 0));
        }
        _ => return Some((2, 1)),
    };
    let code = u32::from_str_radix(text.get(2..2 + digits)?, 16).ok()?;
    Some((2 + digits, char::from_u32(code)?.len_utf8()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_counted() {
        for raw in [
            r#""a == \"x\" and bad""#,
            "'a == \"x\" and bad'",
            "\"\"\"\na == \\\"x\\\" and bad\"\"\"",
            "'''a == \"x\" and bad'''",
            r#""a == \u0022x\u0022 and bad""#,
            "\"\"\"a == \\\n   \\\"x\\\" and bad\"\"\"",
        ] {
            let text = format!("when = {raw}\n");
            let decoded = "a == \"x\" and bad";
            let at = decoded.find("bad").unwrap();
            let value = Span::new(7, 7 + raw.len());
            let place = within(&text, value, decoded, Span::new(at, at + 3));
            assert_eq!(&text[place.start..place.end], "bad", "{raw}");
        }
    }
}
