//! Debian's nats-server, which is killed in the middle.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use async_nats::jetstream::{self, consumer};
use daylight_export::RecordId;
use futures_util::StreamExt;

use crate::peers::{Running, finish, free_port, hand_over, record, run, start, wait_for, wait_for_port};

fn server(folder: &Path, port: u16, more: &str) -> Option<Running> {
    let config = folder.join("nats.conf");
    let store = folder.join("jetstream");
    let text = format!(
        "listen: 127.0.0.1:{port}\njetstream {{ store_dir: {:?} }}\n{more}\n",
        store.display().to_string()
    );
    std::fs::write(&config, text).unwrap();
    let server = run("nats-server", &["-c", config.to_str().unwrap()], &folder.join("nats.log"))?;
    wait_for_port(port);
    Some(server)
}

/// Every message of the stream, by record: how often it is there.
fn messages(url: &str, options: async_nats::ConnectOptions) -> BTreeMap<String, usize> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let context = jetstream::new(options.connect(url).await.unwrap());
        let mut stream = context.get_stream("DAYLIGHT").await.unwrap();
        let expected: u64 = stream.info().await.unwrap().state.messages;
        let config = consumer::pull::OrderedConfig::default();
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut seen = BTreeMap::new();
        let mut messages = consumer.messages().await.unwrap();
        for _ in 0..expected {
            let message = messages.next().await.unwrap().unwrap();
            let value: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
            let id = value["record_id"].as_str().unwrap();
            assert_eq!(message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().as_str(), id);
            assert_eq!(value["sensor"], "north");
            *seen.entry(id.to_owned()).or_default() += 1;
        }
        seen
    })
}

#[test]
fn a_server_that_is_killed_and_comes_back_has_everything_once() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let Some(server_1) = server(folder.path(), port, "") else { return };
    let url = format!("nats://127.0.0.1:{port}");
    let exporter = start(&format!("[[to]]\nkind = \"nats\"\nurls = [{url:?}]"), folder.path());
    hand_over(&exporter, 0..2000);
    wait_for("it begins", || exporter.statuses()[0].reader.acknowledged, |n| *n > 500);
    // SIGKILL, while records are on the way.
    drop(server_1);
    hand_over(&exporter, 2000..3000);
    let status =
        wait_for("it is missed", || exporter.statuses()[0].clone(), |s| s.error.is_some() && s.retries >= 3);
    assert!(status.error.as_ref().unwrap().contains("127.0.0.1"), "{status:?}");
    assert_eq!(exporter.spool().spooled, 3000, "nobody waited for the network");
    let _server = server(folder.path(), port, "").unwrap();
    hand_over(&exporter, 3000..3500);
    let status = finish(exporter).remove(0);
    assert_eq!((status.reader.acknowledged, status.reader.dropped, status.refused), (3500, 0, 0));
    let seen = messages(&url, async_nats::ConnectOptions::new());
    assert_eq!(seen.len(), 3500);
    assert!(seen.values().all(|times| *times == 1), "the server drops what comes twice");
}

const CHILD: &str = "DAYLIGHT_EXPORT_NATS_CHILD";

/// Not a test: the process that is killed while it hands over and sends. It prints each record once it has handed it over.
#[test]
fn child_that_exports() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (folder, url) = told.split_once('|').unwrap();
    let exporter = start(&format!("[[to]]\nkind = \"nats\"\nurls = [{url:?}]"), folder.as_ref());
    for n in 0.. {
        hand_over(&exporter, n..n + 1);
        println!("\nhanded {n}");
    }
}

#[test]
fn a_process_that_is_killed_while_it_sends_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let Some(_server) = server(folder.path(), port, "") else { return };
    let url = format!("nats://127.0.0.1:{port}");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nats::child_that_exports", "--nocapture"])
        .env(CHILD, format!("{}|{url}", folder.path().display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut handed = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let Some(n) = line.strip_prefix("handed ").and_then(|n| n.parse::<u64>().ok()) else { continue };
        handed = n;
        if n == 3000 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    let before = messages(&url, async_nats::ConnectOptions::new()).len() as u64;
    assert!(before > 0 && before < handed, "it was in the middle: {before} of {handed}");
    let exporter = start(&format!("[[to]]\nkind = \"nats\"\nurls = [{url:?}]"), folder.path());
    finish(exporter);
    let seen = messages(&url, async_nats::ConnectOptions::new());
    assert!(seen.values().all(|times| *times == 1));
    // The last one may have been written and not have been told of.
    let count = seen.len() as u64;
    assert!(count == handed + 1 || count == handed + 2, "{count} of {}", handed + 1);
    assert!((0..=handed).all(|n| seen.contains_key(&RecordId::of("north", &record(n)).to_string())));
}

#[test]
fn a_password_and_tls() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, private) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, key.cert.pem()).unwrap();
    std::fs::write(&private, key.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.path().join("password"), "s3cret\n").unwrap();
    let more = format!(
        "tls {{ cert_file: {certificate:?}, key_file: {private:?} }}\nauthorization {{ user: daylight, password: s3cret }}"
    );
    let port = free_port();
    let Some(_server) = server(folder.path(), port, &more) else { return };
    let url = format!("tls://localhost:{port}");
    let config = |more: &str| {
        format!(
            "[[to]]\nkind = \"nats\"\nurls = [{url:?}]\nuser = \"daylight\"\npassword_file = \"password\"\n{more}"
        )
    };
    // Nobody answers for this certificate.
    let exporter = start(&config(""), folder.path());
    hand_over(&exporter, 0..10);
    let status = wait_for("it is refused", || exporter.statuses()[0].clone(), |s| s.error.is_some());
    assert_eq!(status.reader.acknowledged, 0);
    exporter.finish(std::time::Duration::ZERO);
    let exporter = start(&config("tls_ca = \"cert.pem\""), folder.path());
    finish(exporter);
    let options = async_nats::ConnectOptions::new()
        .user_and_password("daylight".into(), "s3cret".into())
        .add_root_certificates(certificate);
    assert_eq!(messages(&url, options).len(), 10);
}
