//! What can be told of programs without a row: that one never holds, or holds whenever another does.
//!
//! The method follows every way through a program that leads to the answer in question and keeps, for each way, what it
//! asks of the fields: ranges of numbers and addresses exactly, texts by the finite sets among them, lists by their
//! entries, anything else by its wording. A way whose demands contradict one another doesn't count. What is said to be
//! proven is so, but not everything true is proven: calculations are opaque, regular expressions are only tried on
//! texts that are known, and programs with more steps or ways than a bound are not looked into.

use crate::Program;
use crate::eval::Val;
use crate::list::OctetSet;
use crate::program::{ACCEPT, Check, REJECT, Relation, Test};
use crate::ranges::Values;

/// Programs with more steps are not looked into.
const STEPS_MAX: usize = 256;
/// How many steps are taken on all ways of one question together.
const WORK_MAX: usize = 20_000;
/// How many programs are looked at together, where none alone is enough.
const TOGETHER_MAX: usize = 16;
/// How many texts of a set are tried one by one.
const TEXTS_MAX: usize = 4096;

/// A question took too long; nothing is proven.
struct TooMuch;

impl Program {
    /// True if it is proven that no row fits.
    pub fn is_impossible(&self) -> bool {
        self.ends_never(ACCEPT, &Facts::default())
    }

    /// True if it is proven that every row fits.
    pub fn is_always(&self) -> bool {
        self.ends_never(REJECT, &Facts::default())
    }

    /// True if it is proven that every row that fits this program fits the other one. Both must have been compiled with
    /// the same schema and lists.
    pub fn implies(&self, other: &Self) -> bool {
        self.implies_any(&[other]).is_some()
    }

