//! What a viewer asks for, and what it gets.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use serde::Serialize;

use super::flows::{self, FlowDetail, FlowPage, FlowQuery, Held, Which};
use super::frequent::{Amount, Measure};
use super::gauges::{self, Budget, Gauges, Loss};
use super::ring::{MINUTES_MAX, SECONDS_MAX, Sample};
use super::risks::RiskRow;
use super::state::{BoardCounters, OPEN_MAX, State};
use super::window::{self, Kind, NAMES_HELD_MAX, Pane, Window};

/// Rows of a table, or flows, that one query gets at most.
pub const ROWS_MAX: usize = 1000;

/// What a viewer wants. What it doesn't ask for costs nothing.
#[derive(Clone, Debug)]
pub struct Query {
    /// The time that tops are taken over.
    pub window: Window,
    /// By what they are sorted.
    pub by: Measure,
    /// By what risks are sorted: how many flows have one says more than how large they are.
    pub risks_by: Measure,
    /// Which tops.
    pub kinds: Vec<Kind>,
    /// Rows of each, at most [`ROWS_MAX`].
    pub rows: usize,
    /// How many of the last seconds.
    pub seconds: usize,
    /// How many of the last whole minutes.
    pub minutes: usize,
    /// Which flows.
    pub flows: Option<FlowQuery>,
    /// How many of the latest risks, at most [`ROWS_MAX`].
    pub risks: usize,
    /// The name of a flow to be told all about.
    pub uid: Option<String>,
}

impl Default for Query {
    /// Ten rows of every kind by bytes over a minute, and the throughput of that minute.
    fn default() -> Self {
        Self {
            window: Window::default(),
            by: Measure::default(),
            risks_by: Measure::Flows,
            kinds: Kind::ALL.to_vec(),
            rows: 10,
            seconds: 60,
            minutes: 0,
            flows: None,
            risks: 0,
            uid: None,
        }
    }
}

/// What the board shows at one time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// The engine's time at the last tick, nanoseconds since 1970; `None` before the first.
    pub now_ns: Option<i64>,
    /// Seconds that the board has run.
    pub running_s: u64,
    /// Of the last second.
    pub rates: Rates,
    /// The last seconds, the oldest first.
    pub seconds: Vec<Sample>,
    /// The last whole minutes, the oldest first.
    pub minutes: Vec<Sample>,
    /// The largest of each kind.
    pub tops: Tops,
    /// The flows that were asked for.
    pub flows: Option<FlowPage>,
    /// The flow that was asked for, if it is still known.
    pub flow: Option<FlowDetail>,
    /// The gravest and latest risks.
    pub risks: Vec<RiskRow>,
    /// How many risks were found since the start.
    pub risks_found: u64,
    /// Flows that have ended since the start.
    pub flows_ended: u64,
    /// What the engine said last.
    pub gauges: Gauges,
    /// What was lost.
    pub losses: Vec<Loss>,
    /// How full everything is.
    pub budgets: Vec<Budget>,
    /// What came of the board's own limits.
    pub board: BoardCounters,
}

/// Throughput in the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rates {
    /// Bits a second, frames whole.
    pub bits_per_s: u64,
    /// Packets a second.
    pub packets_per_s: u64,
    /// Flows begun a second.
    pub flows_per_s: u64,
    /// Packets lost a second.
    pub dropped_per_s: u64,
}

impl From<Sample> for Rates {
    fn from(second: Sample) -> Self {
        Self {
            bits_per_s: second.bytes.saturating_mul(8),
            packets_per_s: second.packets,
            flows_per_s: second.flows_begun,
            dropped_per_s: second.dropped,
        }
    }
}

/// The largest of each kind over a window.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tops {
    /// The window.
    pub window: Window,
    /// The seconds of it that have been counted: fewer after the start, and where a longer window moves in steps.
    pub covered_s: u32,
    /// What flows speak.
    pub protocols: Top,
    /// Applications and services.
    pub applications: Top,
    /// Kinds of applications.
    pub categories: Top,
    /// Names of servers.
    pub hosts: Top,
    /// Addresses of clients.
    pub talkers: Top,
    /// Addresses of servers.
    pub servers: Top,
    /// Risks.
    pub risks: Top,
}

impl Tops {
    /// Of one kind.
    pub fn of(&self, kind: Kind) -> &Top {
        match kind {
            Kind::Protocols => &self.protocols,
            Kind::Applications => &self.applications,
            Kind::Categories => &self.categories,
            Kind::Hosts => &self.hosts,
            Kind::Talkers => &self.talkers,
            Kind::Servers => &self.servers,
            Kind::Risks => &self.risks,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut Top {
        match kind {
            Kind::Protocols => &mut self.protocols,
            Kind::Applications => &mut self.applications,
            Kind::Categories => &mut self.categories,
            Kind::Hosts => &mut self.hosts,
            Kind::Talkers => &mut self.talkers,
            Kind::Servers => &mut self.servers,
            Kind::Risks => &mut self.risks,
        }
    }
}

/// The largest of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Top {
    /// By what the rows are sorted.
    pub by: Measure,
    /// The largest first.
    pub rows: Vec<TopRow>,
    /// Of all names together, those not shown as well. A flow with several risks counts under each.
    pub total: Amount,
    /// By how much any row may be too small, in what they are sorted by. Never too large.
    pub error: u64,
}

/// A name with its counts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopRow {
    /// The name, as it came from the network.
    pub name: String,
    /// How much, in the window.
    #[serde(flatten)]
    pub amount: Amount,
    /// Of a risk, how much it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<&'static str>,
}

