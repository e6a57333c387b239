//! Risks to webhooks, syslog and OpenTelemetry.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use daylight_export::alarm::cef;
use serde_json::Value;

use crate::peers::{
    HOSTILE, Running, Server, finish, free_port, hand_over, python, run, script, start, wait_for,
    wait_for_port,
};

/// With these, each of the risks is told of.
const ALL: &str = "severity_min = \"low\"\nwindow_s = 0\nper_minute = 1000000\n";

#[test]
fn a_webhook_is_signed_tried_again_and_never_redirected() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = Server::start(|_| (200, String::new()));
    let location = format!("location: {}\n\n", elsewhere.url);
    let mut answers = [(503, String::new()), (302, location), (429, String::new())].into_iter();
    // Never takes the risk of the third record that has one.
    let server = Server::start(move |request| {
        let refused = String::from_utf8_lossy(&request.body).contains("pass20;");
        answers.next().unwrap_or_else(|| (if refused { 422 } else { 204 }, String::new()))
    });
    std::fs::write(folder.path().join("key"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    let url = &server.url;
    let config =
        format!("[[to]]\nkind = \"webhook\"\nurl = \"{url}/hook?x=1\"\nsecret_file = \"key\"\n{ALL}");
    let exporter = start(&config, folder.path());
    hand_over(&exporter, 0..50);
    let status = finish(exporter).remove(0);
    assert_eq!(
        (status.retries, status.held_back.refused, status.reader.acknowledged),
        (3, 1, 50),
        "{status:?}"
    );
    assert!(elsewhere.requests().is_empty(), "a redirect was followed");
    let requests = server.requests();
    assert_eq!(requests.len(), 5 + 3);
    let bodies: Vec<Value> = requests.iter().map(|r| serde_json::from_slice(&r.body).unwrap()).collect();
    assert!(bodies[..4].iter().all(|body| *body == bodies[0]), "the same again");
    let first = &requests[3];
    assert_eq!(first.line, "POST /hook?x=1 HTTP/1.1");
    let body = &bodies[3];
    assert_eq!(
        (&body["type"], &body["timestamp"]),
        (&"daylight.risk".into(), &"2024-01-01T00:00:01.500000001Z".into())
    );
    assert_eq!(body["data"]["risk"], "clear-text-credentials");
    assert_eq!(body["data"]["hostname"], HOSTILE);
    assert_eq!(body["data"]["evidence"], format!("http.form=pass0;{HOSTILE}"));
    assert_eq!(first.header("webhook-id"), body["data"]["id"].as_str());
    // The library of the specification's authors says whether it is signed.
    let Some(python) = python("standardwebhooks") else { return };
    let path = folder.path().join("request.json");
    let headers: serde_json::Map<String, Value> =
        first.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let text = serde_json::json!({ "headers": headers, "body": String::from_utf8_lossy(&first.body) });
    std::fs::write(&path, text.to_string()).unwrap();
    let said =
        script(&python, "webhook.py", &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", path.to_str().unwrap()]);
    assert_eq!(said.trim(), "verified; a changed body is not");
}

#[test]
fn the_same_is_told_of_once_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_| (200, String::new()));
    let config = format!(
        "[[to]]\nkind = \"webhook\"\nurl = {:?}\nseverity_min = \"low\"\nsame = \"server\"\nwindow_s = 3600\n",
        server.url
    );
    let exporter = start(&config, folder.path());
    hand_over(&exporter, 0..400);
    let status = finish(exporter).remove(0);
    let bodies: Vec<Value> =
        server.requests().iter().map(|r| serde_json::from_slice(&r.body).unwrap()).collect();
    // Seven names and the hostile one; at the end each once more, with the count of the rest.
    assert_eq!(bodies.len(), 16);
    let counts: u64 = bodies.iter().map(|body| body["data"]["count"].as_u64().unwrap()).sum();
    assert_eq!(counts, 40, "all of them are told of");
    assert_eq!(status.held_back.repeated, 32);
    assert!(bodies[15]["data"]["id"].as_str().unwrap().ends_with("-again"));
}

