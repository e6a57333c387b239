//! Lets through what is asked for: a condition, an order, a limit.

use std::cmp::Ordering;

use daylight_expr::{Program, ValueRef};
use daylight_inspect::{ColumnId, EventRecord, FlowRecord, RecordSink};

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
    held: Vec<FlowRecord>,
}

impl<W: RecordSink> Select<W> {
    /// Lets flows through for which the condition holds, at most `limit` of them, in that order. With an order, all
    /// records (of a limit, that many) are held until [`release`](Self::release).
    pub fn new(inner: W, condition: Option<Program>, order: Option<Order>, limit: Option<u64>) -> Self {
        Self { inner, condition, order, left: limit.unwrap_or(u64::MAX), held: Vec::new() }
    }

    /// Hands on what was held for ordering.
    pub fn release(&mut self) {
        self.arrange();
        for record in std::mem::take(&mut self.held) {
            self.inner.flow(record);
        }
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
        self.held.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
    }
}

impl<W: RecordSink> RecordSink for Select<W> {
    fn flow(&mut self, record: FlowRecord) {
        if self.condition.as_ref().is_some_and(|condition| !condition.matches(&record)) {
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
            self.inner.flow(record);
        }
    }

    fn event(&mut self, event: EventRecord) {
        self.inner.event(event);
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
