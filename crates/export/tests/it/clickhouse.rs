//! The engine of ClickHouse that PyPI's chdb embeds, and a server that only looks like one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use daylight_export::clickhouse::{SchemaOptions, extend, schema};
use serde_json::{Value, json};

use crate::peers::{HOSTILE, Request, Server, finish, hand_over, python, record, script, start};

/// The parameters of a request's URL.
fn parameters(request: &Request) -> BTreeMap<String, String> {
    let target = request.line.split(' ').nth(1).unwrap();
    let url = url::Url::parse(&format!("http://x{target}")).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// What comes from an exporter whose server loses its tongue after every second request although it has taken it.
fn requests(numbers: std::ops::Range<u64>) -> Vec<Request> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "s3cret").unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::Relaxed) % 2 {
        0 => (500, "x-clickhouse-exception-code: 210\n\nCode: 210. DB::NetException".to_owned()),
        _ => (200, String::new()),
    });
    let config = format!(
        "[[to]]\nkind = \"clickhouse\"\nurl = {:?}\nuser = \"daylight\"\npassword_file = \"password\"",
        server.url
    );
    let exporter = start(&config, folder.path());
    hand_over(&exporter, numbers);
    let status = finish(exporter).remove(0);
    assert!(status.retries >= 1, "{status:?}");
    server.requests()
}

#[test]
fn a_batch_that_is_sent_again_is_the_same_batch() {
    let requests = requests(0..100);
    for pair in requests.chunks(2) {
        assert_eq!(pair[0].line, pair[1].line);
        assert_eq!(pair[0].body, pair[1].body);
    }
    let asked = parameters(&requests[0]);
    assert_eq!(asked["query"], "INSERT INTO daylight.flows_local FORMAT JSONEachRow");
    assert_eq!(asked["async_insert"], "0");
    assert!(!asked["insert_deduplication_token"].is_empty());
    assert_eq!(requests[0].header("x-clickhouse-user"), Some("daylight"));
    assert_eq!(requests[0].header("x-clickhouse-key"), Some("s3cret"));
    assert!(!requests[0].line.contains("s3cret"));
}

#[test]
fn rows_that_the_table_does_not_take_are_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|request| {
        let bad = String::from_utf8_lossy(&request.body).contains("h3.example");
        let error = "x-clickhouse-exception-code: 27\n\nCode: 27. DB::Exception: Cannot parse input";
        if bad { (400, error.to_owned()) } else { (200, String::new()) }
    });
    let exporter = start(&format!("[[to]]\nkind = \"clickhouse\"\nurl = {:?}", server.url), folder.path());
    hand_over(&exporter, 0..70);
    let status = finish(exporter).remove(0);
    let bad = (0..70).filter(|n| n % 7 == 3 && n % 11 != 0).count() as u64;
    assert_eq!((status.refused, status.reader.acknowledged), (bad, 70));
    assert!(status.error.is_none_or(|error| error.contains("Cannot parse input")));
}

