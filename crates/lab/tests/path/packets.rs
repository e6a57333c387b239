//! Adversaries on a link, one test for each family. Every one asserts that another name on the same address keeps working.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use daylight_lab::adversary::{AdversaryConfig, Built};
use daylight_lab::hop::{Hop, HopConfig, Impairment};
use daylight_protocols::Dir;
use daylight_protocols::testing::tls::{ClientHello, Initial, crypto_frame};

use crate::net::{NEIGHBOUR, Net, SERVER, SERVER_V6};

/// A link of 5 ms each way with this adversary.
pub(crate) fn censored(net: &Net, text: &str) -> Hop {
    let config: AdversaryConfig = toml::from_str(text).unwrap();
    let Built::Packets(adversary) = config.build(1).unwrap() else { panic!("a packet handler") };
    net.hop(HopConfig {
        outbound: Impairment::delay_ms(5.0),
        inbound: Impairment::delay_ms(5.0),
        adversaries: vec![adversary],
        seed: 1,
    })
}

fn web() -> Option<Net> {
    let mut net = Net::bridged()?;
    net.web_server();
    Some(net)
}

/// curl's exit codes.
const TIMEOUT: i32 = 28;
const TLS_FAILED: i32 = 35;
const RECEIVE_FAILED: i32 = 56;

pub(crate) fn matched(hop: Hop) -> u64 {
    hop.stop().unwrap().adversaries[0].matched
}

#[test]
fn resets() {
    let Some(net) = web() else { return };
    let what = "kind = 'tcp-reset'\nmatch.sni = ['blocked.example']\nmatch.hosts = ['blocked.example']\n";
    for place in ["in-path", "on-path"] {
        let hop = censored(&net, &format!("{what}place = '{place}'\n"));
        for address in [SERVER, SERVER_V6] {
            let start = Instant::now();
            let (code, text) = net.curl("https", "www.blocked.example", address, &[]);
            assert!(matches!(code, TLS_FAILED | RECEIVE_FAILED), "{place} {code}: {text}");
            let (code, text) = net.curl("http", "blocked.example", address, &[]);
            assert_eq!(code, RECEIVE_FAILED, "{place}: {text}");
            assert!(text.contains("reset"), "{text}");
            assert!(start.elapsed() < Duration::from_secs(3), "a reset is not a silence");
            net.assert_no_collateral(address);
        }
        assert_eq!(matched(hop), 4);
    }
    // One-sided, in threes, and the box that remembers.
    let hop = censored(
        &net,
        &format!(
            "{what}place = 'on-path'\nsides = 'client'\nsignature = 'gfw-type2'\nresidual = {{ scope = '3-tuple', seconds = 1 }}"
        ),
    );
    assert_eq!(net.curl("http", "blocked.example", SERVER, &[]).0, RECEIVE_FAILED);
    let (code, _) = net.curl("http", "fine.example", SERVER, &[]);
    assert_ne!(code, 0, "the same three-tuple");
    assert_eq!(net.curl("https", "fine.example", SERVER, &[]).0, 0, "another port");
    std::thread::sleep(Duration::from_millis(1100));
    net.assert_no_collateral(SERVER);
    assert_eq!(matched(hop), 1);
}

#[test]
fn block_pages() {
    let Some(net) = web() else { return };
    for place in ["in-path", "on-path"] {
        let hop = censored(
            &net,
            &format!(
                "kind = 'http-block-page'\nmatch.hosts = ['blocked.example']\npage = 'beltelecom'\nplace = '{place}'"
            ),
        );
        for address in [SERVER, SERVER_V6] {
            let (code, text) = net.curl("http", "blocked.example", address, &["-i"]);
            assert_eq!(code, 0, "{place}: {text}");
            assert!(text.starts_with("HTTP/1.1 302 Found\r\nLocation: http://82.209.230.23\r\n"), "{text}");
            net.assert_no_collateral(address);
        }
        assert_eq!(matched(hop), 2);
    }
    let page = "kind = 'http-block-page'\nmatch.keywords = ['forbidden']\npage = 'iran'";
    let hop = censored(&net, page);
    let resolve = format!("fine.example:80:{SERVER}");
    let (_, text) =
        net.run("c", &["curl", "-siS", "-m", "4", "--resolve", &resolve, "http://fine.example/forbidden"]);
    assert!(text.starts_with("HTTP/1.1 403 ") && text.contains("10.10.34.34"), "{text}");
    net.assert_no_collateral(SERVER);
    assert_eq!(matched(hop), 1);
}

