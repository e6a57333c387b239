//! Several programs that are asked about one row: what they have in common is asked once.
//!
//! Every distinct test of all programs has a number, and its answer about the present row lies in an array of bytes
//! under that number. A program is then a walk over steps of twelve bytes that looks answers up; rows, values and checks
//! are only touched when an answer is not there yet. So a list that ten rules name is looked into once, and rules that
//! compare one field with ranges of numbers or of IPv4 addresses, as most rules about ports, sizes and networks do, are
//! answered all at once by a loop without branches over the ranges.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use crate::program::{ACCEPT, Check, REJECT, Test};
use crate::{Knowledge, Program, Row, ValueRef};

/// Programs that are asked about the same rows, by their places.
#[derive(Clone, Debug)]
pub struct Programs {
    programs: Box<[Arc<Program>]>,
    /// Where each program's steps begin among all, and where it is entered; [`ALONE`] if it has none there.
    starts: Box<[u32]>,
    entries: Box<[u32]>,
    steps: Box<[Step]>,
    /// The tests with the lowest numbers come in groups, each a run of numbers.
    groups: Box<[Group]>,
    /// How many distinct tests there are.
    tests: u32,
}

/// A program with registers, whose tests have no answers of their own, is asked as it is.
const ALONE: u32 = REJECT - 1;
/// There is no answer yet.
const ASK: u32 = REJECT - 2;

/// As in a [`Program`], with its test's number in place of the test, and the place to go on at among all steps for each
/// answer: looked up, as which way a rule goes is what a processor can't foresee.
#[derive(Clone, Copy, Debug)]
struct Step {
    test: u32,
    next: [u32; 4],
}

/// Tests whether a field's one value is within some ranges.
#[derive(Clone, Debug)]
struct Group {
    field: u32,
    of: Of,
    tests: Range<u32>,
    /// For each test, whether its answer is turned around.
    negate: Box<[bool]>,
    spans: Box<[Span]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Of {
    Numbers,
    V4,
}

/// From `low` on so many values more, for a test of its group.
#[derive(Clone, Copy, Debug)]
struct Span {
    test: u32,
    low: u64,
    more: u64,
}

/// A test with more ranges is asked alone: it searches.
const RANGES_MAX: usize = 16;

/// What the programs' tests say of one row, as far as they were asked. Its memory is kept from row to row.
#[derive(Clone, Debug, Default)]
pub struct Answers(Vec<u8>);

const NOT_ASKED: u8 = 0;
const NO: u8 = 1;
const YES: u8 = 2;
const NOT_KNOWN: u8 = 3;

impl Programs {
    /// Puts programs together. They must have been compiled against the same schema and lists: tests that read the same
    /// are taken for the same.
    pub fn new(programs: impl IntoIterator<Item = Arc<Program>>) -> Self {
        let programs: Box<[Arc<Program>]> = programs.into_iter().collect();
        let mut numbering = Numbering::default();
        for program in programs.iter().filter(|program| !program.has_registers()) {
            for (step, text) in program.steps.iter().zip(&program.texts) {
                numbering.group(program, &step.test, text);
            }
        }
        numbering.number_groups();
        let (mut starts, mut entries, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        for program in &programs {
            let start = u32::try_from(steps.len()).unwrap_or(ALONE);
            let place = |to: u32| if to >= REJECT { to } else { start.saturating_add(to).min(ASK) };
            let shared = !program.has_registers();
            starts.push(start);
            entries.push(if shared { place(program.entry) } else { ALONE });
            for (step, text) in program.steps.iter().zip(&program.texts).filter(|_| shared) {
                let mut next = [ALONE; 4];
                for (answer, to) in [(NOT_ASKED, ASK), (NO, place(step.otherwise)), (YES, place(step.then))] {
                    next[usize::from(answer)] = to;
                }
                steps.push(Step { test: numbering.number(text), next });
            }
        }
        let Numbering { drafts, next: tests, .. } = numbering;
        let groups = drafts.into_iter().map(Draft::finish).collect();
        Self { starts: starts.into(), entries: entries.into(), steps: steps.into(), groups, tests, programs }
    }

    /// The program at a place.
    pub fn get(&self, at: u32) -> Option<&Program> {
        self.programs.get(at as usize).map(|program| &**program)
    }

    /// Forgets the answers about the row before. Allocates only if there was never room for so many.
    pub fn begin(&self, answers: &mut Answers) {
        answers.0.resize(self.tests as usize, NOT_ASKED);
        answers.0.fill(NOT_ASKED);
    }

    /// What [`Program::decide`] says of the row, for the program at a place; false if there is none there. `answers` are
    /// those about this row.
    #[inline]
    pub fn decide<R: Row>(&self, at: u32, row: &R, answers: &mut Answers) -> Option<bool> {
        let Some(&entry) = self.entries.get(at as usize) else { return Some(false) };
        let mut place = entry;
        // As in a program, steps go on further down only; those that end are beyond all steps.
        while let Some(step) = self.steps.get(place as usize) {
            let known = answers.0.get(step.test as usize).copied().unwrap_or(NOT_KNOWN);
            let mut next = step.next[usize::from(known & 3)];
            if next == ASK {
                next = step.next[usize::from(self.ask(at, place, row, answers) & 3)];
            }
            place = next;
        }
        match place {
            ACCEPT => Some(true),
            REJECT => Some(false),
            _ => self.alone(at, row),
        }
    }

    #[inline(never)]
    fn alone<R: Row>(&self, at: u32, row: &R) -> Option<bool> {
        self.get(at).map_or(Some(false), |program| program.decide(row))
    }

    /// Finds an answer that isn't there yet.
    #[inline(never)]
    fn ask<R: Row>(&self, at: u32, place: u32, row: &R, answers: &mut Answers) -> u8 {
        let Some(test) = self.steps.get(place as usize).map(|step| step.test) else { return NOT_KNOWN };
        let group = self.groups.iter().find(|group| group.tests.contains(&test));
        if let Some(answers) = group.and_then(|group| group.answer(row, answers)) {
            return answers.get(test as usize).copied().unwrap_or(NOT_KNOWN);
        }
        let start = self.starts.get(at as usize).copied().unwrap_or(ALONE);
        let (program, step) = (self.get(at), place.saturating_sub(start) as usize);
        let outcome = program.and_then(|program| program.ask(&program.steps.get(step)?.test, row, &mut 0));
        let answer = match outcome {
            Some(true) => YES,
            Some(false) => NO,
            None => NOT_KNOWN,
        };
        if let Some(kept) = answers.0.get_mut(test as usize) {
            *kept = answer;
        }
        answer
    }
}

impl Group {
    /// Answers all its tests, unless more than comparisons with one value is asked for: then there are no answers.
    fn answer<'a, R: Row>(&self, row: &R, answers: &'a mut Answers) -> Option<&'a [u8]> {
        let own = answers.0.get_mut(self.tests.start as usize..self.tests.end as usize)?;
        match row.knowledge(self.field) {
            Knowledge::Final => {
                let mut values = row.values(self.field);
                match (values.next(), values.next(), self.of) {
                    (None, ..) => own.fill(NO),
                    (Some(ValueRef::Uint(n)), None, Of::Numbers) => self.compare(n, own),
                    (Some(ValueRef::Ip(IpAddr::V4(address))), None, Of::V4) => {
                        self.compare(u32::from(address).into(), own);
                    }
                    _ => return None,
                }
            }
            Knowledge::Nothing => own.fill(NOT_KNOWN),
            Knowledge::Adding | Knowledge::Rising => return None,
        }
        Some(&answers.0)
    }

