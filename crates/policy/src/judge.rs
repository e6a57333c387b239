//! Decides about flows, packet by packet if need be, as soon as what is known is enough.

use std::sync::Arc;

use daylight_expr::Row;

use crate::fields::FieldSet;
use crate::policy::Policy;
use crate::rule::{Condition, Verdict};
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
    /// The place, in the order of the rules, of the first that isn't known not to hold; its highest bit is set once
    /// that rule was asked.
    at: u32,
}

const ASKED: u32 = 1 << 31;

/// One thread's view of a policy: which rules are in force now. It is remade only when that changes.
#[derive(Clone, Debug)]
pub struct Judge {
    policy: Arc<Policy>,
    /// For each rule, whether it is in force.
    in_force: Vec<bool>,
    /// From when and until when that is so, in nanoseconds since 1970.
    from_ns: i64,
    until_ns: i64,
    epoch: u32,
}

impl Judge {
    /// For a policy. No time has come yet.
    pub fn new(policy: Arc<Policy>) -> Self {
        Self { policy, in_force: Vec::new(), from_ns: i64::MAX, until_ns: i64::MIN, epoch: 0 }
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
        let order = &self.policy.order;
        loop {
            let at = (state.at & !ASKED) as usize;
            let Some(&index) = order.get(at) else {
                return Decision::Decided { verdict: Verdict::Allow, rule: None };
            };
            let Some(rule) = self.policy.rules().get(index as usize) else {
                return Decision::Decided { verdict: Verdict::Allow, rule: None };
            };
            if self.in_force.get(index as usize) == Some(&true) {
                if state.at & ASKED != 0 && !rule.reads.meets(changed) {
                    return Decision::Undecided { waiting_for: index };
                }
                let holds = match &rule.condition {
                    Condition::Always => Some(true),
                    Condition::When(program) => program.decide(row),
                };
                match (holds, rule.action.verdict()) {
                    (Some(true), Some(verdict)) => return Decision::Decided { verdict, rule: Some(index) },
                    (Some(_), _) => {}
                    (None, _) => {
                        state.at |= ASKED;
                        return Decision::Undecided { waiting_for: index };
                    }
                }
            }
            // Not asked, as the next one is another.
            state.at = (state.at & !ASKED) + 1;
        }
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
        let first = self.policy.matching() == crate::rule::Match::First;
        let end = decided.filter(|_| first).unwrap_or(u32::MAX);
        let rules = (0..).zip(self.policy.rules()).zip(&self.in_force);
        let holding = rules.filter(|((at, rule), in_force)| {
            **in_force
                && *at < end
                && rule.action.verdict().is_none()
                && rule.condition.program().is_none_or(|program| program.decide(row) == Some(true))
        });
        holding.map(|((at, _), _)| at).collect()
    }

    /// Finds out which rules are in force, if that may have changed.
    fn turn_to(&mut self, now_ns: i64) {
        if (self.from_ns..self.until_ns).contains(&now_ns) {
            return;
        }
        let (in_force, until_ns) = self.policy.in_force(now_ns);
        (self.from_ns, self.until_ns) = (now_ns, until_ns);
        if in_force != self.in_force {
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
