//! Text from the network, made harmless for people's eyes.
//!
//! That it can't become markup is the templates' affair, which escape everything. Here it is about what a browser obeys even as
//! text: characters that turn the direction of reading round, that hide, or that break a line.

use std::fmt::Write as _;

/// The longest text that a table shows, in characters; the whole is in the title and on its own page.
const CELL_MAX: usize = 80;
/// The longest that is shown anywhere. What comes from the network may be longer, and nobody reads it.
const WHOLE_MAX: usize = 2000;

/// The text with controls and what hides or turns text made visible: `\u{202e}`.
pub(crate) fn visible(text: &str) -> String {
    cut(text, WHOLE_MAX)
}

/// The same for a cell of a table.
pub(crate) fn cell(text: &str) -> String {
    cut(text, CELL_MAX)
}

fn cut(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most));
    for (i, character) in text.chars().enumerate() {
        if i >= most {
            out.push('…');
            break;
        }
        if is_hidden(character) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

/// True of a character that is not seen as itself: controls, marks of direction, joiners, tags, selectors, private use.
pub(crate) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}

/// JSON in which neither markup nor what hides stands as itself, so that it is harmless wherever it is shown. It means the same:
/// such characters are within strings only, where JSON lets any character be escaped.
pub(crate) fn json(value: &impl serde::Serialize) -> Vec<u8> {
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if matches!(character, '<' | '>' | '&') || is_hidden(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
    out.into_bytes()
}

/// A cell of CSV. What a spreadsheet would take for a formula begins with an apostrophe; controls are made visible.
pub(crate) fn csv_cell(text: &str) -> String {
    let mut shown = visible(text);
    if shown.starts_with(['=', '+', '-', '@', '|', '%', '\'']) || text.starts_with(['\t', '\r', '\n']) {
        shown.insert(0, '\'');
    }
    match shown.contains([',', '"', ';', ' ']) {
        true => format!("\"{}\"", shown.replace('"', "\"\"")),
        false => shown,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_hides_is_seen() {
        assert_eq!(visible("a\u{202e}gpj.exe\n\u{7}"), "a\\u{202e}gpj.exe\\u{a}\\u{7}");
        assert_eq!(visible("Привіт, 世界 é"), "Привіт, 世界 é");
        assert_eq!(cell(&"x".repeat(500)).chars().count(), CELL_MAX + 1);
    }

    #[test]
    fn a_spreadsheet_gets_no_formula() {
        assert_eq!(csv_cell("=A(\"b\")"), "\"'=A(\"\"b\"\")\"");
        assert_eq!(csv_cell("@SUM(A1)"), "'@SUM(A1)");
        assert_eq!(csv_cell("\t=1"), "'\\u{9}=1");
        assert_eq!(csv_cell("www.example.org"), "www.example.org");
    }

    proptest! {
        #[test]
        fn json_means_the_same(text in any::<String>()) {
            let written = json(&text);
            prop_assert!(!written.iter().any(|byte| matches!(byte, b'<' | b'>' | b'&' | 0..=0x1f)));
            prop_assert_eq!(serde_json::from_slice::<String>(&written).unwrap(), text);
        }

        #[test]
        fn nothing_hides(text in any::<String>()) {
            prop_assert!(!visible(&text).chars().any(is_hidden));
            let cell = csv_cell(&text);
            prop_assert!(!cell.trim_start_matches('"').starts_with(['=', '+', '-', '@', '\t']));
        }
    }
}
