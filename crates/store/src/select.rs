//! Lets through what is asked for: a condition, an order, a limit.

use std::cmp::Ordering;
use std::collections::HashMap;

use daylight_expr::{Program, ValueRef};
use daylight_inspect::{ColumnId, EventRecord, FlowRecord, RecordSink, Uid};

use crate::{StoreError, Writer};

/// An order of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// By this column.
    pub column: ColumnId,
    /// The largest first.
    pub descending: bool,
}

/// Stands before a writer.
pub struct Select<W> {
    inner: W,
    condition: Option<Program>,
    order: Option<Order>,
    left: u64,
    /// Waiting to be put in order.
    // Boxes, because sorting moves them.
    #[allow(clippy::vec_box)]
    held: Vec<Box<FlowRecord>>,
    /// If flows are chosen, transactions wait for their flows, which come later.
    events: Option<HashMap<Uid, Vec<EventRecord>>>,
    events_held: usize,
}

/// So many transactions wait for their flows; those that come after them are let through whatever becomes of their flow.
const EVENTS_MAX: usize = 1 << 20;

impl<W: RecordSink> Select<W> {
    /// Lets flows through for which the condition holds, at most `limit` of them, in that order. With an order, all
    /// records (of a limit, that many) are held until [`release`](Self::release). Transactions are let through with
    /// their flows.
    pub fn new(inner: W, condition: Option<Program>, order: Option<Order>, limit: Option<u64>) -> Self {
        let choosing = condition.is_some() || order.is_some() || limit.is_some();
        Self {
            inner,
            condition,
            order,
            left: limit.unwrap_or(u64::MAX),
            held: Vec::new(),
            events: choosing.then(HashMap::new),
            events_held: 0,
        }
    }

    /// Hands on what was held for ordering.
    pub fn release(&mut self) {
        self.arrange();
        for record in std::mem::take(&mut self.held) {
            self.pass(record);
        }
    }

    /// Hands on a flow, and before it its transactions.
    fn pass(&mut self, record: Box<FlowRecord>) {
        for event in self.take_events(record.ends.uid) {
            self.inner.event(event);
        }
        self.inner.flow(record);
    }

    fn take_events(&mut self, flow: Uid) -> Vec<EventRecord> {
        let events = self.events.as_mut().and_then(|events| events.remove(&flow)).unwrap_or_default();
        self.events_held -= events.len();
        events
    }

    /// The sink behind.
    pub fn into_inner(self) -> W {
        self.inner
    }

    /// The sink behind.
    pub fn inner(&mut self) -> &mut W {
        &mut self.inner
    }

    fn arrange(&mut self) {
        let Some(order) = self.order else { return };
        self.held.sort_by(|a, b| {
            let by = compare(a, b, order.column);
            if order.descending { by.reverse() } else { by }
        });
        let left = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.held.len());
        for record in self.held.split_off(left) {
            self.take_events(record.ends.uid);
        }
    }
}

impl<W: RecordSink> RecordSink for Select<W> {
    fn flow(&mut self, record: Box<FlowRecord>) {
        if self.condition.as_ref().is_some_and(|condition| !condition.matches(&*record)) {
            self.take_events(record.ends.uid);
            return;
        }
        if self.order.is_some() {
            self.held.push(record);
            // With a limit, twice as many as are wanted is enough to hold.
            if self.held.len() as u64 >= self.left.saturating_mul(2).max(1024) {
                self.arrange();
            }
        } else if self.left > 0 {
            self.left -= 1;
            self.pass(record);
        }
    }

    fn event(&mut self, event: EventRecord) {
        match &mut self.events {
            Some(events) if self.events_held < EVENTS_MAX => {
                self.events_held += 1;
                events.entry(event.ends.uid).or_default().push(event);
            }
            _ => self.inner.event(event),
        }
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed() || self.left == 0 && self.order.is_none()
    }
}

impl<W: Writer> Writer for Select<W> {
    fn finish(&mut self) -> Result<u64, StoreError> {
        self.release();
        self.inner.finish()
    }
}

/// What was not seen comes first; kinds do not mix within a column.
fn compare(a: &FlowRecord, b: &FlowRecord, column: ColumnId) -> Ordering {
    use ValueRef::{Bool, Bytes, Float, Ip, Str, Time, Uint};
    match (a.values(column).next(), b.values(column).next()) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a), Some(b)) => match (a, b) {
            (Bool(a), Bool(b)) => a.cmp(&b),
            (Uint(a), Uint(b)) => a.cmp(&b),
            (Float(a), Float(b)) => a.total_cmp(&b),
            (Str(a), Str(b)) => a.cmp(b),
            (Bytes(a), Bytes(b)) => a.cmp(b),
            (Ip(a), Ip(b)) => a.cmp(&b),
            (Time(a), Time(b)) => a.cmp(&b),
            _ => Ordering::Equal,
        },
    }
}
