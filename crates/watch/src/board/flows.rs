//! Flows as a viewer sees them: rows of a list, filtered and sorted, and one flow with all that is known of it.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use daylight_expr::{Program, ValueRef};
use daylight_inspect::{FlowRecord, columns};
use daylight_protocols::{Severity, common};
use serde::{Deserialize, Serialize};

/// By what flows are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// The last packet, the latest first.
    #[default]
    Last,
    /// Bytes of both sides.
    Bytes,
    /// Packets of both sides.
    Packets,
    /// Bytes a second now.
    Rate,
    /// Seconds from the first packet to the last.
    Duration,
    /// The client's address, the lowest first.
    Client,
    /// The host name, or else the server's address.
    Server,
    /// The protocol's name.
    Protocol,
    /// The application's name; those without come last.
    Application,
    /// The severest risk.
    Risk,
}

impl Sort {
    /// All, in the order in which a viewer goes through them.
    pub const ALL: [Self; 10] = [
        Self::Last,
        Self::Bytes,
        Self::Packets,
        Self::Rate,
        Self::Duration,
        Self::Client,
        Self::Server,
        Self::Protocol,
        Self::Application,
        Self::Risk,
    ];

    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Bytes => "bytes",
            Self::Packets => "packets",
            Self::Rate => "rate",
            Self::Duration => "duration",
            Self::Client => "client",
            Self::Server => "server",
            Self::Protocol => "protocol",
            Self::Application => "application",
            Self::Risk => "risk",
        }
    }
}

/// Which flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    /// Those that are open and those that have ended.
    #[default]
    All,
    /// Those that go on.
    Open,
    /// Those that have ended.
    Ended,
}

/// Which flows are asked for.
#[derive(Clone, Debug, Default)]
pub struct FlowQuery {
    /// Open ones, ended ones, or both.
    pub which: Which,
    /// A condition that they meet ([`daylight_inspect::compile`]).
    pub filter: Option<Arc<Program>>,
    /// By what they are sorted.
    pub sort: Sort,
    /// The other way round.
    pub reverse: bool,
    /// How many are skipped.
    pub offset: usize,
    /// How many are wanted.
    pub rows: usize,
}

/// What the query found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FlowPage {
    /// Flows that meet the condition.
    pub matching: usize,
    /// Flows that were looked at.
    pub of: usize,
    /// Those from `offset` on.
    pub rows: Vec<FlowRow>,
}

/// A flow in a list. Texts are as they came from the network: who shows them makes them harmless.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlowRow {
    /// Its name.
    pub uid: String,
    /// True if it goes on.
    pub is_open: bool,
    /// Time of the first packet, nanoseconds since 1970.
    pub start_ns: i64,
    /// Time of the last packet.
    pub end_ns: i64,
    /// `tcp`, `udp` …
    pub transport: &'static str,
    /// The client's address.
    pub src_ip: IpAddr,
    /// The client's port.
    pub src_port: u16,
    /// The server's address.
    pub dst_ip: IpAddr,
    /// The server's port.
    pub dst_port: u16,
    /// What it speaks.
    pub protocol: &'static str,
    /// Which application or service it belongs to.
    pub application: Option<&'static str>,
    /// The server's name, as the flow says it or as it was looked up before.
    pub host: Option<String>,
    /// Packets of both sides.
    pub packets: u64,
    /// Bytes from the client.
    pub src_bytes: u64,
    /// Bytes from the server.
    pub dst_bytes: u64,
    /// Bytes a second between the last two reports; 0 if it has ended or is quiet.
    pub bytes_per_s: u64,
    /// How it ended, or stands, in Zeek's terms.
    pub state: &'static str,
    /// Names of its risks.
    pub risks: Vec<&'static str>,
    /// The highest severity among them.
    pub severity: Option<&'static str>,
}

/// Everything that is known of one flow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlowDetail {
    /// As in the list.
    pub row: FlowRow,
    /// Its columns, in the record's order; those that are absent are left out.
    pub fields: Vec<Field>,
    /// Its risks.
    pub risks: Vec<RiskDetail>,
}

