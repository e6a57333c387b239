//! Asks a row that is still being filled in: yes, no, or not yet.
//!
//! A step whose answer isn't known yet is left both ways. If every way that is left leads to the same end, that end is
//! the answer, which gives the short circuits of Kleene's logic: `false and unknown` is false, `true or unknown` is
//! true. Nothing is guessed, so an answer never changes as more becomes known.

use std::collections::BTreeSet;

use crate::ast::ArithmeticOp;
use crate::eval::Val;
use crate::program::{ACCEPT, Check, Operand, Relation, Test};
use crate::{Knowledge, Program, Row, ValueRef};

/// How many ways through one program are followed at a time; beyond that the answer is "not yet". Only `xor` makes
/// more ways than there are steps.
const WAYS_MAX: usize = 1024;

/// Why a program says of a row what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Whether the row fits; none if that isn't known yet.
    pub outcome: Option<bool>,
    /// The tests that were asked, in order. Others didn't matter.
    pub asked: Vec<Asked>,
}

/// A test of a program, and the row's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The test as it was written.
    pub text: String,
    /// Whether it holds; none if that isn't known yet.
    pub outcome: Option<bool>,
    /// The ids of the fields that it reads.
    pub fields: Vec<u32>,
    /// The entry of a list that a value was found by.
    pub entry: Option<String>,
}

impl Program {
    /// Whether the row fits, as soon as that is known: none while it depends on what the row doesn't know yet
    /// ([`Row::knowledge`]). Once it is known it stays so, and for a row that knows everything it is what
    /// [`matches`](Self::matches) says. Costs as much as that where nothing is unknown.
    pub fn decide<R: Row>(&self, row: &R) -> Option<bool> {
        let mut at = self.entry;
        let mut registers = 0;
        while let Some(step) = self.steps.get(at as usize) {
            let Some(holds) = self.ask(&step.test, row, &mut registers) else {
                return if self.steps.len() <= 64 && !self.has_registers() {
                    self.few_ways(at, row)
                } else {
                    self.all_ways(at, registers, row, &mut |_, _| ())
                };
            };
            at = if holds { step.then } else { step.otherwise };
        }
        Some(at == ACCEPT)
    }

    /// Why the row fits, doesn't, or can't be told yet.
    pub fn explain<R: Row>(&self, row: &R) -> Explanation {
        let mut asked: Vec<Asked> = Vec::new();
        let outcome = self.all_ways(self.entry, 0, row, &mut |at, outcome| {
            let (Some(step), Some(text)) = (self.steps.get(at), self.texts.get(at)) else { return };
            let mut fields: Vec<u32> = Vec::new();
            let mut add = |field| {
                if !fields.contains(&field) {
                    fields.push(field);
                }
            };
            let mut entry = None;
            match &step.test {
                Test::Set(..) | Test::Flip(_) | Test::Bit(_) => return,
                Test::Field { field, check, .. } => {
                    add(*field);
                    if outcome.is_some() {
                        entry = row.values(*field).find_map(|value| check.entry(value));
                    }
                }
                Test::Exists(field) => add(*field),
                Test::Operand { operand, .. } | Test::Present(operand) | Test::NonZero(operand) => {
                    self.leaves(*operand, &mut add);
                }
                Test::Pair { left, right, .. } => {
                    self.leaves(*left, &mut add);
                    self.leaves(*right, &mut add);
                }
            }
            asked.push(Asked { text: text.to_string(), outcome, fields, entry });
        });
        Explanation { outcome, asked }
    }

