//! What is asked, and what comes of it.

use daylight_query::questions::{self, Question};
use daylight_query::{Embedded, EmbeddedOptions, Engine, FUNCTIONS, VIEWS};

use crate::{Asker, asked_of, between, csv, filled, flow, records, run, store};

#[test]
fn all_columns_of_all_files() {
    let store = store();
    let asker = Asker::new(store.path());
    let ask = |sql: &str| asker.ask(sql);
    assert_eq!(ask("SELECT count(*) FROM flows"), ["10"]);
    assert_eq!(
        ask("SELECT hostname, sum(dst_bytes) FROM flows WHERE application = 'example' GROUP BY 1 ORDER BY 1"),
        ["cdn.example.org,1000", "www.example.org,2000"]
    );
    // Columns that some files lack, or all.
    assert_eq!(ask("SELECT count(ja4), count(\"tls.sni\"), count(\"smb1.dialect\") FROM flows"), ["6,6,0"]);
    // With a dot in the name, with quotes and without, with the table and without.
    for name in ["\"tls.sni\"", "tls.sni", "TLS.SNI", "f.\"tls.sni\"", "f.tls.sni", "flows.tls.sni"] {
        let from = if name.starts_with("f.") { "flows AS f" } else { "flows" };
        let sql = format!(
            "SELECT count(*) FROM {from} WHERE {name} LIKE '%.example.org' GROUP BY {name} ORDER BY 1"
        );
        assert_eq!(ask(&sql), ["1", "2"], "{sql}");
    }
    assert_eq!(ask("SELECT count(*) FROM flows WHERE array_has(tls.alpn_offered, 'h2')"), ["6"]);
    assert_eq!(ask("SELECT DISTINCT src_ip FROM flows ORDER BY 1"), ["10.0.0.1", "2001:db8::5"]);
    assert_eq!(ask("SELECT max(\"end\") FROM flows"), ["2026-03-01T12:10:00Z"]);
    assert_eq!(
        ask("SELECT day, hour, count(*) FROM flows GROUP BY 1, 2 ORDER BY 1, 2"),
        ["2026-03-01,10,7", "2026-03-01,11,2", "2026-03-01,12,1"]
    );
}

/// Only the folders that can hold something are looked into: the plan names the files.
#[test]
fn hours_are_left_out() {
    let store = store();
    let asker = Asker::new(store.path());
    let files = |sql: &str| {
        let plan = asker.ask(&format!("EXPLAIN {sql}")).join("\n");
        ["hour=10", "hour=11", "hour=12"].into_iter().filter(|hour| plan.contains(hour)).collect::<Vec<_>>()
    };
    assert_eq!(files("SELECT * FROM flows"), ["hour=10", "hour=11", "hour=12"]);
    assert_eq!(files("SELECT * FROM flows WHERE hour = 11"), ["hour=11"]);
    assert_eq!(files("SELECT * FROM flows WHERE day = '2026-03-01' AND hour >= 11"), ["hour=11", "hour=12"]);
    assert_eq!(files("SELECT * FROM flows WHERE \"end\" >= '2026-03-01T11:00:00Z'"), ["hour=11", "hour=12"]);
    assert_eq!(files("SELECT * FROM flows WHERE \"end\" < '2026-03-01T11:00:00Z'"), ["hour=10", "hour=11"]);
    assert_eq!(
        files("SELECT * FROM flows WHERE \"end\" BETWEEN '2026-03-01T11:10:00Z' AND '2026-03-01T11:20:00Z'"),
        ["hour=11"]
    );
    assert_eq!(files("SELECT * FROM applications_by_hour WHERE hour = 12"), ["hour=12"]);
    assert_eq!(files("SELECT * FROM flows WHERE day > '2026-03-01'"), [""; 0]);
    assert_eq!(asker.ask("SELECT count(*) FROM flows WHERE day > '2026-03-01'"), ["0"]);
}

#[test]
fn times() {
    let store = store();
    let count = |since, until| {
        let options = EmbeddedOptions { times: between(since, until), ..EmbeddedOptions::new(store.path()) };
        asked_of(options, "SELECT count(*) FROM flows").unwrap().0
    };
    assert_eq!(count(0, 200), ["10"]);
    assert_eq!(count(1, 200), ["9"], "what ends before isn't in it");
    assert_eq!(count(0, 130), ["9"], "what ends then isn't in it any more");
    assert_eq!(count(5, 81), ["8"]);
    // Views and questions look at the same flows.
    let options = EmbeddedOptions { times: between(60, 90), ..EmbeddedOptions::new(store.path()) };
    let rows = asked_of(options, "SELECT sum(flows) FROM applications_by_hour").unwrap().0;
    assert_eq!(rows, ["2"]);
}

