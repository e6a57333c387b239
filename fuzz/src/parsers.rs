//! A family's parsers, and how they are found. Input: a [`Script`].
//!
//! The parser that the script names is started whatever the bytes are, so that those behind a strict identification are
//! reached too; or the dispatcher is asked, as in the engine.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use daylight_protocols::dispatch::{Dispatcher, Outcome, Rejected};
use daylight_protocols::driver::{Driver, PENDING_MAX, Progress};
use daylight_protocols::{
    Dir, EVENTS_MAX, Earlier, Event, FIELDS_MAX, Fact, Family, FieldRef, Findings, LIST_MAX, OFFSET_MAX,
    Probe, ProtocolId, Sink, Transport, VALUE_BYTES_MAX, Value, Wanted, risk,
};

use crate::script::{Piece, Script};

static DISPATCHER: LazyLock<Dispatcher> = LazyLock::new(|| Dispatcher::new(ProtocolId::all()));

/// 2024-01-01T00:00:00Z
const NOW_NS: i64 = 1_704_067_200_000_000_000;
/// Evidence is a field and a value; no value is longer than this.
const EVIDENCE_BYTES_MAX: usize = VALUE_BYTES_MAX + 256;
/// Pieces beyond this length are not tried byte by byte.
const SINGLE_BYTES_MAX: usize = 1024;

/// Compiles the patterns.
pub(crate) fn prepare() {
    LazyLock::force(&DISPATCHER);
}

pub(crate) fn run(family: Family, data: &[u8]) {
    let script = Script::read(family, data);
    let whole = play(&script, &script.pieces, &Wanted::all());
    check_limits(&whole);
    let asked_nothing = play(&script, &script.pieces, &Wanted::none());
    assert!(asked_nothing.found.fields.is_empty(), "unwanted: {:?}", asked_nothing.found.fields);
    assert!(asked_nothing.events.is_empty(), "unwanted: {:?}", asked_nothing.events);
    assert_eq!(asked_nothing.label, whole.label, "what is wanted has no say in what it is");
    if script.transport == Transport::Tcp {
        for pieces in cuts(&script.pieces, data) {
            let cut = play(&script, &pieces, &Wanted::all());
            // What is damaged can be known by its first message, or not be known by its second: when it is asked about
            // makes a difference then. What a parser makes of a stream never depends on how it was cut.
            let is_found_alike =
                script.forced.is_some() || (cut.label, cut.found_by) == (whole.label, whole.found_by);
            if is_found_alike && !whole.switched {
                assert_eq!(cut, whole, "cut into {} pieces: {pieces:02x?}", pieces.len());
            }
        }
    }
}

/// What came of a flow.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    label: ProtocolId,
    /// Whose bytes the label was found by, and how many bytes the other side had sent.
    found_by: Option<(Dir, usize)>,
    /// Another protocol took over, and had to be found in turn.
    switched: bool,
    confirmed: bool,
    found: Findings,
    events: Vec<Event>,
    facts: Vec<Fact>,
}

/// The same stream, cut elsewhere: into single bytes, and where the input's bytes say.
fn cuts<'a>(pieces: &[(Dir, Piece<'a>)], data: &[u8]) -> Vec<Vec<(Dir, Piece<'a>)>> {
    let total: usize = pieces.iter().map(|(_, p)| if let Piece::Bytes(b) = p { b.len() } else { 0 }).sum();
    let mut state = data.iter().fold(0x9e37_79b9u32, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193));
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let cut = |len: &mut dyn FnMut() -> usize| {
        let mut all = Vec::new();
        for (dir, piece) in pieces {
            let Piece::Bytes(mut bytes) = *piece else {
                all.push((*dir, *piece));
                continue;
            };
            while !bytes.is_empty() {
                let (first, rest) = bytes.split_at(len().clamp(1, bytes.len()));
                all.push((*dir, Piece::Bytes(first)));
                bytes = rest;
            }
        }
        all
    };
    let mut all = vec![cut(&mut || 1 + (next() % 7) as usize * (next() % 11) as usize)];
    if total <= SINGLE_BYTES_MAX {
        all.push(cut(&mut || 1));
    }
    all
}

