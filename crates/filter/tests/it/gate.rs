//! Policies over a capture, packet by packet: who is stopped, when, and that nobody else is.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use daylight_filter::gate::{Gate, Outcome, Ruling, Witness};
use daylight_filter::kernel::Fate;
use daylight_filter::notice::Notice;
use daylight_inspect::{Config, FlowRecord};
use daylight_packet::build::{self, Tcp, tcp};
use daylight_packet::{Batch, Decoded, Decoder, FlowKey, Frame, LinkType, TcpHeader, TransportKind};
use daylight_policy::Policy;
use daylight_policy::audit::{Event, HostName, Label, Target, Timestamp, Totals};
use daylight_protocols::names::dns::message::Header;

const TOUR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/tour.pcap");

fn policy(rules: &str) -> Arc<Policy> {
    policy_with(rules, "")
}

/// The same with a list of prefixes, `$listed`.
fn policy_with(rules: &str, listed: &str) -> Arc<Policy> {
    let text = format!(
        "[policy]\nname = \"test\"\nmatch = \"first\"\ndefault = \"allow\"\n\
         [[list]]\nname = \"listed\"\nkind = \"prefixes\"\nfile = \"listed.txt\"\n{rules}"
    );
    let files = HashMap::from([(PathBuf::from("listed.txt"), listed.as_bytes().to_vec())]);
    match Policy::parse(&text, "test.toml", &files, None) {
        Ok(policy) => Arc::new(policy),
        Err(error) => panic!("{error}"),
    }
}

fn rule(name: &str, when: &str, action: &str) -> String {
    format!(
        "[[rule]]\nname = \"{name}\"\nwhen = '{when}'\naction = \"{action}\"\nreason = \"A test\"\n\
         authority = \"The tests\"\nexpires = \"2100-01-01\"\n"
    )
}

#[derive(Default)]
struct Seen {
    rulings: Vec<Ruling>,
    ended: usize,
    logged: usize,
}

impl Witness for Seen {
    fn ruled(&mut self, _: &Policy, ruling: Ruling) {
        self.rulings.push(ruling);
    }

    fn ended(&mut self, _: &Policy, _: Box<FlowRecord>, logged: &[u32]) {
        self.ended += 1;
        self.logged += logged.len();
    }
}

struct Run {
    seen: Seen,
    notices: Vec<Notice>,
    /// The outcomes of each flow's packets.
    outcomes: BTreeMap<String, Vec<Outcome>>,
    totals: Vec<Totals>,
}

/// What a gate has counted.
fn totals(gate: &Gate) -> Vec<Totals> {
    let entries = gate.tally.all(Timestamp::parse("2099-01-01T00:00:00Z").unwrap()).into_iter();
    entries
        .map(|entry| if let Event::Totals(totals) = entry.event { totals } else { panic!("a total") })
        .collect()
}

/// Runs the tour in batches of this length.
fn run(policy: Arc<Policy>, batch_len: usize) -> Run {
    let mut source = daylight_capture::open(TOUR.as_ref()).unwrap();
    let mut gate = Gate::new(policy, &Config::default(), "tour", None);
    let (mut seen, mut notices, mut outcomes) = (Seen::default(), Vec::new(), Vec::new());
    let mut by_flow: BTreeMap<String, Vec<Outcome>> = BTreeMap::new();
    while let Some(batch) = source.next_batch(batch_len).unwrap() {
        let keys: Vec<Option<FlowKey>> = batch
            .frames
            .iter()
            .map(|f| match Decoder::default().decode(f.link, batch.frame_bytes(f), f.ts_ns, f.wire_len) {
                Decoded::Packet(packet) => Some(packet.key),
                _ => None,
            })
            .collect();
        gate.packets(batch, &mut outcomes, &mut notices, &mut seen);
        assert_eq!(outcomes.len(), keys.len());
        for (key, outcome) in keys.into_iter().zip(&outcomes) {
            let name = key.map(|key| format!("{key:?}")).unwrap_or_default();
            by_flow.entry(name).or_default().push(*outcome);
        }
    }
    let totals = totals(&gate);
    gate.finish(&mut seen);
    Run { seen, notices, outcomes: by_flow, totals }
}

