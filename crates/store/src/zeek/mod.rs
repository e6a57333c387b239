//! Zeek's logs as tab-separated values, or as JSON: `conn.log` with a row a flow, and `ssl.log`, `x509.log`, `dns.log`, `http.log`,
//! `files.log`, `quic.log` and `ssh.log` with a row a transaction, joined by `uid`.
//!
//! Headers, columns, order, types and spellings are those of Zeek 6 and 7.0 with its default scripts, so that whatever
//! reads Zeek's logs reads these. A file comes into being with its first row. Where it differs from Zeek:
//! * What a passive reading of ours does not have stays unset: `local_orig`, `local_resp`, `direction` (no local nets
//!   are known), `tunnel_parents`, `ssl_history`, `validation_status`, SSH's `auth_success` and `host_key`, and in
//!   `files.log` `duration`, `md5` and `sha256`. `auth_attempts` is 0.
//! * `files.log` holds bodies of HTTP; Zeek also lists certificates there.
//! * `x509.log` has a certificate once (for each of its roles), as Zeek's with its default of a day; if there are very
//!   many, some may come twice.
//! * Protocols that Zeek does not know stand in `service` by our name. `#open` and `#close` are the capture's times, for
//!   the same capture gives the same files. A flow beyond the active time-out has several rows with one `uid`.
//! * As JSON ([`json`]), durations have six digits behind the point.
//! * Addresses, ports and names are of the client as we see it: Zeek flips directions by other rules.

mod conn;
mod json;
mod log;
mod rows;
mod tables;
mod text;

use std::collections::HashSet;
use std::path::Path;

use daylight_inspect::{ColumnId, EventRecord, FlowRecord, RecordSink, column};
use daylight_protocols::web::tls::fields as tls;
use daylight_protocols::{FieldRef, Value};

use crate::{StoreError, Writer};
use log::Log;
use rows::Row;
use tables::Col;
pub(crate) use tables::From;

pub(crate) struct Zeek {
    conn: Log,
    /// By the kind of the event, which is also the log's name.
    others: Vec<Table>,
    certificates: HashSet<(Box<str>, bool, bool)>,
}

struct Table {
    kind: &'static str,
    columns: &'static [Col],
    /// For each column, the fields it may come from.
    fields: Vec<Vec<FieldRef>>,
    log: Log,
}

/// The logs of transactions, by the events' kind, which is also the log's name.
pub(crate) const TABLES: &[(&str, &[Col])] = &[
    ("dns", tables::DNS),
    ("ssl", tables::SSL),
    ("http", tables::HTTP),
    ("x509", tables::X509),
    ("quic", tables::QUIC),
    ("files", tables::FILES),
    ("ssh", tables::SSH),
];

/// So many certificates are remembered as written.
const CERTIFICATES_MAX: usize = 100_000;

impl Zeek {
    /// As tab-separated values, or as JSON.
    pub(crate) fn new(folder: &Path, is_json: bool) -> Self {
        let table = |&(kind, columns): &(&'static str, &'static [Col])| Table {
            kind,
            columns,
            fields: columns.iter().map(fields).collect(),
            log: Log::new(folder, kind, columns.iter().map(|c| (c.name, c.ty)), is_json),
        };
        Self {
            conn: Log::new(folder, "conn", conn::COLUMNS.iter().copied(), is_json),
            others: TABLES.iter().map(table).collect(),
            certificates: HashSet::new(),
        }
    }

    /// True the first time.
    fn is_new_certificate(&mut self, record: &EventRecord) -> bool {
        let row = Row { record };
        let is = |field| row.value(field) == Some(&Value::Bool(true));
        let Some(print) = row.value(tls::CERT_SHA256).and_then(Value::as_str) else { return true };
        if self.certificates.len() >= CERTIFICATES_MAX {
            self.certificates.clear();
        }
        self.certificates.insert((print.into(), is(tls::CERT_HOST), is(tls::CERT_CLIENT)))
    }
}

/// The fields that a column may come from.
fn fields(col: &Col) -> Vec<FieldRef> {
    let names = match col.from {
        From::Field(names, _) | From::Text(names, _) => names,
        From::Row(_) | From::Fixed(_) => &[],
    };
    let field = |name: &&str| match column(name)?.id {
        ColumnId::Field(field) => Some(field),
        ColumnId::Core(_) => None,
    };
    names.iter().filter_map(field).collect()
}

impl Table {
    fn row(&self, record: &EventRecord, line: &mut Vec<u8>) {
        let row = Row { record };
        for (i, (col, fields)) in self.columns.iter().zip(&self.fields).enumerate() {
            if i > 0 {
                line.push(b'\t');
            }
            let seen = || fields.iter().find_map(|field| row.value(*field));
            match col.from {
                From::Field(_, default) => match seen() {
                    Some(value) => text::value(value, col.ty, line),
                    None => text::display(default, line),
                },
                From::Text(_, spell) => match seen().and_then(Value::as_str) {
                    Some(name) => text::string(&spell(name), false, line),
                    None => text::display(text::UNSET, line),
                },
                From::Row(write) => {
                    if !write(&row, line) {
                        text::display(text::UNSET, line);
                    }
                }
                From::Fixed(value) => text::display(value, line),
            }
        }
    }
}

impl RecordSink for Zeek {
    fn flow(&mut self, record: Box<FlowRecord>) {
        self.conn.row(record.start_ns, 1, |line| conn::row(&record, line));
    }

    fn event(&mut self, record: EventRecord) {
        let Some(i) = self.others.iter().position(|table| table.kind == record.event.kind) else { return };
        if record.event.kind == "x509" && !self.is_new_certificate(&record) {
            return;
        }
        let mut line = Vec::new();
        let table = &mut self.others[i];
        table.row(&record, &mut line);
        table.log.row(record.event.ts_ns, 0, |to| to.extend_from_slice(&line));
    }

    fn is_closed(&self) -> bool {
        self.conn.is_closed() || self.others.iter().any(|table| table.log.is_closed())
    }
}

impl Writer for Zeek {
    fn finish(&mut self) -> Result<u64, StoreError> {
        let flows = self.conn.finish();
        // Everything is closed properly, whatever went wrong with one of them.
        let others: Vec<_> = self.others.iter_mut().map(|table| table.log.finish()).collect();
        let written = match &flows {
            Ok(flows) | Err(StoreError::Write { flows, .. }) => *flows,
            Err(_) => 0,
        };
        let failed = others.into_iter().find_map(Result::err);
        match (flows, failed) {
            (Err(error), _) => Err(error),
            (Ok(_), Some(StoreError::Write { to, cause, .. })) => {
                Err(StoreError::Write { to, flows: written, cause })
            }
            (Ok(_), Some(error)) => Err(error),
            (Ok(flows), None) => Ok(flows),
        }
    }
}
