//! A row as all rules of a policy see it: each field is read once.
//!
//! A policy's programs name a field by its place in [`Fields`] and not by the record's own number for it. So what was
//! read lies in an array, on the stack, and a rule that asks for what another one asked for costs a load and a
//! comparison.

use std::cell::Cell;

use daylight_expr::{Knowledge, Row, ValueRef};

use crate::fields::Fields;

/// So many fields are kept; a policy that reads more reads the others anew for each rule. It costs 40 bytes of stack
/// each.
const KEPT: usize = 32;

/// What is kept of a field.
#[derive(Clone, Copy)]
enum Slot<'r> {
    /// Nobody asked yet.
    Unread,
    /// It has this value, or none.
    One(Knowledge, Option<ValueRef<'r>>),
    /// It has several values, which are read from the row each time.
    Several(Knowledge),
}

/// A row that remembers. Its fields' ids are their places.
pub(crate) struct Memo<'r, R> {
    row: &'r R,
    fields: &'r Fields,
    slots: [Cell<Slot<'r>>; KEPT],
}

impl<'r, R: Row> Memo<'r, R> {
    pub(crate) fn new(row: &'r R, fields: &'r Fields) -> Self {
        Self { row, fields, slots: [const { Cell::new(Slot::Unread) }; KEPT] }
    }

    #[inline]
    fn slot(&self, place: u32) -> Slot<'r> {
        match self.slots.get(place as usize).map(Cell::get) {
            Some(Slot::Unread) | None => self.read(place),
            Some(slot) => slot,
        }
    }

    #[cold]
    fn read(&self, place: u32) -> Slot<'r> {
        let Some(id) = self.id(place) else { return Slot::One(Knowledge::Nothing, None) };
        let knowledge = self.row.knowledge(id);
        let mut values = self.row.values(id);
        let slot = match (values.next(), values.next()) {
            (one, None) => Slot::One(knowledge, one),
            (_, Some(_)) => Slot::Several(knowledge),
        };
        if let Some(kept) = self.slots.get(place as usize) {
            kept.set(slot);
        }
        slot
    }

    /// The row's own number for a field.
    fn id(&self, place: u32) -> Option<u32> {
        self.fields.at(place).map(|field| field.id)
    }
}

impl<R: Row> Row for Memo<'_, R> {
    #[inline]
    fn values(&self, place: u32) -> impl Iterator<Item = ValueRef<'_>> {
        match self.slot(place) {
            Slot::One(_, value) => Values::One(value),
            _ => Values::Several(self.id(place).map(|id| self.row.values(id))),
        }
    }

    #[inline]
    fn knowledge(&self, place: u32) -> Knowledge {
        match self.slot(place) {
            Slot::One(knowledge, _) | Slot::Several(knowledge) => knowledge,
            Slot::Unread => Knowledge::Nothing,
        }
    }
}

enum Values<'v, I> {
    One(Option<ValueRef<'v>>),
    Several(Option<I>),
}

impl<'v, I: Iterator<Item = ValueRef<'v>>> Iterator for Values<'v, I> {
    type Item = ValueRef<'v>;

    #[inline]
    fn next(&mut self) -> Option<ValueRef<'v>> {
        match self {
            Self::One(value) => value.take(),
            Self::Several(values) => values.as_mut()?.next(),
        }
    }
}
