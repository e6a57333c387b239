//! What is wrong with an expression, where, and what to do about it.

use std::fmt;

/// A range of bytes of the expression's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Where it starts.
    pub start: usize,
    /// Where it ends (the first byte after it).
    pub end: usize,
}

impl Span {
    /// From one byte to before another.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// From the start of this one to the end of the other.
    pub(crate) fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end.max(self.end) }
    }
}

/// What kind of mistake it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is no expression.
    #[error("{0}")]
    Syntax(String),
    /// There is no such field.
    #[error("there is no field `{name}`")]
    UnknownField {
        /// As written.
        name: String,
        /// The nearest that there is, if any is near.
        nearest: Option<String>,
    },
    /// There is no such function.
    #[error("there is no function `{0}`")]
    UnknownFunction(String),
    /// There is no such list.
    #[error("there is no list `${0}`")]
    UnknownList(String),
    /// Things of kinds that cannot go together.
    #[error("{0}")]
    Kind(String),
    /// A constant that its place cannot hold.
    #[error("{0}")]
    Range(String),
    /// A test that doesn't depend on any field.
    #[error("{0}")]
    Constant(String),
    /// A regular expression that cannot be used.
    #[error("the pattern cannot be used: {0}")]
    Pattern(String),
    /// The expression is beyond a limit of the language.
    #[error("{0}")]
    Limit(String),
}

/// Why an expression does not compile. Its `Display` is one line; [`Error::report`] shows the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.kind)]
pub struct Error(Box<Problem>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    kind: ErrorKind,
    span: Span,
    label: String,
    help: String,
    input: Box<str>,
}

impl Error {
    pub(crate) fn new(span: Span, kind: ErrorKind) -> Self {
        Self(Box::new(Problem { kind, span, label: String::new(), help: String::new(), input: "".into() }))
    }

    pub(crate) fn syntax(span: Span, message: impl Into<String>) -> Self {
        Self::new(span, ErrorKind::Syntax(message.into()))
    }

    /// What is written beside the caret.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.0.label = label.into();
        self
    }

    /// What to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = help.into();
        self
    }

    pub(crate) fn in_text(mut self, input: &str) -> Self {
        self.0.input = input.into();
        self
    }

    /// What kind of mistake it is.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Where it is.
    pub fn span(&self) -> Span {
        self.0.span
    }

    /// What is written beside the caret; may be empty.
    pub fn beside(&self) -> &str {
        &self.0.label
    }

    /// What to do about it, if there is something to say.
    pub fn advice(&self) -> Option<&str> {
        Some(self.0.help.as_str()).filter(|help| !help.is_empty())
    }

    /// Several lines for people: what is wrong, the place with a caret under it, and what to do. No line ends in
    /// white space, and the last has no newline.
    pub fn report(&self) -> String {
        let Problem { kind, span, label, help, input } = &*self.0;
        excerpt("error", &kind.to_string(), None, input, *span, label, help)
    }
}

/// Something in an expression that is probably not meant as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Warning {
    /// Where it is.
    pub fn span(&self) -> Span {
        self.span
    }

    /// What to do about it.
    pub fn advice(&self) -> &str {
        &self.help
    }

    /// As [`Error::report`]; `input` is the text that was compiled ([`Program::source`](crate::Program::source)).
    pub fn report(&self, input: &str) -> String {
        excerpt("warning", &self.message, None, input, self.span, "", &self.help)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Columns of the expression's line that are shown at most.
const EXCERPT_COLUMNS: usize = 96;

/// What is said of a place in a text: the message, the line with a caret under the place and `label` beside it, and what
/// to do. With `file` the place is named as well, as `file:line:column`, counted from 1 and in characters. Control
/// characters are shown as one plain character each. No line ends in white space, and the last has no newline.
pub fn excerpt(
    severity: &str,
    message: &str,
    file: Option<&str>,
    input: &str,
    span: Span,
    label: &str,
    help: &str,
) -> String {
    // Messages quote the expression, which may hold control characters that a terminal would obey.
    let mut out = format!("{severity}: {}", printable(message));
    let start = floor(input, span.start);
    let end = floor(input, span.end).max(start);
    let line_start = input[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = input[start..].find('\n').map_or(input.len(), |at| start + at);
    let number = input[..line_start].matches('\n').count() + 1;

    // A window of the line around the place, in characters.
    let line: Vec<char> = input[line_start..line_end].chars().collect();
    let from = input[line_start..start].chars().count();
    let width = input[start..end.min(line_end)].chars().count().max(1);
    let first = if line.len() <= EXCERPT_COLUMNS { 0 } else { from.saturating_sub(EXCERPT_COLUMNS / 3) };
    let last = line.len().min(first + EXCERPT_COLUMNS);
    let before = if first > 0 { "…" } else { "" };
    let after = if last < line.len() { "…" } else { "" };
    let shown: String = line.get(first..last).unwrap_or(&[]).iter().collect();
    let shown = printable(&shown);

    let gutter = " ".repeat(number.to_string().len());
    let indent = " ".repeat(from - first + before.chars().count());
    let caret = "^".repeat(width.min((first + EXCERPT_COLUMNS).saturating_sub(from)).max(1));
    let mark = format!("{gutter} | {indent}{caret} {}", printable(label));
    if let Some(file) = file {
        out += &format!("\n{gutter}--> {}:{number}:{}", printable(file), from + 1);
    }
    out += &format!(
        "\n{gutter} |\n{}\n{}",
        format!("{number} | {before}{shown}{after}").trim_end(),
        mark.trim_end()
    );
    if !help.is_empty() {
        out += &format!("\n{gutter} = help: {}", printable(help));
    }
    out
}

/// The character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Control characters (and what turns the direction of writing) each as one plain character.
fn printable(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if hidden(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
