//! The dashboard in a browser, as a person sees it: `browser/check.py` in Chromium, over the demo's scenes.
//!
//! It needs Chromium and Python with what `requirements.txt` names (in `DAYLIGHT_PYTHON`, or in `target/python`); without
//! them it says so, and nothing is tested.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use daylight_dashboard::{Dashboard, Data, Options};
use daylight_watch::Board;

mod support;

const CHROMIUM: &str = "/usr/bin/chromium";
const MODULES: &str = "axe_core_python, PIL, playwright";

/// A dashboard over made-up flows, until it is dropped.
struct Scene {
    address: String,
    over: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Scene {
    fn start(flows: Vec<support::Flow>, is_live: bool, names: Vec<String>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let live = is_live.then(Board::new);
        if let Some(board) = &live {
            support::link::feed(board, &over, Duration::from_millis(500), 170, names);
        }
        let listen = "127.0.0.1:0".parse().unwrap();
        let options = Options { listen, title: Some("Example network".to_owned()), ..Options::default() };
        let data = Data { live, ask: Some(Arc::new(support::Store(Arc::new(flows)))), networks: None };
        let dashboard = Dashboard::bind(options).unwrap();
        let address = format!("http://{}", dashboard.local_addr().unwrap());
        let ending = Arc::clone(&over);
        let server = std::thread::spawn(move || dashboard.run(data, &ending, |_| {}).unwrap());
        Self { address, over, server: Some(server) }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

/// A Python that can drive a browser; `None`, with a word about it, if there is none.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("DAYLIGHT_PYTHON").map(PathBuf::from);
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python/bin/python3");
    let can = |python: &PathBuf| {
        let output = Command::new(python).args(["-c", &format!("import {MODULES}")]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = named.into_iter().chain([ours, "python3".into()]).find(can);
    if found.is_none() {
        eprintln!("needs Python with {MODULES} (see tests/requirements.txt)");
    }
    found.filter(|_| {
        let is_there = Path::new(CHROMIUM).exists();
        if !is_there {
            eprintln!("needs {CHROMIUM}");
        }
        is_there
    })
}

#[test]
fn a_reader_sees_and_does() {
    let Some(python) = python() else { return };
    let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap();
    let day = support::day(now, 6000);
    let one = day.last().cloned().into_iter().collect();
    let scenes = [
        Scene::start(day, true, Vec::new()),
        Scene::start(Vec::new(), false, Vec::new()),
        Scene::start(one, true, Vec::new()),
        Scene::start(support::hostile_flows(now), true, support::hostile()),
    ];
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/check.py");
    let output = Command::new(python)
        .arg("-B")
        .arg(script)
        .args(scenes.iter().map(|scene| &scene.address))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
}