/// Messages of records 0 to `n`, of which each tenth has a risk.
fn send(to: &str, folder: &Path, n: u64) {
    let exporter = start(&format!("[[to]]\nkind = \"syslog\"\n{to}\n{ALL}"), folder);
    hand_over(&exporter, 0..n);
    finish(exporter);
}

#[test]
fn syslog_over_udp_and_to_the_systems_socket() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = folder.path().join("log");
    let local = UnixDatagram::bind(&socket).unwrap();
    for to in [
        format!("address = \"{}\"", receiver.local_addr().unwrap()),
        format!("over = \"unix\"\npath = {socket:?}"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        send(&to, folder.path(), 30);
        for n in 0..3 {
            let mut buffer = [0; 4096];
            let len = if to.starts_with("address") {
                receiver.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                receiver.recv(&mut buffer).unwrap()
            } else {
                local.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
                local.recv(&mut buffer).unwrap()
            };
            let text = std::str::from_utf8(&buffer[..len]).unwrap();
            assert!(text.starts_with("<13"), "{text}");
            assert!(
                text.contains(" north daylight ") && text.contains(&format!("http.form\\=pass{};", n * 10)),
                "{text}"
            );
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
}

#[test]
fn syslog_over_tcp_is_read_by_rsyslog_which_is_killed_in_between() {
    let folder = tempfile::tempdir().unwrap();
    let (port, out) = (free_port(), folder.path().join("out.jsonl"));
    let config = folder.path().join("rsyslog.conf");
    let text = format!(
        "module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")\n\
         template(name=\"json\" type=\"list\" option.jsonf=\"on\") {{\n\
         property(outname=\"pri\" name=\"pri\" format=\"jsonf\")\nproperty(outname=\"host\" name=\"hostname\" format=\"jsonf\")\n\
         property(outname=\"app\" name=\"app-name\" format=\"jsonf\")\nproperty(outname=\"version\" name=\"protocol-version\" format=\"jsonf\")\n\
         property(outname=\"msgid\" name=\"msgid\" format=\"jsonf\")\nproperty(outname=\"time\" name=\"timereported\" dateFormat=\"rfc3339\" format=\"jsonf\")\n\
         property(outname=\"msg\" name=\"msg\" format=\"jsonf\")\n}}\n\
         action(type=\"omfile\" file=\"{}\" template=\"json\")\n",
        out.display()
    );
    std::fs::write(&config, text).unwrap();
    let pid = folder.path().join("pid");
    let start_server = || {
        let args = ["-n", "-f", config.to_str().unwrap(), "-i", pid.to_str().unwrap()];
        let server = run("rsyslogd", &args, &folder.path().join("rsyslog.log"))?;
        wait_for_port(port);
        Some(server)
    };
    let Some(server) = start_server() else { return };
    let to = format!("[[to]]\nkind = \"syslog\"\nover = \"tcp\"\naddress = \"127.0.0.1:{port}\"\n{ALL}");
    let exporter = start(&to, folder.path());
    let lines = || std::fs::read_to_string(&out).unwrap_or_default().lines().count();
    hand_over(&exporter, 0..200);
    wait_for("it reads", lines, |n| *n == 20);
    drop(server);
    let _ = std::fs::remove_file(&pid);
    hand_over(&exporter, 200..300);
    wait_for("it is missed", || exporter.statuses()[0].retries, |n| *n > 1);
    let _server = start_server().unwrap();
    finish(exporter);
    wait_for("it reads on", lines, |n| *n == 30);
    for (line, n) in std::fs::read_to_string(&out).unwrap().lines().zip((0..).step_by(10)) {
        let value: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| value[name].as_str().unwrap().to_owned();
        let read = ["host", "app", "version", "msgid"].map(field);
        assert_eq!(read, ["north", "daylight", "1", "risk"], "{line}");
        let seconds = n + 1;
        let begin = format!("2024-01-01T00:{:02}:{:02}.5000", seconds / 60, seconds % 60);
        assert!(field("time").starts_with(&begin), "{line}");
        let msg = field("msg");
        assert!(msg.starts_with("CEF:0|Daylight|Daylight|"), "{line}");
        assert!(msg.contains(&format!("http.form\\=pass{n};")), "{line}");
    }
}

#[test]
fn syslog_over_tls_is_read_by_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("cert.pem"), key.cert.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), key.signing_key.serialize_pem()).unwrap();
    let (port, out) = (free_port(), folder.path().join("out"));
    let server = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &port.to_string(), "-cert", "cert.pem", "-key", "key.pem"])
        .current_dir(folder.path())
        // It ends when its input does.
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(&out).unwrap())
        .spawn();
    let Ok(server) = server else { return eprintln!("needs openssl") };
    let _server = Running(server);
    wait_for_port(port);
    let to = |ca: &str| format!("over = \"tls\"\naddress = \"localhost:{port}\"\n{ca}");
    // Without the certificate nothing is said.
    let exporter = start(&format!("[[to]]\nkind = \"syslog\"\n{}\n{ALL}", to("")), folder.path());
    hand_over(&exporter, 0..30);
    wait_for("it is refused", || exporter.statuses()[0].error.clone(), Option::is_some);
    exporter.finish(Duration::ZERO);
    assert_eq!(std::fs::metadata(&out).unwrap().len(), 0);
    send(&to("tls_ca = \"cert.pem\""), folder.path(), 0);
    let text =
        wait_for("it is read", || std::fs::read_to_string(&out).unwrap(), |text| text.contains("pass20"));
    let mut rest = &*text;
    for _ in 0..3 {
        // Octet counting: the length, a space, and so many bytes.
        let (len, behind) = rest.split_once(' ').unwrap();
        let (message, next) = behind.split_at(len.parse().unwrap());
        assert!(message.starts_with("<13") && message.contains("CEF:0|Daylight"), "{message}");
        rest = next;
    }
    assert_eq!(rest, "");
}

