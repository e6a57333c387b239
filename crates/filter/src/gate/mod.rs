//! Decides on packets: the engine and the policy, without a kernel and without a clock.
//!
//! A packet's way: [`Live`] reads the batch it came in. If its flow has been decided on, that is its fate. If not, and
//! more is known of the flow than at the last look, the policy is asked, which may say "not yet": then the packet goes on.
//! Questions of protocols that ask many things ([`question`]) are each decided on by themselves. A connection that may go on is
//! decided on for good once nothing of it [is in doubt](LivePacket::is_in_doubt).

mod limit;
mod unread;

use std::sync::Arc;

use daylight_expr::{Knowledge, Row, Schema, ValueRef};
use daylight_inspect::{ColumnId, Config, FlowRecord, Live, LivePacket, RecordSchema, RecordSink};
use daylight_packet::build::{Stamp, udp};
use daylight_packet::{Batch, Packet, TransportKind};
use daylight_policy::audit::{Counts, Tally, Target, Text, Timestamp};
use daylight_policy::{
    Decision, Early, FieldSet, FlowState, Judge, Limiter, Policy, Rule, Stage, Verdict, rule_path,
};
use daylight_protocols::ProtocolId;

use crate::kernel::Fate;
use crate::notice::{self, Notice, Refusal};
use crate::question::{self, Kind, Question};
use limit::Share;

/// Bytes of either side's after which nothing more is waited for that reading them could tell. Not packets: whoever
/// sends a hello byte by byte, or empty segments before it, is waited for. No server takes a longer hello.
const READ_BYTES_MAX: u64 = 128 << 10;

/// Buckets of `limit` rules at once.
const BUCKETS_MAX: usize = 100_000;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on; the next of its flow comes here again.
    Pass,
    /// It is dropped; the next of its flow comes here again.
    Drop,
    /// Its flow is decided on for good.
    Settled(Fate),
}

/// A decision, for the log.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// The rule that had the say; `None` for the policy's default.
    pub rule: Option<u32>,
    /// What it said.
    pub verdict: Verdict,
    /// The flow, as far as it was known.
    pub record: Box<FlowRecord>,
    /// The name that was asked for, if it was one question of several.
    pub asked: Option<String>,
}

/// Who is told what a gate did, besides the packets' fates.
pub trait Witness {
    /// Something was decided.
    fn ruled(&mut self, policy: &Policy, ruling: Ruling);

    /// A flow has ended; these are the `log` rules that hold for it.
    fn ended(&mut self, policy: &Policy, record: Box<FlowRecord>, logged: &[u32]) {
        let _ = (policy, record, logged);
    }
}

/// What is noted with a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Note {
    /// The stamp at the last look; 0 if there is to be another.
    stamp: u32,
    state: State,
    /// The rule that decided.
    rule: Option<u16>,
    /// The policy that decided, counted in loads.
    epoch: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
enum State {
    #[default]
    Open,
    Allowed,
    Dropped,
    Rejected,
    Limited,
    /// Its questions are decided on one by one.
    Asking,
}

impl Note {
    const STATES: [State; 6] =
        [State::Open, State::Allowed, State::Dropped, State::Rejected, State::Limited, State::Asking];

    fn unpack(note: u64) -> Self {
        let [s0, s1, s2, s3, state, epoch, r0, r1] = note.to_le_bytes();
        Self {
            stamp: u32::from_le_bytes([s0, s1, s2, s3]),
            state: Self::STATES.get(usize::from(state)).copied().unwrap_or_default(),
            rule: u16::from_le_bytes([r0, r1]).checked_sub(1),
            epoch,
        }
    }

    fn pack(self) -> u64 {
        let [s0, s1, s2, s3] = self.stamp.to_le_bytes();
        let [r0, r1] = self.rule.map_or(0, |rule| rule.saturating_add(1)).to_le_bytes();
        u64::from_le_bytes([s0, s1, s2, s3, self.state as u8, self.epoch, r0, r1])
    }
}

/// The engine and the policy.
pub struct Gate {
    live: Live,
    rules: Rules,
    /// What rules stopped since it was last taken.
    pub tally: Tally,
}

/// The policy's part, which is exchanged on a reload.
struct Rules {
    judge: Judge,
    limiter: Limiter,
    /// Flows decided on for good, by their fate, since that was last taken.
    settled: [u64; 3],
    epoch: u8,
    /// Rules read numbers that grow as long as a flow goes on.
    reads_counters: bool,
    /// Packets are only listened to: they go on whatever is decided.
    passive: bool,
    hostname: u32,
    dns_query: u32,
    /// The public page that notices point to.
    page: Option<String>,
}

