//! Risks as messages to people and to what alerts people: each once, not more than can be read, and with nothing in it that
//! the reader's program would take for something else.
//!
//! The records come from the spool as for any other destination. Of each risk there is one message; the same risk of the same
//! ends within a window is counted and told of once more at the window's end ([`Throttle`]); beyond a rate messages are left
//! out, and the next one says how many. Delivery is at least once: the message's `id` tells which came twice. The counts are
//! in memory, and are lost if the process is killed.

pub mod cef;
pub mod otlp;
pub mod syslog;
mod throttle;
pub mod webhook;

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::Value;

use crate::carry::{Carrier, HeldBack, SendError};
use crate::record::Entry;
pub use throttle::{Rate, Same, Throttle};

/// How much a risk matters; as in the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names say it all
pub enum Severity {
    #[default]
    Low,
    Medium,
    High,
    Severe,
}

impl Severity {
    /// All, the lowest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Severe];

    /// As in the record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Severe => "severe",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }
}

/// A risk that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    /// The same each time the same risk of the same record is told of; a repetition at the end of a window has another one.
    pub id: String,
    /// Who saw it.
    pub sensor: String,
    /// When the flow's last packet came; RFC 3339, and nanoseconds since 1970.
    pub time: String,
    /// As a number.
    pub time_ns: i64,
    /// The risk.
    pub risk: String,
    /// How much it matters.
    pub severity: Severity,
    /// Who would have to mend it: `client`, `server` or `both`.
    pub side: String,
    /// The field and value that show it.
    pub evidence: String,
    /// The client's address, pseudonymised if the records are.
    pub src_ip: String,
    /// The client's port.
    pub src_port: u64,
    /// The server's address.
    pub dst_ip: String,
    /// The server's port.
    pub dst_port: u64,
    /// `tcp`, `udp` ….
    pub transport: String,
    /// What the flow speaks.
    pub protocol: String,
    /// The application, or nothing.
    pub application: String,
    /// The server's name, or nothing.
    pub hostname: String,
    /// The flow.
    pub uid: String,
    /// How many times this message stands for: 1, or those within a window after the first.
    pub count: u64,
    /// Messages of any kind that were left out since the last one, because there were too many.
    pub left_out: u64,
}

/// The risks of a record.
pub fn alarms(entry: &Entry) -> Vec<Alarm> {
    let Ok(record) = serde_json::from_slice::<Value>(&entry.line) else { return Vec::new() };
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |name: &str| record.get(name).and_then(Value::as_u64).unwrap_or_default();
    let time = text(&record, "end");
    let risks = record.get("risks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let alarm = |risk: &Value| Alarm {
        id: format!("{}-{}", entry.id, text(risk, "name")),
        sensor: text(&record, "sensor"),
        time_ns: crate::time::nanoseconds(&time).unwrap_or_default(),
        time: time.clone(),
        risk: text(risk, "name"),
        severity: Severity::named(&text(risk, "severity")).unwrap_or_default(),
        side: text(risk, "side"),
        evidence: text(risk, "evidence"),
        src_ip: text(&record, "src_ip"),
        src_port: number("src_port"),
        dst_ip: text(&record, "dst_ip"),
        dst_port: number("dst_port"),
        transport: text(&record, "transport"),
        protocol: text(&record, "protocol"),
        application: text(&record, "application"),
        hostname: Some(text(&record, "hostname"))
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| text(&record, "resolved_name")),
        uid: text(&record, "uid"),
        count: 1,
        left_out: 0,
    };
    risks.iter().map(alarm).collect()
}

/// Takes messages to one place.
pub trait Outlet: Send {
    /// Sends some of these, from the first on; says how many were taken.
    ///
    /// # Errors
    /// If the first was not taken.
    fn send(&mut self, alarms: &[Alarm]) -> Result<usize, SendError>;
}

/// Makes messages of records' risks, and takes them to an outlet.
pub struct Alarms<O> {
    outlet: O,
    throttle: Throttle,
    severity_min: Severity,
    /// The batch that was taken in last: if it comes again, its risks wait already.
    token: String,
    waiting: VecDeque<Alarm>,
    refused: u64,
}

impl<O: Outlet> Alarms<O> {
    /// Of risks of at least this severity.
    pub fn new(outlet: O, throttle: Throttle, severity_min: Severity) -> Self {
        Self { outlet, throttle, severity_min, token: String::new(), waiting: VecDeque::new(), refused: 0 }
    }

    fn take_in(&mut self, entries: &[Entry]) {
        let now = Instant::now();
        for entry in entries.iter().filter(|entry| entry.has_risks) {
            let found = alarms(entry).into_iter().filter(|alarm| alarm.severity >= self.severity_min);
            self.waiting.extend(found.filter_map(|alarm| self.throttle.offer(alarm, now)));
        }
    }

