//! Records, unchanged, to systems that exist.
#![forbid(unsafe_code)]

mod carry;
mod http;
mod kafka;
mod nats;
mod record;
mod sink;
pub mod spool;
mod tls;

pub use carry::{Carrier, SendError, Status};
pub use kafka::{Kafka, KafkaOptions, Sasl};
pub use nats::{Nats, NatsOptions};
pub use record::{Entry, RecordId};
pub use sink::Sink;
pub use tls::{Tls, TlsError};
