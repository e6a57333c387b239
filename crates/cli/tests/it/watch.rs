//! `daylight watch`, on a pair of interfaces in a network namespace of the test's own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use daylight_capture::raw_socket::{Offload, RawFrame, RawSocket};
use rustix::process::{Pid, Signal, kill_process};

use crate::space::{entered, wait};
use crate::{daylight, tour};

/// The end that is sent on, and the one that is listened to.
const NEAR: &str = "near";
pub(crate) const FAR: &str = "far";

fn ip(line: &str) -> String {
    let output = Command::new("ip").args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes the pair.
pub(crate) fn link() {
    for which in ["all", "default"] {
        // Neighbour discovery would send packets of its own.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
    }
    ip("link add near mtu 9000 type veth peer name far mtu 9000");
    ip("link set near up");
    ip("link set far up");
}

pub(crate) fn is_listening() -> bool {
    !ip("-d link show far").contains("promiscuity 0")
}

/// Sends the tour on the near end.
pub(crate) fn send() {
    let socket = RawSocket::open(NEAR).unwrap();
    let mut source = daylight_capture::open(&tour()).unwrap();
    while let Some(batch) = source.next_batch(32).unwrap() {
        let frames: Vec<RawFrame> = batch
            .frames
            .iter()
            .map(|frame| RawFrame { offload: Offload::default(), bytes: batch.frame_bytes(frame).to_vec() })
            .collect();
        let mut sent = 0;
        while sent < frames.len() {
            sent += socket.send(frames[sent..].iter()).unwrap();
        }
    }
}

/// A watch that runs, and is killed if the test fails.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Watching {
    /// Starts one, and waits until it listens.
    fn start(folder: &Path, line: &str) -> Self {
        let child = daylight()
            .current_dir(folder)
            .args(["watch", FAR, "--capture", "packet"])
            .args(line.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let this = Self(child);
        wait(is_listening);
        this
    }

    fn status(&self, name: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_once(':').unwrap().1.trim().to_owned()
    }

    /// Ends it as Ctrl-C does: its exit status, what it wrote, and what it said.
    fn stop(mut self) -> (Option<i32>, String, String) {
        kill_process(Pid::from_child(&self.0), Signal::INT).unwrap();
        let (mut out, mut said) = (String::new(), String::new());
        self.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap().code(), out, said)
    }
}

/// How often each protocol is in records.
fn protocols(records: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for line in records.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let protocol = record.get("protocol").and_then(|name| name.as_str()).unwrap();
        *found.entry(protocol.to_owned()).or_default() += 1;
    }
    found
}

fn inspected(file: &Path) -> String {
    let output = daylight().args(["inspect", "-f", "jsonl"]).arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_passes_is_seen_kept_and_written() {
    if !entered("watch::what_passes_is_seen_kept_and_written") {
        return;
    }
    link();
    let folder = tempfile::tempdir().unwrap();
    let line = "--show records --store flows --write interesting.pcapng --threads 2 --user root";
    let watching = Watching::start(folder.path(), line);
    // CAP_NET_RAW alone.
    wait(|| watching.status("CapEff") == "0000000000002000");
    assert_eq!(watching.status("NoNewPrivs"), "1");
    send();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let (code, records, said) = watching.stop();
    assert_eq!(code, Some(130), "{said}");
    assert!(!is_listening(), "promiscuous mode is taken back");
    let expected = inspected(&tour());
    assert_eq!(protocols(&records), protocols(&expected), "{said}");
    let record: serde_json::Value = serde_json::from_str(records.lines().next().unwrap()).unwrap();
    assert_eq!(record["capture"], FAR);
    let files: Vec<_> = walk(&folder.path().join("flows"));
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].contains("/day=") && files[0].ends_with(".parquet"), "{files:?}");
    let written = inspected(&folder.path().join("interesting-000001.pcapng"));
    assert!(written.contains("clear-text-credentials"));
    assert!(written.lines().count() < expected.lines().count());
}

/// The files below a folder.
fn walk(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(walk(&path)),
            false => files.push(path.display().to_string()),
        }
    }
    files
}

#[test]
fn an_interface_that_comes_back_is_listened_to_again() {
    if !entered("watch::an_interface_that_comes_back_is_listened_to_again") {
        return;
    }
    link();
    let folder = tempfile::tempdir().unwrap();
    let watching = Watching::start(folder.path(), "--show records");
    // It goes on as nobody, since nothing is written.
    wait(|| watching.status("Uid").split_whitespace().next() != Some("0"));
    send();
    std::thread::sleep(std::time::Duration::from_millis(300));
    ip("link del near");
    std::thread::sleep(std::time::Duration::from_millis(300));
    link();
    wait(is_listening);
    send();
    ip("link set far down");
    ip("link set far up");
    // The kernel tells the other end a while later; until then what is sent there goes nowhere.
    wait(|| ip("link show near").contains("state UP"));
    send();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let (code, records, said) = watching.stop();
    assert_eq!(code, Some(130), "{said}");
    let once = protocols(&inspected(&tour()))["tls"];
    // Connections that were closed begin anew.
    assert_eq!(protocols(&records)["tls"], 3 * once, "{said}");
}

