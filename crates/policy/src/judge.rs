//! Decides about flows, packet by packet if need be, as soon as what is known is enough.

use std::sync::Arc;

use daylight_expr::{Answers, Row};

use crate::fields::FieldSet;
use crate::memo::Memo;
use crate::policy::Policy;
use crate::rule::Verdict;
use crate::schedule;

/// What is said of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Not yet: a rule that would have the say may still come to hold.
    Undecided {
        /// The first such rule.
        waiting_for: u32,
    },
    /// For good, as long as the policy and the hours stay the same.
    Decided {
        /// What becomes of the flow.
        verdict: Verdict,
        /// The rule that has the say; none if it is the policy's default.
        rule: Option<u32>,
    },
}

/// What is kept of a flow between its packets, so that no rule is asked again for nothing. It is 12 bytes, and may be
/// thrown away at any time: then all rules are asked again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowState {
    policy: u32,
    epoch: u32,
    /// The place, in the order of the rules in force, of the first that isn't known not to hold; its highest bit is set once
    /// that rule was asked.
    at: u32,
}

const ASKED: u32 = 1 << 31;

/// A rule in force, with no more of it than most flows ask for.
#[derive(Clone, Copy, Debug)]
struct InForce {
    /// In [`Policy::order`].
    place: u32,
    program: Option<u32>,
}

/// One thread's view of a policy: which rules are in force now. It is remade only when that changes.
#[derive(Clone, Debug)]
pub struct Judge {
    policy: Arc<Policy>,
    /// For each rule, whether it is in force.
    in_force: Vec<bool>,
    /// Those of [`Policy::order`] that are.
    turns: Vec<InForce>,
    /// From when and until when that is so, in nanoseconds since 1970.
    from_ns: i64,
    until_ns: i64,
    epoch: u32,
    /// What the rules' tests say of the row that is asked about.
    answers: Answers,
}

impl Judge {
    /// For a policy. No time has come yet.
    pub fn new(policy: Arc<Policy>) -> Self {
        let answers = Answers::default();
        let (in_force, turns) = (Vec::new(), Vec::new());
        Self { policy, in_force, turns, from_ns: i64::MAX, until_ns: i64::MIN, epoch: 0, answers }
    }

    /// The policy.
    pub fn policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    /// Whether a rule is in force at a time: neither expired nor outside its hours.
    pub fn is_in_force(&mut self, rule: u32, now_ns: i64) -> bool {
        self.turn_to(now_ns);
        self.in_force.get(rule as usize).copied().unwrap_or(false)
    }

    /// When the set of rules in force changes next, or may; nanoseconds since 1970. Verdicts given before may be others
    /// after that.
    pub fn until_ns(&mut self, now_ns: i64) -> i64 {
        self.turn_to(now_ns);
        self.until_ns
    }

    /// Decides about a flow.
    ///
    /// `changed` are the fields of which more is known than at the last call for this flow ([`FieldSet::ALL`] if in
    /// doubt), `state` is what the last call left. The rules are asked in the order in which they have the say; the
    /// first that holds decides, once it is known of all before it that they don't hold. That is the verdict that the
    /// complete record would get. Rules that only log neither decide nor hold up: see [`logging`](Self::logging).
    pub fn decide<R: Row>(
        &mut self,
        row: &R,
        now_ns: i64,
        changed: FieldSet,
        state: &mut FlowState,
    ) -> Decision {
        self.turn_to(now_ns);
        if (state.policy, state.epoch) != (self.policy.serial, self.epoch) {
            *state = FlowState { policy: self.policy.serial, epoch: self.epoch, at: 0 };
        }
        let policy = &*self.policy;
        let first = state.at & !ASKED;
        let turns = self.turns.get(first as usize..).unwrap_or_default();
        if state.at & ASKED != 0
            && let Some(turn) = turns.first().and_then(|turn| policy.order.get(turn.place as usize))
            && !turn.reads.meets(changed)
        {
            return Decision::Undecided { waiting_for: turn.rule };
        }
        policy.programs.begin(&mut self.answers);
        let memo = Memo::new(row, policy.fields());
        for (turn, at) in turns.iter().zip(first..) {
            let holds = match turn.program {
                Some(program) => policy.programs.decide(program, &memo, &mut self.answers),
                None => Some(true),
            };
            if holds == Some(false) {
                continue;
            }
            let Some(turn) = policy.order.get(turn.place as usize) else { continue };
            if let (Some(true), Some(verdict)) = (holds, turn.verdict) {
                state.at = at;
                return Decision::Decided { verdict, rule: Some(turn.rule) };
            }
            state.at = at | ASKED;
            return Decision::Undecided { waiting_for: turn.rule };
        }
        state.at = u32::try_from(self.turns.len()).unwrap_or(ASKED - 1);
        Decision::Decided { verdict: Verdict::Allow, rule: None }
    }

    /// Decides about a row of which everything is known.
    pub fn judge<R: Row>(&mut self, row: &R, now_ns: i64) -> (Verdict, Option<u32>) {
        match self.decide(row, now_ns, FieldSet::ALL, &mut FlowState::default()) {
            Decision::Decided { verdict, rule } => (verdict, rule),
            // A row that keeps something back all the same: nothing is done on a guess.
            Decision::Undecided { .. } => (Verdict::Allow, None),
        }
    }

    /// The `log` rules that hold for a row: all of them, or with `match = "first"` those before `decided`, the rule that
    /// had the say. What isn't known yet doesn't hold, so ask with the record at its end.
    pub fn logging<R: Row>(&mut self, row: &R, decided: Option<u32>, now_ns: i64) -> Vec<u32> {
        self.turn_to(now_ns);
        let policy = &*self.policy;
        if policy.logging.is_empty() {
            return Vec::new();
        }
        let first = policy.matching() == crate::rule::Match::First;
        let end = decided.filter(|_| first).unwrap_or(u32::MAX);
        let (memo, answers) = (Memo::new(row, policy.fields()), &mut self.answers);
        policy.programs.begin(answers);
        let turns = policy.logging.iter().take_while(|turn| turn.rule < end);
        let holding = turns.filter(|turn| {
            self.in_force.get(turn.rule as usize) == Some(&true)
                && turn.program.is_none_or(|at| policy.programs.decide(at, &memo, answers) == Some(true))
        });
        holding.map(|turn| turn.rule).collect()
    }

    /// Finds out which rules are in force, if that may have changed.
    fn turn_to(&mut self, now_ns: i64) {
        if (self.from_ns..self.until_ns).contains(&now_ns) {
            return;
        }
        let (in_force, until_ns) = self.policy.in_force(now_ns);
        (self.from_ns, self.until_ns) = (now_ns, until_ns);
        if in_force != self.in_force {
            let is_in_force = |rule: u32| in_force.get(rule as usize) == Some(&true);
            let turns = self.policy.order.iter().zip(0..).filter(|(turn, _)| is_in_force(turn.rule));
            self.turns = turns.map(|(turn, place)| InForce { place, program: turn.program }).collect();
            self.in_force = in_force;
            self.epoch = self.epoch.wrapping_add(1);
        }
    }
}

impl Policy {
    /// For each rule, whether it is in force at a time, and until when nothing of that changes.
    pub fn in_force(&self, now_ns: i64) -> (Vec<bool>, i64) {
        let mut until = i64::MAX;
        let rules = self.rules().iter().map(|rule| {
            if now_ns >= rule.expires_ns {
                return false;
            }
            let (inside, change) = schedule::in_hours(&rule.hours, now_ns, &self.zone);
            until = until.min(change).min(rule.expires_ns);
            inside
        });
        (rules.collect(), until)
    }
}