impl Gate {
    /// A gate that reads no more of flows than the policy asks about. `config` says all else; records are said to come
    /// from `source`. `page` is the address of the public page, for notices.
    pub fn new(policy: Arc<Policy>, config: &Config, source: &str, page: Option<String>) -> Self {
        let mut config = config.clone();
        config.wanted.set_questions(true);
        config.want_columns(policy.fields().iter().filter_map(|field| field.column));
        let field = |name| RecordSchema.field(name).map_or(u32::MAX, |field| field.id);
        let rules = Rules {
            limiter: Limiter::new(BUCKETS_MAX),
            settled: [0; 3],
            epoch: 0,
            reads_counters: reads_counters(&policy),
            judge: Judge::new(policy),
            passive: false,
            hostname: field("hostname"),
            dns_query: field("dns.query"),
            page,
        };
        Self { live: Live::new(Arc::new(config), source), rules, tally: Tally::default() }
    }

    /// The same for one who only listens: what is forbidden is ended by resets to both sides where it is TCP, and goes on
    /// elsewhere, of which nothing is told then.
    pub fn passive(mut self) -> Self {
        self.rules.passive = true;
        self
    }

    /// The policy in force.
    pub fn policy(&self) -> &Arc<Policy> {
        self.rules.judge.policy()
    }

    /// Puts another policy in force. Flows that still come here are decided on anew; the fields that only the new one
    /// reads are read of flows that begin from now on.
    pub fn exchange(&mut self, policy: Arc<Policy>) {
        self.live.want_columns(policy.fields().iter().filter_map(|field| field.column));
        self.rules.reads_counters = reads_counters(&policy);
        self.rules.judge = Judge::new(policy);
        self.rules.limiter = Limiter::new(BUCKETS_MAX);
        self.rules.epoch = self.rules.epoch.wrapping_add(1);
    }

    /// Takes in a batch, says what becomes of each of its frames in `outcomes` (frames that belong to no flow go on),
    /// and which notices are to be sent.
    pub fn packets(
        &mut self,
        batch: Batch,
        outcomes: &mut Vec<Outcome>,
        notices: &mut Vec<Notice>,
        witness: &mut dyn Witness,
    ) {
        outcomes.clear();
        outcomes.resize(batch.frames.len(), Outcome::Pass);
        let Self { live, rules, tally } = self;
        let (mut rulings, mut ended) = (Vec::new(), Ended::default());
        live.packets(batch, &mut ended, |packet| {
            let before = notices.len();
            let mut outcome = rules.packet(packet, notices, &mut rulings, tally);
            if packet.packet().key.tunnel != 0 {
                // The kernel knows the tunnel's connection, which has others' flows in it too, and what is sent outside
                // of it reaches nobody: each packet is decided on by itself, in silence.
                notices.truncate(before);
                outcome = match outcome {
                    Outcome::Settled(Fate::Allowed) => Outcome::Pass,
                    Outcome::Settled(Fate::Dropped | Fate::Rejected) => Outcome::Drop,
                    other => other,
                };
            }
            if let Some(of_frame) = outcomes.get_mut(packet.frame()) {
                *of_frame = outcome;
            }
        });
        let policy = rules.judge.policy();
        rulings.into_iter().for_each(|ruling| witness.ruled(policy, ruling));
        rules.ended(ended, witness);
    }

    /// Decides on a packet, from its IP header on, that its receiver will throw away: nobody reads it, so that nothing in it
    /// changes what is known of its flow. What the policy says of the flow, or would say of one between these ends, holds for
    /// it all the same: two ends can agree to take such packets.
    pub fn unread(&mut self, ip: &[u8], now_ns: i64) -> Outcome {
        let Self { live, rules, tally } = self;
        live.glance(ip, now_ns).map_or(Outcome::Pass, |glance| rules.unread(&glance, tally))
    }

    /// Ends flows whose time has come, where no packets come that would.
    pub fn advance(&mut self, now_ns: i64, witness: &mut dyn Witness) {
        let mut ended = Ended::default();
        self.live.advance(now_ns, &mut ended);
        self.rules.ended(ended, witness);
    }

    /// Flows that are followed.
    pub fn flows(&self) -> usize {
        self.live.flows()
    }

    /// How many flows were decided on for good since this was last asked: allowed, dropped, rejected.
    pub fn take_settled(&mut self) -> [u64; 3] {
        std::mem::take(&mut self.rules.settled)
    }

