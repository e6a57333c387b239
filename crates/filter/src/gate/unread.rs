//! Packets that nobody reads, as their receivers will throw them away.

use std::sync::Arc;

use daylight_inspect::Glance;
use daylight_policy::audit::{Tally, Target};
use daylight_policy::{Decision, Early, FieldSet, FlowState, Stage, Verdict};

use super::limit::Share;
use super::{Note, Outcome, Rules, State, count};

impl Rules {
    /// Whether such a packet goes on. In silence: an answer would be one to something that was not said.
    pub(super) fn unread(&mut self, glance: &Glance, tally: &mut Tally) -> Outcome {
        let Glance { packet, flow_hash, note, record } = glance;
        let share =
            Share { packet: *packet, flow_hash: *flow_hash, client: record.ends.src_ip, is_first: false };
        if let Some(note) = note.map(Note::unpack).filter(|note| note.epoch == self.epoch) {
            return match note.state {
                State::Dropped | State::Rejected => Outcome::Drop,
                State::Limited => self.limited(&share, note.rule, tally),
                // Had its ends been enough to stop it, that would have been done.
                State::Open | State::Allowed | State::Asking => Outcome::Pass,
            };
        }
        let policy = Arc::clone(self.judge.policy());
        let early = Early::new(policy.fields(), record, Stage::Begun);
        let decision = self.judge.decide(&early, packet.ts_ns, FieldSet::ALL, &mut FlowState::default());
        match decision {
            Decision::Decided { verdict: Verdict::Drop | Verdict::Reject, rule } => {
                count(tally, &policy, rule, packet, 0, |_| Target::Rule);
                Outcome::Drop
            }
            Decision::Decided { verdict: Verdict::Limit(_), rule } => {
                self.limited(&share, rule.and_then(|rule| u16::try_from(rule).ok()), tally)
            }
            _ => Outcome::Pass,
        }
    }
}