#[test]
fn every_view() {
    let store = store();
    let asker = Asker::new(store.path());
    for view in VIEWS {
        let rows = asker.ask(&format!("SELECT * FROM {}", view.name));
        assert!(!rows.is_empty(), "{}", view.name);
    }
    let ask = |sql: &str| asker.ask(sql);
    assert_eq!(
        ask(
            "SELECT hour, flows, clients, bytes FROM applications_by_hour WHERE application = 'example' ORDER BY hour"
        ),
        ["10,2,1,2201", "11,1,1,1104"]
    );
    assert_eq!(ask("SELECT flows, clients FROM protocols_by_hour WHERE protocol = 'dns'"), ["3,1"]);
    assert_eq!(
        ask("SELECT host, flows FROM hosts_by_hour WHERE hour = 10 ORDER BY flows DESC, host LIMIT 2"),
        ["nowhere.example,3", "203.0.113.5,1"]
    );
    assert_eq!(
        ask("SELECT risk, severity, count(*) FROM risks GROUP BY 1, 2 ORDER BY 1"),
        ["clear-text-credentials,high,3", "malformed-packet,medium,3"]
    );
    assert_eq!(
        ask("SELECT DISTINCT evidence FROM risks WHERE risk = 'malformed-packet'"),
        ["dns.z=1\u{fffd}[31m"]
    );
    assert_eq!(ask("SELECT query, rcode, count(*) FROM dns GROUP BY 1, 2"), ["nowhere.example,NXDOMAIN,3"]);
    assert_eq!(
        ask("SELECT ja4, flows, hosts FROM tls_fingerprints WHERE hour = 10 ORDER BY ja4"),
        ["t13d_0,2,2", "t13d_1,1,1"]
    );
    assert_eq!(
        ask("SELECT src_ip, flows, flows_with_risks FROM clients_by_hour WHERE hour = 10 ORDER BY 1"),
        ["10.0.0.1,4,0", "2001:db8::5,3,3"]
    );
    assert_eq!(ask("SELECT sum(flows) FROM talkers"), ["10"]);
}

#[test]
fn which_tables_there_are() {
    let store = store();
    let asker = Asker::new(store.path());
    let tables = asker.ask("SHOW TABLES").join("\n");
    for name in VIEWS.iter().map(|view| view.name).chain(["flows"]) {
        assert!(tables.contains(&format!(",{name},")), "{tables}");
    }
    assert!(asker.ask("DESCRIBE flows").len() > 700);
}

#[test]
fn every_function() {
    let store = store();
    let asker = Asker::new(store.path());
    let ask = |sql: &str| asker.ask(sql);
    assert_eq!(FUNCTIONS.len(), 5);
    assert_eq!(ask("SELECT count(*) FROM flows WHERE in_prefix(src_ip, '10.0.0.0/8')"), ["7"]);
    assert_eq!(
        ask("SELECT count(*) FROM flows WHERE in_prefix(src_ip, '10.0.0.0/8, 2001:db8::/32')"),
        ["10"]
    );
    assert_eq!(
        ask(
            "SELECT in_prefix('x', '10.0.0.0/8'), in_prefix(NULL, '10.0.0.0/8'), in_prefix('::ffff:10.1.1.1', '10.0.0.0/8')"
        ),
        [",,true"]
    );
    assert_eq!(
        ask("SELECT DISTINCT prefix(src_ip, 24) FROM flows ORDER BY 1"),
        ["10.0.0.0/24", "2001:d00::/24"]
    );
    assert_eq!(ask("SELECT registrable_domain(hostname) AS d, count(*) FROM flows WHERE hostname LIKE '%.%' GROUP BY d ORDER BY d").len(), 4);
    assert_eq!(
        ask(
            "SELECT registrable_domain('www.Example.co.uk.'), registrable_domain('co.uk'), registrable_domain('192.0.2.1')"
        ),
        ["example.co.uk,,"]
    );
    assert_eq!(ask("SELECT count(*) FROM flows WHERE domain_within(hostname, 'example.org')"), ["3"]);
    assert_eq!(
        ask("SELECT bytes_text(1500000), bytes_text(sum(dst_bytes)) FROM flows"),
        ["\"1.5 MB\",\"10.0 kB\""]
    );
}