#[test]
fn killed_it_leaves_nothing_behind() {
    if !entered("watch::killed_it_leaves_nothing_behind") {
        return;
    }
    link();
    let folder = tempfile::tempdir().unwrap();
    let line = "--show nothing --store flows --user root --keep-addresses";
    let mut watching = Watching::start(folder.path(), line);
    send();
    std::thread::sleep(std::time::Duration::from_millis(300));
    watching.0.kill().unwrap();
    watching.0.wait().unwrap();
    assert!(!is_listening(), "promiscuous mode is taken back");
    let watching = Watching::start(folder.path(), line);
    send();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let (code, _, said) = watching.stop();
    assert_eq!(code, Some(130), "{said}");
    assert_eq!(walk(&folder.path().join("flows")).len(), 1, "one file, whole");
}

#[test]
fn without_a_terminal_there_is_a_line_a_second() {
    if !entered("watch::without_a_terminal_there_is_a_line_a_second") {
        return;
    }
    link();
    let run = |show: &str| {
        let child = daylight()
            .args(["watch", FAR, "--capture", "packet", "--show", show, "--duration", "5"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        wait(is_listening);
        std::thread::sleep(std::time::Duration::from_millis(1200));
        send();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let lines = run("auto");
    assert!((2..=5).contains(&lines.lines().count()), "{lines}");
    assert!(lines.contains("packets/s") && lines.contains(" new risks: "), "{lines}");
    let mut packets = 0;
    for line in run("jsonl").lines() {
        let second: serde_json::Value = serde_json::from_str(line).unwrap();
        packets += second["packets_per_s"].as_u64().unwrap();
    }
    assert!((250..=275).contains(&packets), "{packets}");
}

#[test]
fn what_is_wrong_is_said() {
    if !entered("watch::what_is_wrong_is_said") {
        return;
    }
    link();
    let folder = tempfile::tempdir().unwrap();
    let says = |line: &str| {
        let output =
            daylight().current_dir(folder.path()).arg("watch").args(line.split(' ')).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (line, message) in [
        ("fra", "there is no interface fra; there are: lo, far, near\n"),
        ("far far", "an interface is named twice"),
        ("far --user nobody-of-this-name", "there is no user nobody-of-this-name"),
        ("far --write-where protocl==1 --write x", "did you mean"),
        ("far --write no/such/folder/x.pcapng", "can't write packets to no/such/folder: No such file"),
        ("far --store /proc/flows --user root", "can't use /proc/flows as a store"),
        ("lo --capture xdp", "it is no Ethernet interface; use `--capture packet`"),
        ("far --catalog nothing.toml", "can't read nothing.toml"),
    ] {
        let said = says(line);
        assert!(said.contains(message), "{line}: {said}");
        assert!(!is_listening());
    }
}

#[test]
fn its_unit_is_sound_and_may_do_little() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("daylight-watch@.service");
    let text = include_str!("../../../../packaging/daylight-watch@.service");
    fs::write(&unit, text.replace("/usr/bin/daylight", "/bin/true")).unwrap();
    let analyze = |args: &[&str]| {
        let output = Command::new("systemd-analyze").args(args).arg(&unit).output().ok()?;
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        Some((said, output.status.success()))
    };
    if !analyze(&["--help"]).is_some_and(|(help, _)| help.contains("--offline")) {
        return eprintln!("skipped: it needs systemd-analyze, 250 or newer");
    }
    assert_eq!(analyze(&["verify", "--man=no"]), Some((String::new(), true)));
    // In tenths: how much a fault of it could do.
    let security = analyze(&["security", "--offline=true", "--no-pager", "--threshold=20"]);
    assert!(security.as_ref().is_some_and(|(_, content)| *content), "{security:?}");
    // What it is started with is understood.
    let line =
        text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/daylight watch %i ")).unwrap();
    let line = line.replace("%l", "host").replace("%i", "none").replace("/var/lib", "/proc");
    let output = daylight().args(["watch", "no-such"]).args(line.split(' ')).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("there is no interface no-such"), "{said}");
}

#[test]
fn risks_and_metrics_go_elsewhere() {
    if !entered("watch::risks_and_metrics_go_elsewhere") {
        return;
    }
    link();
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:6514").unwrap();
    let config = r#"
        [spool]
        path = "spool"
        [[to]]
        kind = "syslog"
        over = "tcp"
        address = "127.0.0.1:6514"
    "#;
    fs::write(folder.path().join("to.toml"), config).unwrap();
    let line = "--show nothing --to to.toml --metrics 127.0.0.1:9452 --user root";
    let watching = Watching::start(folder.path(), line);
    send();
    let metric = |name: &str| {
        TcpStream::connect(("127.0.0.1", 9452)).ok()?;
        let text = crate::space::fetch(9452, "/metrics", "localhost");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.rsplit_once(' '))?.1.parse::<f64>();
        value.ok()
    };
    wait(|| metric("daylight_packets_total").is_some_and(|packets| packets >= 275.0));
    let (code, _, said) = watching.stop();
    assert_eq!(code, Some(130), "{said}");
    let (mut stream, _) = listener.accept().unwrap();
    let mut heard = String::new();
    stream.read_to_string(&mut heard).unwrap();
    assert!(heard.contains("CEF:0|") && heard.contains("clear-text-credentials"), "{heard}");
}
