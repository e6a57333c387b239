//! Text to tokens. Words are taken whole, with the dots, colons and hyphens in them: whether `aa:bb` is bytes or
//! `10.0.0.1` an address is decided where it is known what they are compared with.

use crate::ast::{ArithmeticOp, CompareOp, Quantifier, SliceEnd, SliceRange};
use crate::{Error, Span};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    Word(&'a str),
    Text(Vec<u8>),
    Char(u8),
    List(&'a str),
    Compare(CompareOp),
    Arithmetic(ArithmeticOp),
    Quantifier(Quantifier),
    Contains,
    Matches,
    In,
    And,
    Or,
    Xor,
    Not,
    /// `(` or `{`
    Open(char),
    /// `)` or `}`
    Close(char),
    Bracket,
    Comma,
    DotDot,
    End,
}

/// The tokens that are spelt as words.
pub(crate) fn keyword(word: &str) -> Option<Token<'static>> {
    Some(match word {
        "eq" | "any_eq" => Token::Compare(CompareOp::AnyEq),
        "all_eq" => Token::Compare(CompareOp::AllEq),
        "any_ne" => Token::Compare(CompareOp::AnyNe),
        "ne" | "all_ne" => Token::Compare(CompareOp::AllNe),
        "lt" => Token::Compare(CompareOp::Lt),
        "le" => Token::Compare(CompareOp::Le),
        "gt" => Token::Compare(CompareOp::Gt),
        "ge" => Token::Compare(CompareOp::Ge),
        "bitand" | "bitwise_and" => Token::Arithmetic(ArithmeticOp::BitAnd),
        "any" => Token::Quantifier(Quantifier::Any),
        "all" => Token::Quantifier(Quantifier::All),
        "contains" => Token::Contains,
        "matches" => Token::Matches,
        "in" => Token::In,
        "and" => Token::And,
        "or" => Token::Or,
        "xor" => Token::Xor,
        "not" => Token::Not,
        _ => return None,
    })
}

