//! SQL statements as they may be kept: without the values in them.

/// The outline is cut here.
const OUTLINE_MAX: usize = 256;

/// A statement with every literal replaced by `?`, comments left out, and white space folded: what was asked, but
/// none of the data. Statements that set a password keep their shape and lose the password this way too.
pub(super) fn outline(statement: &[u8]) -> String {
    let mut out = String::new();
    let mut rest = statement;
    let mut space = false;
    while let Some((&byte, tail)) = rest.split_first() {
        if out.len() >= OUTLINE_MAX {
            out.push('…');
            break;
        }
        match byte {
            b'\'' | b'"' => {
                gap(&mut space, &mut out);
                out.push('?');
                rest = after_quote(tail, byte);
                continue;
            }
            // PostgreSQL's dollar quotes: $$ … $$ and $tag$ … $tag$. A parameter ($1) is not one.
            b'$' if dollar_tag(rest).is_some() => {
                let tag = dollar_tag(rest).unwrap_or_default();
                gap(&mut space, &mut out);
                out.push('?');
                let body = &rest[tag.len()..];
                rest =
                    body.windows(tag.len()).position(|w| w == tag).map_or(&[], |at| &body[at + tag.len()..]);
                continue;
            }
            b'-' if tail.first() == Some(&b'-') => {
                rest = tail.iter().position(|b| *b == b'\n').map_or(&[], |at| &tail[at..]);
                continue;
            }
            b'/' if tail.first() == Some(&b'*') => {
                rest = tail.windows(2).skip(1).position(|w| w == b"*/").map_or(&[], |at| &tail[at + 3..]);
                space = true;
                continue;
            }
            b'0'..=b'9' if !out.ends_with(is_word) || space => {
                gap(&mut space, &mut out);
                out.push('?');
                let end =
                    tail.iter().position(|b| !is_word(char::from(*b)) && *b != b'.').unwrap_or(tail.len());
                rest = &tail[end..];
                continue;
            }
            0..=b' ' => space = true,
            _ => {
                gap(&mut space, &mut out);
                // Bytes that are not ASCII belong to names in some character set: one sign stands for all of them.
                match byte {
                    0x80.. => {
                        if !out.ends_with('\u{fffd}') {
                            out.push('\u{fffd}');
                        }
                    }
                    _ => out.push(char::from(byte)),
                }
            }
        }
        rest = tail;
    }
    out
}

/// The same for UTF-16 in little-endian order, as TDS has it.
pub(super) fn outline_utf16(statement: &[u8]) -> String {
    let bytes: Vec<u8> = statement
        .chunks_exact(2)
        .take(OUTLINE_MAX * 8)
        .map(|unit| if unit[1] == 0 && unit[0] < 0x80 { unit[0] } else { 0xff })
        .collect();
    outline(&bytes)
}

fn gap(space: &mut bool, out: &mut String) {
    if *space && !out.is_empty() {
        out.push(' ');
    }
    *space = false;
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '@' | '#' | '\u{fffd}')
}

/// What follows a quoted literal; a doubled quote and a backslash do not end it.
fn after_quote(bytes: &[u8], quote: u8) -> &[u8] {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match *byte {
            b'\\' => at += 2,
            b if b == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            b if b == quote => return &bytes[at + 1..],
            _ => at += 1,
        }
    }
    &[]
}

/// The opening `$tag$` at the start of `bytes`.
fn dollar_tag(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().skip(1).take(64).position(|b| *b == b'$')? + 1;
    let name = &bytes[1..end];
    let fits = name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
        && !name.first().is_some_and(u8::is_ascii_digit);
    fits.then(|| &bytes[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_left_out() {
        let shown = |s: &str| outline(s.as_bytes());
        assert_eq!(
            shown("select * from t1 where a = 'x''y\\'z' and b=12.5e3"),
            "select * from t1 where a = ? and b=?"
        );
        assert_eq!(shown("SET PASSWORD = 'hunter2'"), "SET PASSWORD = ?");
        assert_eq!(shown("select $$it's$$, $a$ $b$ $a$, $1"), "select ?, ?, $1");
        assert_eq!(shown("select /* c */ 1 -- two\n from x"), "select ? from x");
        assert_eq!(shown("select 0xDEADBEEF, x1, utf8mb4"), "select ?, x1, utf8mb4");
        assert_eq!(shown("select 'never closed"), "select ?");
        assert_eq!(shown("  a\t\r\n b "), "a b");
        assert!(shown(&"a,".repeat(500)).len() < OUTLINE_MAX + 8);
    }

    #[test]
    fn utf_16() {
        let wide: Vec<u8> = "exec sp_x N'geheim'".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(outline_utf16(&wide), "exec sp_x N?");
    }
}
