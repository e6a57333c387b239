//! Where the engine hands its records over.

use std::sync::Arc;

use daylight_inspect::{FlowRecord, RecordSink};

use crate::record::Encoder;
use crate::spool::Spool;

/// Writes each record into the spool. One for each thread that makes records.
///
/// [`flow`](RecordSink::flow) never waits for the network. When it returns, the record is with the system: it outlives a
/// killed process. It is never closed: what can't be written is counted by the spool, and the run goes on.
pub struct Sink {
    spool: Arc<Spool>,
    encoder: Encoder,
}

impl Sink {
    /// Writes into this spool as this sensor.
    pub fn new(spool: Arc<Spool>, sensor: &str) -> Self {
        Self { spool, encoder: Encoder::new(sensor) }
    }
}

impl RecordSink for Sink {
    fn flow(&mut self, record: Box<FlowRecord>) {
        let (id, line) = self.encoder.encode(&record);
        // The spool counts what it can't take.
        self.spool.append(id, record.ends.uid.as_str(), !record.risks().is_empty(), line);
    }
}
