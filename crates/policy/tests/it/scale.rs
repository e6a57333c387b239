//! Large lists: how long they take, and how much memory. Times are asserted only in optimised builds.

use std::fmt::Write;
use std::time::Instant;

use daylight_expr::ValueRef;
use daylight_policy::Policy;

use crate::world::{HEAD, drop, files, list};

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_hundred_thousand_domains_and_ten_thousand_prefixes() {
    let (mut domains, mut prefixes) = (String::new(), String::new());
    for n in 0..100_000 {
        writeln!(domains, "host{n}.site{}.example{}.test", n % 977, n % 13).unwrap();
    }
    for n in 0..10_000 {
        writeln!(prefixes, "10.{}.{}.0/25", n / 256, n % 256).unwrap();
    }
    let given = files(&[("d.txt", &domains), ("p.txt", &prefixes)]);
    let text = format!(
        "{HEAD}{}{}{}",
        list("d", "domains"),
        list("p", "prefixes"),
        drop("r", "hostname in $d or dst_ip in $p")
    );
    let before = resident();
    let start = Instant::now();
    let first = Policy::parse(&text, "t", &given, None).unwrap();
    let load = start.elapsed();
    let start = Instant::now();
    let same = Policy::parse(&text, "t", &given, Some(&first)).unwrap();
    let reload = start.elapsed();
    // One that did change, both in memory together.
    domains.push_str("one-more.test\n");
    let given = files(&[("d.txt", &domains), ("p.txt", &prefixes)]);
    let changed = Policy::parse(&text, "t", &given, Some(&same)).unwrap();
    let memory = resident().saturating_sub(before);
    let found = changed.lists()[0].list();
    assert_eq!(found.len(), 100_001);
    let names: Vec<String> = (0..1000)
        .map(|n| format!("www.host{}.site{}.example{}.test", n * 97, n * 97 % 977, n * 97 % 13))
        .collect();
    let start = Instant::now();
    let hits = (0..100).flat_map(|_| &names).filter(|name| found.contains(ValueRef::Str(name))).count();
    let each = start.elapsed() / 100_000;
    assert_eq!(hits, 100_000);
    println!(
        "load {load:?}, reload of the same {reload:?}, {} KiB for old and new, look-up {each:?}",
        memory >> 10
    );
    // Other tests run beside this one and take memory, too: alone it is about half of this.
    assert!(memory < 50 << 20, "{memory}");
    if !cfg!(debug_assertions) {
        assert!(load.as_millis() < 300 && reload < load, "{load:?}, {reload:?}");
        assert!(each.as_nanos() < 1000, "{each:?}");
    }
}
