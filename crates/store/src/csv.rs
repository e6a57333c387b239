//! Comma-separated values (RFC 4180): a header with the columns' names, and a line a flow, lines ended by CR LF.
//!
//! Text is in double quotes where it holds a comma, a double quote or a line break, or is empty; nothing at all stands
//! for what was not seen. The values of a list are joined by `;`: a `;` or `\` within one has a `\` before it. Of the
//! risks there are the names. Times are RFC 3339, bytes hexadecimal.
//!
//! Values are written as they are. A spreadsheet that is told to open the file, not to import it as text, takes a value
//! that begins with `=`, `+`, `-` or `@` for a formula, and names and user agents come from strangers.

use std::io::Write;

use daylight_expr::ValueRef;
use daylight_inspect::{Column, FlowRecord, RecordSink};

use crate::out::Out;
use crate::{StoreError, Writer, rfc3339};

pub(crate) struct Csv {
    columns: Vec<&'static Column>,
    out: Out,
    line: Vec<u8>,
    cell: Vec<u8>,
}

impl Csv {
    pub(crate) fn new(columns: Vec<&'static Column>, mut out: Out) -> Self {
        let names: Vec<&str> = columns.iter().map(|c| c.name).collect();
        // Names of columns need no quotes.
        out.write(format!("{}\r\n", names.join(",")).as_bytes(), 0);
        Self { columns, out, line: Vec::new(), cell: Vec::new() }
    }
}

impl RecordSink for Csv {
    fn flow(&mut self, record: Box<FlowRecord>) {
        self.line.clear();
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                self.line.push(b',');
            }
            let mut values = record.values(column.id).peekable();
            if values.peek().is_none() {
                continue;
            }
            self.cell.clear();
            for (i, value) in values.enumerate() {
                if i > 0 {
                    self.cell.push(b';');
                }
                write_value(value, column.list, &mut self.cell);
            }
            quoted(&self.cell, &mut self.line);
        }
        self.line.extend_from_slice(b"\r\n");
        self.out.write(&self.line, 1);
    }

    fn is_closed(&self) -> bool {
        self.out.is_closed()
    }
}

impl Writer for Csv {
    fn finish(&mut self) -> Result<u64, StoreError> {
        self.out.finish()
    }
}

fn write_value(value: ValueRef<'_>, in_list: bool, cell: &mut Vec<u8>) {
    // Writing to a Vec can't fail.
    let _ = match value {
        ValueRef::Str(text) if in_list => {
            for byte in text.bytes() {
                if matches!(byte, b';' | b'\\') {
                    cell.push(b'\\');
                }
                cell.push(byte);
            }
            Ok(())
        }
        ValueRef::Str(text) => {
            cell.extend_from_slice(text.as_bytes());
            Ok(())
        }
        ValueRef::Bool(b) => write!(cell, "{b}"),
        ValueRef::Uint(n) => write!(cell, "{n}"),
        ValueRef::Float(n) if n.is_finite() => write!(cell, "{n}"),
        ValueRef::Ip(ip) => write!(cell, "{ip}"),
        ValueRef::Bytes(bytes) => bytes.iter().try_for_each(|b| write!(cell, "{b:02x}")),
        ValueRef::Time(ns) => {
            rfc3339(ns, cell);
            Ok(())
        }
        _ => Ok(()),
    };
}

fn quoted(cell: &[u8], line: &mut Vec<u8>) {
    if !cell.is_empty() && !cell.iter().any(|b| matches!(b, b',' | b'"' | b'\r' | b'\n')) {
        line.extend_from_slice(cell);
        return;
    }
    line.push(b'"');
    for byte in cell {
        if *byte == b'"' {
            line.push(b'"');
        }
        line.push(*byte);
    }
    line.push(b'"');
}
