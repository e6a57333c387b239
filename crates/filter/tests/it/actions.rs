//! Each action on each protocol, with real clients and real servers.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::filtering::{Filter, policy, rule, with_filter};
use crate::namespace::entered;
use crate::net::{Net, SERVER, have};
use crate::{h3, services};

/// Of two names of the same server, the one that is stopped, and the other.
pub(crate) const NAMES: [&str; 2] = ["blocked.example.org", "allowed.example.org"];

/// What the rules of these tests are about.
pub(crate) const WHEN: &str = r#"((dns || http || tls || quic) && hostname == "blocked.example.org") || ssh || smtp || dst_port == 7000"#;

/// What a client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// What it asked for.
    Answer,
    /// That it is refused, in words.
    Refusal,
    /// An error, or nothing.
    Failure,
}

/// How a protocol is tried: on which server, under which name, and for how many seconds.
type Try = fn(&Net, IpAddr, &str, u64) -> Seen;

#[rustfmt::skip]
const PROTOCOLS: &[(&str, Try)] = &[
    ("dns over udp", |net, server, name, seconds| dig(net, server, name, seconds, "")),
    ("dns over tcp", |net, server, name, seconds| dig(net, server, name, seconds, "+tcp")),
    ("http/1.1", |net, server, name, seconds| curl(net, server, "http", name, seconds)),
    ("http/2", |net, server, name, seconds| curl(net, server, "https", name, seconds)),
    ("http/3", |net, server, name, seconds| {
        let got = h3::get(&net.client, (server, 443).into(), name, 3000, Duration::from_secs(seconds));
        if got.is_ok_and(|page| page == h3::PAGE) { Seen::Answer } else { Seen::Failure }
    }),
    ("tls", |net, server, name, seconds| {
        let ask = format!("printf 'GET /index.html HTTP/1.0\\r\\nHost: {name}\\r\\n\\r\\n'");
        let client = format!("openssl s_client -quiet -servername {name} -connect {}", SocketAddr::new(server, 443));
        seen(net, &format!("({ask}; sleep 1) | timeout {seconds} {client}"), "the site itself")
    }),
    ("ssh", |net, server, _, seconds| {
        seen(net, &format!("ssh-keyscan -T {seconds} -t ed25519 {server}"), "ssh-ed25519 ")
    }),
    ("smtp", |net, server, _, seconds| {
        let to = format!("smtp://{}/client.example.org --mail-from a@example.org --mail-rcpt b@example.org", bracketed(server));
        seen(net, &format!("echo hi | curl -s --max-time {seconds} {to} -T - && echo sent"), "sent")
    }),
    ("tcp", |net, server, _, seconds| {
        let got = net.client.within(|| talk(server, seconds));
        if got.is_ok_and(|got| got) { Seen::Answer } else { Seen::Failure }
    }),
    ("udp", |net, server, _, seconds| {
        let got = net.client.within(|| exchange(server, seconds));
        if got.is_ok_and(|got| got) { Seen::Answer } else { Seen::Failure }
    }),
];

fn bracketed(server: IpAddr) -> String {
    if server.is_ipv6() { format!("[{server}]") } else { server.to_string() }
}

fn seen(net: &Net, command: &str, wanted: &str) -> Seen {
    let output = net.client.sh(command);
    let said = String::from_utf8_lossy(&output.stdout);
    if said.contains(wanted) {
        Seen::Answer
    } else if said.contains(" 451") || said.contains("status: REFUSED") && said.contains("EDE: 15") {
        Seen::Refusal
    } else {
        Seen::Failure
    }
}

fn dig(net: &Net, server: IpAddr, name: &str, seconds: u64, options: &str) -> Seen {
    seen(net, &format!("dig +tries=1 +time={seconds} {options} @{server} {name}"), "A\t198.51.100.2")
}

fn curl(net: &Net, server: IpAddr, scheme: &str, name: &str, seconds: u64) -> Seen {
    let (port, version) = if scheme == "https" { (443, "2") } else { (80, "1.1") };
    let to = format!("--resolve {name}:{port}:{} {scheme}://{name}/index.html", bracketed(server));
    let command = format!("curl -sk --max-time {seconds} -w ' %{{http_version}} %{{http_code}}' {to}");
    let wanted = format!("the site itself\n {version} 200");
    seen(net, &command, &wanted)
}

/// What no protocol looks like.
const WORDS: &[u8] = b"\xf7\x03ninety-nine bottles\x91\x00";