    /// Ends all flows.
    pub fn finish(mut self, witness: &mut dyn Witness) {
        let mut ended = Ended::default();
        self.live.finish(&mut ended);
        self.rules.ended(ended, witness);
    }
}

/// Flows that have ended.
#[derive(Default)]
#[allow(clippy::vec_box)] // the engine hands records on in boxes
struct Ended(Vec<Box<FlowRecord>>);

impl RecordSink for Ended {
    fn flow(&mut self, record: Box<FlowRecord>) {
        self.0.push(record);
    }
}

fn reads_counters(policy: &Policy) -> bool {
    let counters = |column: &ColumnId| Stage::Begun.knowledge(Some(*column)) == Knowledge::Rising;
    policy.fields().iter().filter_map(|field| field.column).any(|column| counters(&column))
}

impl Rules {
    fn ended(&mut self, ended: Ended, witness: &mut dyn Witness) {
        for record in ended.0 {
            let (_, rule) = self.judge.judge(&*record, record.end_ns);
            let logged = self.judge.logging(&*record, rule, record.end_ns);
            witness.ended(self.judge.policy(), record, &logged);
        }
    }

    fn packet(
        &mut self,
        packet: &mut LivePacket<'_>,
        notices: &mut Vec<Notice>,
        rulings: &mut Vec<Ruling>,
        tally: &mut Tally,
    ) -> Outcome {
        // Whatever was decided: another packet of the batch may have been the reason.
        if packet.is_refused() {
            return Outcome::Drop;
        }
        let mut note = Note::unpack(packet.note());
        // It had begun under another policy.
        let before = note.epoch != self.epoch && packet.packets() > 1;
        if note.epoch != self.epoch {
            note = Note { epoch: self.epoch, ..Note::default() };
        }
        match note.state {
            State::Allowed => return Outcome::Settled(Fate::Allowed),
            State::Dropped | State::Rejected => {
                // It came all the same: an earlier reset was too late, or lost.
                notices.extend(self.passive.then(|| resets(packet)).into_iter().flatten());
                let fate = if note.state == State::Dropped { Fate::Dropped } else { Fate::Rejected };
                return Outcome::Settled(fate);
            }
            State::Limited => return self.limited(&Share::of(packet, false), note.rule, tally),
            State::Open | State::Asking => {}
        }
        if question::asks_many(packet.protocol()) {
            return self.asking(packet, note, notices, rulings, tally);
        }
        let in_doubt = !self.passive && packet.is_in_doubt();
        let packets = packet.packets();
        let stage = stage(packet);
        let stamp = packet.stamp() ^ u32::from(stage == Stage::Read) << 31;
        let due = stamp != note.stamp
            || self.reads_counters && (packets.is_power_of_two() || packets.is_multiple_of(16));
        if !due {
            return Outcome::Pass;
        }
        note.stamp = stamp;
        let record = packet.record();
        let policy = Arc::clone(self.judge.policy());
        let early = Early::new(policy.fields(), &record, stage);
        let now_ns = packet.packet().ts_ns;
        // Every rule is asked, as something has changed.
        let decision = self.judge.decide(&early, now_ns, FieldSet::ALL, &mut FlowState::default());
        let Decision::Decided { verdict, rule } = decision else {
            packet.set_note(note.pack());
            return Outcome::Pass;
        };
        let (verdict, rule) =
            if self.can_stop(packet, verdict) { (verdict, rule) } else { (Verdict::Allow, None) };
        if in_doubt && matches!(verdict, Verdict::Allow | Verdict::Limit(_)) {
            note.stamp = 0;
            packet.set_note(note.pack());
            let rule = rule.and_then(|rule| u16::try_from(rule).ok());
            return self.limited(&Share::of(packet, false), rule, tally);
        }
        note.rule = rule.and_then(|rule| u16::try_from(rule).ok());
        let (state, outcome) = match verdict {
            Verdict::Allow => (State::Allowed, Outcome::Settled(Fate::Allowed)),
            Verdict::Drop => (State::Dropped, Outcome::Settled(Fate::Dropped)),
            Verdict::Reject => (State::Rejected, Outcome::Settled(Fate::Rejected)),
            // A connection counts when it is decided on, which may be late in it. One that is not let in stays undecided: its
            // next packet, be it the first one again, asks anew.
            Verdict::Limit(_) => match self.limited(&Share::of(packet, !before), note.rule, tally) {
                Outcome::Drop => return Outcome::Drop,
                outcome => (State::Limited, outcome),
            },
        };
        if let Outcome::Settled(fate) = outcome {
            self.settle(fate);
        }
        if matches!(state, State::Allowed | State::Rejected) {
            // Whoever opens a connection on the same ports after it is asked anew: a rejected one has been reset at both
            // ends. One that was dropped stays so: a SYN that the server never sees must not open it.
            packet.set_carried();
        }
        note.state = state;
        packet.set_note(note.pack());
        packet.let_go();
        if self.passive && matches!(verdict, Verdict::Drop | Verdict::Reject) {
            notices.extend(resets(packet));
        } else if verdict == Verdict::Reject && packet.packet().key.protocol == TransportKind::TCP {
            notices.push(reset(packet));
        }
        if matches!(verdict, Verdict::Drop | Verdict::Reject) {
            count(tally, &policy, rule, packet.packet(), 1, |rule| policy.target(rule, &record, None));
        }
        // That nothing forbids it is no news.
        if rule.is_some() || verdict != Verdict::Allow {
            rulings.push(Ruling { rule, verdict, record, asked: None });
        }
        outcome
    }