/// What a direction of a stream waits for, as in the engine.
#[derive(Clone, Copy)]
enum Asked {
    Need(usize),
    Settled,
}

struct Player<'a> {
    script: &'a Script<'a>,
    driver: Option<Driver>,
    is_over: bool,
    starts: [Vec<u8>; 2],
    asked: [Asked; 2],
    rejected: [Rejected; 2],
    earlier: Vec<Earlier>,
}

fn play(script: &Script<'_>, pieces: &[(Dir, Piece<'_>)], wanted: &Wanted) -> Seen {
    let mut seen = Seen::default();
    let mut player = Player {
        script,
        driver: None,
        is_over: false,
        starts: [Vec::new(), Vec::new()],
        asked: [Asked::Need(1); 2],
        rejected: [Rejected::default(); 2],
        earlier: Vec::new(),
    };
    if let Some(protocol) = script.forced {
        seen.label = protocol;
        player.driver = Driver::new(protocol);
    }
    let ends = [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1))];
    for (dir, piece) in pieces {
        if player.is_over {
            break;
        }
        let Seen { label, found_by, switched, confirmed, found, events, facts } = &mut seen;
        let mut sink = Sink::new(found, wanted, events, facts, NOW_NS, ends, script.ports);
        let before = *label;
        player.piece(*dir, *piece, label, found_by, &mut sink);
        // A parser that says it isn't its protocol has the last word on the label.
        if *label == before || *label != ProtocolId::Unknown {
            *label = sink.label().unwrap_or(*label);
        }
        *confirmed |= sink.is_confirmed();
        *switched = player.driver.as_ref().is_some_and(Driver::has_switched);
        let held = player.driver.as_ref().map_or(0, Driver::pending_bytes);
        assert!(held <= 4 * PENDING_MAX, "{held} bytes are held");
    }
    if let Some(driver) = &mut player.driver {
        let Seen { found, events, facts, .. } = &mut seen;
        driver.finish(&mut Sink::new(found, wanted, events, facts, NOW_NS, ends, script.ports));
    }
    // Where a parser noticed that something is broken does depend on what it was given at a time.
    let malformed = seen.found.risks.iter_mut().find(|found| found.risk.name == risk::MALFORMED_PACKET.name);
    if let Some(found) = malformed {
        found.evidence = "".into();
    }
    seen
}

