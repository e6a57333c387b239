//! Cards and the like as a line of text: for a chat, a code on paper, a voice on the telephone.
//!
//! ```text
//! DAYLIGHT:C0 5A …            the prefix, then pairs of characters, each pair a number of ten bits
//!   pair 0       the kind (a letter) and the version of the format (0)
//!   pair 1       how many bytes there are
//!   pairs 2…     the bytes, five bits a character, the highest first, filled up with zeros to a whole pair
//!   six pairs    check symbols, see `code`
//! ```
//!
//! The alphabet is Crockford's base 32: digits, and the letters but I, L, O and U. Capitals make the smallest codes;
//! when read, small letters are as good, and what looks like a character of the alphabet is taken for it, also from the
//! Cyrillic keyboard. Blanks, line breaks, hyphens and the marks of quoted mail are passed over.
//!
//! One or two mistyped characters are mended, also one that is missing or one too many, and the reader is told which.

mod code;

use std::fmt;

use crate::error::{Error, Result};
use crate::signed::Kind;

/// What a line begins with.
pub const PREFIX: &str = "DAYLIGHT:";
/// No line holds more bytes.
pub const LINE_BYTES_MAX: usize = 1023;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const VERSION: u16 = 0;
/// How many characters stand together where people read or type them.
pub const GROUP: usize = 5;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Of which kind it is.
    pub kind: Kind,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What was wrong and could be mended.
    pub mended: Vec<Mended>,
}

/// A mistake that was mended. Characters are counted from 1, after the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mended {
    /// A character was another.
    Wrong {
        /// Which character.
        at: usize,
        /// What it must be.
        should: char,
    },
    /// There was a character too many, or one was missing, about here.
    Shifted {
        /// Which character.
        at: usize,
    },
}

impl fmt::Display for Mended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = |at: usize| at.div_ceil(GROUP);
        match self {
            Self::Wrong { at, should } => {
                write!(f, "character {at} (in group {}) must be {should}", group(*at))
            }
            Self::Shifted { at } => {
                write!(f, "near character {at} (in group {}) there was one too many or too few", group(*at))
            }
        }
    }
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// A character is none that lines have.
    #[error("character {at} of the line is {found:?}, which none has; lines have digits and Latin letters")]
    Character {
        /// Which character, from 1, after the prefix.
        at: usize,
        /// What it is.
        found: char,
    },
    /// It ends too early, or goes on.
    #[error(
        "the line has {found} characters, but begins as one of {expected} does; copy all of it, and it alone"
    )]
    Length {
        /// How many there are after the prefix.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// More is wrong than can be mended.
    #[error("the line is cut or damaged in more than two places; copy it again")]
    Damaged,
    /// It is of a kind or version that this program doesn't know.
    #[error("the line is of a kind that this version doesn't know ({kind}{version}); get a newer one")]
    Unknown {
        /// The character for the kind.
        kind: char,
        /// The version of the format.
        version: u16,
    },
    /// It is a line of another kind.
    #[error("the line is a {found}; a {wanted} is needed here")]
    Kind {
        /// What it is.
        found: Kind,
        /// What it should be.
        wanted: Kind,
    },
    /// There is no line.
    #[error("there is no line that begins with {PREFIX}")]
    Missing,
}

/// The line of these bytes, in capitals and without blanks.
///
/// # Errors
/// If there are more than [`LINE_BYTES_MAX`].
pub fn write(kind: Kind, bytes: &[u8]) -> Result<String> {
    if bytes.len() > LINE_BYTES_MAX {
        return Err(Error::TooLong { what: "line", len: bytes.len(), max: LINE_BYTES_MAX });
    }
    let mut word = vec![number(kind.letter()).unwrap_or_default() << 5 | VERSION, bytes.len() as u16];
    let (mut bits, mut held) = (0_u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        if held >= 10 {
            held -= 10;
            word.push((bits >> held & 0x3ff) as u16);
        }
    }
    if held > 0 {
        word.push((bits << (10 - held) & 0x3ff) as u16);
    }
    word.extend(code::checks(&word));
    let characters = word.iter().flat_map(|symbol| characters(*symbol));
    Ok(PREFIX.chars().chain(characters).collect())
}

