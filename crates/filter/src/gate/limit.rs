//! What a `limit` rule lets through.

use std::net::IpAddr;

use daylight_inspect::LivePacket;
use daylight_packet::Packet;
use daylight_policy::audit::{Tally, Target};
use daylight_policy::{Load, Owner, Verdict};

use super::{Outcome, Rules, count};

/// A packet, and whose share of a limit it takes.
pub(super) struct Share {
    pub(super) packet: Packet,
    pub(super) flow_hash: u64,
    pub(super) client: IpAddr,
    /// It stands for its connection.
    pub(super) is_first: bool,
}

impl Share {
    pub(super) fn of(packet: &LivePacket<'_>, is_first: bool) -> Self {
        let [client, _] = packet.ends();
        Self { packet: *packet.packet(), flow_hash: packet.flow_hash(), client: client.ip(), is_first }
    }
}

impl Rules {
    /// Drops what is beyond the rate of this rule.
    pub(super) fn limited(&mut self, share: &Share, rule: Option<u16>, tally: &mut Tally) -> Outcome {
        let policy = self.judge.policy();
        let found = rule.and_then(|rule| policy.rules().get(usize::from(rule)));
        let (Some(at), Some(Verdict::Limit(limit))) = (rule, found.and_then(|rule| rule.action.verdict()))
        else {
            return Outcome::Pass;
        };
        let Share { packet, flow_hash, client, is_first } = share;
        let owner = Owner::of(limit.per, *flow_hash, *client);
        let load = Load { bytes: packet.frame_len.into(), packets: 1, connections: u64::from(*is_first) };
        if self.limiter.admit(at.into(), &limit, owner, load, packet.ts_ns) {
            Outcome::Pass
        } else {
            // The flow goes on; names would tell no more than the rule does.
            count(tally, policy, Some(at.into()), packet, 0, |_| Target::Rule);
            Outcome::Drop
        }
    }
}
