//! A ClientHello is read from packets however it was cut: over TLS records, TCP segments, QUIC frames, packets and datagrams,
//! in any order, with pieces that come twice or overlap.
//!
//! Every case is a flow of its own client; one run holds them all. What comes out must be one record with protocol, host
//! name, ALPN and JA4. The parsers alone are tested in the same way in `daylight-protocols`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

use daylight_inspect::FlowRecord;
use daylight_protocols::testing::cuts::{Wrap, datagrams, orders, permutations, record_splits};
use daylight_protocols::testing::tls::{
    ClientHello, Initial, crypto_frame, record, records, server_hello_13, varint,
};
use daylight_protocols::{Confidence, Dir, ProtocolId, common};

use crate::net::{ACK, Capture, End, SERVER, SYN};

const NAME: &str = "very.long.name.of.a.server.example";

/// What must come out of a flow.
struct Case {
    protocol: ProtocolId,
    alpn: &'static str,
    ja4: &'static str,
    confidence: Confidence,
    how: String,
}

/// Cases and their packets.
struct Matrix {
    capture: Capture,
    cases: Vec<Case>,
}

impl Matrix {
    fn new() -> Self {
        Self { capture: Capture::new(), cases: Vec::new() }
    }

    /// Adds a case and gives its client, whose address is below the server's in every other case.
    fn add(&mut self, case: Case) -> End {
        let [_, a, b, c] = (self.cases.len() as u32).to_be_bytes();
        self.cases.push(case);
        ([if self.cases.len().is_multiple_of(2) { 10 } else { 223 }, a, b, c], 40000)
    }

    /// Runs all cases at once and tells which of them fail.
    fn check(self, cases_min: usize) {
        let mut found: HashMap<usize, Vec<FlowRecord>> = HashMap::new();
        let server = IpAddr::from(SERVER.0);
        for record in self.capture.run() {
            let ends = &record.ends;
            let client = if ends.src_ip == server { ends.dst_ip } else { ends.src_ip };
            let IpAddr::V4(client) = client else { panic!("{client}") };
            found.entry((u32::from(client) & 0xff_ffff) as usize).or_default().push(record);
        }
        let mut failed = Vec::new();
        for (n, case) in self.cases.iter().enumerate() {
            let problem = match found.remove(&n).as_deref() {
                Some([record]) => case.problem(record),
                records => Some(format!("{} records", records.map_or(0, <[_]>::len))),
            };
            failed.extend(problem.map(|p| format!("{}: {p}", case.how)));
        }
        let total = self.cases.len();
        assert!(
            failed.is_empty(),
            "{} of {total} cases fail, among them\n{}",
            failed.len(),
            failed.iter().step_by(failed.len().div_ceil(40)).cloned().collect::<Vec<_>>().join("\n")
        );
        assert!(total >= cases_min, "only {total} cases");
    }
}

impl Case {
    fn problem(&self, record: &FlowRecord) -> Option<String> {
        let show = |field| record.text(field).unwrap_or_default();
        let found = (
            record.protocol.name(),
            show(common::HOSTNAME),
            show(common::ALPN),
            show(common::JA4),
            record.confidence.name(),
        );
        let want = (self.protocol.name(), NAME, self.alpn, self.ja4, self.confidence.name());
        if found != want {
            return Some(format!("found {found:?}"));
        }
        if record.ends.dst_port != SERVER.1 || record.ends.dst_ip != IpAddr::from(SERVER.0) {
            return Some("client and server are swapped".to_owned());
        }
        let wrong = ["malformed-packet", "tcp-overlap-conflict"];
        let risk = record.risks().iter().find(|r| wrong.contains(&r.risk.name))?;
        Some(format!("{}: {}", risk.risk.name, risk.evidence))
    }
}

