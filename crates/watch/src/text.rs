//! Text from the network, made harmless for a terminal, and fitted into columns.
//!
//! A host name may hold anything: escape sequences that move the cursor, marks that turn the direction of writing, and
//! characters that take no room or more than one column. Whatever a terminal could obey is shown as its code.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Marks that may follow one character.
const MARKS_MAX: usize = 2;
/// Columns that a character takes at most, with what belongs to it.
const CLUSTER_WIDTH_MAX: usize = 2 + 2 * MARKS_MAX;

/// The text with everything written out that is not plainly visible: `\x1b`, `\u{202e}`.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    // Printable ASCII is nearly all there is.
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    // Marks that the character before may still take; none at the beginning, where they would join what stands before.
    let mut room = 0;
    let mut before = None;
    for c in text.chars() {
        // Some take room and yet belong to the character before: vowel signs, and letters that melt into one.
        let joins =
            || before.is_some_and(|before| String::from_iter([before, c]).graphemes(true).count() == 1);
        match c.width() {
            Some(0) if room > 0 && is_mark(c) => {
                room -= 1;
                out.push(c);
                before = Some(c);
            }
            Some(1..=2) if !c.is_ascii() && !is_odd(c) && joins() => {
                if room > 0 {
                    room -= 1;
                    out.push(c);
                    before = Some(c);
                } else {
                    escape(c, &mut out);
                    before = Some('}');
                }
            }
            // There are letters of three columns, and few terminals that know it.
            Some(1..=2) if !is_odd(c) => {
                room = if c == ' ' { 0 } else { MARKS_MAX };
                out.push(c);
                before = Some(c);
            }
            _ => {
                // Nothing belongs to a code.
                (room, before) = (0, Some('}'));
                escape(c, &mut out);
            }
        }
    }
    Cow::Owned(out)
}

/// Writes a character's code.
fn escape(c: char, out: &mut String) {
    // Writing to a String can't fail.
    let _ = match u32::from(c) {
        code @ 0..=0xff => write!(out, "\\x{code:02x}"),
        code => write!(out, "\\u{{{code:x}}}"),
    };
}

/// Marks that terminals put over or under a letter.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{487}' | '\u{591}'..='\u{5bd}' | '\u{64b}'..='\u{65f}'
        | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}')
}

/// What terminals don't agree on how to draw: other blanks than the space, parts of flags, shades of skin, private
/// characters, and letters that melt into each other or turn the direction.
fn is_odd(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{a0}' | '\u{ad}' | '\u{590}'..='\u{8ff}' | '\u{1680}' | '\u{2000}'..='\u{200f}'
        | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{2800}' | '\u{3000}' | '\u{3164}' | '\u{e000}'..='\u{f8ff}'
        | '\u{fb1d}'..='\u{fdff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe70}'..='\u{feff}' | '\u{fff0}'..='\u{ffff}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}' | '\u{1f1e6}'..='\u{1f1ff}' | '\u{1f3fb}'..='\u{1f3ff}'
        | '\u{e0000}'..)
}

