//! Records, other programs, and a small HTTP server.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use daylight_export::{Config, Exporter, Status};
use daylight_inspect::{Counters, EndReason, FlowRecord, RecordSink};
use daylight_protocols::{Confidence, ProtocolId, RiskFound, common, risk};

/// 2024-01-01T00:00:00Z
pub(crate) const START_NS: i64 = 1_704_067_200_000_000_000;
/// A host name by somebody who means harm.
pub(crate) const HOSTILE: &str = "=cmd()|'x\\\n<134>1 - evil - - - CEF:0|a|b=c\r\u{1b}]0;x\u{7}<script>";

/// A TLS flow over IPv4 with a name; every tenth with a risk, every eleventh over IPv6 and with a hostile name.
pub(crate) fn record(n: u64) -> Box<FlowRecord> {
    let mut record = FlowRecord::blank(n);
    record.start_ns = START_NS + n as i64 * 1_000_000_007;
    record.end_ns = record.start_ns + 1_500_000_001;
    record.ends.src_ip = std::net::Ipv4Addr::from(0x0a00_0000 + (n % 50) as u32).into();
    record.ends.src_port = 1024 + (n % 60_000) as u16;
    record.protocol = ProtocolId::Tls;
    record.confidence = Confidence::Handshake;
    record.application = Some(["youtube", "wikipedia", "example"][n as usize % 3]);
    record.category = Some("web");
    record.reason = EndReason::Closed;
    record.src = Counters { packets: 10, bytes: 1000 + n, ip_bytes: 860 + n, payload_bytes: 500 };
    record.dst = Counters { packets: 20, bytes: 20_000, ip_bytes: 19_720, payload_bytes: 18_000 };
    record.found.fields.push((common::HOSTNAME, format!("h{}.example", n % 7).into()));
    record.found.fields.push((common::TLS_VERSION, "TLSv1.3".into()));
    if n.is_multiple_of(11) {
        record.ends.src_ip = "2001:db8::1".parse().unwrap();
        record.ends.dst_ip = "2001:db8::2".parse().unwrap();
        record.found.fields[0].1 = HOSTILE.to_owned().into();
    }
    if n.is_multiple_of(10) {
        let evidence = format!("http.form=pass{n};{HOSTILE}");
        record.found.risks.push(RiskFound { risk: &risk::CLEAR_TEXT_CREDENTIALS, evidence: evidence.into() });
    }
    record.into()
}

/// An exporter for this configuration, with its spool in the folder.
pub(crate) fn start(config: &str, folder: &Path) -> Exporter {
    let config = Config::parse(config, "test.toml", folder).unwrap_or_else(|error| panic!("{error}"));
    Exporter::start(&config, "north", Some(&folder.join("spool")), None)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Hands records over.
pub(crate) fn hand_over(exporter: &Exporter, numbers: std::ops::Range<u64>) {
    let mut sink = exporter.sink();
    numbers.for_each(|n| sink.flow(record(n)));
}

/// Waits until it is so, or panics with what it is.
pub(crate) fn wait_for<T: std::fmt::Debug>(
    what: &str,
    mut value: impl FnMut() -> T,
    enough: impl Fn(&T) -> bool,
) -> T {
    let begun = Instant::now();
    loop {
        let now = value();
        if enough(&now) {
            return now;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}: {now:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends, and all has arrived.
pub(crate) fn finish(exporter: Exporter) -> Vec<Status> {
    let statuses = exporter.finish(Duration::from_secs(120));
    for status in &statuses {
        assert_eq!(status.reader.lag, 0, "{status:?}");
    }
    statuses
}

/// A process that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program; `None`, with a word about it, if there is none.
pub(crate) fn run(program: &str, args: &[&str], log: &Path) -> Option<Running> {
    let file = std::fs::File::create(log).unwrap();
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn();
    match child {
        Ok(child) => Some(Running(child)),
        Err(error) => {
            eprintln!("needs {program}: {error}");
            None
        }
    }
}

/// A port that nobody has.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until somebody listens.
pub(crate) fn wait_for_port(port: u16) {
    wait_for("nobody listens", || TcpStream::connect(("127.0.0.1", port)).is_ok(), |there| *there);
}

/// A Python that can import these modules: `DAYLIGHT_PYTHON`, that of `target/python`, or `python3`. `None`, with a word
/// about it, if none can. What they need is in `tests/requirements.txt`.
pub(crate) fn python(modules: &str) -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/python/bin/python3");
    let named = std::env::var_os("DAYLIGHT_PYTHON").map(PathBuf::from);
    let can = |python: &PathBuf| {
        let import = Command::new(python).args(["-c", &format!("import {modules}")]).output();
        import.is_ok_and(|output| output.status.success())
    };
    let found = named.into_iter().chain([ours, "python3".into()]).find(can);
    if found.is_none() {
        eprintln!("needs Python with {modules} (see tests/requirements.txt)");
    }
    found
}

/// Runs a script of this folder, and gives what it prints.
pub(crate) fn script(python: &Path, name: &str, args: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(name);
    let output = Command::new(python).arg(path).args(args).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A request that came in.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }
}

type Answer = Box<dyn FnMut(&Request) -> (u16, String) + Send>;

/// Answers requests one after another, and keeps them.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(answer: impl FnMut(&Request) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (kept, answer) = (Arc::clone(&requests), Arc::new(Mutex::new(Box::new(answer) as Answer)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &kept, &answer));
            }
        });
        Self { url, requests }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, kept: &Mutex<Vec<Request>>, answer: &Mutex<Answer>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(request) = read(&mut reader) {
        let (status, body) = (answer.lock().unwrap())(&request);
        kept.lock().unwrap().push(request);
        let (head, body) = body.split_once("\n\n").map_or(("", &*body), |(head, body)| (head, body));
        let head = head.lines().fold(String::new(), |all, line| all + line + "\r\n");
        let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{head}\r\n{body}", body.len());
        if writer.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let len =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some(Request { line: line.trim_end().to_owned(), headers, body })
}
