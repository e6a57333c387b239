//! Whoever only listens adds nothing but resets, and takes nothing away.

use super::{Traffic, on_one_processor, without_offloads};
use crate::actions::{NAMES, NEEDED, WHEN, attempt};
use crate::filtering::{policy, rule, with_settings};
use crate::namespace::entered;
use crate::net::{Net, have};
use crate::services;

#[test]
fn only_resets() {
    if !have(&NEEDED) || !have(&["ethtool"]) || !entered("wire::passive::only_resets") {
        return;
    }
    on_one_processor();
    let mut net = Net::new();
    let _services = services::all(&mut net);
    without_offloads(&net);
    for action in ["allow", "log", "limit\"\nrate = \"1 packets/s\"\nper = \"flow", "drop", "reject"] {
        let mirror =
            |settings: &mut daylight_filter::daemon::Settings| settings.mirror = Some("client".into());
        let traffic = Traffic::watch(&net, || {
            with_settings(&net, &policy(&rule("the rule", WHEN, action)), mirror, |_| {
                // Who wins a race with a reset is not said; but there is none over UDP.
                let failed = attempt(&net, NAMES[0], |_| crate::actions::Seen::Answer);
                let over_udp =
                    |case: &str| ["dns over udp", "http/3", "udp"].iter().any(|of| case.starts_with(of));
                let stops = matches!(action, "drop" | "reject");
                assert!(failed.iter().all(|case| stops && !over_udp(case)), "{action}: {failed:#?}");
            });
        });
        let Traffic { passed, lost, own } = traffic;
        assert!(passed > 100, "{action}: {passed}");
        assert!(lost.is_empty(), "{action}: {:?}", lost[0].packet);
        assert!(own.iter().all(super::Seen::is_reset), "{action}");
        let [to_server, to_client] = [true, false].map(|to| own.iter().any(|seen| seen.from_client == to));
        let stops = matches!(action, "drop" | "reject");
        assert_eq!((to_server, to_client), (stops, stops), "{action}");
    }
}
