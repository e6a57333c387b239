//! Each action, with all protocols at once.

use std::net::UdpSocket;

use super::{Traffic, on_one_processor, without_offloads};
use crate::actions::{NAMES, NEEDED, Seen, WHEN, attempt, neighbours, refused};
use crate::filtering::{policy, rule, with_filter};
use crate::namespace::entered;
use crate::net::{Net, SERVER, have};
use crate::services;

const LIMIT: &str = "limit\"\nrate = \"200 packets/s\"\nper = \"flow";

/// More than the limit lets through.
fn flood(net: &Net) {
    for server in SERVER {
        net.client.within(|| {
            let from = if server.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
            let socket = UdpSocket::bind(from).unwrap();
            for i in 0..600_u16 {
                socket.send_to(&i.to_be_bytes(), (server, 7000)).unwrap();
            }
        });
    }
}

#[test]
fn only_notices_resets_and_errors() {
    let name = "wire::actions::only_notices_resets_and_errors";
    if !have(&NEEDED) || !have(&["ethtool"]) || !entered(name) {
        return;
    }
    on_one_processor();
    let mut net = Net::new();
    let _services = services::all(&mut net);
    without_offloads(&net);
    for action in ["allow", "log", LIMIT, "drop", "reject"] {
        let stops = matches!(action, "drop" | "reject");
        let traffic = Traffic::watch(&net, || {
            with_filter(&net, &policy(&rule("the rule", WHEN, action)), |filter| {
                let expected = |protocol: &str| match action {
                    "reject" => refused(protocol),
                    "drop" => Seen::Failure,
                    _ => Seen::Answer,
                };
                assert_eq!(attempt(&net, NAMES[0], expected), [""; 0], "{action}");
                if stops {
                    neighbours(&net, filter);
                }
                if action == LIMIT {
                    flood(&net);
                }
            });
        });
        traffic.assert_own();
        let Traffic { passed, lost, own } = traffic;
        assert!(passed > 100, "{action}: {passed}");
        // A refusal over UDP, and two of TCP's, for each family; and the resets.
        assert_eq!(own.len() > 10, action == "reject", "{action}: {}", own.len());
        assert!(own.is_empty() || action == "reject", "{action}: {:?}", own[0].packet);
        let loses = stops || action == LIMIT;
        assert_eq!(lost.is_empty(), !loses, "{action}: {:?}", lost.first().map(|lost| lost.packet));
        println!(
            "{action:.6}: {passed} packets of theirs, {} of the filter's, {} lost",
            own.len(),
            lost.len()
        );
    }
}
