//! What is wrong with a scenario, where, and what to do.

use std::fmt;
use std::ops::Range;

use daylight_expr::nearest;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the text it is about.
    pub span: Range<usize>,
    /// What is wrong and how to mend it.
    pub what: String,
}

/// A scenario that can't be used: every problem with its file, line and column, and the line itself with a mark under it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ScenarioError {
    text: String,
    /// The problems in the order of the file.
    pub problems: Vec<Problem>,
}

/// How many problems a message spells out.
const SHOWN: usize = 12;
/// The longest part of a line that is shown.
const LINE_LEN_MAX: usize = 100;

/// A scenario's text and its name.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    pub(crate) file: &'a str,
}

impl Source<'_> {
    /// Line and column, counted from 1, columns in characters.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }

    pub(crate) fn error(&self, mut problems: Vec<Problem>) -> ScenarioError {
        problems.sort_by_key(|p| p.span.start);
        let mut shown: Vec<String> = problems.iter().take(SHOWN).map(|p| self.show(p)).collect();
        if problems.len() > SHOWN {
            shown.push(format!("and {} more", problems.len() - SHOWN));
        }
        ScenarioError { text: shown.join("\n"), problems }
    }

    fn show(&self, problem: &Problem) -> String {
        let (line, column) = self.position(problem.span.start);
        let shown: String =
            self.text.lines().nth(line - 1).unwrap_or_default().chars().take(LINE_LEN_MAX).collect();
        let mut message = format!("{}:{line}:{column}: {}", self.file, problem.what);
        if column <= shown.chars().count() + 1 {
            let marked = self.text.get(problem.span.clone()).unwrap_or_default();
            let marked = marked.lines().next().unwrap_or_default().chars().count();
            let room = shown.chars().count().saturating_sub(column - 1);
            let caret = "^".repeat(marked.clamp(1, room.max(1)));
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            // Tabs stay tabs, or the mark would stand under something else.
            let indent: String =
                shown.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            message.push_str(&format!("\n  {number} | {shown}\n  {margin} | {indent}{caret}"));
        }
        message
    }

    /// What the TOML reader complains of, with the nearest right name where a name is wrong.
    pub(crate) fn syntax(&self, error: &toml::de::Error) -> ScenarioError {
        let (_, what) = better(error.message());
        self.error(vec![Problem { span: error.span().unwrap_or(0..0), what }])
    }
}

/// serde's "unknown field `x`, expected one of `a`, `b`" in our words, and the wrong word.
pub(crate) fn better(message: &str) -> (Option<String>, String) {
    let (what, rest) = match message {
        m if m.starts_with("unknown field ") => ("key", m),
        m if m.starts_with("unknown variant ") => ("value", m),
        m => return (None, m.trim_end_matches('.').replace("missing field", "there is no key")),
    };
    let mut names = rest.split('`').skip(1).step_by(2);
    let wrong = names.next().unwrap_or_default();
    let right: Vec<&str> = names.collect();
    let said = match nearest(wrong, right.iter().copied()) {
        Some(near) => format!("there is no {what} {wrong:?} here; did you mean {near:?}?"),
        None if right.is_empty() => format!("there is no {what} {wrong:?} here"),
        None => format!("there is no {what} {wrong:?} here; there are {}", right.join(", ")),
    };
    (Some(wrong.to_owned()), said)
}

/// "; did you mean x?" or a list of what there is.
pub(crate) fn hint<'a>(wrong: &str, right: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(wrong, right.clone()) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => match right.take(12).collect::<Vec<_>>() {
            names if names.is_empty() => String::new(),
            names => format!("; there are {}", names.join(", ")),
        },
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
