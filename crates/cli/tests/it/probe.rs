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

/// A handshake, a hello, and what a filter known from Egypt sent in the server's name; then what the server did.
fn injected() -> Vec<u8> {
    use daylight_packet::build::{Tcp, tcp};
    let [client, server] = ["192.0.2.7", "203.0.113.80"].map(|end| end.parse().expect("an address"));
    let packet = |from_client: bool, seq: u32, ack: u32, flags: u8, payload: &'static [u8]| {
        let (source, destination) = if from_client { (client, server) } else { (server, client) };
        let [source_port, destination_port] = if from_client { [50_000, 80] } else { [80, 50_000] };
        let ttl = if from_client { 64 } else { 52 };
        Tcp {
            source,
            destination,
            source_port,
            destination_port,
            seq,
            ack,
            flags,
            window: 502,
            ttl,
            payload,
            ..Tcp::default()
        }
    };
    let request = b"GET / HTTP/1.1\r\nHost: blocked.example\r\n\r\n";
    let reset =
        Tcp { ttl: 60, ip_id: 0x1234, dont_fragment: false, window: 0, ..packet(false, 901, 0, 4, b"") };
    let packets = [
        packet(true, 100, 0, 2, b""),
        packet(false, 900, 101, 18, b""),
        packet(true, 101, 901, 24, request),
        reset,
        packet(false, 901, 142, 24, b"HTTP/1.1 200 OK\r\n\r\nhere I am"),
    ];
    let mut writer = daylight_capture::PcapWriter::new(Vec::new(), daylight_packet::LinkType::RAW, 65535)
        .expect("a writer");
    for (n, packet) in packets.iter().enumerate() {
        let bytes = tcp(packet);
        let at = 1_596_931_200_000_000_000 + n as i64 * 20_000_000;
        writer.write(at, bytes.len() as u32, &bytes).expect("written");
    }
    writer.into_inner()
}

#[test]
fn packets_that_are_not_the_servers() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    fs::write(at.join("a.pcap"), injected()).expect("written");
    let output = probe(at, &["packets", "a.pcap", "--hex"]);
    let text = told(&output);
    assert!(output.status.success(), "{text}");
    for expected in [
        "a.pcap: 5 packets, 1 connections: 1 with injected packets",
        "injected: 192.0.2.7:50000 → 203.0.113.80:80, http blocked.example",
        "       4  injected  rst        TTL 60  id 0x1234 --",
        "server-went-on: 28 bytes 20.0 ms later [#5]",
        "equipment: Sandvine PacketLogic (packetlogic-egypt, kind=rst/rst-ack",
        "0000  45 00 00 28 12 34 00 00 3c 06",
        "* 0008-0008  Time to Live           60",
    ] {
        assert!(text.contains(expected), "no {expected:?} in:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");

    let output = probe(at, &["packets", "a.pcap", "a.pcap", "--json"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["file"], &lines[0]["verdict"]), (&"a.pcap".into(), &"injected".into()));
    assert_eq!(lines[0]["packets"][0]["number"], 4);
    assert_eq!(lines[0]["signatures"][0]["vendor"], "Sandvine PacketLogic");

    // Cut short in its last packet; no capture at all; signatures that say too much.
    let whole = injected();
    fs::write(at.join("cut.pcap"), &whole[..whole.len() - 3]).expect("written");
    let output = probe(at, &["packets", "cut.pcap"]);
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    assert!(told(&output).contains("what came before was looked at"));
    let output = probe(at, &["packets", "none.pcap"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("none.pcap: no such file"), "{}", told(&output));
    let one = "version = '1'\n[[signature]]\nid = 'a'\nvendor = 'X'\nclass = 'c'\nsource = 's'\nfeatures = { ip-id = 7 }\n";
    fs::write(at.join("s.toml"), one).expect("written");
    let output = probe(at, &["packets", "a.pcap", "--signatures", "s.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        told(&output).contains("s.toml:4:10: signature `a` names `X` on 1 independent"),
        "{}",
        told(&output)
    );
}
