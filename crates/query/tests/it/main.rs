//! Questions to a store, through the public interface.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod answers;
mod damage;
mod refusals;

use std::path::Path;

use daylight_inspect::{Counters, FlowRecord, RecordSink};
use daylight_protocols::web::tls::fields as tls;
use daylight_protocols::{Confidence, ProtocolId, RiskFound, Value, common, risk};
use daylight_query::output::{Form, Output};
use daylight_query::{Answer, Embedded, EmbeddedOptions, Engine, Parameters, QueryError, Times};
use daylight_store::Writer;
use daylight_store::folder::{Privacy, StoreOptions, StoreWriter};
use futures_util::StreamExt;

/// 2026-03-01T10:00:00Z
pub(crate) const START_NS: i64 = 1_772_359_200_000_000_000;
pub(crate) const MINUTE_NS: i64 = 60_000_000_000;

/// A flow that ended so many minutes after the start.
pub(crate) fn flow(number: u64, minute: i64) -> FlowRecord {
    let mut record = FlowRecord::blank(number);
    record.end_ns = START_NS + minute * MINUTE_NS;
    record.start_ns = record.end_ns - 1_500_000_000;
    record.src = Counters { packets: 2, bytes: 100 + number, ip_bytes: 90, payload_bytes: 40 };
    record.dst = Counters { packets: 3, bytes: 1000, ip_bytes: 900, payload_bytes: 500 };
    record
}

fn text(text: &str) -> Value {
    Value::Str(text.into())
}

/// Ten flows in three hours, of two clients.
pub(crate) fn records() -> Vec<FlowRecord> {
    let mut records = Vec::new();
    for (number, (minute, host, application)) in [
        (0, "www.example.org", Some("example")),
        (10, "cdn.example.org", Some("example")),
        (20, "badexample.org", None),
        (70, "www.example.co.uk", Some("other")),
        (80, "www.example.org", Some("example")),
        (130, "=cmd|' /C calc'!A0", None),
    ]
    .into_iter()
    .enumerate()
    {
        let mut record = flow(number as u64, minute);
        record.protocol = ProtocolId::Tls;
        record.confidence = Confidence::Handshake;
        record.application = application;
        record.category = application.map(|_| "web");
        record.found.fields = vec![
            (common::HOSTNAME, text(host)),
            (common::TLS_VERSION, "TLSv1.3".into()),
            (common::JA4, text(&format!("t13d_{}", number % 2))),
            (tls::SNI, text(host)),
            (tls::ALPN_OFFERED, Value::List(Box::new(vec![text("h2"), text("http/1.1")]))),
        ];
        records.push(record);
    }
    for number in 6..9 {
        let mut record = flow(number, 5);
        record.ends.src_ip = "2001:db8::5".parse().unwrap();
        record.ends.ip_protocol = 17;
        record.ends.dst_port = 53;
        record.protocol = ProtocolId::Dns;
        record.found.fields =
            vec![(common::HOSTNAME, text("nowhere.example")), (dns_rcode(), text("NXDOMAIN"))];
        record.found.risks = vec![
            RiskFound { risk: &risk::MALFORMED_PACKET, evidence: "dns.z=1\u{1b}[31m".into() },
            RiskFound { risk: &risk::CLEAR_TEXT_CREDENTIALS, evidence: "http.form=pass".into() },
        ];
        records.push(record);
    }
    records.push(flow(9, 6));
    records
}

fn dns_rcode() -> daylight_protocols::FieldRef {
    let column = daylight_inspect::column("dns.rcode").unwrap();
    let daylight_inspect::ColumnId::Field(field) = column.id else { panic!("a field") };
    field
}

/// A store that holds these, with addresses as they are.
pub(crate) fn filled(folder: &Path, records: impl IntoIterator<Item = FlowRecord>) {
    let options = StoreOptions { privacy: Privacy::KeepAddresses, ..StoreOptions::new(folder) };
    let mut writer = StoreWriter::new(&options).unwrap();
    records.into_iter().for_each(|record| writer.flow(record.into()));
    writer.finish().unwrap();
}

pub(crate) fn store() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), records());
    folder
}

/// Runs where a query runs: with stack enough for an engine that isn't optimised.
pub(crate) fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    runtime().block_on(async { tokio::spawn(work).await.unwrap() })
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_stack_size(32 << 20).enable_all().build().unwrap()
}

/// The answer as CSV without its header, and the warnings.
pub(crate) async fn csv(mut answer: Answer) -> Result<(Vec<String>, Vec<String>), QueryError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut output = Output::new(Form::Csv, &answer.schema, Box::new(file.reopen().unwrap()))?;
    while let Some(batch) = answer.rows.next().await {
        output.write(&batch?)?;
    }
    output.finish()?;
    let text = std::fs::read_to_string(file.path()).unwrap();
    Ok((text.lines().skip(1).map(str::to_owned).collect(), answer.warnings))
}

pub(crate) fn asked_of(
    options: EmbeddedOptions,
    sql: &str,
) -> Result<(Vec<String>, Vec<String>), QueryError> {
    let sql = sql.to_owned();
    run(async move {
        let engine = Embedded::new(&options).await?;
        csv(engine.query(&sql, &Parameters::new()).await?).await
    })
}

/// An engine that is asked several times.
pub(crate) struct Asker {
    runtime: tokio::runtime::Runtime,
    engine: std::sync::Arc<Embedded>,
}

impl Asker {
    pub(crate) fn new(folder: &Path) -> Self {
        let options = EmbeddedOptions::new(folder);
        let runtime = runtime();
        let engine =
            runtime.block_on(async { tokio::spawn(async move { Embedded::new(&options).await }).await });
        Self { runtime, engine: engine.unwrap().unwrap().into() }
    }

    pub(crate) fn try_ask(&self, sql: &str) -> Result<(Vec<String>, Vec<String>), QueryError> {
        let (engine, sql) = (std::sync::Arc::clone(&self.engine), sql.to_owned());
        let work = async move { csv(engine.query(&sql, &Parameters::new()).await?).await };
        self.runtime.block_on(async { tokio::spawn(work).await.unwrap() })
    }

    /// The rows that are the answer.
    #[track_caller]
    pub(crate) fn ask(&self, sql: &str) -> Vec<String> {
        match self.try_ask(sql) {
            Ok((rows, warnings)) => {
                assert!(warnings.is_empty(), "{warnings:?}");
                rows
            }
            Err(error) => panic!("{sql}: {error}"),
        }
    }

    /// Why there is no answer.
    #[track_caller]
    pub(crate) fn refused(&self, sql: &str) -> String {
        match self.try_ask(sql) {
            Ok((rows, _)) => panic!("{sql}: {rows:?}"),
            Err(error) => error.to_string(),
        }
    }
}

pub(crate) fn between(since: i64, until: i64) -> Times {
    Times { since_ns: Some(START_NS + since * MINUTE_NS), until_ns: Some(START_NS + until * MINUTE_NS) }
}
