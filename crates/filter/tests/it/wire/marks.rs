//! Others' marks on packets that pass: they are not taken for the filter's notices, and stay.

use daylight_filter::kernel::MarkBits;

use crate::filtering::{policy, rule, with_filter};
use crate::namespace::{entered, run};
use crate::net::{Net, SERVER, have};

#[test]
fn are_not_taken_for_a_notice() {
    let needed = ["curl", "nginx", "openssl", "dnsmasq", "ss"];
    if !have(&needed) || !entered("wire::marks::are_not_taken_for_a_notice") {
        return;
    }
    let mut net = Net::new();
    net.serve();
    // Bits of the operator's own, and the notice's among them.
    let mark = MarkBits::default().notice() | 0x15;
    let tables = ["iptables", "ip6tables"];
    for table in tables {
        run(&format!("{table} -t mangle -A PREROUTING -i client -j MARK --set-mark {mark:#x}"));
        run(&format!("{table} -t mangle -A POSTROUTING -o server -m mark --mark 0x15/0xff -j ACCEPT"));
        run(&format!("{table} -t mangle -A POSTROUTING -o server -p tcp -j DROP"));
    }
    let rules = rule("names", "(tls || http) && hostname == \"blocked.example.org\"", "reject");
    with_filter(&net, &policy(&rules), |filter| {
        for (server, scheme) in SERVER.iter().flat_map(|server| [(server, "http"), (server, "https")]) {
            let server = if server.contains(':') { format!("[{server}]") } else { (*server).to_owned() };
            let port = if scheme == "https" { 443 } else { 80 };
            let before = filter.stopped("blocked.example.org");
            let get = |name: &str| {
                let to = format!("--resolve {name}:{port}:{server} {scheme}://{name}/index.html");
                let output = net.client.sh(&format!("curl -sk --max-time 20 {to}"));
                String::from_utf8_lossy(&output.stdout).into_owned()
            };
            assert_eq!(get("allowed.example.org"), "the site itself\n", "{scheme} {server}");
            assert!(!get("blocked.example.org").contains("the site itself"), "{scheme} {server}");
            assert_eq!(filter.stopped("blocked.example.org"), before + 1, "{scheme} {server}");
        }
    });
}
