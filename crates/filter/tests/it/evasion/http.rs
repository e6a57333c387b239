//! Requests that name their host in unusual ways, in pieces, or behind others.

use super::{NAMES, each, ensure};
use crate::filtering::{Filter, policy, rule, with_filter};
use crate::namespace::entered;
use crate::net::{Net, have};
use crate::raw::{Stream, Wire};

const PAGE: &[u8] = b"the site itself";

struct Way {
    port: u16,
    /// What is asked for: one page, unless the last of these has another host before it.
    request: fn(&str) -> String,
    pages: usize,
    send: fn(&mut Stream<'_>, &str),
}

fn whole(stream: &mut Stream<'_>, request: &str) {
    stream.send(0, request.as_bytes());
}

fn bytewise(stream: &mut Stream<'_>, request: &str) {
    let bytes = request.bytes().enumerate();
    let packets: Vec<_> = bytes.map(|(at, byte)| stream.segment(at, &[byte])).collect();
    stream.transmit_slowly(&packets);
}

fn backwards(stream: &mut Stream<'_>, request: &str) {
    let pieces = request.as_bytes().chunks(9).enumerate();
    let packets: Vec<_> = pieces.map(|(i, piece)| stream.segment(i * 9, piece)).rev().collect();
    stream.transmit(&packets);
}

fn in_the_name(stream: &mut Stream<'_>, request: &str) {
    let at = request.rfind("ed.example.org").unwrap();
    stream.send(0, &request.as_bytes()[..at]);
    stream.poll();
    stream.send(at, &request.as_bytes()[at..]);
}

/// The second request once the first was answered.
fn in_turn(stream: &mut Stream<'_>, request: &str) {
    let at = request.rfind("GET ").unwrap();
    stream.send(0, &request.as_bytes()[..at]);
    assert!(stream.wait(|stream| pages(stream) == 1), "no first answer");
    stream.send(at, &request.as_bytes()[at..]);
}

/// … and that one in pieces.
fn in_turn_and_in_pieces(stream: &mut Stream<'_>, request: &str) {
    let at = request.rfind("GET ").unwrap();
    stream.send(0, &request.as_bytes()[..at]);
    assert!(stream.wait(|stream| pages(stream) == 1), "no first answer");
    for (i, piece) in request.as_bytes()[at..].chunks(11).enumerate() {
        stream.send(at + i * 11, piece);
        stream.poll();
    }
}

fn pages(stream: &Stream<'_>) -> usize {
    stream.got.windows(PAGE.len()).filter(|window| *window == PAGE).count()
}

fn plain(host: &str) -> String {
    format!("GET /index.html HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

fn two(host: &str) -> String {
    plain(NAMES[1]) + &plain(host)
}

const ONE: Way = Way { port: 80, request: plain, pages: 1, send: whole };
const TWO: Way = Way { request: two, pages: 2, ..ONE };

#[rustfmt::skip]
const WAYS: &[(&str, Way)] = &[
    ("plain", ONE),
    ("in capitals", Way { request: |host| plain(&host.to_uppercase()), ..ONE }),
    ("a dot at the end", Way { request: |host| plain(&format!("{host}.")), ..ONE }),
    ("a port", Way { request: |host| plain(&format!("{host}:80")), ..ONE }),
    ("a dot and a port", Way { request: |host| plain(&format!("{host}.:80")), ..ONE }),
    ("the target in absolute form", Way {
        request: |host| format!("GET http://{host}/index.html HTTP/1.1\r\nHost: other.example.org\r\n\r\n"), ..ONE
    }),
    ("an absolute target in capitals, with a port", Way {
        request: |host| {
            let host = host.to_uppercase();
            format!("GET HTTP://{host}:80/index.html HTTP/1.1\r\nHost: other.example.org\r\n\r\n")
        }, ..ONE
    }),
    ("no blanks, and an odd name of the header", Way {
        request: |host| format!("GET /index.html HTTP/1.1\r\nhOsT:{host}\r\n\r\n"), ..ONE
    }),
    ("blanks around", Way {
        request: |host| format!("GET /index.html HTTP/1.1\r\nHost:   {host}  \r\n\r\n"), ..ONE
    }),
    ("empty lines before", Way { request: |host| format!("\r\n\r\n{}", plain(host)), ..ONE }),
    ("line feeds alone", Way { request: |host| plain(host).replace('\r', ""), ..ONE }),
    ("behind many headers", Way {
        request: |host| {
            let headers: String = (0..90).map(|i| format!("X-{i}: {i}\r\n")).collect();
            format!("GET /index.html HTTP/1.1\r\n{headers}Host: {host}\r\n\r\n")
        }, ..ONE
    }),
    ("behind a long header", Way {
        request: |host| format!("GET /index.html HTTP/1.1\r\nX: {:7000}\r\nHost: {host}\r\n\r\n", "x"), ..ONE
    }),
    ("folded", Way {
        port: 8080,
        request: |host| format!("GET /index.html HTTP/1.1\r\nHost:\r\n {host}\r\n\r\n"), ..ONE
    }),
    ("cut in the name", Way { send: in_the_name, ..ONE }),
    ("one byte each", Way { send: bytewise, ..ONE }),
    ("backwards", Way { send: backwards, ..ONE }),
    ("after another, in turn", Way { send: in_turn, ..TWO }),
    ("after another, in turn and in pieces", Way { send: in_turn_and_in_pieces, ..TWO }),
    ("after another, at once", TWO),
    ("after another, cut in the name", Way { send: in_the_name, ..TWO }),
    ("after another, one byte each", Way { send: bytewise, ..TWO }),
    ("after another, backwards", Way { send: backwards, ..TWO }),
    ("the fifth", Way {
        request: |host| plain(NAMES[1]).repeat(4) + &plain(host), pages: 5, ..ONE
    }),
    ("after one with content", Way {
        request: |host| {
            let content = "GET / HTTP/1.1\r\nHost: blocked.example.org\r\n\r\n";
            let length = content.len();
            let first = format!("GET /index.html HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n");
            first + content + &plain(host)
        },
        pages: 2, ..ONE
    }),
    ("after one with chunks", Way {
        request: |host| {
            let chunks = "5\r\nGET /\r\n3;a=b\r\nabc\r\n0\r\n\r\n";
            let first = "GET /index.html HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
            first.to_owned() + chunks + &plain(host)
        },
        pages: 2, ..ONE
    }),
];

/// On both IP versions.
const OLD_SERVER: &str = "\
import http.server, socket
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
Server(('::', 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
";

fn play(filter: &Filter<'_>, wire: &Wire, way: &Way, name: &str) -> Result<(), String> {
    let blocked = name == NAMES[0];
    let before = filter.stopped(NAMES[0]);
    let mut stream = Stream::open(wire, way.port);
    (way.send)(&mut stream, &(way.request)(name));
    let said = |stream: &Stream<'_>| String::from_utf8_lossy(&stream.got).into_owned();
    if blocked {
        let seen = stream.wait(|stream| filter.stopped(name) > before || pages(stream) == way.pages);
        let answered = seen
            && pages(&stream) < way.pages
            && stream.wait(|stream| stream.is_reset || said(stream).contains(" 451 "));
        stream.settle();
        ensure(answered && pages(&stream) < way.pages, || said(&stream))?;
        // An answer to one request must not be taken for that to another.
        let waiting = way.pages > 1 && pages(&stream) < way.pages - 1;
        ensure(!(waiting && said(&stream).contains(" 451 ")), || "an answer to another".to_owned())?;
    } else {
        let seen = stream.wait(|stream| pages(stream) == way.pages || stream.is_reset);
        ensure(seen && !stream.is_reset, || said(&stream))?;
    }
    let stopped = filter.stopped(NAMES[0]) - before;
    ensure(stopped == u64::from(blocked), || format!("{stopped} are said to be stopped"))
}

#[test]
fn requests() {
    let needed = ["nginx", "openssl", "python3", "dnsmasq", "ss", "ping"];
    if !have(&needed) || !entered("evasion::http::requests") {
        return;
    }
    let mut net = Net::new();
    net.serve();
    // One that reads headers as they were written in 1999.
    let folder = net.folder.path().to_owned();
    net.server.serve(&folder, "python3", &["-c", OLD_SERVER]);
    net.server.listens(8080);
    let wires = [false, true].map(|v6| Wire::new(&net, v6));
    let rules = rule("names", "http && hostname == \"blocked.example.org\"", "reject");
    with_filter(&net, &policy(&rules), |filter| {
        let ways = WAYS.iter().map(|(name, way)| (*name, way));
        each(ways, &wires, |wire, way, name| play(filter, wire, way, name));
    });
    let asked = std::fs::read_to_string(folder.join("requests.log")).unwrap();
    assert!(asked.contains("allowed.example.org"));
    // Half a request, which is then reset, counts as a bad one.
    let served = asked.lines().filter(|line| line.ends_with("|200"));
    let blocked: Vec<_> = served.filter(|line| line.to_lowercase().contains("blocked")).collect();
    assert_eq!(blocked, [""; 0]);
}