    /// A packet of a flow that asks many things.
    fn asking(
        &mut self,
        packet: &mut LivePacket<'_>,
        mut note: Note,
        notices: &mut Vec<Notice>,
        rulings: &mut Vec<Ruling>,
        tally: &mut Tally,
    ) -> Outcome {
        if note.state != State::Asking {
            note.state = State::Asking;
            packet.set_note(note.pack());
        }
        let (protocol, tcp) = (packet.protocol(), packet.packet().key.protocol == TransportKind::TCP);
        let questions: Vec<_> = packet.asked().map(|asked| Question::new(protocol, tcp, asked)).collect();
        let mut outcome = Outcome::Pass;
        for (place, mut question) in questions.into_iter().enumerate() {
            // Where it can't be told for what the client would take an answer, there is none.
            question.waits |= tcp && (place > 0 || !packet.is_from_client() || !packet.is_caught_up());
            let record = packet.record();
            let policy = Arc::clone(self.judge.policy());
            let early = Early::new(policy.fields(), &record, stage(packet));
            let ids = [self.hostname, self.dns_query];
            let row = Asked { flow: early, ids, name: &question.name };
            let now_ns = packet.packet().ts_ns;
            let decision = self.judge.decide(&row, now_ns, FieldSet::ALL, &mut FlowState::default());
            let Decision::Decided { verdict, rule } = decision else { continue };
            if !self.can_stop(packet, verdict) {
                continue;
            }
            match verdict {
                Verdict::Allow => continue,
                Verdict::Limit(_) => {
                    let rule = rule.and_then(|rule| u16::try_from(rule).ok());
                    let limited = self.limited(&Share::of(packet, packet.packets() == 1), rule, tally);
                    outcome = if limited == Outcome::Drop { limited } else { outcome };
                    continue;
                }
                Verdict::Drop | Verdict::Reject => {}
            }
            let asked = Some(question.name.as_str());
            count(tally, &policy, rule, packet.packet(), 1, |rule| policy.target(rule, &record, asked));
            let rule_of = |rule: u32| policy.rules().get(rule as usize);
            let outcome = match (verdict, rule.and_then(rule_of)) {
                _ if self.passive => {
                    notices.extend(resets(packet));
                    note.state = State::Dropped;
                    packet.set_note(note.pack());
                    self.settle(Fate::Dropped)
                }
                (Verdict::Reject, Some(rule)) => self.refuse(packet, &question, rule, &mut note, notices),
                _ if matches!(question.kind, Kind::Dns(_)) => Outcome::Drop,
                _ => {
                    note.state = State::Dropped;
                    packet.set_note(note.pack());
                    self.settle(Fate::Dropped)
                }
            };
            rulings.push(Ruling { rule, verdict, record, asked: Some(question.name) });
            return outcome;
        }
        outcome
    }

    /// Whether a verdict can be carried out: who only listens has nothing but resets.
    fn can_stop(&self, packet: &LivePacket<'_>, verdict: Verdict) -> bool {
        let is_tcp = packet.packet().key.protocol == TransportKind::TCP;
        !self.passive || is_tcp && matches!(verdict, Verdict::Drop | Verdict::Reject)
    }

