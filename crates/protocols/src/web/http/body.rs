//! One message body: counted, named by its first bytes, hashed if that is wanted.

use sha1::{Digest, Sha1};

use super::magic::{self, FileType, Kind};
use super::*;
use crate::{Event, Sink, Value};

/// A body is judged by so many bytes, or all that it has.
pub(super) const HEAD_BYTES: usize = 1024;

/// What the head of a message says of its body, and what was seen of it.
#[derive(Default)]
pub(super) struct Body {
    /// The first bytes, where they did not come at once.
    head: Vec<u8>,
    judged: bool,
    /// By its first bytes.
    pub(super) found: Option<FileType>,
    pub(super) seen: u64,
    pub(super) missing: u64,
    pub(super) total: Option<u64>,
    /// Content-Type without parameters, lower case.
    pub(super) declared: Box<str>,
    /// A content encoding hides what it is.
    pub(super) encoded: bool,
    pub(super) filename: Option<String>,
    sha1: Option<Sha1>,
}

impl Body {
    /// To be called before the first byte.
    pub(super) fn start(&mut self, out: &Sink<'_>) {
        if out.wants_events() && out.wants(FILE_SHA1) {
            self.sha1 = Some(Sha1::new());
        }
    }

    /// Nothing more needs to be seen, if nobody wants events.
    pub(super) fn is_judged(&self) -> bool {
        self.judged
    }

    /// The next bytes.
    pub(super) fn push(&mut self, bytes: &[u8], dir: Dir, out: &mut Sink<'_>) {
        self.seen += bytes.len() as u64;
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(bytes);
        }
        if self.judged || bytes.is_empty() {
            return;
        }
        if self.head.is_empty() && bytes.len() >= HEAD_BYTES {
            self.judge(&bytes[..HEAD_BYTES], dir, out);
            return;
        }
        let room = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        if self.head.len() >= HEAD_BYTES {
            self.end_of_head(dir, out);
        }
    }

    /// So many bytes are lost.
    pub(super) fn gap(&mut self, missing: u64, dir: Dir, out: &mut Sink<'_>) {
        self.missing += missing;
        self.sha1 = None;
        self.end_of_head(dir, out);
    }

    fn end_of_head(&mut self, dir: Dir, out: &mut Sink<'_>) {
        if !self.judged {
            let head = std::mem::take(&mut self.head);
            self.judge(&head, dir, out);
        }
    }

    fn judge(&mut self, head: &[u8], dir: Dir, out: &mut Sink<'_>) {
        self.judged = true;
        if self.encoded || head.is_empty() {
            return;
        }
        if dir == Dir::Client && self.declared.starts_with("application/x-www-form-urlencoded") {
            if let Some(name) = secrets::secret_parameter(head) {
                out.risk(&risk::CLEAR_TEXT_CREDENTIALS, || format!("http.form={name}"));
            }
            if let Some(pattern) = attack::form_attack(head) {
                out.risk(&EXPLOIT_ATTEMPT, || format!("http.form holds {pattern}"));
            }
        }
        let Some(found) = magic::file_type(head) else { return };
        self.found = Some(found);
        out.set(if dir == Dir::Client { REQUEST_MIME_TYPE } else { MIME_TYPE }, found.mime);
        let shown = || {
            let named = self.filename.as_deref().map(|n| format!(" http.filename={n}")).unwrap_or_default();
            format!("http.mime_type={} http.content_type={}{named}", found.mime, self.declared)
        };
        let runs = matches!(found.kind, Kind::Executable | Kind::Script);
        if found.kind == Kind::Executable {
            out.risk(&BINARY_TRANSFER, shown);
        }
        if magic::contradicts(&self.declared, found) {
            out.risk(if runs { &DISGUISED_EXECUTABLE } else { &CONTENT_MISMATCH }, shown);
        }
    }

    /// The body is over, or the flow is. Tells of it as a file, if there was one.
    pub(super) fn end(&mut self, dir: Dir, depth: u64, ts_ns: i64, out: &mut Sink<'_>) {
        self.end_of_head(dir, out);
        if self.seen + self.missing == 0 || !out.wants_events() {
            return;
        }
        let mut fields = vec![
            (DEPTH, Value::from(depth)),
            (FILE_FROM_CLIENT, Value::Bool(dir == Dir::Client)),
            (FILE_SEEN_BYTES, Value::from(self.seen)),
            (FILE_MISSING_BYTES, Value::from(self.missing)),
        ];
        fields.extend(self.total.map(|total| (FILE_TOTAL_BYTES, Value::from(total))));
        fields.extend(self.found.map(|found| (FILE_MIME_TYPE, Value::Name(found.mime))));
        fields.extend(self.filename.take().map(|name| (FILE_NAME, Value::from(name))));
        let whole = self.missing == 0 && self.total.is_none_or(|total| total == self.seen);
        if let Some(sha1) = self.sha1.take().filter(|_| whole) {
            fields.push((FILE_SHA1, Value::bytes(&sha1.finalize())));
        }
        out.event(Event { kind: "files", ts_ns, fields });
    }
}