/// The board at one moment, to be asked again and again: what a viewer holds that has been paused. It is made of handles
/// to what the board holds, and holds it as long.
pub struct Frozen {
    windows: [(Vec<Arc<Pane>>, u32); 3],
    held: Vec<Held>,
    one: Option<Held>,
    base: Snapshot,
}

impl Query {
    /// What everything else can be answered from.
    pub(crate) fn everything() -> Self {
        let (seconds, minutes) = (SECONDS_MAX, MINUTES_MAX);
        Self { seconds, minutes, flows: Some(FlowQuery::default()), risks: ROWS_MAX, ..Self::default() }
    }
}

impl State {
    /// Copies what a query needs; the rest is worked out when nobody waits. `waiting` records were taken in last, of so
    /// many that may wait.
    pub(crate) fn gather(&self, query: &Query, waiting: [usize; 2]) -> Frozen {
        let mut held = Vec::new();
        if let Some(flows) = &query.flows {
            if flows.which != Which::Ended {
                held.extend(self.open());
            }
            if flows.which != Which::Open {
                let ended = self.recent.iter().map(Arc::clone);
                held.extend(ended.map(|record| Held { record, is_open: false, bytes_per_s: 0 }));
            }
        }
        let own =
            |name, unit, now: usize, max: usize| Budget { name, unit, now: now as u64, max: max as u64 };
        let mut budgets = gauges::budgets(&self.gauges).to_vec();
        budgets.extend([
            own("open flows shown", "flows", self.open_len(), OPEN_MAX),
            own("records waiting", "records", waiting[0], waiting[1]),
            own("names counted", "names", self.windows.names(), NAMES_HELD_MAX),
        ]);
        let base = Snapshot {
            now_ns: self.now_ns,
            running_s: self.seconds,
            rates: self.rings.last().into(),
            seconds: self.rings.seconds(query.seconds),
            minutes: self.rings.minutes(query.minutes),
            risks: self.risks.latest(query.risks.min(ROWS_MAX)),
            risks_found: self.risks.found,
            flows_ended: self.flows_ended,
            gauges: self.gauges.clone(),
            losses: self.losses.clone(),
            budgets,
            board: self.counters,
            ..Snapshot::default()
        };
        let one = query.uid.as_deref().and_then(|uid| self.find(uid));
        Frozen { windows: Window::ALL.map(|window| self.windows.panes(window)), held, one, base }
    }
}

impl Frozen {
    /// As [`Board::snapshot`](super::Board::snapshot), of then.
    pub fn snapshot(&self, query: &Query) -> Snapshot {
        let base = &self.base;
        let tail = |ring: &[Sample], count| ring[ring.len().saturating_sub(count)..].to_vec();
        let mut snapshot = Snapshot {
            seconds: tail(&base.seconds, query.seconds),
            minutes: tail(&base.minutes, query.minutes),
            risks: base.risks.iter().take(query.risks).cloned().collect(),
            gauges: base.gauges.clone(),
            losses: base.losses.clone(),
            budgets: base.budgets.clone(),
            tops: Tops::default(),
            flows: None,
            flow: None,
            ..*base
        };
        let (panes, covered_s) = &self.windows[query.window as usize];
        snapshot.tops = Tops { window: query.window, covered_s: *covered_s, ..Tops::default() };
        for kind in &query.kinds {
            let by = if *kind == Kind::Risks { query.risks_by } else { query.by };
            *snapshot.tops.of_mut(*kind) = top(panes, *kind, by, query.rows.min(ROWS_MAX));
        }
        snapshot.flows = query.flows.as_ref().map(|flows| {
            let rows = flows.rows.min(ROWS_MAX);
            flows::page(self.held.clone(), &FlowQuery { rows, ..flows.clone() })
        });
        let is_it = |held: &&Held| query.uid.as_deref() == Some(held.record.ends.uid.as_str());
        let one = self.one.as_ref().filter(is_it).or_else(|| {
            query.uid.as_ref()?;
            self.held.iter().find(is_it)
        });
        snapshot.flow = one.map(flows::detail);
        snapshot
    }
}

fn top(panes: &[Arc<Pane>], kind: Kind, by: Measure, rows: usize) -> Top {
    let sum = window::sum(panes, kind, by);
    let rows = sum.top(by, rows).into_iter().filter(|(_, amount)| amount.of(by) > 0).map(|(key, amount)| {
        let name = key.to_string();
        let severity = if kind == Kind::Risks { severity(&name) } else { None };
        TopRow { name, amount, severity }
    });
    Top { by, rows: rows.collect(), total: sum.total(), error: sum.error() }
}

/// How much a risk matters.
fn severity(risk: &str) -> Option<&'static str> {
    static SEVERITIES: OnceLock<HashMap<&'static str, &'static str, RandomState>> = OnceLock::new();
    let all = || daylight_inspect::risks::all().into_iter().map(|risk| (risk.name, risk.severity.name()));
    SEVERITIES.get_or_init(|| all().collect()).get(risk).copied()
}