#[test]
fn silence() {
    let Some(net) = web() else { return };
    for more in ["", "packets_passed = [1, 1]\n"] {
        let hop = censored(&net, &format!("kind = 'sni-drop'\nmatch.sni = ['blocked.example']\n{more}"));
        let (code, text) = net.curl("https", "blocked.example", SERVER, &["-m", "2"]);
        assert_eq!(code, TIMEOUT, "{text}");
        assert_eq!(net.curl("http", "blocked.example", SERVER, &[]).0, 0, "only the server name was blocked");
        net.assert_no_collateral(SERVER);
        // The first round's client keeps sending its hello again for a while, also in the second.
        assert!((1..=2).contains(&matched(hop)));
    }
    let hop = censored(&net, &format!("kind = 'ip-blackhole'\nprefixes = ['{SERVER}']"));
    assert_eq!(net.curl("https", "fine.example", SERVER, &["-m", "2"]).0, TIMEOUT);
    net.assert_no_collateral(NEIGHBOUR);
    net.assert_no_collateral(SERVER_V6);
    hop.stop().unwrap();
    let hop = censored(&net, &format!("kind = 'ip-blackhole'\nprefixes = ['{SERVER}']\nanswer = 'icmp'"));
    let start = Instant::now();
    let (code, text) = net.curl("http", "fine.example", SERVER, &[]);
    assert!(code == 7 && start.elapsed() < Duration::from_secs(2), "{code} {text}");
    net.assert_no_collateral(NEIGHBOUR);
    hop.stop().unwrap();
}

#[test]
fn throttling() {
    let Some(net) = web() else { return };
    let kbit_per_s = |name: &str| {
        let (resolve, url) = (format!("{name}:443:{SERVER}"), format!("https://{name}/large"));
        let (_, text) = net.run(
            "c",
            &[
                "curl",
                "-sk",
                "-m",
                "6",
                "-o",
                "/dev/null",
                "-w",
                "%{speed_download}",
                "--resolve",
                &resolve,
                &url,
            ],
        );
        text.trim().parse::<f64>().unwrap_or_else(|_| panic!("{text}")) * 8.0 / 1000.0
    };
    for (how, least, most) in [("policing", 60.0, 600.0), ("shaping", 250.0, 600.0)] {
        let hop = censored(
            &net,
            &format!(
                "kind = 'throttle'\nmatch.sni = ['blocked.example']\nrate_kbit_per_s = 400\nhow = '{how}'"
            ),
        );
        let (slow, fast) = (kbit_per_s("blocked.example"), kbit_per_s("fine.example"));
        println!("{how} at 400 kbit/s: {slow:.0} kbit/s; another name: {fast:.0} kbit/s");
        assert!((least..most).contains(&slow), "{how}: {slow} kbit/s");
        assert!(fast > 5000.0, "{fast} kbit/s");
        net.assert_no_collateral(SERVER);
        let report = hop.stop().unwrap().adversaries[0];
        assert!(report.matched == 1 && (report.dropped > 0 || report.delayed > 0), "{report:?}");
    }
}

/// Answers every question with A 203.0.113.99.
fn name_server(net: &Net) -> UdpSocket {
    let socket = net.within("s", || UdpSocket::bind((SERVER, 53)).unwrap());
    let server = socket.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((len, from)) = server.recv_from(&mut query) {
            if query[..len].starts_with(b"stop") {
                break;
            }
            // The question ends at the root label, type and class.
            let end = query[12..len].iter().position(|b| *b == 0).map_or(len, |at| 12 + at + 5);
            let mut answer = query[..end].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 99]);
            server.send_to(&answer, from).unwrap();
        }
    });
    socket
}