fn talk(server: IpAddr, seconds: u64) -> std::io::Result<bool> {
    let patience = Duration::from_secs(seconds);
    let mut stream = TcpStream::connect_timeout(&(server, 7000).into(), patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(WORDS)?;
    let mut got = [0; WORDS.len()];
    stream.read_exact(&mut got)?;
    Ok(got == WORDS)
}

fn exchange(server: IpAddr, seconds: u64) -> std::io::Result<bool> {
    let socket = UdpSocket::bind(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect((server, 7000))?;
    socket.set_read_timeout(Some(Duration::from_secs(seconds)))?;
    socket.send(WORDS)?;
    let mut got = [0; 100];
    let len = socket.recv(&mut got)?;
    Ok(&got[..len] == WORDS)
}

/// All protocols over IPv4 and IPv6 under a name, at once, and what did not go as `expected`.
pub(crate) fn attempt(net: &Net, name: &str, expected: impl Fn(&str) -> Seen + Sync) -> Vec<String> {
    std::thread::scope(|scope| {
        let tries = SERVER
            .iter()
            .flat_map(|server| PROTOCOLS.iter().map(move |(protocol, act)| (server, protocol, act)));
        let running: Vec<_> = tries
            .map(|(server, protocol, act)| {
                let (server, expected): (IpAddr, _) = (server.parse().unwrap(), expected(protocol));
                // What must come is waited for longer than what must not.
                let seconds = if expected == Seen::Failure { 2 } else { 20 };
                let act = move || {
                    (act(net, server, name, seconds), expected, format!("{protocol} to {server}, {name}"))
                };
                scope.spawn(act)
            })
            .collect();
        let ended = running.into_iter().map(|thread| thread.join().unwrap());
        ended
            .filter(|(seen, expected, _)| seen != expected)
            .map(|(seen, expected, case)| format!("{case}: {seen:?}, not {expected:?}"))
            .collect()
    })
}

/// All names of protocols that ask for one, under the name that no rule is about: nothing happens to them.
pub(crate) fn neighbours(net: &Net, filter: &Filter<'_>) {
    let named =
        |protocol: &str| protocol.starts_with("dns") || protocol.starts_with("http") || protocol == "tls";
    let failed = attempt(net, NAMES[1], |_| Seen::Answer);
    let failed: Vec<_> = failed.into_iter().filter(|case| named(case)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(filter.stopped(NAMES[1]), 0);
}

pub(crate) const NEEDED: [&str; 10] =
    ["curl", "dig", "dnsmasq", "nginx", "openssl", "ss", "ssh-keyscan", "ssh-keygen", "sshd", "timeout"];

/// What a reject looks like: words where there is a standard for them.
pub(crate) fn refused(protocol: &str) -> Seen {
    if protocol.starts_with("dns") || protocol == "http/1.1" { Seen::Refusal } else { Seen::Failure }
}

#[test]
fn on_every_protocol() {
    if !have(&NEEDED) || !entered("actions::on_every_protocol") {
        return;
    }
    let mut net = Net::new();
    let _services = services::all(&mut net);
    // Everything works before anything is forbidden.
    assert_eq!(attempt(&net, NAMES[0], |_| Seen::Answer), [""; 0]);
    for (action, expected) in [
        ("allow", (|_| Seen::Answer) as fn(&str) -> Seen),
        ("log", |_| Seen::Answer),
        ("drop", |_| Seen::Failure),
        ("reject", refused),
        ("limit\"\nrate = \"200 packets/s\"\nper = \"flow", |_| Seen::Answer),
    ] {
        let logged = with_filter(&net, &policy(&rule("the rule", WHEN, action)), |filter| {
            let failed = attempt(&net, NAMES[0], expected);
            assert!(failed.is_empty(), "{action}: {failed:#?}");
            neighbours(&net, filter);
            let stops = matches!(action, "drop" | "reject");
            assert_eq!(filter.stopped(NAMES[0]) > 0, stops, "{action}");
        });
        // At least one for each protocol and each address, and none of what is only allowed.
        let enough = if action == "log" { logged >= 2 * PROTOCOLS.len() as u64 } else { logged == 0 };
        assert!(enough, "{action}: {logged} logged");
    }
}

/// More is sent at once than the limit lets through: some arrives, and some doesn't.
#[test]
fn a_limit_limits() {
    if !entered("actions::a_limit_limits") {
        return;
    }
    let net = Net::new();
    let limit = "limit\"\nrate = \"20 packets/s\"\nper = \"flow";
    with_filter(&net, &policy(&rule("slow", "dst_port == 7001", limit)), |_| {
        for server in SERVER {
            let server: IpAddr = server.parse().unwrap();
            let sink = net.server.within(|| UdpSocket::bind((server, 7001)).unwrap());
            sink.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            net.client.within(|| {
                let socket = UdpSocket::bind(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
                (0..400u16).for_each(|i| {
                    socket.send_to(&i.to_be_bytes(), (server, 7001)).unwrap();
                });
            });
            let mut got = [0; 100];
            let count = std::iter::from_fn(|| sink.recv(&mut got).ok()).count();
            assert!((1..200).contains(&count), "{count} of 400 to {server}");
        }
    });
}

/// A browser gets one page of a server and not the other.
#[test]
fn in_a_browser() {
    if !have(&["chromium", "nginx", "openssl", "dnsmasq", "ss", "timeout"])
        || !entered("actions::in_a_browser")
    {
        return;
    }
    let mut net = Net::new();
    net.serve();
    let rules = rule("names", "(tls || http) && hostname == \"blocked.example.org\"", "reject");
    with_filter(&net, &policy(&rules), |filter| {
        let load = |url: String| {
            let profile = net.folder.path().join("profile");
            let flags = "--headless=new --no-sandbox --disable-gpu --ignore-certificate-errors --no-first-run \
                         --disable-background-networking --disable-features=HttpsUpgrades";
            let command = format!(
                "timeout 60 chromium {flags} --user-data-dir={} --host-resolver-rules='MAP * 198.51.100.2' --dump-dom {url} 2>/dev/null",
                profile.display()
            );
            String::from_utf8_lossy(&net.client.sh(&command).stdout).into_owned()
        };
        for scheme in ["https", "http"] {
            let page = load(format!("{scheme}://{}/index.html", NAMES[1]));
            assert!(page.contains("the site itself"), "{scheme}: {page}");
            let page = load(format!("{scheme}://{}/index.html", NAMES[0]));
            assert!(!page.contains("the site itself"), "{scheme}: {page}");
            assert_eq!(
                page.contains("It was not the site that refused"),
                scheme == "http",
                "{scheme}: {page}"
            );
        }
        assert!(filter.stopped(NAMES[0]) >= 2);
    });
}