/// The tokens that are spelt with symbols, longer ones first.
const SYMBOLS: [(&str, Token<'static>); 27] = [
    ("===", Token::Compare(CompareOp::AllEq)),
    ("!==", Token::Compare(CompareOp::AnyNe)),
    ("==", Token::Compare(CompareOp::AnyEq)),
    ("!=", Token::Compare(CompareOp::AllNe)),
    ("~=", Token::Compare(CompareOp::AnyNe)),
    ("<=", Token::Compare(CompareOp::Le)),
    (">=", Token::Compare(CompareOp::Ge)),
    ("&&", Token::And),
    ("||", Token::Or),
    ("^^", Token::Xor),
    ("..", Token::DotDot),
    ("<", Token::Compare(CompareOp::Lt)),
    (">", Token::Compare(CompareOp::Gt)),
    ("!", Token::Not),
    ("~", Token::Matches),
    ("&", Token::Arithmetic(ArithmeticOp::BitAnd)),
    ("+", Token::Arithmetic(ArithmeticOp::Add)),
    ("-", Token::Arithmetic(ArithmeticOp::Sub)),
    ("*", Token::Arithmetic(ArithmeticOp::Mul)),
    ("/", Token::Arithmetic(ArithmeticOp::Div)),
    ("%", Token::Arithmetic(ArithmeticOp::Rem)),
    ("(", Token::Open('(')),
    ("{", Token::Open('{')),
    (")", Token::Close(')')),
    ("}", Token::Close('}')),
    ("[", Token::Bracket),
    (",", Token::Comma),
];

pub(crate) struct Lexer<'a> {
    pub(crate) text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    /// The next token and where it stands.
    pub(crate) fn next(&mut self) -> Result<(Token<'a>, Span), Error> {
        self.skip_space();
        let start = self.at;
        let token = self.token()?;
        Ok((token, Span::new(start, self.at)))
    }

    fn token(&mut self) -> Result<Token<'a>, Error> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        if first == '"' {
            return self.text_token(1, false);
        }
        if rest.starts_with("r\"") || rest.starts_with("R\"") {
            return self.text_token(2, true);
        }
        if first == '\'' {
            return self.char_token();
        }
        if first == '$' {
            return self.list_token();
        }
        let word = word_len(rest);
        if word > 0 {
            let word = &rest[..word];
            self.at += word.len();
            return Ok(keyword(word).unwrap_or(Token::Word(word)));
        }
        for (symbol, token) in &SYMBOLS {
            if rest.starts_with(symbol) {
                self.at += symbol.len();
                return Ok(token.clone());
            }
        }
        Err(self.unexpected(first))
    }

    fn unexpected(&self, found: char) -> Error {
        let error = |length: usize, message: &str, help: &str| {
            Error::syntax(Span::new(self.at, self.at + length), message.to_owned()).help(help)
        };
        match found {
            '=' => error(1, "`=` is not an operator", "write == to compare"),
            '|' => error(1, "`|` is not an operator", "write || or `or`"),
            '^' => error(1, "`^` is not an operator", "write ^^ or `xor`"),
            '“' | '”' | '„' | '«' | '»' => error(
                found.len_utf8(),
                "typographic quotes don't delimit text",
                "use the straight double quote: \"",
            ),
            '`' => error(1, "a backquote doesn't delimit text", "use double quotes: \""),
            '#' => error(
                1,
                "`#` has no meaning here",
                "a record has no layers to choose from, and there are no comments",
            ),
            '@' => error(1, "`@` has no meaning here", "fields of a record have no raw form to ask for"),
            ']' => error(1, "`]` without a `[`", ""),
            ';' => error(
                1,
                "`;` has no meaning here",
                "items of a set are separated by commas, tests by `and` or `or`",
            ),
            c => error(c.len_utf8(), &format!("`{c}` has no meaning here"), "text belongs in double quotes"),
        }
    }

    fn list_token(&mut self) -> Result<Token<'a>, Error> {
        let name = &self.rest()[1..];
        let length =
            name.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')).count();
        let name = name[..length].trim_end_matches('.');
        if name.is_empty() {
            return Err(Error::syntax(Span::new(self.at, self.at + 1), "a list's name is missing after `$`")
                .help(
                    "name a list, such as $blocked-domains; macros and field references don't exist here",
                ));
        }
        self.at += 1 + name.len();
        Ok(Token::List(name))
    }

    /// `"…"`, or `r"…"` where a backslash is just that (but still keeps a quote after it from ending the text).
    fn text_token(&mut self, open: usize, raw: bool) -> Result<Token<'a>, Error> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut out = Vec::new();
        self.at += open;
        loop {
            match bytes.get(self.at) {
                None => {
                    return Err(Error::syntax(Span::new(start, self.text.len()), "the text never ends")
                        .help("a closing double quote is missing"));
                }
                Some(b'"') => break,
                Some(b'\\') if raw => {
                    out.push(b'\\');
                    self.at += 1;
                    if bytes.get(self.at) == Some(&b'"') {
                        out.push(b'"');
                        self.at += 1;
                    }
                }
                Some(b'\\') => self.escape(&mut out)?,
                Some(byte) => {
                    out.push(*byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(Token::Text(out))
    }

    fn char_token(&mut self) -> Result<Token<'a>, Error> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let mut out = Vec::new();
        self.at += 1;
        while let Some(byte) = bytes.get(self.at).filter(|byte| **byte != b'\'') {
            if *byte == b'\\' {
                self.escape(&mut out)?;
            } else {
                out.push(*byte);
                self.at += 1;
            }
        }
        let closed = bytes.get(self.at) == Some(&b'\'');
        self.at = (self.at + 1).min(bytes.len());
        match out[..] {
            [byte] if closed => Ok(Token::Char(byte)),
            _ => Err(Error::syntax(Span::new(start, self.at), "single quotes hold exactly one byte")
                .help("text belongs in double quotes")),
        }
    }

    /// A backslash and what follows.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = self.at;
        let after = self.text.get(start + 1..).unwrap_or("");
        let digits = |from: usize, max: usize, radix: u32| -> usize {
            after.get(from..).unwrap_or("").chars().take(max).take_while(|c| c.is_digit(radix)).count()
        };
        let value = |from: usize, length: usize, radix| {
            u32::from_str_radix(after.get(from..from + length).unwrap_or(""), radix).ok()
        };
        let simple = |byte| Some((vec![byte], 1));
        let point = |length: usize| {
            let c = (digits(1, length, 16) == length)
                .then(|| value(1, length, 16))
                .flatten()
                .and_then(char::from_u32)?;
            Some((c.to_string().into_bytes(), 1 + length))
        };
        let found = match after.chars().next() {
            Some(c @ ('\'' | '"' | '\\')) => simple(c as u8),
            Some('a') => simple(7),
            Some('b') => simple(8),
            Some('t') => simple(b'\t'),
            Some('n') => simple(b'\n'),
            Some('v') => simple(11),
            Some('f') => simple(12),
            Some('r') => simple(b'\r'),
            Some('x') => {
                let length = digits(1, 2, 16);
                value(1, length, 16).and_then(|v| u8::try_from(v).ok()).map(|v| (vec![v], 1 + length))
            }
            Some('0'..='7') => {
                let length = digits(0, 3, 8);
                value(0, length, 8).and_then(|v| u8::try_from(v).ok()).map(|v| (vec![v], length))
            }
            Some('u') => point(4),
            Some('U') => point(8),
            _ => None,
        };
        let Some((bytes, length)) = found else {
            let shown: String = after.chars().take(1).collect();
            let end = start + 1 + shown.len();
            return Err(Error::syntax(
                Span::new(start, end),
                format!("`\\{shown}` is not an escape sequence"),
            )
            .help("write \\\\ for a backslash, or r\"…\" for a text in which a backslash is just that"));
        };
        out.extend_from_slice(&bytes);
        self.at = start + 1 + length;
        Ok(())
    }

    /// What stands between `[` (which was taken) and `]`.
    pub(crate) fn slice(&mut self, open: Span) -> Result<(Vec<SliceRange>, Span), Error> {
        let Some(length) = self.rest().find(']') else {
            return Err(Error::syntax(open, "the slice never ends").help("a closing `]` is missing"));
        };
        let body = &self.rest()[..length];
        let mut ranges = Vec::new();
        let mut at = self.at;
        for part in body.split(',') {
            let range = slice_range(part.trim()).map_err(|message| {
                Error::syntax(Span::new(at, at + part.len()), message)
                    .help("a slice is [offset], [offset:length], [first-last], [:length] or [offset:]")
            })?;
            ranges.push(range);
            at += part.len() + 1;
        }
        self.at += length + 1;
        Ok((ranges, Span::new(open.start, self.at)))
    }
}

