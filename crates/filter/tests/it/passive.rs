//! A filter that only listens, on an interface through which the traffic of others passes.

use std::sync::atomic::Ordering;

use crate::filtering::{policy, rule, with_settings};
use crate::namespace::{entered, run};
use crate::net::{Net, SERVER, have};

#[test]
fn it_ends_what_is_forbidden_and_nothing_else() {
    let name = "passive::it_ends_what_is_forbidden_and_nothing_else";
    if !have(&["curl", "openssl", "nginx", "dnsmasq", "dig", "ss"]) || !entered(name) {
        return;
    }
    let mut net = Net::new();
    net.serve();
    // Large enough that no reset comes too late.
    let large = std::fs::File::create(net.folder.path().join("large")).unwrap();
    large.set_len(200 << 20).unwrap();
    let names = [
        rule("names", "(http || tls) && hostname == \"blocked.example.org\"", "drop"),
        rule("answers", "dns && hostname == \"blocked.example.org\"", "reject"),
    ]
    .concat();
    let mirror = |settings: &mut daylight_filter::daemon::Settings| settings.mirror = Some("client".into());
    with_settings(&net, &policy(&names), mirror, |filter| {
        assert!(!run("iptables-save; ip6tables-save").contains("DAYLIGHT"), "nothing is put into the kernel");
        for address in SERVER {
            let bracketed = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            let fetch = |scheme: &str, name: &str| {
                let port = if scheme == "https" { 443 } else { 80 };
                let command = format!(
                    "curl -sk -o /dev/null --max-time 60 --resolve {name}:{port}:{bracketed} {scheme}://{name}/large"
                );
                net.client.sh(&command).status.code()
            };
            for scheme in ["http", "https"] {
                assert_eq!(fetch(scheme, "www.example.org"), Some(0), "{scheme} {address}");
                let code = fetch(scheme, "blocked.example.org");
                // What breaks off first has many names; that all came, or that nothing did for long, is not among them.
                assert!(!matches!(code, Some(0 | 28) | None), "{scheme} {address}: {code:?}");
            }
            // No answer of its own: what can't be stopped goes on, and is not told as stopped.
            let dig = net.client.sh(&format!("dig +tries=1 +time=5 @{address} blocked.example.org"));
            assert!(String::from_utf8_lossy(&dig.stdout).contains("NOERROR"));
        }
        assert!(filter.stopped("blocked.example.org") >= 4);
        assert!(filter.shared.counters.notices.load(Ordering::Relaxed) >= 8);
    });
}
