//! The whole filter on a router between real clients and real servers.

use std::sync::Arc;

use daylight_filter::daemon::{self, Settings};
use daylight_filter::gate::{Ruling, Witness};
use daylight_filter::worker::Shared;
use daylight_policy::Policy;

use crate::namespace::{entered, run};
use crate::net::{Host, Net, SERVER, have, wait};

const POLICY: &str = r#"
[policy]
name = "test"
match = "first"
default = "allow"

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

[[rule]]
name = "a port"
when = "dst_port == 444"
action = "reject"
reason = "A test"
authority = "The tests"
expires = "2100-01-01"
"#;

struct Quiet;

impl Witness for Quiet {
    fn ruled(&mut self, _: &Policy, _: Ruling) {}
}

fn text(host: &Host, command: &str) -> (bool, String) {
    let output = host.sh(command);
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `test` while a filter with this policy is at work.
fn with_filter(net: &Net, policy: &str, test: impl FnOnce(&Shared)) {
    let path = net.folder.path().join("policy.toml");
    std::fs::write(&path, policy).unwrap();
    let settings = Settings::new(path.clone(), "test");
    let shared = Arc::new(Shared::new(daemon::load(&path, None).unwrap()));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| daemon::run(&settings, &shared, || Quiet, || {}));
        // Ends it also if the test fails.
        let ender = Ender(&shared);
        wait(|| running.is_finished() || run("iptables-save").contains("NFQUEUE"));
        test(&shared);
        drop(ender);
        running.join().unwrap().unwrap();
    });
    assert!(!run("iptables-save; ip6tables-save").contains("DAYLIGHT"));
}

struct Ender<'a>(&'a Shared);

impl Drop for Ender<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[test]
fn names_are_stopped_and_their_neighbours_are_not() {
    let needed = ["curl", "openssl", "python3", "dnsmasq", "dig", "ss"];
    if !have(&needed) || !entered("inline::names_are_stopped_and_their_neighbours_are_not") {
        return;
    }
    let mut net = Net::new();
    net.serve();
    with_filter(&net, POLICY, |shared| {
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
            let start = std::time::Instant::now();
            assert!(!curl("https", "refused.example.org").0);
            assert!(start.elapsed().as_secs() < 2, "a reset comes at once");
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
        wait(|| !shared.take_tally().is_empty());
    });
    // Without it, everything goes again.
    assert!(text(&net.client, "curl -s --max-time 3 http://198.51.100.2/").0);
}