#[test]
fn a_name_is_stopped_at_its_hello_and_no_other_is() {
    let rules = rule("names", r#"tls && hostname == "old.example.org""#, "drop");
    for batch_len in [1, 5, 300] {
        let run = run(policy(&rules), batch_len);
        let [total] = &run.totals[..] else { panic!("{:?}", run.totals) };
        assert_eq!((total.rule.as_str(), total.counts.flows), ("names", 1));
        assert_eq!(total.target, Target::Host(HostName::new("old.example.org").unwrap()));
        let stopped: Vec<_> =
            run.outcomes.values().filter(|o| o.contains(&Outcome::Settled(Fate::Dropped))).collect();
        assert_eq!(stopped.len(), 1);
        if batch_len == 1 {
            // The handshake's three packets pass, the hello doesn't, nor anything after.
            assert_eq!(stopped[0][..3], [Outcome::Pass; 3]);
            assert!(stopped[0][3..].iter().all(|o| *o == Outcome::Settled(Fate::Dropped)));
        }
        let allowed = run.outcomes.values().filter(|o| o.contains(&Outcome::Settled(Fate::Allowed))).count();
        assert!(allowed > 5, "{allowed}");
        assert!(run.notices.is_empty());
        assert_eq!(run.seen.ended, 31);
    }
}

#[test]
fn questions_are_refused_one_by_one() {
    let rules = rule("all dns", r#"dns && hostname contains "example""#, "reject");
    let run = run(policy(&rules), 1);
    assert!(run.notices.len() >= 5, "{}", run.notices.len());
    for notice in &run.notices {
        let decoder = Decoder { verify_checksums: true };
        let link = LinkType::RAW;
        let Decoded::Packet(packet) = decoder.decode(link, &notice.packet, 0, notice.packet.len() as u32)
        else {
            panic!("{notice:?}")
        };
        if packet.key.protocol != TransportKind::UDP {
            continue;
        }
        let answer = &notice.packet[packet.payload_offset as usize..];
        let header = Header::read(answer).unwrap();
        assert!(header.is_response() && header.rcode() == 5);
    }
    // What else they do is nobody's business.
    let settled = run.outcomes.values().flatten().filter(|o| matches!(o, Outcome::Settled(Fate::Rejected)));
    assert_eq!(settled.count(), 0);
}

#[test]
fn a_request_is_answered_and_its_connection_ends() {
    let rules = rule("http", r#"http && hostname == "www.example.org""#, "reject");
    let run = run(policy(&rules), 1);
    let texts: Vec<_> = run.notices.iter().map(|n| String::from_utf8_lossy(&n.packet)).collect();
    let answers = texts.iter().filter(|text| text.contains("HTTP/1.1 451 ")).count();
    assert!(answers >= 1, "{answers}");
    assert!(run.notices.len() > answers, "and a reset for each server");
    assert_eq!(run.totals[0].rule.as_str(), "http");
    assert_eq!(run.seen.rulings[0].asked.as_deref(), Some("www.example.org"));
}

#[test]
fn addresses_decide_at_the_first_packet_and_logging_changes_nothing() {
    let rules = rule("note", "dst_port == 443", "log") + &rule("port", "dst_port == 22", "reject");
    let run = run(policy(&rules), 1);
    for outcomes in run.outcomes.values() {
        assert!(outcomes.iter().all(|o| *o == outcomes[0]), "{outcomes:?}");
    }
    assert!(run.outcomes.values().any(|o| o[0] == Outcome::Settled(Fate::Rejected)));
    assert!(run.seen.logged > 0);
}

#[test]
fn a_limit_lets_through_what_it_says() {
    let rules = rule("slow", "dst_port == 443", "limit\"\nrate = \"3 packets/s\"\nper = \"flow");
    let run = run(policy(&rules), 1);
    let dropped: usize = run.outcomes.values().flatten().filter(|o| **o == Outcome::Drop).count();
    assert!(dropped > 10, "{dropped}");
    for outcomes in run.outcomes.values().filter(|o| o.contains(&Outcome::Drop)) {
        let passed = outcomes.iter().filter(|o| **o == Outcome::Pass).count();
        // The tour lasts less than two seconds; a burst and what is filled up meanwhile.
        assert!((3..=9).contains(&passed), "{outcomes:?}");
    }
}

/// Whichever packet the verdict falls at: a connection too many does not go on, and its packets don't slip in one by one.
#[test]
fn a_limit_of_connections_counts_those_it_decides_on_late() {
    for when in ["dst_port == 443", "tls && hostname != \"nobody.example\""] {
        let rules =
            rule("few", when, "limit\"\nrate = \"1 connections/h\"\nburst = \"1 connections\"\nper = \"rule");
        let run = run(policy(&rules), 1);
        let limited: Vec<_> = run.outcomes.values().filter(|o| o.contains(&Outcome::Drop)).collect();
        assert!(!limited.is_empty(), "{when}");
        for outcomes in limited {
            let from = outcomes.iter().position(|o| *o == Outcome::Drop).unwrap();
            assert!(outcomes[from..].iter().all(|o| *o == Outcome::Drop), "{when}: {outcomes:?}");
        }
    }
}

#[test]
fn another_policy_decides_on_what_still_comes() {
    let mut source = daylight_capture::open(TOUR.as_ref()).unwrap();
    let allow = policy("");
    let mut gate = Gate::new(allow, &Config::default(), "tour", None);
    let (mut seen, mut notices, mut outcomes) = (Seen::default(), Vec::new(), Vec::new());
    let mut packets = 0;
    while let Some(batch) = source.next_batch(1).unwrap() {
        packets += 1;
        if packets == 100 {
            gate.exchange(policy(&rule("all", "true", "drop")));
        }
        gate.packets(batch, &mut outcomes, &mut notices, &mut seen);
        let expected = if packets < 100 { Fate::Allowed } else { Fate::Dropped };
        let one_by_one = outcomes[0] == Outcome::Pass || packets >= 100 && outcomes[0] == Outcome::Drop;
        assert!(outcomes[0] == Outcome::Settled(expected) || one_by_one, "{packets}: {outcomes:?}");
    }
    assert!(totals(&gate).iter().any(|total| total.rule.as_str() == "all"));
}

/// Neither empty segments nor single bytes make a gate give up waiting for the name.
#[test]
fn a_slow_hello_is_waited_for() {
    let policy = policy(&rule("names", r#"tls && hostname == "blocked.example.org""#, "drop"));
    let mut gate = Gate::new(policy, &Config::default(), "test", None);
    let (mut seen, mut notices, mut outcomes) = (Seen::default(), Vec::new(), Vec::new());
    let mut send = |from_client: bool, seq: u32, flags: u8, payload: &[u8]| {
        let [client, server] = ["192.0.2.2", "198.51.100.2"].map(|text| text.parse().unwrap());
        let (source, destination, source_port, destination_port) =
            if from_client { (client, server, 4000, 443) } else { (server, client, 443, 4000) };
        let packet = tcp(&Tcp {
            source,
            destination,
            source_port,
            destination_port,
            seq,
            ack: 1,
            flags,
            payload,
            ..Tcp::default()
        });
        let len = packet.len() as u32;
        let frame =
            Frame { ts_ns: 1_000_000_000, offset: 0, cap_len: len, wire_len: len, link: LinkType::RAW };
        let batch = Batch { data: Arc::new(packet), frames: vec![frame] };
        gate.packets(batch, &mut outcomes, &mut notices, &mut seen);
        outcomes[0]
    };
    let (syn, ack) = (2, 16);
    send(true, 0, syn, b"");
    send(false, 0, syn | ack, b"");
    for _ in 0..200 {
        assert_eq!(send(true, 1, ack, b""), Outcome::Pass);
    }
    let (_, hello) = crate::hello::hello("blocked.example.org", 0);
    let last = hello.len() - 1;
    for (at, byte) in hello.iter().enumerate() {
        let expected = if at < last { Outcome::Pass } else { Outcome::Settled(Fate::Dropped) };
        assert_eq!(send(true, 1 + at as u32, ack, &[*byte]), expected, "byte {at}");
    }
}

#[test]
fn flows_in_a_tunnel_are_decided_on_one_by_one() {
    let [near, far, client, server] =
        ["10.0.0.1", "10.0.0.2", "192.0.2.1", "198.51.100.2"].map(|address| address.parse().unwrap());
    let syn = |port| {
        let syn = Tcp {
            source: client,
            destination: server,
            source_port: 40_000,
            destination_port: port,
            flags: TcpHeader::SYN,
            ..Tcp::default()
        };
        tcp(&syn)
    };
    // IP in IP (protocol 4).
    let inside = |packet: Vec<u8>| build::ip(near, far, 4, &build::Stamp::default(), None, packet);
    let mut gate =
        Gate::new(policy(&rule("port", "dst_port == 80", "reject")), &Config::default(), "made", None);
    let mut decide = |packet: Vec<u8>| {
        let (mut outcomes, mut notices) = (Vec::new(), Vec::new());
        let len = packet.len() as u32;
        let frame = Frame {
            ts_ns: 1_780_000_000_000_000_000,
            offset: 0,
            cap_len: len,
            wire_len: len,
            link: LinkType::RAW,
        };
        let batch = Batch { data: Arc::new(packet), frames: vec![frame] };
        gate.packets(batch, &mut outcomes, &mut notices, &mut Seen::default());
        (outcomes[0], notices.len())
    };
    assert_eq!(decide(inside(syn(80))), (Outcome::Drop, 0));
    assert_eq!(decide(inside(syn(81))), (Outcome::Pass, 0));
    assert_eq!(decide(syn(80)), (Outcome::Settled(Fate::Rejected), 1));
    assert_eq!(decide(syn(81)), (Outcome::Settled(Fate::Allowed), 0));
}

/// The line of a listed server is told where it is certain who the server is: of a connection of which the beginning was
/// not seen that is a guess.
#[test]
fn the_line_of_a_listed_server_is_told_if_it_is_certain_to_be_one() {
    let rules = rule("listed", "dst_ip in $listed", "drop");
    for (flags, expected) in [(TcpHeader::SYN, Some(2)), (TcpHeader::ACK, None)] {
        let policy = policy_with(&rules, "192.0.2.0/24\n198.51.100.0/24\n");
        let mut gate = Gate::new(Arc::clone(&policy), &Config::default(), "test", None);
        let [source, destination] = ["192.0.2.2", "198.51.100.2"].map(|text| text.parse().unwrap());
        let packet = tcp(&Tcp {
            source,
            destination,
            source_port: 40_000,
            destination_port: 4_000,
            flags,
            ..Tcp::default()
        });
        let len = packet.len() as u32;
        let frame =
            Frame { ts_ns: 1_000_000_000, offset: 0, cap_len: len, wire_len: len, link: LinkType::RAW };
        let batch = Batch { data: Arc::new(packet), frames: vec![frame] };
        let (mut outcomes, mut notices) = (Vec::new(), Vec::new());
        gate.packets(batch, &mut outcomes, &mut notices, &mut Seen::default());
        assert_eq!(outcomes, [Outcome::Settled(Fate::Dropped)]);
        let digest = policy.lists()[0].digest();
        let list = || Label::new("listed").unwrap();
        let target = expected.map_or(Target::Rule, |line| Target::ListLine { list: list(), digest, line });
        assert_eq!(totals(&gate).into_iter().map(|total| total.target).collect::<Vec<_>>(), [target]);
    }
}

/// Nobody reads what its receiver throws away, but the ends that it names are not free for that.
#[test]
fn what_is_not_read_is_judged_by_its_ends() {
    let rules =
        rule("port", "dst_port == 53", "drop") + &rule("names", "dns && dns.query contains \"a\"", "drop");
    let mut gate = Gate::new(policy(&rules), &Config::default(), "made", None);
    let [client, server] = ["192.0.2.1", "198.51.100.2"].map(|address| address.parse().unwrap());
    let mut decide = |port| {
        let datagram = build::udp(client, server, [40_000, port], &build::Stamp::default(), b"anything");
        gate.unread(&datagram, 1_780_000_000_000_000_000)
    };
    assert_eq!([53, 54, 53].map(&mut decide), [Outcome::Drop, Outcome::Pass, Outcome::Drop]);
    assert_eq!(gate.unread(b"no packet", 0), Outcome::Pass);
    assert_eq!(gate.flows(), 0);
    assert_eq!(totals(&gate)[0].counts.packets, 2);
}
