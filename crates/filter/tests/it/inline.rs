//! The whole filter on a router between real clients and real servers.

use daylight_policy::audit::{Digest, Log, Signer, verify};

use crate::filtering::{policy, rule, with_filter};
use crate::namespace::entered;
use crate::net::{CLIENT, Host, Net, SERVER, have};

const POLICY: &str = r#"
[policy]
name = "test"
match = "first"
default = "allow"

[[list]]
name = "servers"
kind = "prefixes"
file = "servers.txt"

[[list]]
name = "clients"
kind = "prefixes"
file = "clients.txt"

[[rule]]
name = "a server's port"
when = "dst_port == 445 and dst_ip in $servers"
action = "reject"
reason = "A test"
authority = "The tests"
expires = "2100-01-01"

[[rule]]
name = "a client's port"
when = "dst_port == 446 and src_ip in $clients"
action = "reject"
reason = "A test"
authority = "The tests"
expires = "2100-01-01"

[[rule]]
name = "a port"
when = "dst_port == 444"
action = "reject"
reason = "A test"
authority = "The tests"
expires = "2100-01-01"

[[rule]]
name = "tls names"
when = 'tls && hostname == "blocked.example.org"'
action = "drop"
reason = "A test"
authority = "The tests"
expires = "2100-01-01"

[[rule]]
name = "refused names"
when = '(tls && hostname == "refused.example.org") || ((http || dns) && hostname in {"refused.example.org", "blocked.example.org"})'
action = "reject"
reason = "A test of refusals"
authority = "The tests"
expires = "2100-01-01"
appeal = "mailto:tests@example.org"
"#;

fn text(host: &Host, command: &str) -> (bool, String) {
    let output = host.sh(command);
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Blocked, Censored, Filtered (RFC 8914 §4.16 to §4.18): who is refused learns whose will it is.
#[test]
fn a_refusal_says_on_what_basis() {
    if !have(&["dnsmasq", "dig", "ss", "nginx", "openssl"])
        || !entered("inline::a_refusal_says_on_what_basis")
    {
        return;
    }
    let mut net = Net::new();
    net.serve();
    let names = [
        ("own.example.org", "", "EDE: 15 (Blocked)"),
        ("court.example.org", "basis = \"external\"\n", "EDE: 16 (Censored)"),
        ("parents.example.org", "basis = \"client\"\n", "EDE: 17 (Filtered)"),
    ];
    let rules =
        names.map(|(name, basis, _)| rule(name, &format!("dns && hostname == \"{name}\""), "reject") + basis);
    with_filter(&net, &policy(&rules.concat()), |_| {
        for (name, _, told) in names {
            for (address, options) in [(SERVER[0], ""), (SERVER[0], "+tcp"), (SERVER[1], "")] {
                let dig = format!("dig +tries=3 +time=5 {options} @{address} {name}");
                let said = text(&net.client, &dig).1;
                assert!(said.contains("status: REFUSED") && said.contains(told), "{dig}: {said}");
            }
        }
    });
}

#[test]
fn names_are_stopped_and_their_neighbours_are_not() {
    let needed = ["curl", "openssl", "nginx", "dnsmasq", "dig", "ss"];
    if !have(&needed) || !entered("inline::names_are_stopped_and_their_neighbours_are_not") {
        return;
    }
    let mut net = Net::new();
    net.serve();
    let servers = format!("# Servers\n203.0.113.0/24\n{}\n{}\n", SERVER[0], SERVER[1]);
    std::fs::write(net.folder.path().join("servers.txt"), &servers).unwrap();
    // Clients and servers: whose address it is decides, not on which list it stands.
    std::fs::write(net.folder.path().join("clients.txt"), CLIENT.join("\n") + "\n" + &servers).unwrap();
    with_filter(&net, POLICY, |_| {
        for address in SERVER {
            let bracketed = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            let curl = |url: &str, name: &str| {
                let port = if url.starts_with("https") { 443 } else { 80 };
                let url = format!("{url}://{name}/index.html");
                let command = format!(
                    "curl -sk --max-time 3 -w ' %{{http_code}}' --resolve {name}:{port}:{bracketed} {url}"
                );
                text(&net.client, &command)
            };
            for name in ["www.example.org", "notblocked.example.org", "blocked.example.org.example.net"] {
                for scheme in ["http", "https"] {
                    let (ok, said) = curl(scheme, name);
                    assert!(ok && said.contains("the site itself"), "{scheme} {name} {address}: {said}");
                }
            }
            // Dropped: nothing comes; refused: a reset, or words.
            for name in ["blocked.example.org", "BLOCKED.example.ORG"] {
                assert!(!curl("https", name).0, "{name} {address}");
            }
            let refused = format!(
                "curl -sk --max-time 20 --resolve refused.example.org:443:{bracketed} https://refused.example.org/"
            );
            assert_eq!(net.client.sh(&refused).status.code(), Some(35), "a reset comes at once");
            let (ok, said) = curl("http", "refused.example.org");
            assert!(ok && said.ends_with(" 451") && said.contains("A test of refusals"), "{address}: {said}");
            let dig = |name: &str, options: &str| {
                text(&net.client, &format!("dig +tries=1 +time=2 {options} @{address} {name}")).1
            };
            for options in ["", "+tcp"] {
                assert!(dig("www.example.org", options).contains("198.51.100.2"));
                let said = dig("Refused.example.org", options);
                assert!(said.contains("status: REFUSED") && said.contains("EDE: 15"), "{options}: {said}");
            }
            for port in [444, 445, 446] {
                let connect = format!("curl -s --max-time 20 http://{bracketed}:{port}/");
                assert_eq!(net.client.sh(&connect).status.code(), Some(7), "refused at once");
            }
        }
    });
    // All of it stands in the public log, and whose it was nowhere.
    let log = net.folder.path().join("log");
    let key = Signer::open(&net.folder.path().join("key")).unwrap().verifier_key().clone();
    let told = verify(&log, &key).unwrap().kinds;
    assert_eq!(
        (told["filter-started"], told["policy-loaded"], told["rule"], told["filter-stopped"]),
        (1, 1, 5, 1)
    );
    let entries = Log::open(&log, &key).unwrap().tail(0).unwrap().poll().unwrap();
    let entries: Vec<String> =
        entries.iter().map(|(_, entry)| String::from_utf8(entry.encode().unwrap()).unwrap()).collect();
    let digest = Digest::of(servers.as_bytes());
    let line = |line| format!(r#"{{"list-line":{{"list":"servers","digest":"{digest}","line":{line}}}}}"#);
    for (rule, target) in [
        ("a server's port", &*line(3)),
        ("a server's port", &line(4)),
        ("a client's port", r#""rule""#),
        ("tls names", r#"{"host":"blocked.example.org"}"#),
        ("refused names", r#"{"host":"refused.example.org"}"#),
        ("a port", r#""rule""#),
    ] {
        let is_it = |entry: &&String| entry.contains(rule) && entry.contains(&format!("\"target\":{target}"));
        assert!(entries.iter().any(|entry| is_it(&entry)), "{rule} {target}: {entries:#?}");
    }
    assert!(
        !entries.iter().any(|entry| entry.contains("192.0.2.") || entry.contains("2001:db8"))
            && !entries.iter().any(|entry| entry.contains(r#""list-line":{"list":"clients""#)),
        "{entries:#?}"
    );
    // Without it, everything goes again.
    assert!(text(&net.client, "curl -s --max-time 3 http://198.51.100.2/").0);
}
