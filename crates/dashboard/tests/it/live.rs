//! The live page's events: many viewers, all of whom see the same, and none of whom keeps others waiting.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daylight_dashboard::{Data, Options};
use daylight_watch::Board;
use serde_json::Value;

use crate::{Served, store, support};

const VIEWERS: usize = 100;

fn live() -> (Served, Arc<AtomicBool>) {
    let (board, over) = (Board::new(), Arc::<AtomicBool>::default());
    support::link::feed(&board, &over, Duration::from_millis(200), 200, Vec::new());
    let data = Data { live: Some(board), ask: store(Vec::new()), networks: None };
    (Served::until(Arc::clone(&over), Options::default(), data), over)
}

/// Begins to look.
fn viewer(served: &Served) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(served.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(stream, "GET /api/v1/live HTTP/1.1\r\nHost: {}\r\n\r\n", served.address).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut head = String::new();
    while reader.read_line(&mut line).unwrap() > 2 {
        head.push_str(&line);
        line.clear();
    }
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("content-type: text/event-stream"), "{head}");
    reader
}

/// The data of the next event.
fn event(viewer: &mut BufReader<TcpStream>) -> Option<String> {
    loop {
        let mut line = String::new();
        if viewer.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        if let Some(data) = line.strip_prefix("data: ") {
            return Some(data.trim_end().to_owned());
        }
    }
}

fn viewers(served: &Served) -> u64 {
    served.get("/api/v1/status").json()["viewers"].as_u64().unwrap()
}

#[track_caller]
fn wait(what: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited for too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_hundred_see_the_same_and_one_stalls() {
    let (served, _) = live();
    let seconds = || served.get("/api/v1/now").json()["seconds"]["bits"].as_array().map_or(0, Vec::len);
    wait(|| seconds() > 100);
    let stalled = viewer(&served);
    let mut looking: Vec<_> = (0..VIEWERS).map(|_| viewer(&served)).collect();
    assert_eq!(viewers(&served), VIEWERS as u64 + 1);
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let mut times = 0;
    for _ in 0..4 {
        for viewer in &mut looking {
            let data = event(viewer).expect("it goes on");
            let time = serde_json::from_str::<Value>(&data).unwrap()["time"].as_str().unwrap().to_owned();
            // A second is written once, and all see that.
            times += 1;
            assert_eq!(*seen.entry(time).or_insert_with(|| data.clone()), data);
        }
    }
    assert_eq!(times, 4 * VIEWERS);
    assert!(seen.len() >= 4, "{}", seen.len());
    for data in seen.values() {
        let now: Value = serde_json::from_str(data).unwrap();
        let bits = now["seconds"]["bits"].as_array().unwrap();
        assert!(bits.len() > 100 && bits.iter().all(|value| value.as_u64().is_some()));
        assert_eq!(now["rates"]["bits_per_s"], *bits.last().unwrap(), "the last second is the rate");
        let apps = now["tops"]["applications"].as_array().unwrap();
        let bytes: Vec<u64> = apps.iter().map(|row| row["bytes"].as_u64().unwrap()).collect();
        assert!(bytes.len() > 3 && bytes.is_sorted_by(|a, b| a >= b), "{bytes:?}");
        assert_eq!(now["interfaces"][0]["name"], "demo0");
    }
    drop(looking);
    drop(stalled);
    wait(|| viewers(&served) == 0);
}

#[test]
fn the_end_ends_viewers() {
    let (served, over) = live();
    let mut viewer = viewer(&served);
    assert!(event(&mut viewer).is_some());
    over.store(true, Ordering::Relaxed);
    let mut rest = Vec::new();
    viewer.read_to_end(&mut rest).unwrap();
    drop(served);
}