/// The hellos over TCP: name, message, JA4 (computed by hand from what the builder offers).
fn tls_hellos() -> [(&'static str, Vec<u8>, &'static str); 3] {
    [
        ("small", ClientHello::new(NAME).message(), "t13d0507h2_e133e205ac38_5e6a61e7dae5"),
        ("with ML-KEM", ClientHello::with_mlkem(NAME).message(), "t13d0508h2_e133e205ac38_4ede5ec5004f"),
        ("larger than a record", ClientHello::huge(NAME).message(), "t13d0508h2_e133e205ac38_4ede5ec5004f"),
    ]
}

/// How a connection begins in the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// With the three packets of the handshake.
    Handshake,
    /// The same; and the server acknowledges every segment as far as it has the stream, and answers at the end.
    Answered,
    /// The same, and the sequence number starts anew in the middle of the hello.
    Wrapped,
    /// Only the client's packets were captured.
    OneWay,
    /// Only the server's part of the handshake was captured.
    SynAck,
    /// The SYN brings the first bytes, and the server takes them (RFC 7413).
    DataOnSyn,
    /// The SYN brings the first bytes, but the server doesn't take them: they come again.
    DataOnSynAgain,
    /// The capture begins with the handshake's last packet.
    LastAck,
    /// Nothing of the handshake was captured.
    Nothing,
}

impl Opening {
    const ALL: [Self; 9] = [
        Self::Handshake,
        Self::Answered,
        Self::Wrapped,
        Self::OneWay,
        Self::SynAck,
        Self::DataOnSyn,
        Self::DataOnSynAgain,
        Self::LastAck,
        Self::Nothing,
    ];
}

/// Bytes that a SYN brings.
const ON_SYN: usize = 60;

/// The way of a stream's pieces to the capture.
type Delivery = (String, Vec<Range<usize>>);

/// What can happen to pieces of a stream on their way: to each a name, and what comes, in its order.
fn deliveries(pieces: &[Range<usize>]) -> Vec<Delivery> {
    let n = pieces.len();
    let pick = |order: &[usize]| order.iter().map(|i| pieces[*i].clone()).collect::<Vec<_>>();
    let (start, end) = (pieces[0].start, pieces[n - 1].end);
    let wider: Vec<_> =
        pieces.iter().map(|p| p.start.saturating_sub(3).max(start)..(p.end + 3).min(end)).collect();
    let mut ways: Vec<Delivery> =
        orders(n).iter().map(|(how, order)| ((*how).to_owned(), pick(order))).collect();
    ways.push(("overlapping".to_owned(), wider.clone()));
    ways.push(("overlapping, backwards".to_owned(), wider.into_iter().rev().collect()));
    // The first was lost, and is sent again with all that followed it.
    let again = |cut: usize| [pick(&(1..n).collect::<Vec<_>>()), vec![start..cut, cut..end]].concat();
    if n > 1 {
        ways.push(("first lost, all sent again at once".to_owned(), again(end)));
        ways.push((
            "first lost, all sent again, cut elsewhere".to_owned(),
            again((pieces[1].start + pieces[1].end) / 2),
        ));
        ways.push((
            "each with the one before".to_owned(),
            (0..n).map(|i| pieces[i.saturating_sub(1)].start..pieces[i].end).collect(),
        ));
    }
    ways
}

/// Pieces of at most `size` bytes.
fn chunks(len: usize, size: usize) -> Vec<Range<usize>> {
    cut_at(len, &(1..).map(|i| i * size).take_while(|at| *at < len).collect::<Vec<_>>())
}

/// Pieces between these offsets.
fn cut_at(len: usize, cuts: &[usize]) -> Vec<Range<usize>> {
    let starts = [&[0][..], cuts].concat();
    let ends = [cuts, &[len][..]].concat();
    starts.into_iter().zip(ends).map(|(s, e)| s..e).collect()
}