    /// Answers a question in the place of the one who was asked, where there is a standard way to.
    fn refuse(
        &mut self,
        packet: &mut LivePacket<'_>,
        question: &Question,
        rule: &Rule,
        note: &mut Note,
        notices: &mut Vec<Notice>,
    ) -> Outcome {
        let policy = self.judge.policy().name();
        let page = self.page.as_deref().map(|page| page.trim_end_matches('/'));
        let page = page.map(|page| format!("{page}{}", rule_path(policy, &rule.name)));
        let refusal = Refusal {
            rule: rule.name.as_str(),
            reason: rule.reason.as_str(),
            authority: rule.authority.as_str(),
            until: &rule.expires,
            appeal: rule.appeal.as_ref().map(Text::as_str),
            page: page.as_deref(),
            basis: rule.basis,
        };
        let [client, server] = packet.ends();
        let answer = match &question.kind {
            Kind::Dns(query) => {
                let answer = notice::dns::refuse(query, &refusal);
                notices.extend(answer.map(|answer| {
                    let ports = [server.port(), client.port()];
                    let packet = udp(server.ip(), client.ip(), ports, &Stamp::default(), &answer);
                    Notice { packet, to: client }
                }));
                return Outcome::Drop;
            }
            _ if question.waits => None,
            Kind::Http(method) => Some(notice::http::unavailable(method, &refusal)),
            Kind::DnsStream(query) => notice::dns::refuse(query, &refusal).map(|answer| {
                let length = (answer.len() as u16).to_be_bytes();
                [&length[..], &answer].concat()
            }),
        };
        let Some(answer) = answer else {
            note.state = State::Rejected;
            packet.set_note(note.pack());
            packet.set_carried();
            notices.push(reset(packet));
            return self.settle(Fate::Rejected);
        };
        notices.extend(notice::stream::answer([client, server], packet.packet(), &answer));
        // It has ended for both.
        packet.set_carried();
        note.state = State::Dropped;
        packet.set_note(note.pack());
        self.settle(Fate::Dropped)
    }

    /// A flow is decided on for good.
    fn settle(&mut self, fate: Fate) -> Outcome {
        if let Some(count) = self.settled.get_mut(fate as usize - 1) {
            *count += 1;
        }
        Outcome::Settled(fate)
    }
}

/// Ends the connection for both sides, by one who does not sit between them.
fn resets(packet: &LivePacket<'_>) -> [Notice; 2] {
    let [client, server] = packet.ends();
    let ends = if packet.is_from_client() { [client, server] } else { [server, client] };
    notice::stream::resets_after(ends, packet.packet())
}

/// Ends the connection for the packet's receiver; the kernel tells its sender.
fn reset(packet: &LivePacket<'_>) -> Notice {
    let [client, server] = packet.ends();
    let ends = if packet.is_from_client() { [client, server] } else { [server, client] };
    notice::stream::reset(ends, packet.packet())
}

/// Counts what a rule stopped. Whatever stops something is a rule: nothing else of a policy can.
fn count(
    tally: &mut Tally,
    policy: &Policy,
    rule: Option<u32>,
    packet: &Packet,
    flows: u64,
    target: impl FnOnce(&Rule) -> Target,
) {
    let Some(rule) = rule.and_then(|rule| policy.rules().get(rule as usize)) else { return };
    let Ok(now) = Timestamp::from_unix_s(packet.ts_ns / 1_000_000_000) else { return };
    let counts = Counts { flows, packets: 1, bytes: packet.frame_len.into() };
    tally.add(now, policy.name(), &rule.name, target(rule), counts);
}

fn stage(packet: &LivePacket<'_>) -> Stage {
    if packet.is_settled() || packet.payload_bytes().iter().any(|bytes| *bytes >= READ_BYTES_MAX) {
        Stage::Read
    } else if packet.protocol() != ProtocolId::Unknown {
        Stage::Identified
    } else {
        Stage::Begun
    }
}

/// A flow as one of its questions shows it.
struct Asked<'a> {
    flow: Early<'a>,
    /// The fields that hold the name.
    ids: [u32; 2],
    name: &'a str,
}

impl Row for Asked<'_> {
    fn values(&self, id: u32) -> impl Iterator<Item = ValueRef<'_>> {
        let own = self.ids.contains(&id);
        let name = own.then_some(ValueRef::Str(self.name));
        name.into_iter().chain((!own).then(|| self.flow.values(id)).into_iter().flatten())
    }

    fn knowledge(&self, id: u32) -> Knowledge {
        if self.ids.contains(&id) { Knowledge::Final } else { self.flow.knowledge(id) }
    }
}
