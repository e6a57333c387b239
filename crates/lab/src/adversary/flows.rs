//! Which packets belong together, as far as an adversary has to know.

use daylight_packet::TcpHeader;
use std::collections::HashMap;
use std::net::IpAddr;

use super::packet::Packet;

/// A connection or an exchange of datagrams, as its opener sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlowId {
    pub(crate) protocol: u8,
    pub(crate) client: (IpAddr, u16),
    pub(crate) server: (IpAddr, u16),
}

impl FlowId {
    /// As the packet's sender sees it.
    pub(crate) fn of_sender(packet: &Packet<'_>) -> Self {
        let [source, destination] = packet.ports();
        Self {
            protocol: packet.protocol,
            client: (packet.source, source),
            server: (packet.destination, destination),
        }
    }

    fn reversed(self) -> Self {
        Self { client: self.server, server: self.client, ..self }
    }
}

/// What is kept about flows. When there are too many, the older half of them is forgotten.
#[derive(Debug)]
pub(crate) struct Flows<S> {
    flows: HashMap<FlowId, (u64, S)>,
    idle_ns: u64,
}

/// An adversary keeps at most this many flows.
pub(crate) const FLOWS_MAX: usize = 65_536;
/// A flow is forgotten after so long without a packet, unless its model says otherwise.
pub(crate) const IDLE_NS: u64 = 300_000_000_000;

impl<S> Default for Flows<S> {
    fn default() -> Self {
        Self::new(IDLE_NS)
    }
}

impl<S> Flows<S> {
    /// None yet; to be forgotten after `idle_ns` without a packet.
    pub(crate) fn new(idle_ns: u64) -> Self {
        Self { flows: HashMap::new(), idle_ns }
    }

    /// The flow that a packet belongs to, made if it is new: its id, whether the opener sent this packet, and what is kept.
    /// A SYN begins a flow anew. Who sent the first packet that was seen is its opener, but for a SYN/ACK.
    pub(crate) fn of(
        &mut self,
        now_ns: u64,
        packet: &Packet<'_>,
        new: impl FnOnce() -> S,
    ) -> (FlowId, bool, &mut S) {
        let id = FlowId::of_sender(packet);
        let syn = packet.tcp().map_or(0, |s| s.flags & (TcpHeader::SYN | TcpHeader::ACK));
        let live =
            |(seen, _): &(u64, S)| now_ns.saturating_sub(*seen) <= self.idle_ns && syn != TcpHeader::SYN;
        let (id, from_opener) = if self.flows.get(&id).is_some_and(live) {
            (id, true)
        } else if self.flows.get(&id.reversed()).is_some_and(live) {
            (id.reversed(), false)
        } else {
            let from_opener = syn != TcpHeader::SYN | TcpHeader::ACK;
            let id = if from_opener { id } else { id.reversed() };
            self.flows.remove(&id.reversed());
            self.make_room(now_ns);
            self.flows.insert(id, (now_ns, new()));
            return (id, from_opener, self.touch(now_ns, id));
        };
        (id, from_opener, self.touch(now_ns, id))
    }

    #[allow(clippy::expect_used)] // the caller has just found or inserted it
    fn touch(&mut self, now_ns: u64, id: FlowId) -> &mut S {
        let (seen, state) = self.flows.get_mut(&id).expect("a flow that is there");
        *seen = now_ns;
        state
    }

    fn make_room(&mut self, now_ns: u64) {
        if self.flows.len() < FLOWS_MAX {
            return;
        }
        let idle_ns = self.idle_ns;
        self.flows.retain(|_, (seen, _)| now_ns.saturating_sub(*seen) <= idle_ns);
        if self.flows.len() >= FLOWS_MAX {
            // Half at once: so a flood of flows costs a constant amount for each.
            let mut times: Vec<u64> = self.flows.values().map(|(seen, _)| *seen).collect();
            let middle = times.len() / 2;
            let (_, middle_ns, _) = times.select_nth_unstable(middle);
            let middle_ns = *middle_ns;
            self.flows.retain(|_, (seen, _)| *seen > middle_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::testing::Talk;

    fn at(flows: &mut Flows<u8>, now_ns: u64, bytes: &[u8]) -> (bool, u8) {
        let packet = Packet::from_ip(bytes).unwrap();
        let (_, from_opener, state) = flows.of(now_ns, &packet, || 0);
        *state += 1;
        (from_opener, *state)
    }

    #[test]
    fn both_ways_are_one_flow_and_a_syn_begins_anew() {
        let mut flows = Flows::new(100);
        let mut talk = Talk::v4(80);
        let (syn, syn_ack) =
            (talk.client(TcpHeader::SYN, b""), talk.server(TcpHeader::SYN | TcpHeader::ACK, b""));
        assert_eq!(at(&mut flows, 0, &syn), (true, 1));
        assert_eq!(at(&mut flows, 1, &syn_ack), (false, 2));
        assert_eq!(at(&mut flows, 2, &syn), (true, 1));
        // Forgotten after a while: whoever speaks next is taken for the opener.
        assert_eq!(at(&mut flows, 200, &talk.server(TcpHeader::ACK, b"x")), (true, 1));
        assert_eq!(at(&mut Flows::new(100), 0, &syn_ack), (false, 1));
    }

    #[test]
    fn memory_is_bounded() {
        let mut flows = Flows::new(u64::MAX);
        for i in 0..FLOWS_MAX + 3 {
            let mut talk = Talk::v4(80);
            talk.server_address = std::net::Ipv4Addr::from_bits(i as u32).into();
            at(&mut flows, i as u64, &talk.client(TcpHeader::SYN, b""));
        }
        assert!((FLOWS_MAX / 2..=FLOWS_MAX / 2 + 10).contains(&flows.flows.len()));
    }
}
