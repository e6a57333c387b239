//! What becomes of traffic when something in the filter fails: as was said before, and only as long as it fails.

use std::sync::atomic::Ordering;
use std::time::Duration;

use daylight_filter::daemon::Settings;

use crate::filtering::{FAULTY, Filter, SLOW, policy, rule, with_settings};
use crate::namespace::entered;
use crate::net::{Net, SERVER, have, wait};

/// Runs `test` with a filter that drops what asks for a blocked name, and fails at two others.
fn with_faults(name: &str, change: impl FnOnce(&mut Settings), test: impl FnOnce(&Net, &Filter<'_>)) {
    if !have(&["curl", "openssl", "nginx", "dnsmasq", "dig", "ss", "ping"]) || !entered(name) {
        return;
    }
    let mut net = Net::new();
    net.serve();
    let names = format!("http && hostname in {{\"blocked.example.org\", \"{FAULTY}\", \"{SLOW}\"}}");
    with_settings(&net, &policy(&rule("names", &names, "drop")), change, |filter| test(&net, filter));
}

fn fetch(net: &Net, name: &str, patience_s: u32) -> bool {
    let url = format!("curl -s --max-time {patience_s} -H 'Host: {name}' http://{}/index.html", SERVER[0]);
    net.client.sh(&url).status.success()
}

fn fault(name: &str, open: bool) {
    with_faults(
        name,
        |settings| settings.open_on_fault = open,
        |net, filter| {
            // A fault forgets what is known of connections, so that what is sent again much later may be read otherwise.
            assert_eq!(fetch(net, FAULTY, if open { 20 } else { 1 }), open);
            assert!(filter.shared.counters.engine_faults.load(Ordering::Relaxed) > 0);
            assert!(fetch(net, "www.example.org", 20), "the next one is looked at again");
            assert!(!fetch(net, "blocked.example.org", 3));
        },
    );
}

#[test]
fn a_fault_of_the_engine_lets_packets_pass() {
    fault("faults::a_fault_of_the_engine_lets_packets_pass", true);
}

#[test]
fn a_fault_of_the_engine_drops_packets() {
    fault("faults::a_fault_of_the_engine_drops_packets", false);
}

fn short_memory(name: &str, open: bool) {
    let change = |settings: &mut Settings| {
        settings.memory_max = Some(1);
        settings.open_on_memory = open;
    };
    with_faults(name, change, |net, filter| {
        wait(|| filter.shared.is_pressed());
        for name in ["www.example.org", "blocked.example.org"] {
            assert_eq!(fetch(net, name, if open { 20 } else { 3 }), open, "{name}");
        }
        assert!(filter.shared.counters.unread.load(Ordering::Relaxed) > 0);
        assert_eq!(filter.shared.counters.flows.load(Ordering::Relaxed), 0, "nothing is kept of flows");
    });
}

#[test]
fn short_memory_lets_packets_pass() {
    short_memory("faults::short_memory_lets_packets_pass", true);
}

#[test]
fn short_memory_drops_packets() {
    short_memory("faults::short_memory_drops_packets", false);
}

fn full_queue(name: &str, open: bool) {
    let change = |settings: &mut Settings| {
        settings.queue.queue_len = 16;
        settings.queue.fail_open = open;
    };
    with_faults(name, change, |net, filter| {
        // While the worker is at one packet, others fill the queue.
        let slow = format!("curl -s --max-time 1 -H 'Host: {SLOW}' http://{}/", SERVER[0]);
        std::thread::scope(|scope| {
            scope.spawn(|| net.client.sh(&slow));
            wait(|| filter.is_slow());
            net.client.sh(&format!("ping -q -c 40 -i 0.01 -W 1 {}", SERVER[0]));
            assert_eq!(fetch(net, "www.example.org", 3), open);
            assert!(filter.is_slow(), "that was while the queue was full");
        });
        wait(|| !filter.is_slow());
        std::thread::sleep(Duration::from_millis(100));
        assert!(fetch(net, "www.example.org", 20));
        assert!(!fetch(net, "blocked.example.org", 3));
    });
}

#[test]
fn a_full_queue_lets_packets_pass() {
    full_queue("faults::a_full_queue_lets_packets_pass", true);
}

#[test]
fn a_full_queue_drops_packets() {
    full_queue("faults::a_full_queue_drops_packets", false);
}
