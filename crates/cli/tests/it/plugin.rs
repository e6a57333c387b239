//! `daylight tunnel plugin`, started by the programs that it is for.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::daylight;
use crate::space::{entered, serve, wait};

/// Programs that end with the test.
#[derive(Default)]
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Running {
    /// Starts a program whose output goes to a file.
    fn start(&mut self, program: &str, args: &[&str], log: &Path) {
        let log = File::create(log).unwrap();
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.0.push(command.spawn().unwrap());
    }
}

fn have(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
    if !found.status.success() {
        eprintln!("skipped: {program} is missing");
    }
    found.status.success()
}

fn said(log: &Path) -> String {
    fs::read_to_string(log).unwrap_or_default()
}

/// What follows these words, to the end of the line.
fn after<'t>(text: &'t str, words: &str) -> Option<&'t str> {
    Some(text.split_once(words)?.1.lines().next()?.trim())
}

fn plugin() -> String {
    format!("{} tunnel plugin", env!("CARGO_BIN_EXE_daylight"))
}

#[test]
fn by_hand_it_says_who_is_to_start_it() {
    let output = daylight().args(["tunnel", "plugin"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("started by tor"), "{said}");
}

#[test]
fn speaks_to_tor_by_the_specification() {
    let folder = tempfile::tempdir().unwrap();
    let start = |variables: &[(&str, &str)]| {
        let mut command = daylight();
        command.args(["tunnel", "plugin"]).envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let state = folder.path().join("pt_state").display().to_string();
    let mut child = start(&[
        ("TOR_PT_MANAGED_TRANSPORT_VER", "1,2x"),
        ("TOR_PT_STATE_LOCATION", &state),
        ("TOR_PT_EXIT_ON_STDIN_CLOSE", "1"),
        ("TOR_PT_SERVER_TRANSPORTS", "obfs9,daylight_plain"),
        ("TOR_PT_SERVER_BINDADDR", "obfs9-127.0.0.1:1,daylight_plain-127.0.0.1:0"),
        ("TOR_PT_ORPORT", "127.0.0.1:9"),
    ]);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let lines: Vec<String> = lines.map_while(Result::ok).take(4).collect();
    assert_eq!(lines[0], "VERSION 1");
    assert!(lines[1].starts_with("SMETHOD-ERROR obfs9 "), "{lines:?}");
    assert!(
        lines[2].starts_with("SMETHOD daylight_plain 127.0.0.1:") && lines[2].contains(" ARGS:cert="),
        "{lines:?}"
    );
    assert_eq!(lines[3], "SMETHODS DONE");
    // It ends when tor closes its input.
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());

    let mut child =
        start(&[("TOR_PT_MANAGED_TRANSPORT_VER", "2"), ("TOR_PT_CLIENT_TRANSPORTS", "daylight_plain")]);
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "VERSION-ERROR no-version\n");
    assert!(!child.wait().unwrap().success());
}

#[test]
fn tor_reaches_a_bridge_through_it() {
    if !have("tor") || !entered("plugin::tor_reaches_a_bridge_through_it") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut running = Running::default();
    let mut tor = |name: &str, options: &str| {
        let torrc = path(&format!("{name}.torrc"));
        let data = path(name).display().to_string();
        fs::write(&torrc, format!("DataDirectory {data}\nLog notice stdout\nSafeLogging 0\n{options}\n"))
            .unwrap();
        let log = path(&format!("{name}.log"));
        running.start("tor", &["-f", torrc.to_str().unwrap(), "--defaults-torrc", "/dev/null"], &log);
        log
    };
    let server = format!(
        "SocksPort 0\nORPort 127.0.0.1:9001\nBridgeRelay 1\nPublishServerDescriptor 0\nAssumeReachable 1\n\
         ServerTransportPlugin daylight_plain exec {}\nServerTransportListenAddr daylight_plain 127.0.0.1:7443",
        plugin()
    );
    let bridge = tor("bridge", &server);
    let line = path("bridge").join("pt_state/daylight_plain/bridge-line.txt");
    wait(|| said(&bridge).contains("Registered server transport 'daylight_plain'"));
    let line = said(&line);
    let fingerprint = said(&path("bridge").join("fingerprint"));
    let fingerprint = fingerprint.split_whitespace().last().unwrap();
    let line = line.trim().replace("ADDRESS:PORT", "127.0.0.1:7443").replace("FINGERPRINT", fingerprint);
    let client = format!(
        "SocksPort 127.0.0.1:9050\nUseBridges 1\nClientTransportPlugin daylight_plain exec {}\n{line}",
        plugin()
    );
    let client = tor("client", &client);
    // Tor's own handshake with the bridge, and what the bridge says of itself over a circuit.
    wait(|| said(&client).contains("new bridge descriptor"));
    assert!(said(&client).contains("(handshake_done)"), "{}", said(&client));
}

#[test]
fn shadowsocks_goes_through_it() {
    if !["ss-server", "ss-local"].into_iter().all(have) || !entered("plugin::shadowsocks_goes_through_it") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let site = serve();
    let plugin = path("daylight-plugin");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_daylight"), &plugin).unwrap();
    let mut running = Running::default();
    let mut start = |program: &str, more: &[&str], options: &str| {
        let server = ["-s", "127.0.0.1", "-p", "8388", "-k", "a password", "-m", "aes-256-gcm"];
        let common = [&server[..], &["--plugin", plugin.to_str().unwrap()]].concat();
        let log = path(&format!("{program}.log"));
        running.start(program, &[&common[..], more, &["--plugin-opts", options]].concat(), &log);
        log
    };
    let state = format!("server;state={}", path("state").display());
    let log = start("ss-server", &[], &state);
    wait(|| said(&log).contains("cert="));
    let text = said(&log);
    let certificate = after(&text, "clients' option: ").unwrap();
    start("ss-local", &["-b", "127.0.0.1", "-l", "1080"], certificate);
    wait(|| TcpStream::connect("127.0.0.1:1080").is_ok());
    // SOCKS5 (RFC 1928): no authentication; connect to an address.
    wait(|| {
        let mut stream = TcpStream::connect("127.0.0.1:1080").unwrap();
        let port = site.to_be_bytes();
        let target = [&[5, 1, 0, 1][..], &Ipv4Addr::LOCALHOST.octets(), &port].concat();
        let (mut reply, mut answer) = ([0; 12], String::new());
        stream.write_all(&[5, 1, 0]).unwrap();
        stream.write_all(&target).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n").unwrap();
        let read = stream.read_exact(&mut reply).and_then(|()| stream.read_to_string(&mut answer));
        read.is_ok() && answer.ends_with("site")
    });
}
