//! Records into ClickHouse: the tables ([`schema`]) and the insertion over HTTP.
//!
//! The lines go in as they are: a protocol's fields are a named tuple, so that `tls.version` is a column here as it is in the
//! store. Each batch has a token by which the server knows it again (`insert_deduplication_token`), in the roll-ups too; what
//! should come twice beyond that window is dropped by `record_id` when parts are merged.

mod schema;

use std::time::Duration;

use url::Url;

use crate::carry::{Carrier, SendError};
use crate::http::Http;
use crate::record::Entry;
use crate::secret::Secret;
use crate::tls::{Tls, TlsError};
pub use schema::{SchemaOptions, extend, schema};

/// Where the tables are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickHouseOptions {
    /// The server's HTTP interface.
    pub url: String,
    /// The database.
    pub database: String,
    /// The table that is inserted into: `flows_local` on each node, or `flows`, which spreads over the cluster.
    pub table: String,
    /// User and password.
    pub user: Option<(String, Secret)>,
    /// Certificates.
    pub tls: Tls,
}

/// Inserts records.
pub struct ClickHouse {
    url: Url,
    user: Option<(String, Secret)>,
    http: Http,
}

/// What every insertion sets: fields that the table lacks are left out, times are RFC 3339, a batch is known again, and it
/// is there when the server answers.
pub const SETTINGS: [(&str, &str); 6] = [
    ("input_format_skip_unknown_fields", "1"),
    ("input_format_null_as_default", "1"),
    ("date_time_input_format", "best_effort"),
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ("async_insert", "0"),
];

/// Errors that the same rows will meet again: they can't be parsed, or don't fit the columns.
const ROWS_AT_FAULT: [&str; 12] = ["6", "26", "27", "33", "38", "41", "53", "69", "70", "72", "117", "130"];

/// True for names that need no quotes.
pub fn is_identifier(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The statement that rows are sent with.
pub fn insert(database: &str, table: &str) -> String {
    format!("INSERT INTO {database}.{table} FORMAT JSONEachRow")
}

impl ClickHouse {
    /// Does not connect yet.
    ///
    /// # Errors
    /// If the certificates can't be used.
    pub fn new(options: &ClickHouseOptions) -> Result<Self, TlsError> {
        let bad = |error: &dyn ToString| TlsError::File {
            path: options.url.clone().into(),
            why: error.to_string(),
        };
        let mut url = Url::parse(&options.url).map_err(|error| bad(&error))?;
        url.query_pairs_mut()
            .append_pair("query", &insert(&options.database, &options.table))
            .extend_pairs(SETTINGS);
        Ok(Self { url, user: options.user.clone(), http: Http::new(&options.tls, Duration::from_secs(60))? })
    }
}

/// The rows of these records.
pub fn rows(entries: &[Entry]) -> Vec<u8> {
    let mut body = Vec::with_capacity(entries.iter().map(|entry| entry.line.len() + 1).sum());
    for entry in entries {
        body.extend_from_slice(&entry.line);
        body.push(b'\n');
    }
    body
}

impl Carrier for ClickHouse {
    fn send(&mut self, entries: &[Entry], token: &str) -> Result<(), SendError> {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("insert_deduplication_token", token);
        let mut headers = vec![("content-type", "application/x-ndjson")];
        if let Some((user, password)) = &self.user {
            headers.extend([("x-clickhouse-user", &**user), ("x-clickhouse-key", password.as_str())]);
        }
        let answer = self.http.send("POST", url.as_str(), &headers, &rows(entries))?;
        let code = answer.headers.get("x-clickhouse-exception-code").and_then(|code| code.to_str().ok());
        if answer.status == 200 && code.is_none() {
            return Ok(());
        }
        // Without its query, which says nothing new.
        url.set_query(None);
        let said = crate::alarm::plain(answer.body.trim(), 300);
        let why = format!("{url} answers {} {said}", answer.status);
        let refused = match code {
            Some(code) => ROWS_AT_FAULT.contains(&code),
            None => answer.status == 413,
        };
        Err(if refused { SendError::Refused(why) } else { SendError::Again(why) })
    }
}
