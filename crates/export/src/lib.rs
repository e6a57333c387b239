//! Records, unchanged, to systems that exist.
//!
//! The engine hands its records to a [`Sink`], which writes each as a line of JSON into a [spool](spool::Spool) on disk. From
//! there a thread for each destination carries them on, batch by batch, at its own pace and until each batch is
//! acknowledged: whole records to [`Nats`], [`Kafka`], [`clickhouse`] and [`ipfix`], and their risks as messages to
//! [syslog](alarm::syslog), a [webhook](alarm::webhook) or [OpenTelemetry](alarm::otlp). A store's Parquet files are copied to
//! [object storage](s3). An [`Exporter`] is all of that together, as a [`Config`] says.
//!
//! Delivery is at least once. Every record has a name ([`RecordId`]) by which what came twice is known.
#![forbid(unsafe_code)]

pub mod alarm;
mod carry;
pub mod clickhouse;
pub mod config;
mod exporter;
mod flat;
mod http;
pub mod ipfix;
mod kafka;
pub mod metrics;
mod nats;
mod record;
pub mod s3;
mod secret;
mod sink;
pub mod spool;
mod time;
mod tls;

pub use carry::{Carrier, HeldBack, SendError, Status};
pub use config::{Config, ConfigError};
pub use exporter::{ExportError, Exporter, UploadStatus};
pub use kafka::{Kafka, KafkaOptions, Sasl};
pub use nats::{Nats, NatsOptions};
pub use record::{Entry, RecordId};
pub use secret::Secret;
pub use sink::Sink;
pub use tls::{Tls, TlsError};
