//! One line a second, for where there is no terminal: a log, a pipe, a serial console.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::board::{Board, Kind, Query, Snapshot, Window, rfc3339};
use crate::text::{clean, left, right};
use crate::units::{bits_per_s, percent, short};

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: aligned columns.
    #[default]
    Text,
    /// For programs: a [`Second`] as a JSON object.
    Jsonl,
}

/// What there is to say of a second. With [`Format::Jsonl`], the keys are these names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// When it was over, by the engine's clock: RFC 3339 in UTC.
    pub time: String,
    /// Bits a second, frames whole.
    pub bits_per_s: u64,
    /// Packets a second.
    pub packets_per_s: u64,
    /// Flows begun a second.
    pub flows_per_s: u64,
    /// Flows that are open.
    pub flows_open: u64,
    /// Packets that were lost on their way here in this second.
    pub dropped: u64,
    /// Everything else that was lost since the line before: flows ended early, records missed …
    pub other_losses: u64,
    /// The protocol with the most bytes in the last ten seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_protocol: Option<String>,
    /// Its share of the bytes, in percent, rounded down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_protocol_percent: Option<u64>,
    /// Risks that were found since the line before.
    pub new_risks: u64,
    /// The names of the gravest of them, at most [`RISKS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub risks: Vec<String>,
}

/// Risks that one line names.
pub const RISKS_MAX: usize = 3;

/// What earlier lines have told of.
#[derive(Default)]
struct Told {
    risks: u64,
    losses: u64,
    dropped: u64,
}

impl Told {
    fn second(&mut self, snapshot: &Snapshot) -> Second {
        let rates = snapshot.rates;
        let protocols = &snapshot.tops.protocols;
        let top = protocols.rows.first();
        let whole = protocols.total.bytes.max(1);
        let dropped = snapshot.gauges.dropped();
        let losses = snapshot.losses.iter().map(|loss| loss.total).sum::<u64>().saturating_sub(dropped);
        let mut risks = Vec::new();
        for risk in snapshot.risks.iter().filter(|risk| risk.number > self.risks) {
            if risks.len() < RISKS_MAX && risks.iter().all(|name| name != risk.name) {
                risks.push(risk.name.to_owned());
            }
        }
        let second = Second {
            time: snapshot.now_ns.map(rfc3339).unwrap_or_default(),
            bits_per_s: rates.bits_per_s,
            packets_per_s: rates.packets_per_s,
            flows_per_s: rates.flows_per_s,
            flows_open: snapshot.gauges.flows_open,
            dropped: dropped.saturating_sub(self.dropped),
            other_losses: losses.saturating_sub(self.losses),
            top_protocol: top.map(|row| row.name.clone()),
            top_protocol_percent: top
                .map(|row| (u128::from(row.amount.bytes) * 100 / u128::from(whole)) as u64),
            new_risks: snapshot.risks_found.saturating_sub(self.risks),
            risks,
        };
        *self = Self { risks: snapshot.risks_found, losses, dropped };
        second
    }
}

impl Second {
    /// The line for people.
    fn text(&self) -> String {
        let clock = self.time.get(11..19).unwrap_or("--:--:--");
        let top = self.top_protocol.as_ref().map_or_else(String::new, |name| {
            format!("{name} {}", percent(self.top_protocol_percent.unwrap_or(0), 100))
        });
        let mut line = format!(
            "{clock}  {}  {} packets/s  {} flows/s  {} open  {}",
            right(&bits_per_s(self.bits_per_s), 10),
            right(&short(self.packets_per_s), 4),
            right(&short(self.flows_per_s), 4),
            right(&short(self.flows_open), 4),
            left(&top, 18),
        );
        if self.dropped > 0 {
            line += &format!("  DROPPED {}", short(self.dropped));
        }
        if self.other_losses > 0 {
            line += &format!("  LOST {}", short(self.other_losses));
        }
        if self.new_risks > 0 {
            line += &format!("  {} new risks: {}", short(self.new_risks), self.risks.join(", "));
        }
        clean(line.trim_end()).into_owned()
    }
}

/// Writes a line for each tick until `stop` is set or nobody reads on, and sets `stop` then. Lines are flushed as they are
/// written.
///
/// # Errors
/// If `out` can't be written to, unless that is because its reader has gone (`head`), which ends it as well as anything.
pub fn run(board: &Arc<Board>, stop: &AtomicBool, format: Format, out: &mut dyn Write) -> io::Result<()> {
    let result = write(board, stop, format, out);
    stop.store(true, Ordering::SeqCst);
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// What a line needs to know.
fn query() -> Query {
    Query {
        window: Window::Seconds10,
        kinds: vec![Kind::Protocols],
        rows: 1,
        seconds: 1,
        risks: 100,
        ..Query::default()
    }
}

fn write(board: &Board, stop: &AtomicBool, format: Format, out: &mut dyn Write) -> io::Result<()> {
    let query = query();
    let mut told = Told::default();
    let (mut ticks, mut seconds) = (0, 0);
    loop {
        let now = board.wait(ticks, Duration::from_millis(100));
        let is_over = stop.load(Ordering::SeqCst);
        if now > ticks {
            ticks = now;
            let snapshot = board.snapshot(&query);
            // The first tick only says where counting begins, and one that comes too early says nothing.
            if snapshot.running_s > seconds {
                seconds = snapshot.running_s;
                let second = told.second(&snapshot);
                match format {
                    Format::Text => writeln!(out, "{}", second.text())?,
                    Format::Jsonl => {
                        serde_json::to_writer(&mut *out, &second)?;
                        writeln!(out)?;
                    }
                }
                out.flush()?;
            }
        }
        if is_over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use daylight_inspect::{FlowRecord, RecordSink};
    use daylight_protocols::{RiskFound, risk};

    use super::*;
    use crate::board::{Gauges, Interface};

    #[test]
    fn a_line_tells_what_the_one_before_did_not() {
        let board = Board::new();
        let mut feed = Board::feed(&board);
        let mut told = Told::default();
        let mut lines = String::new();
        for second in 0..4_u64 {
            let mut record = FlowRecord::blank(second);
            record.src.bytes = 9000;
            if second == 2 {
                let found = RiskFound { risk: &risk::MALFORMED_PACKET, evidence: "x".into() };
                record.found.risks = vec![found];
            }
            feed.flow(Box::new(record));
            let interface = Interface {
                is_up: true,
                dropped_by_kernel: if second > 1 { 1200 } else { 0 },
                ..Interface::default()
            };
            let gauges = Gauges {
                packets: second * 61_000,
                bytes: second * 51_500_000,
                interfaces: vec![interface],
                flows_open: 12_000,
                flows_over_budget: if second > 2 { 5 } else { 0 },
                ..Gauges::default()
            };
            feed.tick(1_767_268_800_000_000_000 + second as i64 * 1_000_000_000, gauges);
            if second > 0 {
                let told = told.second(&board.snapshot(&query()));
                lines += &format!("{}\n{}\n", told.text(), serde_json::to_string(&told).unwrap());
            }
        }
        insta::assert_snapshot!(lines);
    }
}
