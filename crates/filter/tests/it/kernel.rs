//! Rules go in whole, and come out without a trace.

use daylight_filter::kernel::{KernelRules, MarkBits, remove};

use crate::namespace::{entered, run};

fn rules(name: &str) -> KernelRules {
    KernelRules {
        name: name.into(),
        queues: 0..=1,
        mark: MarkBits::default(),
        open_if_gone: true,
        own_traffic: true,
        offload: true,
    }
}

fn saved() -> String {
    let rules = run("iptables-save; ip6tables-save");
    // Tables appear once they are asked for, counters and dates change by themselves.
    let ours = |line: &&str| line.starts_with("-A ") || line.starts_with(":DAYLIGHT");
    let without_counters = |line: &str| line.split(" - [").next().unwrap_or_default().to_owned();
    rules.lines().filter(ours).map(without_counters).collect::<Vec<_>>().join("\n")
}

#[test]
fn in_and_out() {
    if !entered("kernel::in_and_out") {
        return;
    }
    // Others' rules stay as they are.
    run("iptables -A FORWARD -p tcp --dport 9 -j DROP; ip6tables -t raw -A PREROUTING -j ACCEPT");
    let before = saved();
    assert!(!remove("test").unwrap());
    for offload in [true, false] {
        let rules = KernelRules { offload, ..rules("test") };
        rules.install().unwrap();
        let with = saved();
        assert_eq!(with.matches("-j NFQUEUE").count(), 2, "{with}");
        for hook in ["FORWARD", "INPUT", "OUTPUT"] {
            assert_eq!(
                with.matches(&format!("-A {hook} -j DAYLIGHT-test")).count(),
                2 + 2 * usize::from(hook == "OUTPUT")
            );
        }
        // Again, as after a crash: not twice.
        rules.install().unwrap();
        assert_eq!(saved(), with);
        KernelRules { offload, ..self::rules("test-2") }.install().unwrap();
        assert!(remove("test").unwrap());
        assert!(saved().contains("DAYLIGHT-test-2"));
        assert!(remove("test-2").unwrap());
        assert_eq!(saved(), before);
    }
}

#[test]
fn a_refused_rule_leaves_nothing() {
    if !entered("kernel::a_refused_rule_leaves_nothing") {
        return;
    }
    let before = saved();
    let error = KernelRules { name: "a name that is too long for a chain".into(), ..rules("") }
        .install()
        .unwrap_err();
    assert!(error.to_string().starts_with("iptables-restore: "), "{error}");
    assert_eq!(saved(), before);
}