    fn compare(&self, value: u64, answers: &mut [u8]) {
        answers.fill(0);
        for span in &self.spans {
            if let Some(answer) = answers.get_mut(span.test as usize) {
                *answer |= u8::from(value.wrapping_sub(span.low) <= span.more);
            }
        }
        for (answer, negate) in answers.iter_mut().zip(&self.negate) {
            *answer = NO + (*answer ^ u8::from(*negate));
        }
    }
}

/// Gives every distinct test its number: first those that come in groups.
#[derive(Default)]
struct Numbering<'p> {
    numbers: HashMap<&'p str, u32>,
    drafts: Vec<Draft<'p>>,
    next: u32,
}

/// A group while it is put together.
struct Draft<'p> {
    field: u32,
    of: Of,
    /// The tests' texts.
    texts: Vec<&'p str>,
    negate: Vec<bool>,
    spans: Vec<Span>,
    first: u32,
}

impl Draft<'_> {
    fn finish(self) -> Group {
        let Self { field, of, negate, spans, first, .. } = self;
        let tests = first..first + negate.len() as u32;
        Group { field, of, tests, negate: negate.into(), spans: spans.into() }
    }
}

impl<'p> Numbering<'p> {
    /// Puts a test into a group, if it is one of those.
    fn group(&mut self, program: &Program, test: &Test, text: &'p str) {
        let Test::Field { field, check, negate, .. } = test else { return };
        let Some((of, ranges)) = ranges(check).filter(|(_, ranges)| ranges.len() <= RANGES_MAX) else {
            return;
        };
        if program.several.contains(field) || self.numbers.insert(text, ALONE).is_some() {
            return;
        }
        let known = self.drafts.iter().position(|draft| (draft.field, draft.of) == (*field, of));
        let known = known.unwrap_or_else(|| {
            let (texts, negate, spans) = (Vec::new(), Vec::new(), Vec::new());
            self.drafts.push(Draft { field: *field, of, texts, negate, spans, first: 0 });
            self.drafts.len() - 1
        });
        let Some(draft) = self.drafts.get_mut(known) else { return };
        let test = draft.texts.len() as u32;
        draft.texts.push(text);
        draft.negate.push(*negate);
        draft.spans.extend(ranges.into_iter().map(|(low, high)| Span { test, low, more: high - low }));
    }

    fn number_groups(&mut self) {
        for draft in &mut self.drafts {
            draft.first = self.next;
            self.numbers.extend(draft.texts.iter().copied().zip(self.next..));
            self.next += draft.texts.len() as u32;
        }
    }

    fn number(&mut self, text: &'p str) -> u32 {
        *self.numbers.entry(text).or_insert_with(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

/// The ranges that a check asks for, if it is one of values that fit 64 bits.
fn ranges(check: &Check) -> Option<(Of, Vec<(u64, u64)>)> {
    let number = |(low, high): (i128, i128)| {
        let (low, high) = (low.max(0), high.min(u64::MAX.into()));
        Some((u64::try_from(low).ok()?, u64::try_from(high).ok()?)).filter(|(low, high)| low <= high)
    };
    Some(match check {
        Check::Int(low, high) => (Of::Numbers, number((*low, *high)).into_iter().collect()),
        Check::Ints(ranges) => (Of::Numbers, ranges.iter().copied().filter_map(number).collect()),
        Check::V4(low, high) => (
            Of::V4,
            Some((*low, *high))
                .filter(|(l, h)| l <= h)
                .map(|(l, h)| (l.into(), h.into()))
                .into_iter()
                .collect(),
        ),
        Check::Addresses(networks) if networks.v6().iter().next().is_none() => {
            (Of::V4, networks.v4().iter().map(|(low, high)| ((*low).into(), (*high).into())).collect())
        }
        _ => return None,
    })
}
