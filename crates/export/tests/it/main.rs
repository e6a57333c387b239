//! The export against programs that others wrote. A test whose program is missing says so and does nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod alarms;
mod clickhouse;
mod config;
mod ipfix;
mod kafka;
mod metrics;
mod nats;
mod peers;
mod s3;
mod spool;