/// A column with its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// The column's name.
    pub name: &'static str,
    /// One line about it.
    pub help: &'static str,
    /// Its values as text.
    pub values: Vec<String>,
}

/// A risk of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RiskDetail {
    /// Which.
    pub name: &'static str,
    /// How much it matters.
    pub severity: &'static str,
    /// Who would have to mend it.
    pub side: &'static str,
    /// Field and value.
    pub evidence: String,
    /// What it means.
    pub help: &'static str,
}

/// A flow that is held.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) record: Arc<FlowRecord>,
    pub(crate) is_open: bool,
    pub(crate) bytes_per_s: u64,
}

/// The name of the server.
pub(crate) fn host(record: &FlowRecord) -> Option<&str> {
    record.text(common::HOSTNAME).or(record.resolved_name.as_deref())
}

fn bytes(record: &FlowRecord) -> u64 {
    record.src.bytes.saturating_add(record.dst.bytes)
}

fn packets(record: &FlowRecord) -> u64 {
    record.src.packets.saturating_add(record.dst.packets)
}

fn severity(record: &FlowRecord) -> Option<Severity> {
    record.risks().iter().map(|found| found.risk.severity).max()
}

/// What comes before what; ties are broken by the name, so that rows don't jump about.
fn compare(sort: Sort, a: &Held, b: &Held) -> Ordering {
    let (x, y) = (&*a.record, &*b.record);
    let duration = |r: &FlowRecord| r.end_ns.saturating_sub(r.start_ns);
    match sort {
        Sort::Last => y.end_ns.cmp(&x.end_ns),
        Sort::Bytes => bytes(y).cmp(&bytes(x)),
        Sort::Packets => packets(y).cmp(&packets(x)),
        Sort::Rate => b.bytes_per_s.cmp(&a.bytes_per_s),
        Sort::Duration => duration(y).cmp(&duration(x)),
        Sort::Client => (x.ends.src_ip, x.ends.src_port).cmp(&(y.ends.src_ip, y.ends.src_port)),
        Sort::Server => {
            let address = |r: &FlowRecord| (r.ends.dst_ip, r.ends.dst_port);
            // Names before addresses.
            let (a, b) = (host(x), host(y));
            (a.is_none(), a).cmp(&(b.is_none(), b)).then_with(|| address(x).cmp(&address(y)))
        }
        Sort::Protocol => x.protocol.name().cmp(y.protocol.name()),
        Sort::Application => {
            let key = |r: &FlowRecord| (r.application.is_none(), r.application);
            key(x).cmp(&key(y))
        }
        Sort::Risk => (severity(y), y.risks().len()).cmp(&(severity(x), x.risks().len())),
    }
    .then_with(|| y.end_ns.cmp(&x.end_ns))
    .then_with(|| x.ends.uid.cmp(&y.ends.uid))
}

/// Filters and sorts.
pub(crate) fn page(mut held: Vec<Held>, query: &FlowQuery) -> FlowPage {
    match query.which {
        Which::All => {}
        Which::Open => held.retain(|flow| flow.is_open),
        Which::Ended => held.retain(|flow| !flow.is_open),
    }
    let of = held.len();
    if let Some(filter) = &query.filter {
        held.retain(|flow| filter.matches(&*flow.record));
    }
    let matching = held.len();
    let order = |a: &Held, b: &Held| {
        let order = compare(query.sort, a, b);
        if query.reverse { order.reverse() } else { order }
    };
    let end = query.offset.saturating_add(query.rows).min(matching);
    // Only what is shown is worth being put in order.
    if end > 0 && end < matching {
        held.select_nth_unstable_by(end, order);
        held.truncate(end);
    }
    held.sort_unstable_by(order);
    let rows = held.iter().take(end).skip(query.offset).map(row).collect();
    FlowPage { matching, of, rows }
}