/// Reads a line, with or without the prefix, however it was broken and typed.
///
/// # Errors
/// If it can't be read even with its mistakes mended.
pub fn read(text: &str) -> Result<Line, LineError> {
    let text = starts(text).first().map_or(text, |at| &text[at + PREFIX.len()..]);
    let digits = digits(text)?;
    let (word, mended) = if digits.len() % 2 == 0 {
        let (word, wrong) = mend(pairs(&digits), 2).ok_or_else(|| damaged(&digits))?;
        let mended = wrong.iter().flat_map(|(place, add)| {
            // Either character of the symbol, or both, may be wrong.
            let should = characters(word[*place]);
            let changed = [add >> 5, add & 31].map(|add| add != 0);
            (0..2).filter(move |half| changed[*half]).map(move |half| (2 * place + half, should[half]))
        });
        let mended = mended.map(|(at, should)| Mended::Wrong { at: at + 1, should }).collect();
        (word, mended)
    } else {
        let (word, at) = unshift(&digits).ok_or_else(|| damaged(&digits))?;
        (word, vec![Mended::Shifted { at: at + 1 }])
    };
    let (kind, version) = (word[0] >> 5, word[0] & 31);
    let letter = char::from(ALPHABET[usize::from(kind)]);
    let known = Kind::ALL.into_iter().find(|kind| kind.letter() == letter).filter(|_| version == VERSION);
    let kind = known.ok_or(LineError::Unknown { kind: letter, version })?;
    let len = usize::from(word[1]);
    if word.len() != symbols(len) {
        return Err(LineError::Length { found: digits.len(), expected: 2 * symbols(len) });
    }
    let bytes = bytes_of(&word[2..word.len() - code::CHECKS], len).ok_or(LineError::Damaged)?;
    Ok(Line { kind, bytes, mended })
}

/// Reads all lines of a text, each from its prefix to the next one's. Lines of the text that begin with `#` are passed over.
///
/// # Errors
/// If there is none, or one can't be read.
pub fn read_all(text: &str) -> Result<Vec<Line>, LineError> {
    let text: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    let starts = starts(&text);
    if starts.is_empty() {
        return Err(LineError::Missing);
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| read(&text[*start..end])).collect()
}

/// The characters after the prefix in groups, for people.
pub fn groups(line: &str) -> impl Iterator<Item = &str> {
    let body = line.strip_prefix(PREFIX).unwrap_or(line);
    (0..body.len()).step_by(GROUP).filter_map(move |at| body.get(at..(at + GROUP).min(body.len())))
}

/// Where prefixes stand.
fn starts(text: &str) -> Vec<usize> {
    let folded = text.to_ascii_uppercase();
    folded.match_indices(PREFIX).map(|(at, _)| at).collect()
}

/// How many symbols hold so many bytes.
fn symbols(len: usize) -> usize {
    2 + (8 * len).div_ceil(10) + code::CHECKS
}

fn characters(symbol: u16) -> [char; 2] {
    [symbol >> 5, symbol & 31].map(|digit| char::from(ALPHABET[usize::from(digit)]))
}

/// The number of a character, or of the one that it looks like.
fn number(c: char) -> Option<u16> {
    let c = match c.to_uppercase().next()? {
        'O' | 'О' => '0',
        'I' | 'L' | 'І' | '|' => '1',
        'U' => 'V',
        // Letters of the Cyrillic keyboard that look like Latin ones.
        'А' => 'A',
        'В' => 'B',
        'Е' | 'Ё' => 'E',
        'З' => '3',
        'К' => 'K',
        'М' => 'M',
        'Н' => 'H',
        'Р' => 'P',
        'С' => 'C',
        'Т' => 'T',
        'У' | 'Ў' => 'Y',
        'Х' => 'X',
        'Ѕ' => 'S',
        'Ј' => 'J',
        other => other,
    };
    let byte = u8::try_from(c).ok()?;
    ALPHABET.iter().position(|digit| *digit == byte).map(|at| at as u16)
}