/// Columns that a cleaned text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// As much of a text as fits into so many columns, cleaned; with `…` where something is left out.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let text = clean(text);
    if width(&text) <= columns {
        return text.into_owned();
    }
    let mut out = String::new();
    let mut left = columns.saturating_sub(1);
    for cluster in text.graphemes(true) {
        let wide = width(cluster);
        if wide > left {
            break;
        }
        left -= wide;
        out.push_str(cluster);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// A host name that doesn't fit loses its beginning: what it ends in says whose it is.
pub(crate) fn fit_host(text: &str, columns: usize) -> String {
    let text = clean(text);
    if width(&text) <= columns {
        return text.into_owned();
    }
    let mut kept = Vec::new();
    let mut left = columns.saturating_sub(1);
    for cluster in text.graphemes(true).rev() {
        let wide = width(cluster);
        if wide > left {
            break;
        }
        left -= wide;
        kept.push(cluster);
    }
    let rest: String = kept.into_iter().rev().collect();
    if columns > 0 { format!("…{rest}") } else { rest }
}

/// A text in a column of that width, to the left.
pub(crate) fn left(text: &str, columns: usize) -> String {
    pad(fit(text, columns), columns)
}

/// To the right; a number that doesn't fit is not cut but said to be too large.
pub(crate) fn right(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let blank = columns.saturating_sub(width(&text));
    format!("{}{text}", " ".repeat(blank))
}

/// With blanks after it up to that width.
pub(crate) fn pad(mut text: String, columns: usize) -> String {
    let blank = columns.saturating_sub(width(&text));
    text.extend(std::iter::repeat_n(' ', blank));
    text
}

/// Lines of at most so many columns, broken at blanks where there are any.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(CLUSTER_WIDTH_MAX);
    let text = clean(text);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word = word;
        let line = lines.last().map_or(0, |line| width(line));
        if line > 0 && line + 1 + width(word) > columns {
            lines.push(String::new());
        } else if line > 0
            && let Some(line) = lines.last_mut()
        {
            line.push(' ');
        }
        while width(word) > columns {
            // At least one cluster goes onto each line.
            let mut end = word.graphemes(true).next().map_or(0, str::len);
            let mut taken = 0;
            for (at, cluster) in word.grapheme_indices(true) {
                taken += width(cluster);
                if taken > columns {
                    break;
                }
                end = end.max(at + cluster.len());
            }
            let (head, tail) = word.split_at(end);
            if let Some(line) = lines.last_mut() {
                line.push_str(head);
            }
            lines.push(String::new());
            word = tail;
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_obeyed() {
        assert_eq!(clean("\x1b[31mred\u{9b}2J\r\n\x07"), r"\x1b[31mred\x9b2J\x0d\x0a\x07");
        assert_eq!(clean("evil\u{202e}moc.elpmaxe"), r"evil\u{202e}moc.elpmaxe");
        assert_eq!(clean("a\u{200b}b\u{2066}\u{feff}\u{e0041}"), r"a\u{200b}b\u{2066}\u{feff}\u{e0041}");
        assert_eq!(clean("e\u{301}\u{301}\u{301}"), "e\u{301}\u{301}\\u{301}");
        assert_eq!(clean("\u{301}x"), r"\u{301}x");
        assert_eq!(clean(&("ㄅ".to_owned() + &"\u{1134b}".repeat(3))), "ㄅ\u{1134b}\u{1134b}\\u{1134b}");
        assert_eq!(clean("\u{17d8}"), r"\u{17d8}");
        assert_eq!(clean("пример.бел 例え"), "пример.бел 例え");
    }

    #[test]
    fn fits() {
        assert_eq!(
            (fit("example.org", 8).as_str(), fit_host("example.org", 8).as_str()),
            ("example…", "…ple.org")
        );
        assert_eq!((fit("例え例え", 5), width(&left("例え例え", 6))), ("例え…".into(), 6));
        assert_eq!(
            (fit("abc", 3).as_str(), fit("abc", 0).as_str(), right("7", 3).as_str()),
            ("abc", "", "  7")
        );
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghijklmnop", 6), ["abcdef", "ghijkl", "mnop"]);
    }

    proptest! {
        #[test]
        fn no_text_breaks_a_column(text in any::<String>(), columns in 0usize..40) {
            for text in [fit(&text, columns), fit_host(&text, columns)] {
                prop_assert!(width(&text) <= columns, "{text:?}");
                prop_assert!(!text.chars().any(|c| c.is_control()));
            }
            prop_assert_eq!(width(&left(&text, columns)), columns);
            prop_assert_eq!(width(&right(&text, columns)), columns);
            for line in wrap(&text, columns) {
                prop_assert!(width(&line) <= columns.max(CLUSTER_WIDTH_MAX), "{line:?}");
            }
            // Cleaning what is clean changes nothing.
            let once = clean(&text).into_owned();
            prop_assert_eq!(&*clean(&once), &once);
        }
    }
}
