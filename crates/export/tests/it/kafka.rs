//! The broker that librdkafka brings for tests, in PyPI's confluent-kafka: it speaks the protocol over TCP, and its consumer,
//! which is that library too, reads what arrived.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use crate::peers::{finish, hand_over, python, record, start, wait_for};

/// A mock cluster that is told things by lines.
struct Broker {
    child: Child,
    stdin: ChildStdin,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Broker {
    fn start(python: &Path) -> (Self, String) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kafka.py");
        let mut child =
            Command::new(python).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut broker = Self { stdin: child.stdin.take().unwrap(), child, lines };
        let address = broker.line();
        (broker, address)
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("the broker ended").unwrap()
    }

    fn ask(&mut self, what: &str) -> Value {
        writeln!(self.stdin, "{what}").unwrap();
        serde_json::from_str(&self.line()).unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn records_arrive_by_flow_and_can_be_told_apart() {
    let Some(python) = python("confluent_kafka") else { return };
    let (mut broker, address) = Broker::start(&python);
    let folder = tempfile::tempdir().unwrap();
    let exporter = start(
        &format!("[[to]]\nkind = \"kafka\"\nbrokers = [{address:?}]\ntopic = \"flows\""),
        folder.path(),
    );
    hand_over(&exporter, 0..1000);
    let status = finish(exporter).remove(0);
    assert_eq!((status.reader.acknowledged, status.refused), (1000, 0), "{status:?}");
    let messages = broker.ask("read 1000");
    let messages = messages.as_array().unwrap();
    assert_eq!(messages.len(), 1000);
    let mut uids: Vec<&str> = messages.iter().map(|m| m["key"].as_str().unwrap()).collect();
    uids.sort_unstable();
    let mut expected: Vec<String> = (0..1000).map(|n| record(n).ends.uid.as_str().to_owned()).collect();
    expected.sort_unstable();
    assert_eq!(uids, expected);
    let mut partitions = [0; 4];
    for message in messages {
        let value: Value = serde_json::from_str(message["value"].as_str().unwrap()).unwrap();
        assert_eq!(value["uid"], message["key"]);
        assert_eq!(value["record_id"], message["record_id"]);
        // As the client of others would have placed it.
        assert_eq!(message["partition"], message["expected"], "{message}");
        partitions[message["partition"].as_u64().unwrap() as usize] += 1;
    }
    assert!(partitions.iter().all(|n| *n > 100), "{partitions:?}");
}

#[test]
fn a_broker_that_is_killed_is_waited_for() {
    let Some(python) = python("confluent_kafka") else { return };
    let (broker, address) = Broker::start(&python);
    let folder = tempfile::tempdir().unwrap();
    let config =
        |address: &str| format!("[[to]]\nkind = \"kafka\"\nbrokers = [{address:?}]\ntopic = \"flows\"");
    let exporter = start(&config(&address), folder.path());
    hand_over(&exporter, 0..100);
    wait_for("they arrive", || exporter.statuses()[0].reader.acknowledged, |n| *n == 100);
    drop(broker);
    hand_over(&exporter, 100..300);
    let status = wait_for("it is missed", || exporter.statuses()[0].clone(), |s| s.retries > 0);
    assert!(status.error.is_some_and(|error| error.contains(&address)));
    exporter.finish(std::time::Duration::ZERO);
    // The mock's ports are never the same; and it forgets everything.
    let (mut broker, address) = Broker::start(&python);
    let exporter = start(&config(&address), folder.path());
    finish(exporter);
    let messages = broker.ask("read 200");
    let mut ids: Vec<&str> =
        messages.as_array().unwrap().iter().map(|m| m["record_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200);
}