/// What stands between characters and means nothing.
fn is_filling(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '-' | '>' | '_' | '.' | '\u{ad}' | '\u{2010}'..='\u{2015}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

fn digits(text: &str) -> Result<Vec<u16>, LineError> {
    let characters = text.chars().filter(|c| !is_filling(*c)).enumerate();
    let digits = characters.map(|(at, c)| number(c).ok_or(LineError::Character { at: at + 1, found: c }));
    // One more than fits shows that there are too many.
    digits.take(2 * code::SYMBOLS_MAX + 2).collect()
}

fn pairs(digits: &[u16]) -> Vec<u16> {
    digits.chunks_exact(2).map(|pair| pair[0] << 5 | pair[1]).collect()
}

/// A word without its mistakes, if there are at most so many, and where they were.
fn mend(mut word: Vec<u16>, most: usize) -> Option<(Vec<u16>, Vec<code::Wrong>)> {
    if !(symbols(0)..=code::SYMBOLS_MAX).contains(&word.len()) {
        return None;
    }
    let wrong = code::find(&word, most)?;
    for (place, add) in &wrong {
        word[*place] ^= add;
    }
    Some((word, wrong))
}

/// Mends a word of which one character is missing, or which has one too many: tries each place.
fn unshift(digits: &[u16]) -> Option<(Vec<u16>, usize)> {
    let fits = |word: &[u16]| word.get(1).is_some_and(|len| symbols(usize::from(*len)) == word.len());
    // Behind the length it says already how many characters there are: most attempts cost nothing.
    let attempt = |at: usize, changed: Vec<u16>| {
        let word = Some(pairs(&changed)).filter(|word| at <= 4 || fits(word))?;
        let (word, _) = mend(word, 1)?;
        fits(&word).then_some((word, at))
    };
    if digits.len() > 2 * code::SYMBOLS_MAX {
        return None;
    }
    // With the missing character put in, or one taken out, at the wrong place of the right pair, this pair is the only
    // wrong symbol: it is enough to try one place of each.
    let mut places = (0..digits.len()).step_by(2);
    let inserted = places.clone().find_map(|at| attempt(at, [&digits[..at], &[0], &digits[at..]].concat()));
    inserted.or_else(|| places.find_map(|at| attempt(at, [&digits[..at], &digits[at + 1..]].concat())))
}

/// Says of characters that make no line whether they are too few, if their beginning can be believed.
fn damaged(digits: &[u16]) -> LineError {
    let [kind, version, high, low, ..] = *digits else { return LineError::Missing };
    let expected = 2 * symbols(usize::from(high << 5 | low));
    let begins_well =
        Kind::ALL.into_iter().any(|known| number(known.letter()) == Some(kind)) && version == VERSION;
    if begins_well && expected != digits.len() {
        LineError::Length { found: digits.len(), expected }
    } else {
        LineError::Damaged
    }
}

/// The bytes in these symbols; what fills up the last one must be zeros.
fn bytes_of(symbols: &[u16], len: usize) -> Option<Vec<u8>> {
    let (mut bits, mut held) = (0_u32, 0);
    let mut bytes = Vec::with_capacity(len);
    for symbol in symbols {
        bits = bits << 10 | u32::from(*symbol);
        held += 10;
        while held >= 8 && bytes.len() < len {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    (bytes.len() == len && bits & ((1 << held) - 1) == 0).then_some(bytes)
}

#[cfg(test)]
mod tests;