impl Matrix {
    /// Adds a TCP connection whose client sends these parts of a stream in this order.
    fn tcp(
        &mut self,
        opening: Opening,
        stream: &[u8],
        parts: &[Range<usize>],
        ja4: &'static str,
        how: String,
    ) {
        let confidence =
            if opening == Opening::Answered { Confidence::Handshake } else { Confidence::Payload };
        let how = format!("{how}, {opening:?}");
        let client = self.add(Case { protocol: ProtocolId::Tls, alpn: "h2", ja4, confidence, how });
        let capture = &mut self.capture;
        let first = match opening {
            Opening::Wrapped => 0u32.wrapping_sub(stream.len() as u32 / 2),
            _ => 1001,
        };
        let syn = first.wrapping_sub(1);
        match opening {
            Opening::Handshake | Opening::Answered | Opening::Wrapped => {
                capture.tcp(client, SERVER, syn, 0, SYN, b"");
                capture.tcp(SERVER, client, 5000, first, SYN | ACK, b"");
                capture.tcp(client, SERVER, first, 5001, ACK, b"");
            }
            Opening::OneWay => {
                capture.tcp(client, SERVER, syn, 0, SYN, b"");
            }
            Opening::SynAck => {
                capture.tcp(SERVER, client, 5000, first, SYN | ACK, b"");
            }
            Opening::DataOnSyn | Opening::DataOnSynAgain => {
                capture.tcp(client, SERVER, syn, 0, SYN, &stream[..ON_SYN]);
                let taken = if opening == Opening::DataOnSyn { ON_SYN as u32 } else { 0 };
                capture.tcp(SERVER, client, 5000, first.wrapping_add(taken), SYN | ACK, b"");
            }
            Opening::LastAck => {
                capture.tcp(client, SERVER, first, 5001, ACK, b"");
            }
            Opening::Nothing => {}
        }
        let (mut there, mut have) = (vec![false; stream.len()], 0);
        for part in parts {
            let seq = first.wrapping_add(part.start as u32);
            capture.tcp(client, SERVER, seq, 5001, ACK, &stream[part.clone()]);
            if opening == Opening::Answered {
                there[part.clone()].fill(true);
                have += there[have..].iter().take_while(|b| **b).count();
                capture.tcp(SERVER, client, 5001, first.wrapping_add(have as u32), ACK, b"");
            }
        }
        if opening == Opening::Answered {
            let answer = record(22, 0x0303, &server_hello_13(0x1301));
            capture.tcp(SERVER, client, 5001, first.wrapping_add(stream.len() as u32), ACK, &answer);
        }
    }

    /// Adds the connections in which what comes of a stream comes in pieces that `cut` makes of what is left of it.
    fn deliver(
        &mut self,
        opening: Opening,
        stream: &[u8],
        cut: impl Fn(usize) -> Vec<Range<usize>>,
        ja4: &'static str,
        how: &str,
    ) {
        let from = if opening == Opening::DataOnSyn { ON_SYN } else { 0 };
        let pieces: Vec<_> =
            cut(stream.len() - from).into_iter().map(|p| p.start + from..p.end + from).collect();
        for (way, parts) in deliveries(&pieces) {
            self.tcp(opening, stream, &parts, ja4, format!("{how}, {way}"));
        }
    }
}

/// A direction holds this many segments that came too early, and no more.
const HELD_MAX: usize = 64;
/// So many segments are looked at for the label of a stream whose start may or may not come.
const LOOKED_AT_MAX: usize = 24;

#[test]
fn over_records_and_segments_in_any_order() {
    let mut matrix = Matrix::new();
    for (size, message, ja4) in &tls_hellos()[..2] {
        for (split, sizes) in record_splits(message.len()) {
            let stream = records(message, &sizes);
            for segment in [stream.len(), 16, 60, 100, 536, 1460] {
                let n = stream.len().div_ceil(segment);
                if n > HELD_MAX || n == 1 && segment < stream.len() {
                    continue;
                }
                // The cases where order matters least get one opening each.
                let openings = if split == "one record" || split == "first 5" {
                    &Opening::ALL[..]
                } else {
                    &Opening::ALL[1..3]
                };
                for opening in openings {
                    if *opening == Opening::Nothing && n > LOOKED_AT_MAX {
                        continue;
                    }
                    let how = format!("{size}, records: {split}, segments of {segment}");
                    matrix.deliver(*opening, &stream, |len| chunks(len, segment), ja4, &how);
                }
            }
        }
    }
    matrix.check(2000);
}

