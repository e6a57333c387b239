//! The two notices, word for word.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use daylight_packet::TransportKind;

use super::{Traffic, on_one_processor, without_offloads};
use crate::filtering::{policy, rule, with_settings};
use crate::namespace::entered;
use crate::net::{Net, SERVER, have};

/// What a rule of these tests says of itself.
const TEXT: &str = "A test. By The tests, rule the rule, until 2100-01-01; appeal: mailto:tests@example.org; \
                    see: http://filter.test/rule/test/the%20rule";

const HEAD: &str = "HTTP/1.1 451 Unavailable For Legal Reasons\r\n\
    Link: <http://filter.test/rule/test/the%20rule>; rel=\"blocked-by\"\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    Content-Length: 632\r\n\
    Cache-Control: no-store\r\n\
    Connection: close\r\n\r\n";

const BODY: &str = "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
    <title>451 Unavailable For Legal Reasons</title>\
    <style>body{font:1.1em/1.5 sans-serif;max-width:36em;margin:3em auto;padding:0 1em}dt{color:#666}</style>\
    <h1>This is not available here</h1><p>It was not the site that refused, but a filter on the way to it.<dl>\
    <dt>Why<dd>A test<dt>On whose authority<dd>The tests\
    <dt>On what basis<dd>the operator's own decision<dt>Rule<dd>the rule<dt>In force until<dd>2100-01-01\
    <dt>Where to object<dd>mailto:tests@example.org\
    <dt>More, with proof<dd>http://filter.test/rule/test/the%20rule</dl></html>\n";

const QUESTION: &[u8] = b"\x07blocked\x07example\x03org\0\0\x01\0\x01";
/// Recursion is desired, checking disabled; with OPT and DO, or without.
const ASKS: [&[u8]; 2] = [b"\xab\xcd\x01\x10\0\x01\0\0\0\0\0\x01", b"\xab\xcd\x01\x10\0\x01\0\0\0\0\0\0"];
const OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\x80\0\0\0";

/// A query and the answer that refuses it: REFUSED, with the reason only for whoever sends OPT.
fn dns(with_opt: bool) -> (Vec<u8>, Vec<u8>) {
    if !with_opt {
        let answer = [b"\xab\xcd\x81\x95\0\x01\0\0\0\0\0\0", QUESTION].concat();
        return ([ASKS[1], QUESTION].concat(), answer);
    }
    let len = TEXT.len() as u8;
    let opt =
        [b"\0\0\x29\x04\xd0\0\0\x80\0\0", &[len + 6, 0, 15, 0, len + 2, 0, 15][..], TEXT.as_bytes()].concat();
    let answer = [b"\xab\xcd\x81\x95\0\x01\0\0\0\0\0\x01", QUESTION, &opt].concat();
    ([ASKS[0], QUESTION, OPT].concat(), answer)
}

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

/// Everything that comes in answer to a request, to the end of the stream.
fn told(to: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(PATIENCE).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn word_for_word() {
    let needed = ["nginx", "openssl", "dnsmasq", "ss", "ethtool"];
    if !have(&needed) || !entered("wire::notices::word_for_word") {
        return;
    }
    on_one_processor();
    let mut net = Net::new();
    net.serve();
    without_offloads(&net);
    let rules = rule("the rule", "(dns || http) && hostname == \"blocked.example.org\"", "reject")
        + "appeal = \"mailto:tests@example.org\"\n";
    let traffic = Traffic::watch(&net, || {
        let page = |settings: &mut daylight_filter::daemon::Settings| {
            settings.page = Some("http://filter.test/".into());
        };
        with_settings(&net, &policy(&rules), page, |_| {
            let ask = |server: &str| {
                let to = |port| SocketAddr::new(server.parse().unwrap(), port);
                for (query, expected) in [dns(true), dns(false)] {
                    let from = if server.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
                    let socket = UdpSocket::bind(from).unwrap();
                    socket.set_read_timeout(PATIENCE).unwrap();
                    socket.send_to(&query, to(53)).unwrap();
                    let mut answer = [0; 2000];
                    let (len, by) = socket.recv_from(&mut answer).unwrap();
                    assert_eq!((&answer[..len], by), (&expected[..], to(53)), "{server}");
                    let framed = |message: &[u8]| [&(message.len() as u16).to_be_bytes(), message].concat();
                    assert_eq!(told(to(53), &framed(&query)), framed(&expected), "{server}");
                }
                for (method, expected) in [("GET", [HEAD, BODY].concat()), ("HEAD", HEAD.to_owned())] {
                    let request = format!("{method} /a HTTP/1.1\r\nHost: blocked.example.org\r\n\r\n");
                    let answer = String::from_utf8(told(to(80), request.as_bytes())).unwrap();
                    assert_eq!(answer, expected, "{method} {server}");
                }
            };
            SERVER.iter().for_each(|server| net.client.within(|| ask(server)));
        });
    });
    traffic.assert_own();
    let own = |test: &dyn Fn(&super::Seen) -> bool| traffic.own.iter().filter(|seen| test(seen)).count();
    // To the client: a datagram for each question; for each connection segments with an answer, the last of which ends it.
    assert_eq!(own(&|seen| seen.packet.key.protocol == TransportKind::UDP), 4);
    let ends = |seen: &super::Seen| seen.packet.tcp.flags & daylight_packet::TcpHeader::FIN != 0;
    assert_eq!(own(&|seen| ends(seen) && !seen.from_client), 8);
    // To the server: resets, and nothing else.
    assert!(traffic.own.iter().all(|seen| !seen.from_client || seen.is_reset()));
    assert!(own(&|seen| seen.from_client) >= 8);
}