/// All questions that have a name, each with an answer that is known.
#[test]
fn every_question() {
    let store = store();
    let folder = store.path().to_owned();
    let answers: Vec<(&str, Vec<String>)> = run(async move {
        let engine = Embedded::new(&EmbeddedOptions::new(&folder)).await.unwrap();
        let mut answers = Vec::new();
        for question in questions::all() {
            let given: &[(Option<String>, String)] = &match &*question.name {
                "host" => vec![(None, "www.example.org".to_owned())],
                "domain" => vec![(None, "example.org".to_owned())],
                "network" => vec![(None, "10.0.0.0/8".to_owned())],
                "risk" => vec![(None, "malformed-packet".to_owned())],
                _ => vec![],
            };
            let answer = engine.query(&question.sql, &question.values(given).unwrap()).await;
            let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", question.name));
            answers.push((&*question.name, csv(answer).await.unwrap().0));
        }
        answers
    });
    let first =
        |name: &str| answers.iter().find(|(n, _)| *n == name).map(|(_, rows)| rows[0].clone()).unwrap();
    assert!(answers.len() >= 12);
    for (question, expected) in [
        ("top-applications", ",,6,637,6000,6637"),
        ("top-protocols", "tcp,tls,6,615,6000,6615"),
        ("top-hosts", "nowhere.example,3,1,3321"),
        ("top-domains", "nowhere.example,3,1,3321"),
        ("top-clients", "10.0.0.1,7,1,724,7000,7724"),
        ("top-talkers", "10.0.0.1,203.0.113.5,'=cmd|' /C calc'!A0,7,7724"),
        ("top-ports", "tcp,443,7,2,tls,7724"),
        ("traffic-by-hour", "2026-03-01,10,7,2,733,7000"),
        ("host", "2026-03-01T11:19:58.500Z,10.0.0.1,40000,203.0.113.5,443,tls,example,www.example.org,1104,"),
        ("domain", "www.example.org,2,1,2026-03-01T09:59:58.500Z,2026-03-01T11:20:00Z,2204"),
        ("network", "www.example.org,example,2,1,2204"),
        ("risks", "clear-text-credentials,high,"),
        ("risk", "2026-03-01T10:04:58.500Z,2001:db8::5,203.0.113.5,53,dns,nowhere.example,medium,"),
        ("risky-clients", "2001:db8::5,6,2,3"),
        ("unknown-traffic", "tcp,203.0.113.5,443,1,,1109"),
        ("failed-names", "nowhere.example,NXDOMAIN,3,1"),
        ("dns-servers", "203.0.113.5,dns,3,1"),
        ("tls-versions", "TLSv1.3,6,5,"),
        ("rare-fingerprints", "t13d_0,3,1,"),
        ("longest-flows", "2026-03-01T"),
        ("uploads", "2026-03-01T10:05:58.500Z,10.0.0.1,203.0.113.5,443,,,109,1000"),
        ("sensors", "main,10,2026-03-01T09:59:58.500Z,2026-03-01T12:10:00Z,11045"),
    ] {
        let row = first(question).replace('"', "");
        assert!(row.starts_with(expected), "{question}: {row}");
    }
    assert_eq!(questions::all().len(), 22, "each has its line above");
}

/// A value is a value: it is never read as SQL.
#[test]
fn parameters_are_values() {
    let store = store();
    let folder = store.path().to_owned();
    let rows = run(async move {
        let engine = Embedded::new(&EmbeddedOptions::new(&folder)).await.unwrap();
        let question = Question::named("host").unwrap();
        let values = question.values(&[(None, "' OR 1=1 --".to_owned())]).unwrap();
        csv(engine.query(&question.sql, &values).await.unwrap()).await.unwrap().0
    });
    assert_eq!(rows, [""; 0]);
}

/// What was sorted and grouped beyond the memory allowed went to files, and the answer is the same.
#[test]
fn little_memory() {
    let folder = tempfile::tempdir().unwrap();
    filled(
        folder.path(),
        (0..60_000).map(|number| {
            let mut record = flow(number, (number % 50) as i64);
            record.ends.src_ip = (number as u32 | 0x0a00_0000).to_be_bytes().into();
            record
        }),
    );
    let ask = |memory_bytes, sql: &str| {
        asked_of(EmbeddedOptions { memory_bytes, threads: 1, ..EmbeddedOptions::new(folder.path()) }, sql)
    };
    let sql = "SELECT src_ip, record_id, uid FROM flows ORDER BY record_id DESC";
    let whole = ask(1 << 30, sql).unwrap().0;
    assert_eq!(whole.len(), 60_000);
    assert_eq!(ask(8 << 20, sql).unwrap().0, whole);
    let plan = ask(8 << 20, &format!("EXPLAIN ANALYZE {sql}")).unwrap().0.join("\n");
    assert!(plan.contains("spill_count=") && !plan.contains("spill_count=0,"), "{plan}");
    let error = ask(1 << 18, sql).unwrap_err().to_string();
    assert!(error.contains("more memory than the 0 MiB") && error.contains("--memory"), "{error}");
}

/// A merged hour, and one that is being merged, have each row once.
#[test]
fn merging_changes_no_answer() {
    use daylight_store::folder::{Keeper, KeeperOptions};
    let folder = tempfile::tempdir().unwrap();
    for part in records().chunks(2) {
        filled(folder.path(), part.to_vec());
    }
    let sql = "SELECT record_id, hostname, risks, tls.alpn_offered, \"end\" FROM flows ORDER BY record_id";
    let asker = Asker::new(folder.path());
    let before = asker.ask(sql);
    assert_eq!(before.len(), 10);
    let keeper = Keeper::new(KeeperOptions::new(folder.path()));
    assert!(keeper.compact(false).unwrap().made > 0);
    assert_eq!(asker.ask(sql), before);
    assert!(keeper.compact(true).unwrap().removed_files > 0);
    assert_eq!(asker.ask(sql), before);
}

#[test]
fn a_store_with_nothing_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let asker = Asker::new(folder.path());
    assert_eq!(asker.ask("SELECT count(*) FROM flows"), ["0"]);
    assert_eq!(asker.ask("SELECT * FROM risks"), [""; 0]);
    let missing = folder.path().join("no");
    let error = asked_of(EmbeddedOptions::new(&missing), "SELECT 1").unwrap_err().to_string();
    assert!(error.starts_with("can't read the store") && error.contains("/no"), "{error}");
}