pub(crate) fn row(held: &Held) -> FlowRow {
    let record = &*held.record;
    FlowRow {
        uid: record.ends.uid.as_str().to_owned(),
        is_open: held.is_open,
        start_ns: record.start_ns,
        end_ns: record.end_ns,
        transport: record.ends.transport(),
        src_ip: record.ends.src_ip,
        src_port: record.ends.src_port,
        dst_ip: record.ends.dst_ip,
        dst_port: record.ends.dst_port,
        protocol: record.protocol.name(),
        application: record.application,
        host: host(record).map(str::to_owned),
        packets: packets(record),
        src_bytes: record.src.bytes,
        dst_bytes: record.dst.bytes,
        bytes_per_s: held.bytes_per_s,
        state: record.state.name(),
        risks: record.risks().iter().map(|found| found.risk.name).collect(),
        severity: severity(record).map(Severity::name),
    }
}

pub(crate) fn detail(held: &Held) -> FlowDetail {
    let record = &*held.record;
    let fields = columns().iter().filter_map(|column| {
        let values: Vec<_> = record.values(column.id).map(text).collect();
        (!values.is_empty()).then_some(Field { name: column.name, help: column.help, values })
    });
    let risks = record.risks().iter().map(|found| RiskDetail {
        name: found.risk.name,
        severity: found.risk.severity.name(),
        side: found.risk.side.name(),
        evidence: found.evidence.to_string(),
        help: found.risk.help,
    });
    FlowDetail { row: row(held), fields: fields.collect(), risks: risks.collect() }
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Bool(b) => b.to_string(),
        ValueRef::Uint(n) => n.to_string(),
        ValueRef::Float(n) => format!("{n:.6}").trim_end_matches('0').trim_end_matches('.').to_owned(),
        ValueRef::Str(s) => s.to_owned(),
        ValueRef::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        ValueRef::Ip(ip) => ip.to_string(),
        ValueRef::Time(ns) => rfc3339(ns),
    }
}

/// A time in nanoseconds since 1970 in RFC 3339's form.
pub(crate) fn rfc3339(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(ns.into()).map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(number: u64, bytes: u64) -> Held {
        let mut record = FlowRecord::blank(number);
        record.src.bytes = bytes;
        record.end_ns = number as i64;
        Held { record: Arc::new(record), is_open: false, bytes_per_s: 0 }
    }

    #[test]
    fn filters_sorts_and_pages() {
        let flows: Vec<_> = (0..100).map(|i| held(i, i * 7 % 100)).collect();
        let filter = Arc::new(daylight_inspect::compile("src_bytes >= 90").unwrap());
        let query =
            FlowQuery { filter: Some(filter), sort: Sort::Bytes, offset: 2, rows: 3, ..FlowQuery::default() };
        let found = page(flows.clone(), &query);
        assert_eq!((found.matching, found.of), (10, 100));
        assert_eq!(found.rows.iter().map(|row| row.src_bytes).collect::<Vec<_>>(), [97, 96, 95]);
        let found = page(flows.clone(), &FlowQuery { reverse: true, ..query });
        assert_eq!(found.rows.iter().map(|row| row.src_bytes).collect::<Vec<_>>(), [92, 93, 94]);
        for sort in Sort::ALL {
            let all = page(flows.clone(), &FlowQuery { sort, rows: 1000, ..FlowQuery::default() });
            assert_eq!(all.rows.len(), 100);
            let first = page(flows.clone(), &FlowQuery { sort, rows: 10, ..FlowQuery::default() });
            assert_eq!(first.rows[..], all.rows[..10], "{sort:?}");
        }
        assert!(page(flows, &FlowQuery { offset: 200, rows: 5, ..FlowQuery::default() }).rows.is_empty());
    }

    #[test]
    fn a_detail_holds_what_is_there() {
        let detail = detail(&held(3, 1500));
        let value = |name| detail.fields.iter().find(|field| field.name == name).map(|f| f.values.join(","));
        assert_eq!(value("src_bytes").as_deref(), Some("1500"));
        assert_eq!(value("end").as_deref(), Some("1970-01-01T00:00:00.000000003Z"));
        assert_eq!(value("hostname"), None);
    }
}