const QUERIES: &[(&str, &str)] = &[
    ("flows", "SELECT count(), sum(src_bytes) FROM daylight.flows"),
    ("again", "SELECT count() FROM daylight.flows_local FINAL"),
    ("names", r#"SELECT uniq("tls_version"), max(application) FROM daylight.flows"#),
    ("tuple", r#"SELECT count("tls.sni"), count("tls.cipher") FROM daylight.flows"#),
    ("hostile", "SELECT DISTINCT hostname FROM daylight.flows WHERE src_ip = '2001:db8::1'"),
    ("time", "SELECT toString(min(start)), toString(max(end)) FROM daylight.flows"),
    ("risks", "SELECT count(), any(risks.severity[1]) FROM daylight.flows WHERE notEmpty(risks)"),
    (
        "evidence",
        "SELECT risks.evidence FROM daylight.flows WHERE risk_severity = 'high' ORDER BY start LIMIT 1",
    ),
    (
        "applications",
        "SELECT application, sum(flows), sum(src_bytes), sum(dst_bytes) FROM daylight.flows_1m GROUP BY application ORDER BY application",
    ),
    ("minutes", "SELECT uniqExact(time) FROM daylight.flows_1m"),
    ("five", "SELECT uniqExact(time), sum(flows) FROM daylight.flows_5m"),
    ("hours", "SELECT sum(flows), sum(dst_packets) FROM daylight.flows_1h"),
    ("hosts", "SELECT hostname, sum(flows) FROM daylight.hosts_1h GROUP BY hostname ORDER BY hostname"),
    (
        "talkers",
        "SELECT src_ip, sum(flows) FROM daylight.talkers_1h GROUP BY src_ip ORDER BY sum(flows) DESC, src_ip LIMIT 2",
    ),
    ("risk", "SELECT risk, severity, side, sum(flows) FROM daylight.risks_1h GROUP BY ALL"),
    ("in_prefix", "SELECT count() FROM daylight.flows WHERE isIPAddressInRange(src_ip, '10.0.0.0/28')"),
    ("unknown", "SELECT count() FROM system.columns WHERE database = 'daylight' AND table = 'flows_local'"),
];

#[test]
fn the_engine_takes_the_tables_and_the_rows_and_counts_each_once() {
    let Some(python) = python("chdb") else { return };
    let folder = tempfile::tempdir().unwrap();
    let options = SchemaOptions::default();
    // TTLs would remove what is of 2024 at the first merge.
    let lasting = SchemaOptions { flows_days: 20_000, rollup_days: [20_000; 3], ..options.clone() };
    let inserts: Vec<Value> = requests(0..1000)
        .into_iter()
        .map(|request| {
            let mut settings = parameters(&request);
            let query = settings.remove("query").unwrap();
            json!({ "query": query, "settings": settings, "body": String::from_utf8(request.body).unwrap() })
        })
        .collect();
    assert!(inserts.len() >= 2);
    let mut statements = schema(&lasting);
    // Again, as whoever starts a new version does.
    statements.extend(schema(&options));
    statements.extend(extend(&options));
    let ask = json!({
        "path": folder.path().join("db"),
        "statements": statements,
        "inserts": inserts,
        "queries": QUERIES.iter().map(|(_, query)| query).collect::<Vec<_>>(),
    });
    let path: PathBuf = folder.path().join("ask.json");
    std::fs::write(&path, ask.to_string()).unwrap();
    let said = script(&python, "clickhouse.py", &[path.to_str().unwrap()]);
    let answers: Vec<Value> = serde_json::from_str(&said).unwrap();
    let answer = |name: &str| {
        let at = QUERIES.iter().position(|(n, _)| *n == name).unwrap();
        answers[at].clone()
    };
    let bytes: u64 = (0..1000).map(|n| record(n).src.bytes).sum();
    assert_eq!(answer("flows"), json!([[1000, bytes]]));
    assert_eq!(answer("again"), json!([[1000]]));
    assert_eq!(answer("names"), json!([[1, "youtube"]]));
    assert_eq!(answer("tuple"), json!([[0, 0]]));
    assert_eq!(answer("hostile"), json!([[HOSTILE]]));
    assert_eq!(answer("time"), json!([["2024-01-01 00:00:00.000000000", "2024-01-01 00:16:40.500006994"]]));
    assert_eq!(answer("risks"), json!([[100, "high"]]));
    assert_eq!(answer("evidence"), json!([[[format!("http.form=pass0;{HOSTILE}")]]]));
    let of = |n: u64, i: usize| {
        ["youtube", "wikipedia", "example"][n as usize % 3] == ["example", "wikipedia", "youtube"][i]
    };
    for (i, row) in answer("applications").as_array().unwrap().iter().enumerate() {
        let records: Vec<_> = (0..1000).filter(|n| of(*n, i)).map(record).collect();
        let src: u64 = records.iter().map(|r| r.src.bytes).sum();
        let dst: u64 = records.iter().map(|r| r.dst.bytes).sum();
        assert_eq!(*row, json!([records[0].application, records.len(), src, dst]));
    }
    assert_eq!(answer("minutes"), json!([[17]]));
    assert_eq!(answer("five"), json!([[4, 1000]]));
    assert_eq!(answer("hours"), json!([[1000, 20_000]]));
    let hosts = answer("hosts");
    assert_eq!(hosts[0], json!([HOSTILE, 91]));
    assert_eq!(hosts.as_array().unwrap().iter().map(|row| row[1].as_u64().unwrap()).sum::<u64>(), 1000);
    assert_eq!(answer("talkers")[0], json!(["2001:db8::1", 91]));
    assert_eq!(answer("risk"), json!([["clear-text-credentials", "high", "client", 100]]));
    let near = (0..1000).filter(|n| n % 50 < 16 && n % 11 != 0).count();
    assert_eq!(answer("in_prefix"), json!([[near]]));
}
