//! The checked tree to a flat program. It is written from its end to its start, so that each test is told where to go
//! on when it is written: `and`, `or` and `not` need no steps of their own.

use crate::Program;
use crate::check::{Checker, Logic};
use crate::program::{ACCEPT, REJECT, Step, Test};

pub(crate) fn program(source: &str, logic: &Logic, checker: Checker<'_>) -> Program {
    let mut emitter = Emitter { steps: Vec::new(), texts: Vec::new() };
    let entry = emitter.logic(logic, ACCEPT, REJECT, 0);
    let Emitter { mut steps, mut texts } = emitter;
    // Steps are counted from the end so far.
    let count = u32::try_from(steps.len()).unwrap_or(REJECT);
    let place = |to: u32| if to >= REJECT { to } else { count - 1 - to };
    for step in &mut steps {
        step.then = place(step.then);
        step.otherwise = place(step.otherwise);
    }
    steps.reverse();
    texts.reverse();
    Program {
        steps: steps.into(),
        entry: place(entry),
        operands: checker.operands.into(),
        fields: checker.fields.keys().copied().collect(),
        several: checker.fields.values().filter(|(field, _)| field.list).map(|(field, _)| field.id).collect(),
        names: checker.fields.into_values().map(|(_, name)| name).collect(),
        lists: checker.used.into_iter().collect(),
        texts: texts.into(),
        source: source.into(),
        warnings: checker.warnings,
    }
}

struct Emitter {
    steps: Vec<Step>,
    texts: Vec<Box<str>>,
}

impl Emitter {
    /// Writes a step and returns its place.
    fn step(&mut self, test: Test, text: &str, then: u32, otherwise: u32) -> u32 {
        self.steps.push(Step { test, then, otherwise });
        self.texts.push(text.into());
        // An expression of 64 KiB has far fewer steps than there are places.
        u32::try_from(self.steps.len() - 1).unwrap_or(REJECT)
    }

    /// Writes what decides `logic` and goes on at `yes` or `no`. Registers below `register` are taken.
    fn logic(&mut self, logic: &Logic, yes: u32, no: u32, register: u8) -> u32 {
        match logic {
            Logic::Test(test, text) => self.step(test.clone(), text, yes, no),
            Logic::Not(of) => self.logic(of, no, yes, register),
            Logic::And(terms) => {
                terms.iter().rev().fold(yes, |next, term| self.logic(term, next, no, register))
            }
            Logic::Or(terms) => {
                terms.iter().rev().fold(no, |next, term| self.logic(term, yes, next, register))
            }
            Logic::Xor(terms) => self.xor(terms, yes, no, register),
        }
    }

    /// A register holds whether an odd number of terms held so far; the last term decides.
    fn xor(&mut self, terms: &[Logic], yes: u32, no: u32, register: u8) -> u32 {
        let ([first, middle @ .., last], name) = (terms, format!("odd#{register}")) else { return no };
        let otherwise = self.step(Test::Bit(register), &name, yes, no);
        let then = self.step(Test::Bit(register), &name, no, yes);
        let mut next = self.logic(last, then, otherwise, register + 1);
        for term in middle.iter().rev() {
            let flip = self.step(Test::Flip(register), &format!("{name} := not {name}"), next, next);
            next = self.logic(term, flip, next, register + 1);
        }
        let clear = self.step(Test::Set(register, false), &format!("{name} := no"), next, next);
        let set = self.step(Test::Set(register, true), &format!("{name} := yes"), next, next);
        self.logic(first, set, clear, register)
    }
}
