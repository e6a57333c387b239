//! For tests: runs identification and parsing over given payloads, as the engine does.

pub mod cuts;
pub mod hpack;
pub mod tls;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use crate::dispatch::{Dispatcher, Outcome, Rejected};
use crate::driver::{Driver, Progress};
use crate::{Confidence, Dir, Earlier, Event, Fact, Findings, Probe, ProtocolId, Sink, Transport, Wanted};

/// What came out of a flow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// The label, `Unknown` if there is none.
    pub protocol: ProtocolId,
    /// `Payload` or `Handshake` where there is a label.
    pub confidence: Confidence,
    /// Fields, risks and application.
    pub found: Findings,
    /// Transactions.
    pub events: Vec<Event>,
    /// What it tells about other flows.
    pub facts: Vec<Fact>,
}

impl Seen {
    /// A field as people read it, "" if it isn't there.
    pub fn show(&self, field: crate::FieldRef) -> String {
        self.found.value(field).map(ToString::to_string).unwrap_or_default()
    }

    /// The names of the risks.
    pub fn risks(&self) -> Vec<&'static str> {
        self.found.risks.iter().map(|r| r.risk.name).collect()
    }
}

/// A probe of a first payload from the client, on ports that mean nothing.
pub fn probe(transport: Transport, payload: &[u8]) -> Probe<'_> {
    Probe {
        transport,
        dir: Dir::Client,
        payload,
        other: &[],
        earlier: &[],
        client_port: 40000,
        server_port: 50000,
        whole: true,
    }
}

/// Compiling all patterns takes a while without optimisation: once is enough.
static DISPATCHER: LazyLock<Dispatcher> = LazyLock::new(|| Dispatcher::new(ProtocolId::all()));

/// A flow to be run: which payloads, between which ports.
#[derive(Clone, Debug)]
pub struct Flow<'a> {
    transport: Transport,
    ports: [u16; 2],
    payloads: Vec<(Dir, &'a [u8])>,
    now_ns: i64,
}

impl<'a> Flow<'a> {
    /// A TCP connection to `server_port`.
    pub fn tcp(server_port: u16) -> Self {
        Self::new(Transport::Tcp, server_port)
    }

    /// Datagrams to `server_port`.
    pub fn udp(server_port: u16) -> Self {
        Self::new(Transport::Udp, server_port)
    }

    /// Packets of another IP protocol.
    pub fn ip(number: u8) -> Self {
        Self { ports: [0, 0], ..Self::new(Transport::Ip(number), 0) }
    }

    fn new(transport: Transport, server_port: u16) -> Self {
        // 2024-01-01T00:00:00Z
        Self {
            transport,
            ports: [40000, server_port],
            payloads: Vec::new(),
            now_ns: 1_704_067_200_000_000_000,
        }
    }

    /// Sets the client's port.
    pub fn client_port(mut self, port: u16) -> Self {
        self.ports[0] = port;
        self
    }

    /// Sets the time of all packets, in seconds since 1970.
    pub fn at(mut self, seconds: i64) -> Self {
        self.now_ns = seconds * 1_000_000_000;
        self
    }

    /// The client sends this.
    pub fn client(mut self, payload: &'a [u8]) -> Self {
        self.payloads.push((Dir::Client, payload));
        self
    }

    /// The server sends this.
    pub fn server(mut self, payload: &'a [u8]) -> Self {
        self.payloads.push((Dir::Server, payload));
        self
    }

    /// Runs it with everything wanted.
    pub fn run(&self) -> Seen {
        self.run_wanting(&Wanted::all())
    }

    /// Runs it with these fields wanted.
    pub fn run_wanting(&self, wanted: &Wanted) -> Seen {
        self.play(wanted, &self.payloads)
    }

    /// For TCP: runs it as it is, and again with every payload cut into pieces of `n` bytes, for several `n`, and
    /// asserts that what comes out is the same.
    #[track_caller]
    pub fn run_split(&self) -> Seen {
        let whole = self.run();
        for n in [1, 2, 3, 7, 16, 61, 500] {
            let mut pieces = Vec::new();
            for (dir, payload) in &self.payloads {
                pieces.extend(payload.chunks(n).map(|piece| (*dir, piece)));
            }
            assert_eq!(self.play(&Wanted::all(), &pieces), whole, "cut into pieces of {n} bytes");
        }
        whole
    }

