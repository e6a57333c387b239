//! `daylight tunnel client` and `daylight tunnel server`, as two people run them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::daylight;

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "000102030405060708090a0b0c0d0e0f";
/// The server's.
const KEY: [u8; 32] = [7; 32];

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// The first line on its standard error that `is_it`; the rest is read and thrown away.
    fn line(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        let lines = BufReader::new(self.0.stderr.take().unwrap()).lines();
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // Nobody may be left to be told.
                let _ = tell.send(line);
            }
        });
        let mut seen = String::new();
        loop {
            let line = told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it only said: {seen}"));
            if is_it(&line) {
                return line;
            }
            seen += &(line + "\n");
        }
    }

    fn interrupt(&self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }
}

/// A client's command, with folders of its own.
fn client(folder: &Path, args: &[&str]) -> Command {
    let mut command = daylight();
    command.args(["tunnel", "client"]).args(args).current_dir(folder);
    command.env("XDG_RUNTIME_DIR", folder.join("runtime")).env("XDG_STATE_HOME", folder.join("state"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// A server of `plain`, and a card of it, in a folder.
fn server(folder: &Path) -> Running {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    write("server.key", &hex(&KEY));
    write("cards", SECRET);
    write(
        "server.toml",
        "key = \"server.key\"\ncards = \"cards\"\nstate = \"server\"\n\
         [plain]\nlisten = [\"127.0.0.1:0\"]\n[egress]\nreach_private = [\"127.0.0.0/8\"]\n",
    );
    let mut command = daylight();
    command.args(["tunnel", "server", "server.toml"]).current_dir(folder).stderr(Stdio::piped());
    let mut server = Running(command.spawn().unwrap());
    let line = server.line(|line| line.contains("plain: "));
    let port = line.rsplit(':').next().unwrap().trim();
    let keys = daylight().args(["tunnel", "card", "keys", "keys"]).current_dir(folder).output().unwrap();
    assert!(keys.status.success(), "{}", said(&keys));
    card(folder, &format!("plain:port={port}"), "one.card");
    server
}

/// A card of that server.
fn card(folder: &Path, offer: &str, output: &str) {
    let public = hex(&daylight_session::public_key(&KEY));
    let mut command = daylight();
    command.args(["tunnel", "card", "new", "--keys", "keys", "--address", "127.0.0.1", "--transport", offer]);
    command.args(["--server-key", &public, "--secret", SECRET, "-o", output]);
    let output = command.current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Answers one who says something with the same.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut came = [0; 5];
            connection.read_exact(&mut came).unwrap();
            connection.write_all(&came).unwrap();
        }
    });
    port
}

/// Through SOCKS 5 to a port of this machine, and back.
fn asks(proxy: &str, port: u16) {
    let mut connection = TcpStream::connect(proxy).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = [&[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1][..], &port.to_be_bytes()].concat();
    connection.write_all(&request).unwrap();
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..5], [5, 0, 5, 0, 0]);
    connection.write_all(b"hello").unwrap();
    let mut came = [0; 5];
    connection.read_exact(&mut came).unwrap();
    assert_eq!(&came, b"hello");
}

#[test]
fn a_card_and_a_program() {
    let (folder, echo) = (tempfile::tempdir().unwrap(), echo());
    let _server = server(folder.path());
    let began = Instant::now();
    let args = ["one.card", "--listen", "127.0.0.1:0", "--no-local"];
    let mut running = Running(client(folder.path(), &args).spawn().unwrap());
    let line = running.line(|line| line.starts_with("Your programs find the tunnel at "));
    let proxy = line.split(' ').find(|word| word.starts_with("127.0.0.1:")).unwrap().to_owned();
    asks(&proxy, echo);
    println!("the first answer came {:?} after the start", began.elapsed());
    let status = client(folder.path(), &["status"]).output().unwrap();
    assert!(said(&status).ends_with("connected to 127.0.0.1 (plain)\n"), "{}", said(&status));
    let status = client(folder.path(), &["status", "--json"]).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((&status["phase"], &status["route"]["transport"]), (&"connected".into(), &"plain".into()));
    assert_eq!(status["proxy"], proxy.as_str());
    let second = client(folder.path(), &["one.card", "--listen", &proxy]).output().unwrap();
    assert!(said(&second).contains("is another program there?"), "{}", said(&second));
    let second = client(folder.path(), &["one.card", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert!(said(&second).contains("another client is running"), "{}", said(&second));
    running.interrupt();
    assert!(running.0.wait().unwrap().success());
    let status = client(folder.path(), &["status"]).output().unwrap();
    assert!(said(&status).contains("no client is running"), "{}", said(&status));
    assert!(client(folder.path(), &["forget", "--all"]).output().unwrap().status.success());
}

/// A program on a thumb drive may come to where there are no certificate authorities.
#[test]
fn plain_needs_no_certificate_authorities() {
    let (folder, echo) = (tempfile::tempdir().unwrap(), echo());
    let _server = server(folder.path());
    card(folder.path(), "web:name=www.example.org", "two.card");
    let run = |cards: &[&str]| {
        let args = [cards, &["--listen", "127.0.0.1:0", "--no-local"]].concat();
        let mut command = client(folder.path(), &args);
        command.env("SSL_CERT_FILE", "none").env("SSL_CERT_DIR", "none");
        command
    };
    let refused = said(&run(&["two.card"]).output().unwrap());
    assert!(refused.contains("certificate"), "{refused}");
    for (cards, notices) in [(&["one.card"][..], 0), (&["one.card", "two.card"], 1)] {
        let mut running = Running(run(cards).spawn().unwrap());
        let line = running.line(|line| line.starts_with("Your programs find the tunnel at "));
        asks(line.split(' ').find(|word| word.starts_with("127.0.0.1:")).unwrap(), echo);
        let status = client(folder.path(), &["status", "--json"]).output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        let said: Vec<_> =
            status["notices"].as_array().unwrap().iter().map(|notice| &notice["text"]).collect();
        let only_plain =
            |text: &&&serde_json::Value| text.as_str().unwrap().contains("only plain can be used");
        assert_eq!(said.iter().filter(only_plain).count(), notices, "{said:?}");
        running.interrupt();
        assert!(running.0.wait().unwrap().success());
    }
}

#[test]
fn what_is_wrong_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |args: &[&str]| {
        let output = client(folder.path(), args).output().unwrap();
        assert!(!output.status.success(), "{args:?}");
        said(&output)
    };
    assert!(refused(&["nothing.card"]).contains("can't read nothing.card"));
    fs::write(folder.path().join("text"), "no card").unwrap();
    assert!(refused(&["text"]).contains("DAYLIGHT:"));
    let server = server(folder.path());
    drop(server);
    let open = refused(&["one.card", "--listen", "0.0.0.0:0"]);
    assert!(open.contains("has no password"), "{open}");
    let offered = refused(&["one.card", "--listen", "127.0.0.1:0", "--transport", "web"]);
    assert!(offered.contains("they offer plain"), "{offered}");
    fs::write(folder.path().join("list"), "example.org\nexample..org\n").unwrap();
    let list = refused(&["one.card", "--split", "list"]);
    assert!(list.contains("list:2:1"), "{list}");
    let trust = refused(&["one.card", "--listen", "127.0.0.1:0", "--authority", "list"]);
    assert!(trust.contains("certificate"), "{trust}");
}