impl Player<'_> {
    fn piece(
        &mut self,
        dir: Dir,
        piece: Piece<'_>,
        label: &mut ProtocolId,
        found_by: &mut Option<(Dir, usize)>,
        sink: &mut Sink<'_>,
    ) {
        if self.driver.is_some() {
            return self.feed(dir, piece, label, sink);
        }
        let Piece::Bytes(bytes) = piece else {
            // A stream with a gap in its start is not identified.
            self.asked[dir.index()] = Asked::Settled;
            return;
        };
        let found = if self.script.transport == Transport::Tcp {
            self.identify_stream(dir, bytes)
        } else {
            self.identify_datagram(dir, bytes).map(|protocol| (protocol, dir))
        };
        let Some((protocol, dir)) = found else { return };
        *label = protocol;
        *found_by = Some((dir, self.starts[dir.other().index()].len()));
        self.driver = Driver::new(protocol);
        self.is_over = self.driver.is_none();
        if self.script.transport == Transport::Tcp {
            for d in [dir.other(), dir] {
                let start = std::mem::take(&mut self.starts[d.index()]);
                if !start.is_empty() && !self.is_over {
                    self.feed(d, Piece::Bytes(&start), label, sink);
                }
            }
        } else if !self.is_over {
            self.feed(dir, piece, label, sink);
        }
    }

    fn feed(&mut self, dir: Dir, piece: Piece<'_>, label: &mut ProtocolId, sink: &mut Sink<'_>) {
        let Some(driver) = &mut self.driver else { return };
        let progress = match (self.script.transport, piece) {
            (Transport::Tcp, Piece::Bytes(bytes)) => driver.stream(&DISPATCHER, dir, bytes, sink),
            (_, Piece::Bytes(bytes)) => driver.datagram(dir, bytes, sink),
            (_, Piece::Gap(n)) => driver.gap(dir, n.into(), sink),
        };
        match progress {
            Progress::More => {}
            Progress::Rest => self.driver = Driver::new(sink.label().unwrap_or(*label)),
            Progress::Finished => self.is_over = true,
            Progress::NotMine => {
                *label = ProtocolId::Unknown;
                self.is_over = true;
            }
        }
    }

    fn probe<'a>(&'a self, dir: Dir, payload: &'a [u8]) -> Probe<'a> {
        let tcp = self.script.transport == Transport::Tcp;
        Probe {
            transport: self.script.transport,
            dir,
            payload,
            other: if tcp { &self.starts[dir.other().index()] } else { &[] },
            earlier: &self.earlier,
            client_port: self.script.ports[0],
            server_port: self.script.ports[1],
            whole: true,
        }
    }

    fn identify_stream(&mut self, dir: Dir, bytes: &[u8]) -> Option<(ProtocolId, Dir)> {
        self.starts[dir.index()].extend_from_slice(bytes);
        for d in [dir, dir.other()] {
            let i = d.index();
            let start = &self.starts[i];
            if start.is_empty() || !matches!(self.asked[i], Asked::Need(n) if start.len() >= n) {
                continue;
            }
            let mut rejected = self.rejected[i];
            let outcome = DISPATCHER.identify(&self.probe(d, start), &mut rejected);
            let len = start.len();
            self.rejected[i] = rejected;
            self.asked[i] = match outcome {
                Outcome::Found { protocol, reversed } => {
                    return Some((protocol, if reversed { d.other() } else { d }));
                }
                Outcome::Need(n) => Asked::Need(n),
                Outcome::Later => Asked::Need(1),
                Outcome::Unknown if len < OFFSET_MAX => Asked::Need(len + 1),
                Outcome::Unknown => Asked::Settled,
            };
        }
        None
    }

    fn identify_datagram(&mut self, dir: Dir, bytes: &[u8]) -> Option<ProtocolId> {
        let outcome = DISPATCHER.identify(&self.probe(dir, bytes), &mut Rejected::default());
        if let Outcome::Found { protocol, .. } = outcome {
            return Some(protocol);
        }
        let mut head = [0; 16];
        let n = bytes.len().min(16);
        head[..n].copy_from_slice(&bytes[..n]);
        if self.earlier.len() == 4 {
            self.earlier.remove(0);
        }
        self.earlier.push(Earlier { dir, len: bytes.len() as u16, head });
        None
    }
}

/// What holds for whatever a parser finds.
fn check_limits(seen: &Seen) {
    assert!(seen.found.fields.len() <= FIELDS_MAX);
    assert!(seen.events.len() <= EVENTS_MAX && seen.facts.len() <= EVENTS_MAX);
    let mut fields: Vec<FieldRef> = seen.found.fields.iter().map(|(field, _)| *field).collect();
    fields.sort_unstable();
    assert!(fields.windows(2).all(|pair| pair[0] != pair[1]), "a field is there twice");
    for (field, value) in &seen.found.fields {
        check_value(*field, value);
        assert_eq!(matches!(value, Value::List(_)), field.field().list, "{}: {value:?}", field.field().name);
    }
    // A transaction may have one value where its flow has a list.
    seen.events.iter().flat_map(|event| &event.fields).for_each(|(field, value)| check_value(*field, value));
    for risk in &seen.found.risks {
        assert!(
            risk.evidence.len() <= EVIDENCE_BYTES_MAX,
            "{}: {} bytes",
            risk.risk.name,
            risk.evidence.len()
        );
    }
    for fact in &seen.facts {
        if let Fact::Named { name, .. } = fact {
            assert!(name.len() <= VALUE_BYTES_MAX && !name.is_empty());
        }
    }
}

/// A value is of the kind that is declared, and within the limits.
fn check_value(field: FieldRef, value: &Value) {
    let declared = field.field();
    let name = declared.name;
    assert!(value.iter().len() <= LIST_MAX, "{name}: {} values", value.iter().len());
    for value in value.iter() {
        assert_eq!(value.kind(), Some(declared.kind), "{name}: {value:?}");
        let bytes = match value {
            Value::Str(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        assert!(bytes <= VALUE_BYTES_MAX, "{name}: {bytes} bytes");
    }
}