    fn play(&self, wanted: &Wanted, payloads: &[(Dir, &[u8])]) -> Seen {
        let dispatcher = &*DISPATCHER;
        let mut seen = Seen::default();
        let mut rejected = [Rejected::default(); 2];
        let mut prefix = [Vec::new(), Vec::new()];
        let mut earlier: Vec<Earlier> = Vec::new();
        let mut driver = None;
        let addresses = [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1))];
        let mut need = [0; 2];
        let Seen { found, events, facts, .. } = &mut seen;
        let (mut label, mut confirmed, mut over) = (ProtocolId::Unknown, false, false);
        for (dir, payload) in payloads {
            let mut sink = Sink::new(found, wanted, events, facts, self.now_ns, addresses, self.ports);
            let mut fed: Vec<(Dir, Vec<u8>)> = Vec::new();
            if label == ProtocolId::Unknown {
                let tcp = self.transport == Transport::Tcp;
                if tcp {
                    prefix[dir.index()].extend_from_slice(payload);
                }
                // New bytes of one side may be what somebody who looked at the other side waited for.
                for d in [*dir, dir.other()] {
                    let (mine, other) = (&prefix[d.index()], &prefix[d.other().index()]);
                    if tcp && (mine.is_empty() || mine.len() < need[d.index()]) || !tcp && d != *dir {
                        continue;
                    }
                    let probe = Probe {
                        dir: d,
                        payload: if tcp { mine } else { payload },
                        other,
                        earlier: &earlier,
                        client_port: self.ports[0],
                        server_port: self.ports[1],
                        ..probe(self.transport, payload)
                    };
                    match dispatcher.identify(&probe, &mut rejected[d.index()]) {
                        Outcome::Found { protocol, .. } => {
                            label = protocol;
                            driver = Driver::new(protocol);
                            fed = if tcp {
                                [dir.other(), *dir].map(|d| (d, prefix[d.index()].clone())).to_vec()
                            } else {
                                vec![(*dir, payload.to_vec())]
                            };
                            break;
                        }
                        Outcome::Need(n) => need[d.index()] = n,
                        _ => {}
                    }
                }
                let mut head = [0; 16];
                let n = payload.len().min(16);
                head[..n].copy_from_slice(&payload[..n]);
                earlier.push(Earlier { dir: *dir, len: payload.len() as u16, head });
                if earlier.len() > 4 {
                    earlier.remove(0);
                }
            } else {
                fed.push((*dir, payload.to_vec()));
            }
            for (dir, bytes) in fed.iter().filter(|(_, b)| !b.is_empty()) {
                let (Some(d), false) = (&mut driver, over) else { break };
                let progress = match self.transport {
                    Transport::Tcp => d.stream(dispatcher, *dir, bytes, &mut sink),
                    _ => d.datagram(*dir, bytes, &mut sink),
                };
                match progress {
                    Progress::More => {}
                    Progress::Rest => driver = Driver::new(label),
                    Progress::Finished => over = true,
                    Progress::NotMine => {
                        rejected.iter_mut().for_each(|r| r.insert(label));
                        label = ProtocolId::Unknown;
                    }
                }
            }
            label = sink.label().unwrap_or(label);
            confirmed |= sink.is_confirmed();
        }
        if let Some(d) = &mut driver {
            d.finish(&mut Sink::new(found, wanted, events, facts, self.now_ns, addresses, self.ports));
        }
        seen.protocol = label;
        seen.confidence = match (label, confirmed) {
            (ProtocolId::Unknown, _) => Confidence::None,
            (_, true) => Confidence::Handshake,
            _ => Confidence::Payload,
        };
        seen
    }
}

/// Bytes from hexadecimal, with spaces and line ends left out.
#[track_caller]
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    assert!(digits.len() % 2 == 0, "odd number of digits");
    let value = |d: u8| (d as char).to_digit(16).map(|v| v as u8);
    digits
        .chunks(2)
        .map(|pair| match (value(pair[0]), value(pair[1])) {
            (Some(high), Some(low)) => high << 4 | low,
            _ => panic!("not hexadecimal: {:?}", String::from_utf8_lossy(pair)),
        })
        .collect()
}