    /// The places of those of `others` of which it is proven that every row that fits this program fits at least one
    /// of them. None if that is not proven.
    pub fn implies_any(&self, others: &[&Self]) -> Option<Vec<usize>> {
        if self.steps.len() > STEPS_MAX {
            return None;
        }
        let mut needed = Vec::new();
        let mut work = WORK_MAX;
        let mut way = |facts: &mut Facts<'_>| {
            let found = covering(facts, others).unwrap_or_default();
            for at in &found {
                if !needed.contains(at) {
                    needed.push(*at);
                }
            }
            !found.is_empty()
        };
        let all = self.ways(self.entry, 0, ACCEPT, &mut Facts::default(), &mut work, &mut way);
        needed.sort_unstable();
        (matches!(all, Ok(true)) && !needed.is_empty()).then_some(needed)
    }

    /// True if it is proven that the program ends so on no row of which these facts hold.
    fn ends_never(&self, end: u32, facts: &Facts<'_>) -> bool {
        let mut work = WORK_MAX;
        let mut facts = facts.clone();
        self.steps.len() <= STEPS_MAX
            && matches!(self.ways(self.entry, 0, end, &mut facts, &mut work, &mut |_| false), Ok(true))
    }

    /// Calls `found` with what is known at the end of each way from `at` to `end`, until it returns false; returns
    /// whether it never did.
    fn ways<'p>(
        &'p self,
        at: u32,
        registers: u64,
        end: u32,
        facts: &mut Facts<'p>,
        work: &mut usize,
        found: &mut dyn FnMut(&mut Facts<'p>) -> bool,
    ) -> Result<bool, TooMuch> {
        let (Some(step), Some(text)) = (self.steps.get(at as usize), self.texts.get(at as usize)) else {
            return Ok(at != end || found(facts));
        };
        *work = work.checked_sub(1).ok_or(TooMuch)?;
        let bit = |register: u8| 1_u64 << (register & 63);
        let mut go = |to, registers, facts: &mut Facts<'p>| self.ways(to, registers, end, facts, work, found);
        match &step.test {
            Test::Set(register, true) => go(step.then, registers | bit(*register), facts),
            Test::Set(register, false) => go(step.then, registers & !bit(*register), facts),
            Test::Flip(register) => go(step.then, registers ^ bit(*register), facts),
            Test::Bit(register) if registers & bit(*register) != 0 => go(step.then, registers, facts),
            Test::Bit(_) => go(step.otherwise, registers, facts),
            test => {
                for (outcome, to) in [(true, step.then), (false, step.otherwise)] {
                    let mut facts = facts.clone();
                    if facts.learn(self, test, text, outcome) && !go(to, registers, &mut facts)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }
}

/// The places of programs of which at least one fits every row of which these facts hold, if that is proven.
fn covering(facts: &Facts<'_>, others: &[&Program]) -> Option<Vec<usize>> {
    if let Some(one) = others.iter().position(|other| other.ends_never(REJECT, facts)) {
        return Some(vec![one]);
    }
    // Several together: only those count that fit some of the rows.
    let some: Vec<usize> = (0..others.len())
        .filter(|at| others.get(*at).is_some_and(|other| !other.ends_never(ACCEPT, facts)))
        .take(TOGETHER_MAX)
        .collect();
    let programs: Vec<&Program> = some.iter().filter_map(|at| others.get(*at).copied()).collect();
    let mut work = WORK_MAX;
    matches!(none_fits_never(&programs, &mut facts.clone(), &mut work), Ok(true)).then_some(some)
}

/// True if it is proven that of the rows of which these facts hold there is none that none of the programs fits.
fn none_fits_never<'p>(
    programs: &[&'p Program],
    facts: &mut Facts<'p>,
    work: &mut usize,
) -> Result<bool, TooMuch> {
    let Some((first, rest)) = programs.split_first() else { return Ok(false) };
    if first.steps.len() > STEPS_MAX {
        return none_fits_never(rest, facts, work);
    }
    // Whatever the first doesn't fit has to fit one of the rest.
    let mut left = Vec::new();
    first.ways(first.entry, 0, REJECT, facts, work, &mut |facts| {
        left.push(facts.clone());
        true
    })?;
    for mut facts in left {
        if !none_fits_never(rest, &mut facts, work)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a way through a program asks of a row.
#[derive(Clone, Default)]
struct Facts<'p> {
    /// Fields with one value.
    single: Vec<(u32, Field<'p>)>,
    /// Of a field that can hold several: some value fits, or none does.
    several: Vec<(u32, bool, &'p Check)>,
    /// Anything, by its wording.
    texts: Vec<(&'p str, bool)>,
}

/// What is asked of a field with one value.
#[derive(Clone, Default)]
struct Field<'p> {
    /// It must be there.
    present: bool,
    /// If it is there, it must fit these, and not fit those with `false`.
    checks: Vec<(bool, &'p Check)>,
}

impl<'p> Facts<'p> {
    /// Adds an answer. False if it contradicts what is known.
    fn learn(&mut self, program: &Program, test: &'p Test, text: &'p str, outcome: bool) -> bool {
        if let Some((_, known)) = self.texts.iter().find(|(known, _)| *known == text) {
            return *known == outcome;
        }
        self.texts.push((text, outcome));
        match test {
            Test::Field { field, check, negate, all } if program.several.contains(field) => {
                if *negate || *all {
                    return true;
                }
                let contradicts = |(id, known, other): &(u32, bool, &Check)| {
                    id == field
                        && *known != outcome
                        && if outcome { is_within(check, other) } else { is_within(other, check) }
                };
                if self.several.iter().any(contradicts) {
                    return false;
                }
                self.several.push((*field, outcome, check));
                true
            }
            Test::Exists(field) if program.several.contains(field) => {
                outcome || !self.several.iter().any(|(id, known, _)| id == field && *known)
            }
            Test::Field { field, check, negate, .. } => {
                let at = self.field(*field);
                at.present |= outcome;
                at.checks.push((outcome != *negate, check));
                !at.present || !nothing_fits(&at.checks)
            }
            Test::Exists(field) => {
                let at = self.field(*field);
                if outcome {
                    at.present = true;
                    !nothing_fits(&at.checks)
                } else if at.present {
                    false
                } else {
                    // Absent: whatever asks for it later contradicts this.
                    at.checks.push((true, &NOTHING));
                    true
                }
            }
            _ => true,
        }
    }

    fn field(&mut self, id: u32) -> &mut Field<'p> {
        let at = self.single.iter().position(|(known, _)| *known == id).unwrap_or_else(|| {
            self.single.push((id, Field::default()));
            self.single.len() - 1
        });
        &mut self.single[at].1
    }
}

/// Fits nothing.
static NOTHING: Check = Check::Int(1, 0);

/// True if whatever fits the first fits the second, as far as that can be told.
fn is_within(first: &Check, second: &Check) -> bool {
    std::ptr::eq(first, second) || nothing_fits(&[(true, first), (false, second)])
}

/// True if it is proven that no value fits all those with `true` and none of those with `false`.
fn nothing_fits(checks: &[(bool, &Check)]) -> bool {
    if checks.iter().any(|(wanted, check)| *wanted && std::ptr::eq(*check, &raw const NOTHING)) {
        return true;
    }
    if let Some(values) = ordered(checks) {
        return values.is_empty();
    }
    // A finite set of texts is tried one by one, on everything else.
    let finite = checks.iter().filter(|(wanted, _)| *wanted).find_map(|(_, check)| texts(check));
    if let Some(texts) = finite {
        return !texts
            .iter()
            .any(|text| checks.iter().all(|(wanted, check)| check.fits_value(Val::Octets(text)) == *wanted));
    }
    checks.iter().filter(|(wanted, _)| *wanted).any(|(_, check)| {
        checks.iter().any(|(wanted, other)| if *wanted { apart(check, other) } else { covered(check, other) })
    })
}

/// The values that are left, if all checks are of an ordered kind.
fn ordered(checks: &[(bool, &Check)]) -> Option<Values> {
    let mut left: Option<Values> = None;
    for (wanted, check) in checks {
        let values = Values::of(check)?;
        let values = if *wanted { values } else { values.complement() };
        left = Some(match left {
            None => values,
            Some(left) if left.universe() == values.universe() => left.intersection(&values),
            Some(_) => return None,
        });
    }
    left
}

/// All texts that fit, if they are few.
fn texts(check: &Check) -> Option<Vec<&[u8]>> {
    match check {
        Check::Octets(Relation::Eq, text) => Some(vec![text]),
        Check::OctetSet(set) => Some(OctetSet::iter(set).collect()),
        Check::List(list) if list.len() <= TEXTS_MAX => list.as_texts().map(|set| set.iter().collect()),
        Check::Any(checks) => {
            let texts: Option<Vec<_>> = checks.iter().map(texts).collect();
            texts.map(|texts| texts.concat())
        }
        _ => None,
    }
}

/// True if it is proven that no text fits both.
fn apart(first: &Check, second: &Check) -> bool {
    match (first, second) {
        (Check::List(first), Check::List(second)) => {
            first.is_empty() || second.is_empty() || first.meets(second).is_none()
        }
        (Check::OctetsFolded(first), Check::OctetsFolded(second)) => !first.eq_ignore_ascii_case(second),
        (Check::Any(checks), other) | (other, Check::Any(checks)) => {
            checks.iter().all(|check| apart(check, other))
        }
        _ => false,
    }
}

/// True if one text is in the other.
fn is_part(part: &[u8], whole: &[u8]) -> bool {
    memchr::memmem::find(whole, part).is_some()
}

/// True if it is proven that every text that fits the first fits the second.
fn covered(first: &Check, second: &Check) -> bool {
    match (first, second) {
        (Check::List(first), Check::List(second)) => second.covers(first),
        (Check::Contains(first), Check::Contains(second)) => is_part(second.needle(), first.needle()),
        (_, Check::List(_) | Check::OctetSet(_)) if texts(first).is_some() => {
            texts(first).is_some_and(|texts| texts.iter().all(|text| second.fits_value(Val::Octets(text))))
        }
        (Check::OctetsFolded(first), Check::OctetsFolded(second)) => first.eq_ignore_ascii_case(second),
        (Check::Any(checks), _) => checks.iter().all(|check| covered(check, second)),
        (_, Check::Any(checks)) => checks.iter().any(|check| covered(first, check)),
        _ => false,
    }
}
