//! The header of a mail message (RFC 5322) and the file names in its MIME parts (RFC 2183), line by line. The text and
//! the files themselves are passed over.

use super::lines;

/// A header field's value is kept up to this length.
const VALUE_MAX: usize = 1000;
/// So many fields, and so many file names, are kept of a message.
const KEPT_MAX: usize = 32;

/// The header fields that are kept, in lower case.
const NAMES: &[&str] = &[
    "from",
    "to",
    "cc",
    "reply-to",
    "date",
    "subject",
    "message-id",
    "in-reply-to",
    "x-mailer",
    "user-agent",
    "x-originating-ip",
];

/// File name endings that a mail client's double click runs, or that hide such files from scanners (disk images).
/// Office files with macros are among them; archives and plain documents are not.
const EXECUTABLE: &[&str] = &[
    "bat", "cmd", "com", "cpl", "dll", "docm", "exe", "gadget", "hta", "img", "inf", "iso", "jar", "js",
    "jse", "lnk", "msc", "msi", "pif", "ps1", "reg", "scr", "vbe", "vbs", "vhd", "wsf", "wsh", "xlsm", "xll",
];

/// True if a file of this name is a program or as dangerous as one.
pub(crate) fn is_executable(name: &str) -> bool {
    name.rsplit_once('.')
        .is_some_and(|(_, ending)| EXECUTABLE.iter().any(|e| e.eq_ignore_ascii_case(ending.trim())))
}

/// A message on its way.
#[derive(Debug)]
pub(crate) struct Message {
    /// The header fields found: name (one of [`NAMES`]) and value.
    pub(crate) fields: Vec<(&'static str, Vec<u8>)>,
    /// The names of files in it.
    pub(crate) attachments: Vec<String>,
    /// Within the message's header, or a part's.
    header: bool,
    /// Within the message's own header.
    top: bool,
    /// The header line being put together: it may go on in the next line.
    open: Vec<u8>,
}

impl Default for Message {
    fn default() -> Self {
        Self { fields: Vec::new(), attachments: Vec::new(), header: true, top: true, open: Vec::new() }
    }
}

impl Message {
    /// The next line.
    pub(crate) fn line(&mut self, line: &[u8]) {
        if !self.header {
            // A part's header can begin here. If it was no part, the lines up to the next empty one are looked at in
            // vain, which does no harm.
            self.header = line.starts_with(b"--");
            return;
        }
        if matches!(line, [b' ' | b'\t', ..]) && !self.open.is_empty() {
            let room = VALUE_MAX.saturating_sub(self.open.len());
            self.open.extend_from_slice(line.get(..room).unwrap_or(line));
            return;
        }
        self.close();
        if line.is_empty() {
            self.header = false;
            self.top = false;
        } else {
            self.open.extend_from_slice(line.get(..VALUE_MAX).unwrap_or(line));
        }
    }

    /// Takes in the header line that is complete now, or at the end of the message.
    pub(crate) fn close(&mut self) {
        let open = std::mem::take(&mut self.open);
        let Some(colon) = open.iter().position(|b| *b == b':') else { return };
        let (name, value) = (open[..colon].trim_ascii(), open[colon + 1..].trim_ascii());
        if lines::starts(name, b"content-") {
            let file = parameter(value, b"filename").or_else(|| parameter(value, b"name"));
            if let Some(file) = file
                && self.attachments.len() < KEPT_MAX
                && !self.attachments.contains(&file)
            {
                self.attachments.push(file);
            }
        } else if self.top
            && self.fields.len() < KEPT_MAX
            && let Some(known) = NAMES.iter().find(|n| n.as_bytes().eq_ignore_ascii_case(name))
        {
            self.fields.push((known, value.to_vec()));
        }
    }

    /// True once a line of it was read.
    pub(crate) fn is_begun(&self) -> bool {
        !(self.top && self.open.is_empty() && self.fields.is_empty())
    }

    /// A field's value, if it was there.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_slice())
    }
}

/// A parameter of a structured field: `; name="value"`, `; name=value`, or `; name*=utf-8''value` (RFC 2231).
fn parameter(value: &[u8], name: &[u8]) -> Option<String> {
    let at = (0..value.len()).find(|i| {
        let before = i.checked_sub(1).and_then(|b| value.get(b));
        matches!(before, Some(b';' | b' ' | b'\t'))
            && lines::starts(&value[*i..], name)
            && matches!(value.get(i + name.len()), Some(b'=' | b'*'))
    })?;
    let rest = &value[at + name.len()..];
    let rest = &rest[rest.iter().position(|b| *b == b'=')? + 1..];
    let text = match rest {
        [b'"', quoted @ ..] => quoted.split(|b| *b == b'"').next()?,
        _ => rest.split(|b| matches!(b, b';' | b' ' | b'\t')).next()?,
    };
    let text = match text.iter().rposition(|b| *b == b'\'') {
        Some(tick) if !matches!(rest, [b'"', ..]) => &text[tick + 1..],
        _ => text,
    };
    (!text.is_empty()).then(|| lines::shown(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Message {
        let mut message = Message::default();
        text.split("\r\n").for_each(|l| message.line(l.as_bytes()));
        message
    }

    #[test]
    fn header_fields_unfold() {
        let m = read("Subject: a long\r\n one\r\nX-Other: y\r\nFROM: a@example.org\r\n\r\nSubject: not this");
        assert_eq!(m.field("subject"), Some(&b"a long one"[..]));
        assert_eq!(m.field("from"), Some(&b"a@example.org"[..]));
        assert_eq!(m.fields.len(), 2);
    }

    #[test]
    fn file_names_in_parts() {
        let m = read(
            "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\ntext\r\n--b\r\n\
             Content-Type: application/octet-stream;\r\n\tname=\"invoice.pdf.exe\"\r\n\r\nTVqQ\r\n--b\r\n\
             Content-Disposition: attachment; filename*=utf-8''plan.txt\r\n\r\nx\r\n--b--",
        );
        assert_eq!(m.attachments, ["invoice.pdf.exe", "plan.txt"]);
        assert!(is_executable(&m.attachments[0]) && !is_executable(&m.attachments[1]));
    }
}
