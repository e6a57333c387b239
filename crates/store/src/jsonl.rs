//! One JSON object a line: the record contract's own form. Protocol fields stand under their protocol's name, risks
//! are objects, what was not seen is left out.

use std::io::Write;

use daylight_expr::ValueRef;
use daylight_inspect::{Column, ColumnId, Core, FlowRecord, RecordSink};
use daylight_protocols::ProtocolId;

use crate::out::Out;
use crate::{StoreError, Writer, rfc3339};

/// Writes records as JSON, a line each.
pub struct JsonLine {
    /// In the record's order: core columns, common fields, then each protocol's together.
    columns: Vec<&'static Column>,
}

impl JsonLine {
    /// With these columns, in the record's order whatever theirs.
    pub fn new(mut columns: Vec<&'static Column>) -> Self {
        columns.sort_by_key(|c| c.id);
        Self { columns }
    }

    fn wants(&self, id: ColumnId) -> Option<&'static Column> {
        self.columns.binary_search_by_key(&id, |c| c.id).ok().map(|i| self.columns[i])
    }

    /// Appends a record and a line feed. What stands `before` (names and texts) is no part of the record, such as the
    /// sensor's name.
    pub fn write(&self, record: &FlowRecord, before: &[(&str, &str)], line: &mut Vec<u8>) {
        line.push(b'{');
        for (name, text) in before {
            key(name, line);
            string(text, line);
        }
        for column in &self.columns {
            let ColumnId::Core(core) = column.id else { break };
            if core == Core::Risks {
                risks(record, line);
            } else {
                member(record, column, column.name, line);
            }
        }
        // Only what was found: a record has a dozen fields of several hundred.
        let mut fields: Vec<_> =
            record.found.fields.iter().filter_map(|(field, _)| self.wants(ColumnId::Field(*field))).collect();
        fields.sort_by_key(|c| c.id);
        let mut open = ProtocolId::Unknown;
        for column in fields {
            let ColumnId::Field(field) = column.id else { continue };
            if field.protocol != open {
                if open != ProtocolId::Unknown {
                    line.push(b'}');
                }
                open = field.protocol;
                key(open.name(), line);
                line.push(b'{');
            }
            member(record, column, field.field().name, line);
        }
        if open != ProtocolId::Unknown {
            line.push(b'}');
        }
        line.extend_from_slice(b"}\n");
    }
}

pub(crate) struct Jsonl {
    form: JsonLine,
    out: Out,
    line: Vec<u8>,
}

impl Jsonl {
    pub(crate) fn new(columns: Vec<&'static Column>, out: Out) -> Self {
        Self { form: JsonLine::new(columns), out, line: Vec::new() }
    }
}

impl RecordSink for Jsonl {
    fn flow(&mut self, record: Box<FlowRecord>) {
        self.line.clear();
        self.form.write(&record, &[], &mut self.line);
        self.out.write(&self.line, 1);
    }

    fn is_closed(&self) -> bool {
        self.out.is_closed()
    }
}

impl Writer for Jsonl {
    fn finish(&mut self) -> Result<u64, StoreError> {
        self.out.finish()
    }
}

/// `"name":` with a comma before it where one is due.
fn key(name: &str, line: &mut Vec<u8>) {
    if line.last() != Some(&b'{') {
        line.push(b',');
    }
    string(name, line);
    line.push(b':');
}

fn member(record: &FlowRecord, column: &Column, name: &str, line: &mut Vec<u8>) {
    let mut values = record.values(column.id).peekable();
    if values.peek().is_none() {
        return;
    }
    key(name, line);
    if column.list {
        line.push(b'[');
        for (i, v) in values.enumerate() {
            if i > 0 {
                line.push(b',');
            }
            value(v, line);
        }
        line.push(b']');
    } else if let Some(v) = values.next() {
        value(v, line);
    }
}

fn risks(record: &FlowRecord, line: &mut Vec<u8>) {
    if record.risks().is_empty() {
        return;
    }
    key("risks", line);
    line.push(b'[');
    for (i, found) in record.risks().iter().enumerate() {
        line.extend_from_slice(if i > 0 { b",{" } else { b"{" });
        let members = [
            ("name", found.risk.name),
            ("severity", found.risk.severity.name()),
            ("side", found.risk.side.name()),
            ("evidence", &*found.evidence),
        ];
        for (name, text) in members {
            key(name, line);
            string(text, line);
        }
        line.push(b'}');
    }
    line.push(b']');
}

// Writing to a Vec can't fail, here and below.
fn value(value: ValueRef<'_>, line: &mut Vec<u8>) {
    let _ = match value {
        ValueRef::Bool(b) => write!(line, "{b}"),
        ValueRef::Uint(n) => write!(line, "{n}"),
        // JSON has no infinities; a rate of zero seconds is nobody's loss.
        ValueRef::Float(n) if n.is_finite() => write!(line, "{n}"),
        ValueRef::Float(_) => write!(line, "null"),
        ValueRef::Ip(ip) => write!(line, "\"{ip}\""),
        ValueRef::Str(s) => return string(s, line),
        ValueRef::Bytes(b) => {
            line.push(b'"');
            b.iter().for_each(|byte| {
                let _ = write!(line, "{byte:02x}");
            });
            line.push(b'"');
            return;
        }
        ValueRef::Time(ns) => {
            line.push(b'"');
            rfc3339(ns, line);
            line.push(b'"');
            return;
        }
    };
}

fn string(text: &str, line: &mut Vec<u8>) {
    let _ = serde_json::to_writer(line, text);
}
