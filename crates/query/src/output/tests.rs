#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::sync::{Arc, Mutex};

use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray};

use super::*;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn written(form: Form, names: &[Option<&str>]) -> Vec<u8> {
    let numbers: Vec<i64> = (0..names.len() as i64).map(|i| -i).collect();
    let batch = RecordBatch::try_from_iter([
        ("host", Arc::new(StringArray::from(names.to_vec())) as datafusion::arrow::array::ArrayRef),
        ("n", Arc::new(Int64Array::from(numbers))),
    ])
    .unwrap();
    let to = Shared::default();
    let mut output = Output::new(form, &batch.schema(), Box::new(to.clone())).unwrap();
    output.write(&batch).unwrap();
    assert_eq!(output.finish().unwrap(), names.len() as u64);
    to.0.lock().unwrap().clone()
}

fn text(form: Form, names: &[Option<&str>]) -> String {
    String::from_utf8(written(form, names)).unwrap()
}

/// Names that want something of who reads them.
const HOSTILE: [&str; 14] = [
    "=HYPERLINK(\"http://evil.example\")",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "  =1",
    "＝1",
    "\x1b[31mred\x1b]0;title\x07",
    "\u{9b}31m",
    "abc\u{202e}fdp.exe",
    "a\u{200b}b\u{2066}c",
    "<script>alert(1)</script>",
    "a,b\"c\nd",
];

#[test]
fn nothing_drives_a_terminal() {
    let names: Vec<Option<&str>> = HOSTILE.iter().copied().map(Some).collect();
    for form in [Form::Table { width: 80 }, Form::Csv, Form::Jsonl] {
        let text = text(form, &names);
        let bad = text.chars().find(|c| {
            let fine = matches!(c, '\n' | '\r') || (*c == '\t' && form == Form::Csv);
            !fine && is_unsafe(*c)
        });
        assert_eq!(bad, None, "{form:?}: {text:?}");
    }
}

#[test]
fn nothing_is_a_formula() {
    let names: Vec<Option<&str>> = HOSTILE.iter().copied().map(Some).collect();
    let text = text(Form::Csv, &names);
    let lines: Vec<&str> = text.split("\r\n").skip(1).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), HOSTILE.len());
    for (line, name) in lines.iter().zip(HOSTILE) {
        let cell = line.trim_start_matches('"');
        assert!(!cell.trim_start().starts_with(['=', '+', '-', '@', '＝']), "{name:?}: {line:?}");
    }
    assert!(lines[0].starts_with("\"'=HYPERLINK(\"\"http"), "{}", lines[0]);
    // Numbers are numbers, also below nothing.
    assert!(lines[1].ends_with(",-1"), "{}", lines[1]);
    assert!(lines[13].starts_with("\"a,b\"\"c\nd\""), "{:?}", lines[13]);
}

#[test]
fn nothing_and_empty() {
    assert_eq!(text(Form::Csv, &[None, Some("")]), "host,n\r\n,0\r\n\"\",-1\r\n");
    assert_eq!(text(Form::Jsonl, &[None, Some("")]), "{\"n\":0}\n{\"host\":\"\",\"n\":-1}\n");
    assert_eq!(
        text(Form::Table { width: 80 }, &[None, Some("x")]),
        "host   n\n────  ──\n       0\nx     -1\n"
    );
}

/// What JSON says is what was there, whatever it is.
#[test]
fn json_says_the_same() {
    let names: Vec<Option<&str>> = HOSTILE.iter().copied().map(Some).collect();
    let lines = text(Form::Jsonl, &names);
    for (line, name) in lines.lines().zip(HOSTILE) {
        let escaped: String = name
            .chars()
            .map(|c| match c {
                '\n' => "\\n".to_owned(),
                '\r' => "\\r".to_owned(),
                '\t' => "\\t".to_owned(),
                '"' => "\\\"".to_owned(),
                c if is_unsafe(c) => format!("\\u{:04x}", c as u32),
                c => c.to_string(),
            })
            .collect();
        assert!(line.to_lowercase().contains(&escaped.to_lowercase()), "{line} {escaped}");
    }
}

#[test]
fn a_table_fits() {
    let long = "x".repeat(300);
    for width in [20, 40, 80] {
        let text =
            text(Form::Table { width }, &[Some(&long), Some("日本語日本語日本語日本語日本語日本語日本語")]);
        for line in text.lines() {
            assert!(unicode_width::UnicodeWidthStr::width(line) <= width, "{line}");
        }
    }
}

#[test]
fn parquet_is_read_back() {
    let bytes = written(Form::Parquet, &[Some("a"), None]);
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
}