#[test]
fn otlp_is_read_by_the_schema_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_| (200, "{}".to_owned()));
    let config = format!(
        "[[to]]\nkind = \"otlp\"\nurl = \"{}/v1/logs\"\nheaders = {{ api-key = \"k\" }}\n{ALL}",
        server.url
    );
    let exporter = start(&config, folder.path());
    hand_over(&exporter, 0..30);
    finish(exporter);
    let requests = server.requests();
    assert_eq!(requests[0].line, "POST /v1/logs HTTP/1.1");
    assert_eq!(requests[0].header("api-key"), Some("k"));
    let records: usize = requests
        .iter()
        .map(|request| {
            let value: Value = serde_json::from_slice(&request.body).unwrap();
            value["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().len()
        })
        .sum();
    assert_eq!(records, 3);
    let Some(python) = python("opentelemetry.proto.collector.logs.v1.logs_service_pb2") else { return };
    let path = folder.path().join("request.json");
    std::fs::write(&path, &requests[0].body).unwrap();
    let said = script(&python, "otlp.py", &[path.to_str().unwrap()]);
    let first: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!(first["service"], "daylight");
    assert_eq!(first["time"], "1704067201500000001");
    assert_eq!(first["severity"], "SEVERITY_NUMBER_ERROR");
    assert_eq!(first["attributes"]["server.address"], HOSTILE);
    assert_eq!(first["attributes"]["server.port"], 443);
}

/// A name that is made to look like another message is one message, in every form that has lines.
#[test]
fn hostile_names_stay_where_they_are() {
    let alarm = daylight_export::alarm::Alarm {
        hostname: HOSTILE.to_owned(),
        sensor: HOSTILE.to_owned(),
        evidence: HOSTILE.to_owned(),
        risk: HOSTILE.to_owned(),
        ..Default::default()
    };
    let syslog = daylight_export::alarm::syslog::message(&alarm, 16, 1);
    for line in [cef::line(&alarm), syslog] {
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    for json in
        [daylight_export::alarm::webhook::body(&alarm), daylight_export::alarm::otlp::request(&[alarm], 0)]
    {
        assert!(!json.bytes().any(|byte| byte < 0x20), "{json}");
        let _: Value = serde_json::from_str(&json).unwrap();
    }
}
