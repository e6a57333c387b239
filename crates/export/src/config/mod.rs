//! The configuration: where the spool is, and a `[[to]]` for each destination.
//!
//! Every key is known or refused, with its file, line and column and the nearest key that there is. Passwords and keys stand
//! in files of their own, named by `…_file`: a configuration can be shown to others.

mod kinds;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use crate::alarm::otlp::OtlpOptions;
use crate::alarm::syslog::SyslogOptions;
use crate::alarm::webhook::WebhookOptions;
use crate::alarm::{Same, Severity};
use crate::clickhouse::ClickHouseOptions;
use crate::ipfix::IpfixOptions;
use crate::kafka::KafkaOptions;
use crate::nats::NatsOptions;
use crate::s3::S3Options;
use crate::spool::BUDGET_BYTES_MIN;
use table::{Reader, Table};

/// What is wrong with a configuration: every problem, each with its place and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// Where records wait, and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The spool's folder; `None` leaves it to whoever starts the export.
    pub spool: Option<PathBuf>,
    /// What the spool may take on disk, in bytes.
    pub budget_bytes: u64,
    /// The destinations.
    pub to: Vec<To>,
}

/// One destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct To {
    /// Its name, unlike the others': its position is kept by it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// What a destination is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Records over HTTP into ClickHouse.
    ClickHouse(ClickHouseOptions),
    /// Records as IPFIX.
    Ipfix(IpfixOptions),
    /// Records to a topic of Kafka.
    Kafka(KafkaOptions),
    /// Records to a stream of NATS JetStream.
    Nats(NatsOptions),
    /// Risks as logs of OpenTelemetry.
    Otlp(OtlpOptions, AlarmOptions),
    /// A store's Parquet files to object storage.
    S3(S3Options),
    /// Risks to a syslog server.
    Syslog(SyslogOptions, AlarmOptions),
    /// Risks by POST to a URL.
    Webhook(WebhookOptions, AlarmOptions),
}

/// Which risks are told of, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmOptions {
    /// The least severity.
    pub severity_min: Severity,
    /// What makes two alarms the same.
    pub same: Same,
    /// The same is told of once within this time.
    pub window: Duration,
    /// At most so many a minute.
    pub per_minute: u32,
}

impl Kind {
    /// Its name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ClickHouse(_) => "clickhouse",
            Self::Ipfix(_) => "ipfix",
            Self::Kafka(_) => "kafka",
            Self::Nats(_) => "nats",
            Self::Otlp(..) => "otlp",
            Self::S3(_) => "s3",
            Self::Syslog(..) => "syslog",
            Self::Webhook(..) => "webhook",
        }
    }
}

/// The spool's budget where nothing else is said: 1 GiB.
pub const BUDGET_BYTES: u64 = 1 << 30;

impl Config {
    /// Reads a file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// If it can't be read, or anything in it is not understood.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
            problems: vec![format!("can't read {}: {error}", path.display())],
        })?;
        Self::parse(&text, &path.display().to_string(), path.parent().unwrap_or_else(|| Path::new("")))
    }

    /// Reads text; `file` is its name for messages, paths are relative to `folder`.
    ///
    /// # Errors
    /// If anything in it is not understood.
    pub fn parse(text: &str, file: &str, folder: &Path) -> Result<Self, ConfigError> {
        let mut reader = Reader { text, file, folder, problems: Vec::new() };
        let config = match DeTable::parse(text) {
            Ok(root) => Self::from_root(&mut reader, root.get_ref()),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                reader.problem(at, error.message());
                Self { spool: None, budget_bytes: BUDGET_BYTES, to: Vec::new() }
            }
        };
        if reader.problems.is_empty() {
            return Ok(config);
        }
        reader.problems.sort_by_key(|(at, _)| *at);
        Err(ConfigError { problems: reader.problems.into_iter().map(|(_, problem)| problem).collect() })
    }

    fn from_root(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Self {
        let mut top = Table::new(root, 0, "a configuration");
        let (mut spool, mut budget_bytes) = (None, BUDGET_BYTES);
        if let Some(mut table) = top.table(reader, "spool", "[spool]") {
            spool = table.path(reader, "path");
            if let Some(mib) = table.number(reader, "budget_mib", BUDGET_BYTES_MIN >> 20..=1 << 30) {
                budget_bytes = mib << 20;
            }
            table.finish(reader);
        }
        let mut to: Vec<To> = Vec::new();
        for (value, at) in top.tables(reader, "to", "[[to]]") {
            let mut table = Table::new(value, at, "[[to]]");
            let Some(found) = kinds::read(reader, &mut table) else { continue };
            if to.iter().any(|other| other.name == found.name) {
                let why =
                    format!("there is a [[to]] with the name {:?} already: give each a `name`", found.name);
                reader.problem(at, why);
            }
            to.push(found);
        }
        top.finish(reader);
        Self { spool, budget_bytes, to }
    }
}

/// A value's kind for messages.
fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
