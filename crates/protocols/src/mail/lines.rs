//! What the line protocols share: lines, their first words, and numbered replies.

use crate::cursor;

/// A line of a command or a reply may be this long. RFC 5321 allows 512 bytes, RFC 2449 255; others say nothing.
pub(crate) const LINE_MAX: usize = 8192;

/// The next line of a stream.
pub(crate) enum Line<'a> {
    /// A line without its end, and how many bytes it took with it.
    Whole(&'a [u8], usize),
    /// The end is not there yet: so many bytes are needed at least.
    Partial(usize),
    /// Longer than [`LINE_MAX`]: this is no line protocol (any more).
    TooLong,
}

/// The first line of `bytes`.
pub(crate) fn next(bytes: &[u8]) -> Line<'_> {
    let head = bytes.get(..LINE_MAX).unwrap_or(bytes);
    match cursor::line(head) {
        Some((line, used)) => Line::Whole(line, used),
        None if bytes.len() >= LINE_MAX => Line::TooLong,
        None => Line::Partial(bytes.len() + 1),
    }
}

/// All whole lines of `bytes`.
pub(crate) fn all(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (line, used) = cursor::line(bytes)?;
        bytes = &bytes[used..];
        Some(line)
    })
}

/// The first word of a line, and what follows the space after it.
pub(crate) fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|b| *b == b' ') {
        Some(n) => (&line[..n], line[n + 1..].trim_ascii()),
        None => (line, b""),
    }
}

/// True if `line` holds `word`, in any case, with no letter or digit on either side of it.
pub(crate) fn has_word(line: &[u8], word: &[u8]) -> bool {
    let edge = |b: Option<&u8>| b.is_none_or(|b| !b.is_ascii_alphanumeric());
    (0..line.len().saturating_sub(word.len() - 1)).any(|i| {
        let end = i + word.len();
        line[i..end].eq_ignore_ascii_case(word) && (i == 0 || edge(line.get(i - 1))) && edge(line.get(end))
    })
}

/// True if `line` holds `part` anywhere, in any case.
pub(crate) fn contains(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len()).any(|w| w.eq_ignore_ascii_case(part))
}

/// What a server that greets with `220` says it is, going by the words of its greeting. Host names don't count: there
/// are mail servers on `ftp.example.com`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    Smtp,
    Ftp,
    /// Neither, or both.
    Unclear,
}

/// Reads the text of a `220` greeting.
pub(crate) fn greeting(text: &[u8]) -> Greeting {
    let words = text.split(u8::is_ascii_whitespace).map(|w| {
        let inner = |b: &u8| !b.is_ascii_alphanumeric();
        let start = w.iter().position(|b| !inner(b)).unwrap_or(w.len());
        let end = w.iter().rposition(|b| !inner(b)).map_or(start, |n| n + 1);
        &w[start..end]
    });
    let (mut smtp, mut ftp) = (false, contains(text, b"FileZilla Server"));
    for word in words.filter(|w| !w.contains(&b'.')) {
        smtp |= [&b"SMTP"[..], b"ESMTP", b"ESMTPS", b"LMTP"].iter().any(|w| w.eq_ignore_ascii_case(word));
        // "FTP" is part of the name of most servers: ProFTPD, Pure-FTPd, vsFTPd.
        ftp |= contains(word, b"FTP");
    }
    match (smtp, ftp) {
        (true, false) => Greeting::Smtp,
        (false, true) => Greeting::Ftp,
        _ => Greeting::Unclear,
    }
}

/// True if `line` starts with `word`, in any case.
pub(crate) fn starts(line: &[u8], word: &[u8]) -> bool {
    line.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
}

/// True if this is text: no control characters but the tab. Bytes from 0x80 on are allowed: banners are in all charsets.
pub(crate) fn is_text(line: &[u8]) -> bool {
    line.iter().all(|b| *b == b'\t' || (*b >= 0x20 && *b != 0x7f))
}

/// Text from a line, of bounded length, for evidence.
pub(crate) fn shown(text: &[u8]) -> String {
    String::from_utf8_lossy(text.get(..128).unwrap_or(text)).into_owned()
}

/// A number in decimal and nothing else.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

/// The start of a numbered reply: `250-text` (more follows) or `250 text`, `250`.
pub(crate) fn code(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = line else { return None };
    let code = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
    match rest {
        [] => Some((code, true, rest)),
        [b' ', text @ ..] => Some((code, true, text)),
        [b'-', text @ ..] => Some((code, false, text)),
        _ => None,
    }
}

/// Numbered replies, of one line or several, as SMTP (RFC 5321 §4.2.1) and FTP (RFC 959 §4.2) have them. FTP lets the
/// lines between the first and the last look like anything.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    open: Option<u16>,
}

/// One line of a numbered reply.
pub(crate) struct Reply<'a> {
    pub(crate) code: u16,
    pub(crate) text: &'a [u8],
    /// It is the reply's last line.
    pub(crate) last: bool,
}

impl Replies {
    /// Reads a line; `None` if it is no reply.
    pub(crate) fn line<'a>(&mut self, line: &'a [u8]) -> Option<Reply<'a>> {
        let (code, last, text) = match (code(line), self.open) {
            (Some((code, last, text)), None) => (code, last, text),
            (Some((code, last, text)), Some(open)) if code == open => (code, last, text),
            (_, Some(open)) => (open, false, line),
            (None, None) => return None,
        };
        self.open = (!last).then_some(code);
        Some(Reply { code, text: text.trim_ascii(), last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_edges() {
        assert!(has_word(b"220 mx ESMTP Postfix", b"esmtp"));
        assert!(has_word(b"SMTP", b"smtp"));
        assert!(!has_word(b"220 mx ESMTPS", b"esmtp"));
        assert!(!has_word(b"sm", b"smtp"));
    }

    #[test]
    fn greetings() {
        for (text, is) in [
            ("mx.example.com ESMTP Postfix", Greeting::Smtp),
            ("ftp.example.com ESMTP", Greeting::Smtp),
            ("Welcome (SMTP)", Greeting::Smtp),
            ("(vsFTPd 3.0.3)", Greeting::Ftp),
            ("smtp.example.com FTP server (Version wu-2.6.1) ready.", Greeting::Ftp),
            ("ftp.example.com ready", Greeting::Unclear),
            ("smtp.example.com ready", Greeting::Unclear),
            ("ESMTP FTP server", Greeting::Unclear),
        ] {
            assert_eq!(greeting(text.as_bytes()), is, "{text}");
        }
    }

    #[test]
    fn a_reply_of_several_lines_ends_with_its_code_and_a_space() {
        let mut replies = Replies::default();
        assert!(!replies.line(b"211-Features:").is_some_and(|r| r.last));
        let inner = replies.line(b" 226 not the end").map(|r| (r.code, r.last));
        assert_eq!(inner, Some((211, false)));
        assert_eq!(replies.line(b"226 nor this").map(|r| (r.code, r.last)), Some((211, false)));
        assert!(replies.line(b"211 End").is_some_and(|r| r.last));
        assert!(replies.line(b"no code").is_none());
    }
}