/// Where a stream of `len` bytes is cut into `n` pieces: evenly, and as near to its start as can be.
fn few_cuts(len: usize, n: usize) -> [Vec<usize>; 3] {
    [
        (1..n).map(|i| i * len / n).collect(),
        (1..n).collect(),
        // Behind the record's header, its message's header, …
        [5, 9, 43, 80][..n - 1].to_vec(),
    ]
}

#[test]
fn few_segments_in_every_order() {
    let mut matrix = Matrix::new();
    for (size, message, ja4) in tls_hellos() {
        for (split, sizes) in
            [("one record", vec![]), ("first 5", vec![5]), ("all 64", vec![64; message.len() / 64])]
        {
            let stream = records(&message, &sizes);
            for n in 2..=5 {
                for (cuts, order) in few_cuts(stream.len(), n)
                    .into_iter()
                    .flat_map(|cuts| permutations(n).into_iter().map(move |order| (cuts.clone(), order)))
                {
                    let pieces = cut_at(stream.len(), &cuts);
                    let parts: Vec<_> = order.iter().map(|i| pieces[*i].clone()).collect();
                    let how = format!("{size}, records: {split}, cut at {cuts:?}, order {order:?}");
                    let opening = Opening::ALL[matrix.cases.len() % 3];
                    matrix.tcp(opening, &stream, &parts, ja4, how);
                }
            }
        }
    }
    matrix.check(4000);
}

#[test]
fn cut_once_anywhere() {
    let mut matrix = Matrix::new();
    for (size, message, ja4) in &tls_hellos()[..2] {
        let stream = records(message, &[]);
        for at in (1..stream.len()).filter(|at| stream.len() < 400 || *at < 60 || at % 7 == 0) {
            let pieces = cut_at(stream.len(), &[at]);
            let how = |order| format!("{size}, segments cut at {at}, {order}");
            matrix.tcp(Opening::Handshake, &stream, &pieces, ja4, how("in order"));
            matrix.tcp(
                Opening::OneWay,
                &stream,
                &[pieces[1].clone(), pieces[0].clone()],
                ja4,
                how("backwards"),
            );
        }
        for at in (1..message.len()).filter(|at| stream.len() < 400 || *at < 60 || at % 7 == 0) {
            let stream = records(message, &[at]);
            let whole = cut_at(stream.len(), &[]);
            matrix.tcp(Opening::Handshake, &stream, &whole, ja4, format!("{size}, record cut at {at}"));
            // Segments end where records do.
            let [first, second] = [0..5 + at, 5 + at..stream.len()];
            matrix.tcp(
                Opening::Handshake,
                &stream,
                &[second, first],
                ja4,
                format!("{size}, records and segments cut at {at}"),
            );
        }
    }
    matrix.check(1500);
}

/// More segments than can wait for a hole come in order, at most some twice or overlapping.
#[test]
fn over_many_small_segments() {
    let mut matrix = Matrix::new();
    for (size, message, ja4) in tls_hellos() {
        for (split, sizes) in [
            ("one record", vec![]),
            ("all 1", vec![1; message.len()]),
            ("all 3", vec![3; message.len() / 3 + 1]),
        ] {
            let stream = records(&message, &sizes);
            for segment in [1, 2, 3, 7, 16, 100, 536] {
                if stream.len() / segment > 4000 || stream.len() / segment < HELD_MAX {
                    continue;
                }
                let pieces = chunks(stream.len(), segment);
                let neighbours = [
                    "in order",
                    "each twice",
                    "neighbours swapped",
                    "overlapping",
                    "each with the one before",
                ];
                for (way, parts) in
                    deliveries(&pieces).into_iter().filter(|(way, _)| neighbours.contains(&way.as_str()))
                {
                    let how = format!("{size}, records: {split}, segments of {segment}, {way}");
                    matrix.tcp(Opening::ALL[matrix.cases.len() % 3], &stream, &parts, ja4, how);
                }
            }
        }
    }
    matrix.check(30);
}

