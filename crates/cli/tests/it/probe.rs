//! `daylight probe`, but for what goes over a network.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::daylight;

/// The system's resolver says that there is no such name; the control has it, and the page.
const MEASUREMENT: &str = r#"{"input":"https://blocked.example/","report_id":"","measurement_start_time":"2020-08-09 20:00:00",
"test_start_time":"2020-08-09 20:00:00","probe_asn":"AS64500","probe_cc":"BY","test_name":"web_connectivity","test_version":"0.4.3",
"test_runtime":1.5,"software_name":"test","software_version":"1","test_keys":{"queries":[{"engine":"system",
"hostname":"blocked.example","query_type":"A","failure":"dns_nxdomain_error","answers":null}],"control":{"dns":{"failure":null,
"addrs":["93.184.216.34"]},"tcp_connect":{},"http_request":{"failure":null,"status_code":200,"body_length":1000,"title":"A page",
"headers":{}}},"control_failure":null,"tcp_connect":[],"requests":[{"failure":"dns_nxdomain_error",
"request":{"url":"https://blocked.example/"},"response":{}}]}}"#;

fn probe(folder: &Path, args: &[&str]) -> Output {
    daylight().arg("probe").args(args).current_dir(folder).output().expect("daylight")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn from_a_measurement_to_evidence() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    fs::create_dir(at.join("study")).expect("a folder");
    fs::write(at.join("measurements.jsonl"), MEASUREMENT.replace('\n', "") + "\n").expect("written");

    let explained = probe(at, &["classify", "measurements.jsonl", "--explain"]);
    assert!(explained.status.success(), "{}", told(&explained));
    assert!(told(&explained).contains("OONI's own analysis: blocking \"dns\""), "{}", told(&explained));
    let verdicts = probe(at, &["classify", "measurements.jsonl"]);
    let record: serde_json::Value = serde_json::from_slice(&verdicts.stdout).expect("a record");
    assert_eq!(record["mechanism"], "dns.nxdomain", "{record}");
    assert_eq!((&record["network"]["asn"], &record["classic"]["blocking"]), (&64500.into(), &"dns".into()));
    fs::write(at.join("study/verdicts.jsonl"), &verdicts.stdout).expect("written");

    // As archives have it, and from another program.
    let packed = zstd::encode_all(MEASUREMENT.as_bytes(), 1).expect("packed");
    fs::create_dir(at.join("archive")).expect("a folder");
    fs::write(at.join("archive/2020-08.jsonl.zst"), &packed).expect("written");
    let piped = fs::File::open(at.join("archive/2020-08.jsonl.zst")).expect("a file");
    let piped = daylight().args(["probe", "classify", "-"]).stdin(piped).output().expect("daylight");
    for output in [probe(at, &["classify", "archive"]), piped] {
        assert!(told(&output).contains("\"mechanism\":\"dns.nxdomain\""), "{}", told(&output));
    }

    let report = probe(at, &["report", "study", "--output", "report", "--title", "A quiet day"]);
    assert!(report.status.success(), "{}", told(&report));
    let page = fs::read_to_string(at.join("report/report.html")).expect("a page");
    assert!(page.contains("A quiet day") && page.contains("blocked.example"));

    let bundled = probe(at, &["bundle", "study", "evidence.tar.zst"]);
    assert!(bundled.status.success(), "{}", told(&bundled));
    let verified = probe(at, &["verify", "evidence.tar.zst"]);
    assert!(verified.status.success() && told(&verified).contains("all as the manifest says"));
    let mut bytes = fs::read(at.join("evidence.tar.zst")).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(at.join("evidence.tar.zst"), bytes).expect("written");
    assert!(!probe(at, &["verify", "evidence.tar.zst"]).status.success());
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    fs::write(at.join("broken.jsonl"), format!("{}\n{{\"input\":\n", MEASUREMENT.replace('\n', "")))
        .expect("written");
    let broken = probe(at, &["classify", "broken.jsonl"]);
    assert_eq!(broken.status.code(), Some(3), "{}", told(&broken));
    assert!(
        told(&broken).contains("broken.jsonl:2") && told(&broken).contains("dns.nxdomain"),
        "{}",
        told(&broken)
    );
    for (args, what) in [
        (&["classify", "nowhere.jsonl"][..], "nowhere.jsonl"),
        (&["run", "--dry-run"], "nothing to measure"),
        (&["run", "--dry-run", "--service", "nothing"], "there is no service"),
        (&["run", "--dry-run", "https://"], "https://"),
        (&["run", "https://site.example/"], "--yes"),
        (&["run", "--resolver", "dns.example", "site.example"], "is no address"),
        (&["verify", "nowhere.tar.zst"], "nowhere.tar.zst"),
        (&["report", "nowhere"], "nowhere"),
    ] {
        let output = daylight()
            .arg("probe")
            .args(args)
            .current_dir(at)
            .env("XDG_STATE_HOME", at.join("state"))
            .stdin(std::process::Stdio::null())
            .output()
            .expect("daylight");
        assert!(!output.status.success() && told(&output).contains(what), "{args:?}: {}", told(&output));
    }
}

#[test]
fn a_preview_sends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = "url,category_code,category_description,date_added,source,notes\n\
                https://news.example/,NEWS,News Media,2020-08-09,test,\nhttps://other.example/,PORN,Pornography,2020-08-09,test,\n";
    fs::write(folder.path().join("list.csv"), list).expect("written");
    let args =
        ["run", "--dry-run", "--list", "list.csv", "--without", "porn", "--service", "signal", "--seed", "7"];
    let shown = probe(folder.path(), &args);
    let text = told(&shown);
    assert!(shown.status.success() && text.contains("https://news.example/  (NEWS)"), "{text}");
    assert!(text.contains("Left out: PORN 1") && !text.contains("other.example"), "{text}");
    assert!(!folder.path().join("measurements.jsonl").exists());
}
