//! A ClientHello in pieces.

use rustls::ClientConnection;

use super::{NAMES, each, ensure};
use crate::filtering::{Filter, policy, rule, with_filter};
use crate::hello::{fetch, hello};
use crate::namespace::entered;
use crate::net::{Net, SERVER, have};
use crate::raw::{Stream, Wire};

pub(super) const RULE: &str = "tls && hostname == \"blocked.example.org\"";

/// A way to send a hello, in which the name begins at a place.
struct Way {
    name: &'static str,
    /// Bytes of other things in the hello.
    padding: usize,
    send: fn(&mut Stream<'_>, &[u8], usize),
}

const fn way(name: &'static str, send: fn(&mut Stream<'_>, &[u8], usize)) -> Way {
    Way { name, padding: 0, send }
}

const WAYS: &[Way] = &[
    way("whole", |stream, hello, _| stream.send(0, hello)),
    way("in the middle of the name", |stream, hello, name| {
        stream.send(0, &hello[..name + 5]);
        stream.send(name + 5, &hello[name + 5..]);
    }),
    way("within the record's header", |stream, hello, _| {
        stream.send(0, &hello[..3]);
        stream.send(3, &hello[3..]);
    }),
    way("one byte each", |stream, hello, _| {
        let bytes = hello.iter().enumerate();
        let packets: Vec<_> = bytes.map(|(at, byte)| stream.segment(at, &[*byte])).collect();
        stream.transmit_slowly(&packets);
    }),
    way("the name's end first", |stream, hello, name| {
        stream.send(name + 5, &hello[name + 5..]);
        stream.send(0, &hello[..name + 5]);
    }),
    way("backwards", |stream, hello, _| {
        let pieces = hello.chunks(16).enumerate();
        let packets: Vec<_> = pieces.map(|(i, piece)| stream.segment(i * 16, piece)).rev().collect();
        stream.transmit(&packets);
    }),
    way("backwards, one byte each", |stream, hello, _| {
        let bytes = hello.iter().enumerate();
        let packets: Vec<_> = bytes.map(|(at, byte)| stream.segment(at, &[*byte])).rev().collect();
        stream.transmit_slowly(&packets);
    }),
    way("again and again", |stream, hello, name| {
        for _ in 0..3 {
            stream.send(0, &hello[..name + 5]);
        }
        for _ in 0..3 {
            stream.send(name + 5, &hello[name + 5..]);
        }
    }),
    way("overlapping", |stream, hello, name| {
        stream.send(0, &hello[..name + 7]);
        stream.send(name - 20, &hello[name - 20..name + 12]);
        stream.send(name, &hello[name..]);
    }),
    way("overlapping and out of order", |stream, hello, name| {
        stream.send(name + 3, &hello[name + 3..name + 12]);
        stream.send(name + 8, &hello[name + 8..]);
        stream.send(2, &hello[2..name + 6]);
        stream.send(0, &hello[..4]);
    }),
    way("after many empty segments", |stream, hello, _| {
        stream.transmit_slowly(&vec![stream.segment(0, b""); 200]);
        stream.send(0, hello);
    }),
    way("two records", |stream, hello, name| {
        let records = in_records(hello, &[name]);
        stream.send(0, &records);
    }),
    way("a record for each byte", |stream, hello, _| {
        let each: Vec<usize> = (6..hello.len() - 5).collect();
        stream.send(0, &in_records(hello, &each));
    }),
    way("records and segments", |stream, hello, name| {
        let records = in_records(hello, &[40, name - 2, name + 3]);
        let pieces = records.chunks(7).enumerate();
        let packets: Vec<_> = pieces.map(|(i, piece)| stream.segment(i * 7, piece)).collect();
        stream.transmit(&packets);
    }),
    Way { name: "larger than a segment", padding: 3000, send: |stream, hello, _| stream.send(0, hello) },
    Way { name: "larger than a record", padding: 20_000, send: |stream, hello, _| stream.send(0, hello) },
    Way {
        name: "larger than a record, backwards",
        padding: 20_000,
        send: |stream, hello, _| {
            let pieces = hello.chunks(1000).enumerate();
            let packets: Vec<_> = pieces.map(|(i, piece)| stream.segment(i * 1000, piece)).rev().collect();
            stream.transmit(&packets);
        },
    },
];

/// The hello's one record as several, cut at these places of the hello without its record header.
fn in_records(hello: &[u8], cuts: &[usize]) -> Vec<u8> {
    let (header, body) = hello.split_at(5);
    let ends = cuts.iter().copied().chain([body.len()]);
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let records = starts.zip(ends).map(|(start, end)| {
        let length = ((end - start) as u16).to_be_bytes();
        [&header[..3], &length, &body[start..end]].concat()
    });
    records.collect::<Vec<_>>().concat()
}

pub(super) fn find(bytes: &[u8], name: &str) -> usize {
    bytes.windows(name.len()).position(|window| window == name.as_bytes()).unwrap()
}