fn slice_range(part: &str) -> Result<SliceRange, &'static str> {
    let offset = |text: &str| text.trim().parse::<i32>().map_err(|_| "an offset is a whole number");
    if let Some((start, length)) = part.split_once(':') {
        let start = if start.trim().is_empty() { 0 } else { offset(start)? };
        if length.trim().is_empty() {
            return Ok(SliceRange { start, end: SliceEnd::Open });
        }
        let length = length.trim().parse::<u32>().ok().filter(|n| *n > 0 && *n <= i32::MAX as u32);
        return Ok(SliceRange {
            start,
            end: SliceEnd::Length(length.ok_or("a length is a whole number above 0")?),
        });
    }
    // The hyphen of a range is the first that doesn't begin the first offset.
    match part.get(1..).and_then(|rest| rest.find('-')) {
        Some(at) => {
            let (start, last) = (offset(&part[..=at])?, offset(&part[at + 2..])?);
            if (start < 0) == (last < 0) && last < start {
                return Err("the range is upside down");
            }
            Ok(SliceRange { start, end: SliceEnd::At(last) })
        }
        None => Ok(SliceRange { start: offset(part)?, end: SliceEnd::Length(1) }),
    }
}

/// How many bytes of the text are one word: letters, digits, `_`, and inside it `.` (but not `..`), `:`, `-`, the sign of
/// a decimal exponent, and a `/` with digits after an address.
fn word_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let at = |i: usize| bytes.get(i).copied().unwrap_or(0);
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !letter(at(0))
        && !(matches!(at(0), b'.' | b':') && (letter(at(1)) || (at(0) == b':' && at(1) == b':')))
    {
        return 0;
    }
    let mut len = 0;
    loop {
        let byte = at(len);
        let inside = letter(byte)
            || byte == b':'
            || (byte == b'.' && at(len + 1) != b'.')
            || (byte == b'-' && len > 0)
            || (byte == b'+'
                && at(len + 1).is_ascii_digit()
                && text[..len].strip_suffix(['e', 'E']).is_some_and(|mantissa| {
                    mantissa.starts_with(|c: char| c.is_ascii_digit())
                        && mantissa.bytes().all(|b| b.is_ascii_digit() || b == b'.')
                }));
        if !inside {
            break;
        }
        len += 1;
    }
    if at(len) == b'/' && at(len + 1).is_ascii_digit() && text[..len].parse::<std::net::IpAddr>().is_ok() {
        len += 1;
        while letter(at(len)) {
            len += 1;
        }
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut lexer = Lexer::new(text);
        let mut out = Vec::new();
        loop {
            match lexer.next().unwrap().0 {
                Token::End => return out,
                Token::Word(word) => out.push(word.to_owned()),
                token => out.push(format!("{token:?}")),
            }
        }
    }

    #[test]
    fn words_are_taken_whole() {
        for word in [
            "tls.sni",
            "iec-104.type",
            "10.0.0.1",
            "10.0.0.0/8",
            "2001:db8::/32",
            "::1",
            "::",
            "::ffff:1.2.3.4",
            "aa:bb:cc",
            ":fc",
            "fc:",
            "0x1f",
            "1e+5",
            "1.5e-3",
            ".5",
            "2024-01-01",
            "2024-01-01T00:00:00Z",
            "9p",
            "a-b",
        ] {
            assert_eq!(words(word), [word]);
        }
        assert_eq!(words("10..20"), ["10", "DotDot", "20"]);
        assert_eq!(words("1.0 .. 2.0"), ["1.0", "DotDot", "2.0"]);
        assert_eq!(words("fe80::1..fe80::5"), ["fe80::1", "DotDot", "fe80::5"]);
        assert_eq!(words("a/2"), ["a", "Arithmetic(Div)", "2"]);
        assert_eq!(words("10/2"), ["10", "Arithmetic(Div)", "2"]);
        assert_eq!(words("a+5"), ["a", "Arithmetic(Add)", "5"]);
        assert_eq!(words("a -5"), ["a", "Arithmetic(Sub)", "5"]);
    }

    #[test]
    fn texts() {
        let text = |input: &str| match Lexer::new(input).next().unwrap().0 {
            Token::Text(text) => text,
            token => panic!("{token:?}"),
        };
        assert_eq!(text(r#""a\"b\\c""#), b"a\"b\\c");
        assert_eq!(text(r#""\x48EAD""#), b"HEAD");
        assert_eq!(text(r#""\110EAD""#), b"HEAD");
        assert_eq!(text(r#""\u00e9\U0001F600""#), "é😀".as_bytes());
        assert_eq!(text(r#""\xff""#), b"\xff");
        assert_eq!(text(r#"r"\\SERVER\SHARE""#), br"\\SERVER\SHARE");
        assert_eq!(text(r#"r"a\"b""#), br#"a\"b"#);
        for bad in [
            r#""\z""#,
            r#""\x""#,
            r#""\u12""#,
            r#""\ud800x""#,
            r#""\400""#,
            "\"",
            r#""\""#,
            r#"r"\""#,
            "'ab'",
            "''",
            "'",
            "'é'",
        ] {
            assert!(Lexer::new(bad).next().is_err(), "{bad}");
        }
    }
}