/// The hellos over QUIC.
fn quic_hellos() -> [(&'static str, Vec<u8>, &'static str); 3] {
    let message = |hello: ClientHello| ClientHello { alpn: vec!["h3"], ..hello }.message();
    [
        ("small", message(ClientHello::new(NAME)), "q13d0507h3_e133e205ac38_5e6a61e7dae5"),
        ("with ML-KEM", message(ClientHello::with_mlkem(NAME)), "q13d0508h3_e133e205ac38_4ede5ec5004f"),
        ("larger than a record", message(ClientHello::huge(NAME)), "q13d0508h3_e133e205ac38_4ede5ec5004f"),
    ]
}

const DCID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
const VERSIONS: [u32; 2] = [1, 0x6b33_43cf];

impl Matrix {
    fn quic(&mut self, datagrams: &[Vec<u8>], ja4: &'static str, how: String) {
        self.quic_answered(datagrams, None, ja4, how);
    }

    /// Adds a flow; the server's datagram comes before the client's of this place.
    fn quic_answered(
        &mut self,
        datagrams: &[Vec<u8>],
        answer: Option<(usize, &[u8])>,
        ja4: &'static str,
        how: String,
    ) {
        let confidence = if answer.is_some() { Confidence::Handshake } else { Confidence::Payload };
        let client = self.add(Case { protocol: ProtocolId::Quic, alpn: "h3", ja4, confidence, how });
        for (i, datagram) in datagrams.iter().enumerate() {
            if let Some((_, answer)) = answer.filter(|(at, _)| *at == i) {
                self.capture.udp(SERVER, client, answer);
            }
            self.capture.udp(client, SERVER, datagram);
        }
    }
}

/// CRYPTO frames of `size` bytes, each with `more` bytes of the next one.
fn frames(message: &[u8], size: usize, more: usize) -> Vec<Vec<u8>> {
    let frame = |p: Range<usize>| crypto_frame(p.start, &message[p.start..(p.end + more).min(message.len())]);
    chunks(message.len(), size).into_iter().map(frame).collect()
}

/// Datagrams of a flow that are looked at.
const DATAGRAMS_MAX: usize = 60;

#[test]
fn over_quic_frames_packets_and_datagrams() {
    let mut matrix = Matrix::new();
    for (size, message, ja4) in quic_hellos() {
        for version in VERSIONS {
            let initial = Initial { version, scid: &[1, 2, 3], ..Initial::new(&DCID) };
            for (piece, more) in [(1000, 0), (1000, 100), (300, 0), (300, 7), (61, 0)] {
                if message.len() / piece > 50 {
                    continue;
                }
                let frames = frames(&message, piece, more);
                for wrap in Wrap::ALL {
                    // The frames change places, and the packets that bring them are sent in order.
                    for (order, indices) in orders(frames.len()) {
                        let ordered: Vec<_> = indices.iter().map(|i| frames[*i].clone()).collect();
                        let datagrams = datagrams(&initial, &ordered, wrap);
                        if datagrams.len() <= DATAGRAMS_MAX {
                            let how = format!(
                                "{size}, version {version:x}, frames of {piece}+{more} {order}, {wrap:?}"
                            );
                            matrix.quic(&datagrams, ja4, how);
                        }
                    }
                    // The frames are in order, and the datagrams change places on their way.
                    let sent = datagrams(&initial, &frames, wrap);
                    for (order, indices) in orders(sent.len()) {
                        if indices.len() <= DATAGRAMS_MAX {
                            let came: Vec<_> = indices.iter().map(|i| sent[*i].clone()).collect();
                            let how = format!(
                                "{size}, version {version:x}, frames of {piece}+{more}, {wrap:?}, datagrams {order}"
                            );
                            matrix.quic(&came, ja4, how);
                        }
                    }
                }
            }
        }
    }
    matrix.check(500);
}