    pub(crate) fn has_registers(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.test, Test::Set(..)))
    }

    /// From a step whose answer isn't known, in a program of up to 64 steps without registers. Steps go on further down
    /// only, so one pass over the places that can be reached is enough.
    fn few_ways<R: Row>(&self, from: u32, row: &R) -> Option<bool> {
        let (mut open, mut registers) = (1_u64 << (from & 63), 0);
        let (mut accept, mut reject) = (false, false);
        while open != 0 {
            let at = open.trailing_zeros();
            open &= open - 1;
            let step = self.steps.get(at as usize)?;
            let outcome = self.ask(&step.test, row, &mut registers);
            for (to, taken) in [(step.then, outcome != Some(false)), (step.otherwise, outcome != Some(true))]
            {
                match self.steps.get(to as usize) {
                    _ if !taken => {}
                    Some(_) => open |= 1 << (to & 63),
                    None if to == ACCEPT => accept = true,
                    None => reject = true,
                }
            }
            if accept && reject {
                return None;
            }
        }
        Some(accept)
    }

    /// The same for any program. `seen` is told of each step that can be reached and its answer.
    fn all_ways<R: Row>(
        &self,
        from: u32,
        registers: u64,
        row: &R,
        seen: &mut dyn FnMut(usize, Option<bool>),
    ) -> Option<bool> {
        let mut open = BTreeSet::from([(from, registers)]);
        let (mut accept, mut reject) = (false, false);
        while let Some((at, mut registers)) = open.pop_first() {
            let Some(step) = self.steps.get(at as usize) else {
                accept |= at == ACCEPT;
                reject |= at != ACCEPT;
                continue;
            };
            let outcome = self.ask(&step.test, row, &mut registers);
            seen(at as usize, outcome);
            if outcome != Some(false) {
                open.insert((step.then, registers));
            }
            if outcome != Some(true) {
                open.insert((step.otherwise, registers));
            }
            if open.len() > WAYS_MAX {
                return None;
            }
        }
        (accept != reject).then_some(accept)
    }

    /// What one test says. Registers are always known.
    #[inline]
    pub(crate) fn ask<R: Row>(&self, test: &Test, row: &R, registers: &mut u64) -> Option<bool> {
        match test {
            Test::Field { field, check, negate, all } => match row.knowledge(*field) {
                Knowledge::Final if !*all => {
                    Some(row.values(*field).any(|value| check.fits(value) != *negate))
                }
                Knowledge::Final => Some(self.holds(test, row, registers)),
                Knowledge::Nothing => None,
                // One value that fits settles "any", one that doesn't settles "all".
                Knowledge::Adding => {
                    let settles = |value: ValueRef<'_>| (check.fits(value) != *negate) != *all;
                    row.values(*field).any(settles).then_some(!*all)
                }
                Knowledge::Rising => {
                    let value = row.values(*field).next()?;
                    check.fits_from(value.into()).map(|fits| fits != *negate)
                }
            },
            Test::Exists(field) => match row.knowledge(*field) {
                Knowledge::Final => Some(row.values(*field).next().is_some()),
                Knowledge::Nothing => None,
                Knowledge::Adding | Knowledge::Rising => row.values(*field).next().map(|_| true),
            },
            Test::Operand { operand, check, negate, .. } => match self.knowledge(*operand, row) {
                Knowledge::Final => Some(self.holds(test, row, registers)),
                Knowledge::Rising => {
                    let mut outcome = None;
                    self.each(*operand, row, &mut |value| {
                        outcome = check.fits_from(value).map(|fits| fits != *negate);
                        true
                    });
                    outcome
                }
                Knowledge::Nothing | Knowledge::Adding => None,
            },
            Test::Present(operand) | Test::NonZero(operand) => {
                (self.knowledge(*operand, row) == Knowledge::Final).then(|| self.holds(test, row, registers))
            }
            Test::Pair { left, right, .. } => {
                let known = [left, right].into_iter().all(|of| self.knowledge(*of, row) == Knowledge::Final);
                known.then(|| self.holds(test, row, registers))
            }
            Test::Set(..) | Test::Flip(_) | Test::Bit(_) => Some(self.holds(test, row, registers)),
        }
    }

    /// How much is known of what an operand makes.
    fn knowledge<R: Row>(&self, operand: u32, row: &R) -> Knowledge {
        match self.operands.get(operand as usize) {
            Some(Operand::Field(field)) => row.knowledge(*field),
            // Both grow, or one does and the other stays: so does the sum.
            Some(Operand::Arithmetic(ArithmeticOp::Add, left, right)) => {
                match (self.knowledge(*left, row), self.knowledge(*right, row)) {
                    (Knowledge::Final, Knowledge::Final) => Knowledge::Final,
                    (Knowledge::Final | Knowledge::Rising, Knowledge::Final | Knowledge::Rising)
                        if self.is_single(*left) && self.is_single(*right) =>
                    {
                        Knowledge::Rising
                    }
                    _ => Knowledge::Nothing,
                }
            }
            _ => {
                let mut known = true;
                self.leaves(operand, &mut |field| known &= row.knowledge(field) == Knowledge::Final);
                if known { Knowledge::Final } else { Knowledge::Nothing }
            }
        }
    }

    /// True if no field in it can hold several values.
    fn is_single(&self, operand: u32) -> bool {
        let mut single = true;
        self.leaves(operand, &mut |field| single &= !self.several.contains(&field));
        single
    }

    /// Calls `visit` with each field that an operand is made of.
    fn leaves(&self, operand: u32, visit: &mut dyn FnMut(u32)) {
        let Some(operand) = self.operands.get(operand as usize) else { return };
        match operand {
            Operand::Field(field) | Operand::Count(field) => visit(*field),
            Operand::Int(_) | Operand::Float(_) | Operand::Octets(_) => {}
            Operand::Lower(of)
            | Operand::Upper(of)
            | Operand::Len(of)
            | Operand::Text(of, _)
            | Operand::Abs(of)
            | Operand::Negative(of)
            | Operand::Slice { of, .. } => self.leaves(*of, visit),
            Operand::Extreme { of, .. } => of.iter().for_each(|of| self.leaves(*of, visit)),
            Operand::Arithmetic(_, left, right) | Operand::Since(left, right) => {
                self.leaves(*left, visit);
                self.leaves(*right, visit);
            }
            Operand::Shift { time, seconds, .. } => {
                self.leaves(*time, visit);
                self.leaves(*seconds, visit);
            }
        }
    }
}