    fn send_waiting(&mut self) -> Result<(), SendError> {
        while !self.waiting.is_empty() {
            match self.outlet.send(self.waiting.make_contiguous()) {
                Ok(taken) => drop(self.waiting.drain(..taken.clamp(1, self.waiting.len()))),
                Err(SendError::Refused(_)) => {
                    self.waiting.pop_front();
                    self.refused += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<O: Outlet> Carrier for Alarms<O> {
    fn send(&mut self, entries: &[Entry], token: &str) -> Result<(), SendError> {
        if self.token != token {
            self.take_in(entries);
            token.clone_into(&mut self.token);
        }
        self.send_waiting()
    }

    fn tick(&mut self, last: bool) -> Result<(), SendError> {
        self.waiting.extend(self.throttle.due(Instant::now(), last));
        self.send_waiting()
    }

    fn held_back(&self) -> HeldBack {
        HeldBack { refused: self.refused, ..self.throttle.held_back() }
    }
}

/// Text for readers that have no way of escaping, or whose terminals do things: control characters, line separators, and what
/// turns the direction of writing become `�`; at most `chars_max` characters.
pub(crate) fn plain(text: &str, chars_max: usize) -> String {
    let replace = |c: char| match c {
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
            '\u{fffd}'
        }
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().take(chars_max).map(replace).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::RecordId;

    /// Everything that means something to one of the forms.
    pub(crate) const NASTY: &str =
        "a|b=c\\d\ne\r\nCEF:0|x\t\u{1b}[31m<script>\"'&\u{202e}\u{2028}\0\u{85}=cmd()|' [x@1 y=\"z\"]";

    pub(crate) fn nasty() -> Alarm {
        Alarm {
            id: "00ff-risk".into(),
            sensor: NASTY.into(),
            time: "2024-01-01T00:00:00.123456789Z".into(),
            time_ns: 1_704_067_200_123_456_789,
            risk: "clear-text-credentials".into(),
            severity: Severity::High,
            side: "server".into(),
            evidence: NASTY.into(),
            src_ip: "192.0.2.1".into(),
            src_port: 40000,
            dst_ip: "2001:db8::5".into(),
            dst_port: 21,
            transport: "tcp".into(),
            protocol: "ftp".into(),
            application: String::new(),
            hostname: NASTY.into(),
            uid: "Cabcdefghi123456789".into(),
            count: 1,
            left_out: 0,
        }
    }

    fn entry(n: u8, risks: &str) -> Entry {
        let line = format!(
            r#"{{"record_id":"x","sensor":"s","uid":"C1","end":"2024-01-01T00:00:00.000000001Z","transport":"tcp","src_ip":"192.0.2.1","src_port":1,"dst_ip":"192.0.2.2","dst_port":2,"protocol":"ftp","resolved_name":"a.example","risks":[{risks}]}}"#
        );
        let line = line.into_bytes().into();
        Entry { sequence: n.into(), id: RecordId([n; 16]), uid: [b'C'; 19], has_risks: true, line }
    }

    const LOW: &str = r#"{"name":"l","severity":"low","side":"both","evidence":""}"#;
    const HIGH: &str = r#"{"name":"h","severity":"high","side":"client","evidence":"a=b"}"#;

    #[derive(Default)]
    struct Collect {
        away: bool,
        sent: Vec<Alarm>,
    }

    impl Outlet for Collect {
        fn send(&mut self, alarms: &[Alarm]) -> Result<usize, SendError> {
            if std::mem::replace(&mut self.away, true) {
                self.away = false;
                return Err(SendError::Again("away".into()));
            }
            self.sent.push(alarms[0].clone());
            Ok(1)
        }
    }

    #[test]
    fn each_risk_is_told_of_once_though_the_batch_comes_again() {
        let throttle = Throttle::new(Same::Pair, std::time::Duration::from_secs(300), Rate::per_minute(100));
        let mut carrier = Alarms::new(Collect::default(), throttle, Severity::Medium);
        let batch =
            [entry(1, &format!("{LOW},{HIGH}")), entry(2, HIGH), entry(3, &HIGH.replace("\"h\"", "\"i\""))];
        let mut tries = 1;
        while carrier.send(&batch, "batch").is_err() {
            tries += 1;
        }
        assert_eq!(tries, 2);
        let names: Vec<_> = carrier.outlet.sent.iter().map(|alarm| (&*alarm.risk, alarm.count)).collect();
        assert_eq!(names, [("h", 1), ("i", 1)]);
        let first = &carrier.outlet.sent[0];
        assert_eq!((first.time_ns, &*first.hostname), (1_704_067_200_000_000_001, "a.example"));
        assert_eq!(first.id, format!("{}-h", RecordId([1; 16])));
        while carrier.tick(true).is_err() {}
        let last = carrier.outlet.sent.last().unwrap();
        assert_eq!((&*last.risk, last.count), ("h", 1), "the second record's");
        assert_eq!(carrier.held_back(), HeldBack { repeated: 1, limited: 0, refused: 0 });
    }

    #[test]
    fn plain_text_is_one_line_without_tricks() {
        let text = plain(NASTY, 1000);
        assert!(text.chars().all(|c| !c.is_control() && !('\u{2028}'..='\u{202e}').contains(&c)), "{text:?}");
        assert_eq!(plain("äöü", 2), "äö");
    }
}