#[test]
fn forged_names() {
    let Some(net) = Net::bridged() else { return };
    let server = name_server(&net);
    let dig = |name: &str| {
        let at = format!("@{SERVER}");
        net.run("c", &["dig", "+tries=1", "+time=2", "+noedns", &at, name, "A"]).1
    };
    let what = "kind = 'dns-injection'\nnames = ['blocked.example']\n";
    let hop = censored(&net, &format!("{what}answer.addresses = ['127.0.0.1']"));
    let text = dig("www.blocked.example");
    assert!(text.contains("\t300\tIN\tA\t127.0.0.1"), "{text}");
    assert!(dig("fine.example").contains("203.0.113.99"));
    // Both answers arrive; the forged one first.
    let answers = net.within("c", || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut query = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x07blocked\x07example\0\0\x01\0\x01");
        socket.send_to(&query, (SERVER, 53)).unwrap();
        [(); 2].map(|()| {
            let mut answer = [0; 512];
            let len = socket.recv(&mut answer).unwrap();
            answer[len - 4..len].to_vec()
        })
    });
    assert_eq!(answers, [vec![127, 0, 0, 1], vec![203, 0, 113, 99]]);
    assert_eq!(matched(hop), 2);

    let hop = censored(&net, &format!("{what}answer = 'nxdomain'\nplace = 'in-path'"));
    assert!(dig("blocked.example").contains("status: NXDOMAIN"));
    assert!(dig("fine.example").contains("203.0.113.99"));
    assert_eq!(hop.stop().unwrap().directions[0].dropped_by_adversary, 1);
    net.within("s", || UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"stop", (SERVER, 53)).unwrap());
    drop(server);
}

/// Sends a datagram to an echo server; true if it comes back.
fn echoes(net: &Net, payload: &[u8]) -> bool {
    net.within("c", || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        socket.send_to(payload, (SERVER, 443)).unwrap();
        socket.recv(&mut [0; 2000]).is_ok()
    })
}

#[test]
fn quic_datagrams() {
    let Some(net) = Net::bridged() else { return };
    let server = net.within("s", || UdpSocket::bind((SERVER, 443)).unwrap());
    let echo = std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        while let Ok((len, from)) = server.recv_from(&mut buffer) {
            if len == 1 {
                break;
            }
            server.send_to(&buffer[..len], from).unwrap();
        }
    });
    let initial = |version, name: &'static str| {
        let initial = Initial { version, ..Initial::new(&[1, 2, 3, 4, 5, 6, 7, 8]) };
        initial.datagram(Dir::Client, &crypto_frame(0, &ClientHello::new(name).message()))
    };
    let version_2 = 0x6b33_43cf;
    let hop = censored(&net, "kind = 'quic-drop'\nsni = ['blocked.example']");
    assert!(!echoes(&net, &initial(1, "blocked.example")));
    assert!(!echoes(&net, &initial(version_2, "blocked.example")));
    assert!(echoes(&net, &initial(1, "fine.example")));
    assert_eq!(matched(hop), 2);
    let hop = censored(&net, "kind = 'quic-drop'\nversions = [1]\nports = [443]\npayload_bytes_min = 1001");
    assert!(!echoes(&net, &initial(1, "fine.example")));
    assert!(echoes(&net, &initial(version_2, "blocked.example")));
    assert!(echoes(&net, &initial(1, "fine.example")[..1000]));
    assert_eq!(matched(hop), 1);
    net.within("s", || UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"x", (SERVER, 443)).unwrap());
    echo.join().unwrap();
}

#[test]
fn a_filter_of_protocols() {
    let Some(net) = web() else { return };
    let hop = censored(&net, "kind = 'protocol-filter'");
    // nginx answers what it can't read with 400; but for that it must see a whole method.
    let answered = |first: &str, second: &str| {
        let (first, second) = (first.to_owned(), second.to_owned());
        net.within("c", move || {
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect((SERVER, 80)).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            stream.write_all(first.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            stream.write_all(second.as_bytes()).unwrap();
            stream.read(&mut [0; 100]).is_ok_and(|n| n > 0)
        })
    };
    assert!(!answered("NOTAPROT", "OCOL / HTTP/1.1\r\nHost: fine.example\r\n\r\n"));
    assert!(answered("GET / HT", "TP/1.1\r\nHost: fine.example\r\nConnection: close\r\n\r\n"));
    net.assert_no_collateral(SERVER);
    assert_eq!(matched(hop), 1);
}