impl Check {
    /// Whether it fits a number that may still become greater, whatever it becomes.
    fn fits_from(&self, least: Val<'_>) -> Option<bool> {
        const GREATEST: i128 = u64::MAX as i128;
        match (self, least) {
            (Self::Int(low, high), Val::Int(n)) => fits_from((*low, *high), n, *high >= GREATEST),
            (Self::Ints(ranges), Val::Int(n)) => match ranges.last() {
                Some((low, high)) => fits_from((*low, *high), n, *high >= GREATEST),
                None => Some(false),
            },
            (Self::Float(relation, x), value) => {
                let holds = |relation: Relation| relation.holds(value, Val::Float(*x));
                match relation {
                    Relation::Gt | Relation::Ge => holds(*relation).then_some(true),
                    Relation::Lt | Relation::Le => (!holds(*relation)).then_some(false),
                    Relation::Eq => holds(Relation::Gt).then_some(false),
                    Relation::Contains => Some(false),
                }
            }
            (Self::Any(checks), value) => {
                let mut all_known = true;
                for check in checks {
                    match check.fits_from(value) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => all_known = false,
                    }
                }
                all_known.then_some(false)
            }
            _ => None,
        }
    }

    /// The entry of a list that a value is found by, if the check looks into one.
    fn entry(&self, value: ValueRef<'_>) -> Option<String> {
        match self {
            Self::List(list) => list.entry(value),
            Self::Any(checks) => checks.iter().find_map(|check| check.entry(value)),
            _ => None,
        }
    }
}

/// A number from `n` on, against a range that is the highest of its check.
fn fits_from((low, high): (i128, i128), n: i128, open: bool) -> Option<bool> {
    if n > high {
        return Some(false);
    }
    (n >= low && open).then_some(true)
}
