//! The whole filter on a router between real clients and real servers.

use daylight_policy::audit::{Log, Signer, verify};

use crate::filtering::with_filter;
use crate::namespace::entered;
use crate::net::{Host, Net, SERVER, have};

const POLICY: &str = r#"
[policy]
name = "test"
match = "first"
default = "allow"

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

#[test]
fn names_are_stopped_and_their_neighbours_are_not() {
    let needed = ["curl", "openssl", "nginx", "dnsmasq", "dig", "ss"];
    if !have(&needed) || !entered("inline::names_are_stopped_and_their_neighbours_are_not") {
        return;
    }
    let mut net = Net::new();
    net.serve();
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
            let connect = format!("curl -s --max-time 3 http://{bracketed}:444/");
            assert_eq!(net.client.sh(&connect).status.code(), Some(7), "refused at once");
        }
    });
    // All of it stands in the public log, and whose it was nowhere.
    let log = net.folder.path().join("log");
    let key = Signer::open(&net.folder.path().join("key")).unwrap().verifier_key().clone();
    let told = verify(&log, &key).unwrap().kinds;
    assert_eq!(
        (told["filter-started"], told["policy-loaded"], told["rule"], told["filter-stopped"]),
        (1, 1, 3, 1)
    );
    let entries = Log::open(&log, &key).unwrap().tail(0).unwrap().poll().unwrap();
    let entries: Vec<String> =
        entries.iter().map(|(_, entry)| String::from_utf8(entry.encode().unwrap()).unwrap()).collect();
    for (rule, target) in [
        ("tls names", r#"{"host":"blocked.example.org"}"#),
        ("refused names", r#"{"host":"refused.example.org"}"#),
        ("a port", r#""rule""#),
    ] {
        let is_it = |entry: &&String| entry.contains(rule) && entry.contains(&format!("\"target\":{target}"));
        assert!(entries.iter().any(|entry| is_it(&entry)), "{rule} {target}: {entries:#?}");
    }
    assert!(
        !entries.iter().any(|entry| entry.contains("192.0.2.") || entry.contains("2001:db8")),
        "{entries:#?}"
    );
    // Without it, everything goes again.
    assert!(text(&net.client, "curl -s --max-time 3 http://198.51.100.2/").0);
}
