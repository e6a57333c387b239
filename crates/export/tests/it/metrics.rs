//! Metrics as others read them, and the dashboard that shows them.

use std::collections::BTreeSet;
use std::path::Path;

use daylight_export::metrics::{APPLICATIONS_MAX, Gauges, Interface, Traffic};
use daylight_export::spool::SpoolCounters;
use daylight_export::{Status, UploadStatus};
use serde_json::Value;

use crate::peers::{HOSTILE, python, script};

fn gauges() -> Gauges {
    let traffic = |n: u64| Traffic { flows: n, bytes: 1000 * n };
    Gauges {
        sensor: HOSTILE.to_owned(),
        interfaces: [("eth0".to_owned(), Interface { packets: 5, bytes: u64::MAX, dropped: 1 })].into(),
        flows_active: 7,
        lost: [("flows_over_budget", 3)].into(),
        protocols: [("tls", traffic(4)), ("dns", traffic(2))].into(),
        applications: (0..500).map(|n| (format!("app-{n}"), traffic(n))).collect(),
        risks: [(("clear-text-credentials", "high"), 9)].into(),
        spool: Some(SpoolCounters { bytes: 12, ..SpoolCounters::default() }),
        destinations: vec![Status {
            name: "nats".into(),
            kind: "nats",
            sent: 100,
            error: Some("away".into()),
            ..Status::default()
        }],
        uploads: vec![UploadStatus { name: "archive".into(), ..UploadStatus::default() }],
    }
}

#[test]
fn the_values_and_no_more_labels_than_are_good() {
    let text = gauges().text();
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(text.matches("daylight_application_bytes_total{").count(), APPLICATIONS_MAX + 1);
    let others: u64 = (0..400).map(|n| n * 1000).sum();
    let has =
        |begin: &str, end: &str| text.lines().any(|line| line.starts_with(begin) && line.ends_with(end));
    assert!(
        has("daylight_application_bytes_total{", &format!("application=\"(others)\"}} {others}")),
        "{text}"
    );
    assert!(has("daylight_bytes_total{", &format!("interface=\"eth0\"}} {}", u64::MAX)));
    assert!(has("daylight_export_failing{", "destination=\"nats\",kind=\"nats\"} 1"));
    assert!(has("daylight_spool_disk_bytes{", "} 12"));
    assert!(has("daylight_risk_flows_total{", "risk=\"clear-text-credentials\",severity=\"high\"} 9"));
}

#[test]
fn another_reader_understands_every_line() {
    let Some(python) = python("prometheus_client.openmetrics.parser") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics");
    std::fs::write(&path, gauges().text()).unwrap();
    let read: Value =
        serde_json::from_str(&script(&python, "metrics.py", &[path.to_str().unwrap()])).unwrap();
    assert_eq!(read["daylight_protocol_bytes_total"][0]["labels"]["sensor"], HOSTILE);
    assert_eq!(read["daylight_protocol_flows_total"].as_array().unwrap().len(), 2);
    assert_eq!(read["daylight_flows_active"][0]["value"], 7.0);
}

/// Names of metrics in an expression: words that begin as ours do.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    expression
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("daylight_"))
}

#[test]
fn the_dashboard_shows_what_there_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/grafana/daylight.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let text = gauges().text();
    let exported: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut shown = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}", panel["title"]);
        assert!(!panel["description"].as_str().unwrap().is_empty(), "{}", panel["title"]);
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            assert!(expression.contains("sensor=~\"$sensor\""), "{expression}");
            shown.extend(names(expression));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        shown.extend(variable["query"].as_str().into_iter().flat_map(names));
    }
    let unknown: Vec<_> = shown.difference(&exported).collect();
    assert!(unknown.is_empty(), "the dashboard names what is not exported: {unknown:?}");
    assert!(panels.len() >= 10 && shown.len() >= 12);
}
