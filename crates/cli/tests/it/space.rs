//! A network namespace of a test's own, with its loopback interface and a server there.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

const INSIDE: &str = "DAYLIGHT_TEST_NAMESPACE";

/// True within a namespace of this test's own; outside it runs the test inside one, and gives false.
pub(crate) fn entered(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success();
    }
    let possible = Command::new("unshare").args(["-n", "iptables-save"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        eprintln!("{test}: skipped: it needs root, and the packages iptables and util-linux");
        return false;
    }
    let this = std::env::current_exe().unwrap();
    let mut inside = Command::new("unshare");
    inside.arg("-n").arg(this).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    assert!(inside.status().unwrap().success(), "{test} failed in its namespace");
    false
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited for too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Answers every request with the same words.
pub(crate) fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 2048]);
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nsite");
            });
        }
    });
    port
}

/// What a server here answers to a request.
pub(crate) fn fetch(port: u16, path: &str, host: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // In one piece: the server answers the first that comes.
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