#[test]
fn few_quic_datagrams_in_every_order() {
    let mut matrix = Matrix::new();
    for (size, message, ja4) in &quic_hellos()[..2] {
        for version in VERSIONS {
            for (cid, number_len) in [(&DCID[..], 1), (&[7; 20][..], 4)] {
                let initial = Initial { version, number_len, ..Initial::new(cid) };
                for n in 2..=4 {
                    for cuts in few_cuts(message.len(), n) {
                        let frames: Vec<_> = cut_at(message.len(), &cuts)
                            .into_iter()
                            .map(|p| crypto_frame(p.start, &message[p]))
                            .collect();
                        if frames.iter().any(|f| f.len() > 1300) {
                            continue;
                        }
                        let sent = datagrams(&initial, &frames, Wrap::Alone);
                        for order in permutations(n) {
                            let came: Vec<_> = order.iter().map(|i| sent[*i].clone()).collect();
                            let how =
                                format!("{size}, version {version:x}, cut at {cuts:?}, datagrams {order:?}");
                            matrix.quic(&came, ja4, how);
                        }
                    }
                }
            }
        }
    }
    matrix.check(300);
}

/// A long packet of another kind (1: 0-RTT, 2: Handshake), whose payload nobody can read.
fn protected(version: u32, kind: u8, len: usize) -> Vec<u8> {
    let kind = if version == 1 { kind } else { (kind + 1) % 4 };
    let mut packet = vec![0xc0 | kind << 4];
    packet.extend(version.to_be_bytes());
    packet.push(DCID.len() as u8);
    packet.extend(DCID);
    packet.push(0);
    packet.extend(varint(len as u64));
    packet.extend((0..len).map(|i| (i * 167 + 31) as u8));
    packet
}

/// What comes with the Initials in a datagram, or between them, does no harm.
#[test]
fn quic_initials_among_other_packets() {
    let mut matrix = Matrix::new();
    for (size, message, ja4) in &quic_hellos()[..2] {
        for version in VERSIONS {
            let initial = Initial { version, ..Initial::new(&DCID) };
            let pieces = frames(message, message.len().div_ceil(3), 0);
            let number = |n: u32| Initial { number: n, ..initial.clone() };
            let packets: Vec<_> =
                (0..3).map(|i| number(i).packet(Dir::Client, &pieces[i as usize])).collect();
            let zero_rtt = protected(version, 1, 300);
            let server = Initial { version, origin: &DCID, dcid: &[], scid: &[9; 8], ..Initial::new(&DCID) };
            let answer = server.datagram(Dir::Server, &crypto_frame(0, &server_hello_13(0x1301)));
            for order in permutations(3) {
                let ordered: Vec<_> = order.iter().map(|i| packets[*i].clone()).collect();
                let how = |what: &str| format!("{size}, version {version:x}, packets {order:?}, {what}");
                let behind: Vec<_> = ordered.iter().map(|p| [&p[..], &zero_rtt].concat()).collect();
                matrix.quic(&behind, ja4, how("each with 0-RTT behind it"));
                let between = [
                    ordered[0].clone(),
                    zero_rtt.clone(),
                    ordered[1].clone(),
                    zero_rtt.clone(),
                    ordered[2].clone(),
                ];
                matrix.quic(&between, ja4, how("0-RTT between them"));
                let early: Vec<_> = [zero_rtt.clone()].into_iter().chain(ordered.clone()).collect();
                matrix.quic(&early, ja4, how("0-RTT first"));
                matrix.quic(&[ordered.concat()], ja4, how("all in a datagram"));
                for at in 1..3 {
                    matrix.quic_answered(
                        &ordered,
                        Some((at, &answer)),
                        ja4,
                        how("the server acknowledges in between"),
                    );
                }
            }
        }
    }
    matrix.check(140);
}
