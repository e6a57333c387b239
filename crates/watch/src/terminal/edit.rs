//! The line in which a filter is written.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use daylight_expr::{Error, Program};

/// The longest filter that can be typed, in bytes.
const FILTER_LEN_MAX: usize = 4096;

/// A filter while it is being written.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    text: String,
    /// A byte of the text, at a character's beginning.
    cursor: usize,
    error: Option<Error>,
}

/// What a key did.
#[derive(Debug)]
pub(crate) enum Edited {
    /// It goes on.
    Yet,
    /// It is to be used; none if it is empty.
    Applied(Option<Arc<Program>>),
    /// It is to be left as it was.
    Left,
}

impl Editor {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), cursor: text.len(), error: None }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn cursor(&self) -> usize {
        self.cursor
    }

    /// What is wrong with it as it stands.
    pub(crate) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    pub(crate) fn key(&mut self, key: KeyEvent) -> Edited {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return self.apply(),
            KeyCode::Esc => return Edited::Left,
            KeyCode::Char('u') if control => self.delete(0, self.cursor),
            KeyCode::Char('k') if control => self.delete(self.cursor, self.text.len()),
            KeyCode::Char('w') if control => {
                let before = self.before();
                let word = before.trim_end().rfind(char::is_whitespace).map_or(0, |at| at + 1);
                self.delete(word, self.cursor);
            }
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.text.len(),
            KeyCode::Char(c) if !control && !key.modifiers.contains(KeyModifiers::ALT) => {
                self.insert(c.encode_utf8(&mut [0; 4]));
            }
            KeyCode::Backspace => self.delete(self.left(), self.cursor),
            KeyCode::Delete => self.delete(self.cursor, self.right()),
            KeyCode::Left => self.cursor = self.left(),
            KeyCode::Right => self.cursor = self.right(),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            _ => {}
        }
        Edited::Yet
    }

    /// Puts a text where the cursor is. What is pasted may hold line ends and worse.
    pub(crate) fn insert(&mut self, text: &str) {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if self.text.len() + text.len() <= FILTER_LEN_MAX {
            self.text.insert_str(self.cursor, &text);
            self.cursor += text.len();
            self.look();
        }
    }

    fn delete(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
        self.look();
    }

    fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    fn left(&self) -> usize {
        self.before().char_indices().next_back().map_or(0, |(at, _)| at)
    }

    fn right(&self) -> usize {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        self.cursor + after.chars().next().map_or(0, char::len_utf8)
    }

    fn look(&mut self) {
        let blank = self.text.trim().is_empty();
        self.error = if blank { None } else { daylight_inspect::compile(&self.text).err() };
    }

    fn apply(&mut self) -> Edited {
        if self.text.trim().is_empty() {
            return Edited::Applied(None);
        }
        match daylight_inspect::compile(&self.text) {
            Ok(program) => Edited::Applied(Some(Arc::new(program))),
            Err(error) => {
                self.error = Some(error);
                Edited::Yet
            }
        }
    }
}

/// A text as the expression language has it, in quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            0x20..0x7f => out.push(char::from(byte)),
            byte => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn press(editor: &mut Editor, code: KeyCode) -> Edited {
        editor.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn edits() {
        let mut editor = Editor::new("");
        "protocl == \"tls\"".chars().for_each(|c| drop(press(&mut editor, KeyCode::Char(c))));
        assert_eq!(editor.error().map(|error| error.span().start), Some(0));
        assert!(matches!(press(&mut editor, KeyCode::Enter), Edited::Yet));
        press(&mut editor, KeyCode::Home);
        (0..6).for_each(|_| drop(press(&mut editor, KeyCode::Right)));
        press(&mut editor, KeyCode::Char('o'));
        assert_eq!((editor.text(), editor.cursor(), editor.error()), ("protocol == \"tls\"", 7, None));
        assert!(matches!(press(&mut editor, KeyCode::Enter), Edited::Applied(Some(_))));
        editor.key(KeyEvent::new(KeyCode::Char('k'), KeyModifiers::CONTROL));
        editor.key(KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL));
        assert_eq!(editor.text(), "");
        assert!(matches!(press(&mut editor, KeyCode::Enter), Edited::Applied(None)));
    }

    #[test]
    fn what_is_pasted_is_one_line() {
        let mut editor = Editor::new("");
        editor.insert("tls\r\n\x1b");
        assert_eq!(editor.text(), "tls   ");
        editor.insert(&"x".repeat(FILTER_LEN_MAX));
        assert_eq!(editor.text(), "tls   ");
    }

    proptest! {
        #[test]
        fn quoting_any_name_gives_a_filter_that_finds_it(name in ".{1,40}") {
            let text = format!("user_agent == {}", quoted(&name));
            let program = daylight_inspect::compile(&text).unwrap();
            let mut record = daylight_inspect::FlowRecord::blank(1);
            let field = daylight_protocols::common::USER_AGENT;
            record.found.fields.push((field, daylight_protocols::Value::Str(name.as_str().into())));
            prop_assert!(program.matches(&record));
        }

        #[test]
        fn no_key_breaks_it(keys in prop::collection::vec((0usize..10, any::<char>()), 0..60)) {
            let mut editor = Editor::new("");
            for (which, c) in keys {
                use KeyCode::*;
                let codes = [Char(c), Char(c), Char('é'), Backspace, Delete, Left, Right, Home, End, Enter];
                press(&mut editor, codes[which]);
                prop_assert!(editor.text().is_char_boundary(editor.cursor()));
            }
        }
    }
}