/// Sends a hello with so many bytes of other things in it; the blocked name's gets no answer, the other's page comes.
pub(super) fn play(
    filter: &Filter<'_>,
    wire: &Wire,
    padding: usize,
    name: &str,
    send: impl Fn(&mut Stream<'_>, &[u8], usize),
) -> Result<(), String> {
    let before = filter.stopped(NAMES[0]);
    let (tls, hello) = hello(name, padding);
    let mut stream = Stream::open(wire, 443);
    send(&mut stream, &hello, find(&hello, name));
    outcome(filter, stream, tls, name, before)
}

/// Whether it went as it should: the blocked name's hello is stopped, and nothing else is.
fn outcome(
    filter: &Filter<'_>,
    mut stream: Stream<'_>,
    tls: ClientConnection,
    name: &str,
    before: u64,
) -> Result<(), String> {
    let blocked = name == NAMES[0];
    if blocked {
        let seen = stream.wait(|stream| filter.stopped(name) > before || !stream.got.is_empty());
        stream.settle();
        ensure(seen && stream.got.is_empty(), || format!("{} bytes of an answer", stream.got.len()))?;
    } else {
        let sent = stream.sent();
        let page = fetch(&mut stream, tls, sent, name);
        ensure(page.contains("the site itself"), || format!("nothing but {page:?}"))?;
    }
    let stopped = filter.stopped(NAMES[0]) - before;
    ensure(stopped == u64::from(blocked), || format!("{stopped} are said to be stopped"))
}

#[test]
fn hello_in_pieces() {
    if !have(&["nginx", "openssl", "dnsmasq", "ss", "ping"]) || !entered("evasion::tls::hello_in_pieces") {
        return;
    }
    let mut net = Net::new();
    net.serve();
    let wires = [false, true].map(|v6| Wire::new(&net, v6));
    with_filter(&net, &policy(&rule("names", RULE, "drop")), |filter| {
        each(WAYS.iter().map(|way| (way.name, way)), &wires, |wire, way, name| {
            play(filter, wire, way.padding, name, way.send)
        });
    });
}

/// Data on a SYN is the server's to take; this one, as most, does not.
#[test]
fn hello_on_the_syn() {
    if !have(&["nginx", "openssl", "dnsmasq", "ss", "ping"]) || !entered("evasion::tls::hello_on_the_syn") {
        return;
    }
    let mut net = Net::new();
    net.serve();
    let wires = [false, true].map(|v6| Wire::new(&net, v6));
    with_filter(&net, &policy(&rule("names", RULE, "drop")), |filter| {
        let other = |name: &str| NAMES[usize::from(name == NAMES[0])].to_owned();
        // What comes on the SYN: the same as after it, or the other name's hello, which nobody reads.
        type OnSyn = fn(String, String) -> String;
        let ways: [(&str, OnSyn); 2] =
            [("the same again", |name, _| name), ("another name", |_, other| other)];
        each(ways.into_iter(), &wires, |wire, way, name| {
            let before = filter.stopped(NAMES[0]);
            let (tls, real) = hello(name, 0);
            let (_, mut on_syn) = hello(&way(name.to_owned(), other(name)), 0);
            if way(name.to_owned(), other(name)) == name {
                on_syn.clone_from(&real);
            }
            let stream = Stream::with_data_on_syn(wire, 443, &on_syn);
            stream.send(0, &real);
            outcome(filter, stream, tls, name, before)
        });
    });
}

/// Two segments say different things in the same place, and which of them counts depends on who reads them: whatever the server reads, it is
/// what the filter has read.
#[test]
fn contradictions() {
    if !have(&["nginx", "openssl", "dnsmasq", "ss", "ping"]) || !entered("evasion::tls::contradictions") {
        return;
    }
    let mut net = Net::new();
    net.serve();
    let wires = [false, true].map(|v6| Wire::new(&net, v6));
    // What the server says to two names in one place, one of which comes last and is longer.
    let answer = |wire: &Wire| {
        let (_, real) = hello(NAMES[0], 0);
        let at = find(&real, NAMES[0]);
        let mut stream = Stream::open(wire, 8443);
        stream.send(at, &NAMES[1].as_bytes()[..12]);
        stream.send(at, &real[at..]);
        stream.send(0, &real[..at]);
        for _ in 0..5 {
            stream.settle();
            stream.send(at, &real[at..]);
        }
        stream.got.first().copied()
    };
    const ALERT: u8 = 21;
    for wire in &wires {
        assert_eq!(answer(wire), Some(ALERT), "without a filter, {} reads the longer one", wire.to);
    }
    with_filter(&net, &policy(&rule("names", RULE, "drop")), |_| {
        for wire in &wires {
            assert_ne!(answer(wire), Some(ALERT), "{} has read the name", wire.to);
        }
    });
}

#[test]
fn spellings() {
    let needed = ["nginx", "openssl", "dnsmasq", "ss", "timeout"];
    if !have(&needed) || !entered("evasion::tls::spellings") {
        return;
    }
    let mut net = Net::new();
    net.serve();
    with_filter(&net, &policy(&rule("names", RULE, "reject")), |filter| {
        let spellings: [fn(&str) -> String; 3] =
            [str::to_uppercase, |name| format!("{name}."), |name| format!("{}.", name.replace('e', "E"))];
        for (server, spelling) in
            SERVER.iter().flat_map(|server| spellings.map(|spelling| (server, spelling)))
        {
            let server = if server.contains(':') { format!("[{server}]") } else { (*server).to_owned() };
            for name in NAMES {
                let before = filter.stopped(NAMES[0]);
                let ask = "(printf 'GET /index.html HTTP/1.0\r\n\r\n'; sleep 1)";
                let spelled = spelling(name);
                let client =
                    format!("timeout 20 openssl s_client -quiet -servername {spelled} -connect {server}:443");
                let page = net.client.sh(&format!("{ask} | {client}")).stdout;
                let page = String::from_utf8_lossy(&page).into_owned();
                assert_eq!(page.contains("the site itself"), name == NAMES[1], "{spelled}, {server}: {page}");
                assert_eq!(filter.stopped(NAMES[0]) - before, u64::from(name == NAMES[0]), "{spelled}");
            }
        }
    });
}
