//! A thousand clients of one server that come, fetch, idle, lose their connections, and go: nothing of what they fetch may be
//! lost, doubled or late. `scripts/bench-tunnel --soak-minutes` runs it, and watches the server's memory.
//!
//! `soak SERVER KEY SECRET SITE MINUTES SESSIONS`: the server's `plain` address, its public key and a card's secret in
//! hexadecimal digits, and an address behind it that answers `GET /pattern` by HTTP with `pattern(0, PATTERN_LEN)`.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // It is a measurement: it prints, and a wrong argument ends it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use daylight_session::{ClientConfig, Destination, code};
use daylight_tunnel::driver::{Driver, Stream};
use daylight_tunnel::transports::door::CardKeys;
use daylight_tunnel::transports::plain::path::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

/// The site's one file.
const PATTERN_LEN: u64 = 1 << 20;
/// The longest that a client waits for anything, at a server that a thousand of them ask.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a client asks for, before it goes and another comes.
const VISITS: u32 = 8;

/// What was done in all.
#[derive(Default)]
struct Counts {
    sessions: AtomicU64,
    fetches: AtomicU64,
    bytes: AtomicU64,
    cuts: AtomicU64,
    faults: AtomicU64,
}

struct Soak {
    server: SocketAddr,
    key: [u8; 32],
    card: CardKeys,
    site: SocketAddr,
    until: Instant,
    counts: Counts,
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, key, secret, site, minutes, sessions] = &arguments[..] else {
        panic!("soak SERVER KEY SECRET SITE MINUTES SESSIONS");
    };
    let minutes: f64 = minutes.parse().unwrap();
    let soak = Arc::new(Soak {
        server: server.parse().unwrap(),
        key: of_hex(key).try_into().unwrap(),
        card: CardKeys::of(&of_hex(secret)).unwrap(),
        site: site.parse().unwrap(),
        until: Instant::now() + Duration::from_secs_f64(minutes * 60.0),
        counts: Counts::default(),
    });
    let clients: Vec<_> = (0..sessions.parse().unwrap())
        .map(|_| {
            let soak = soak.clone();
            tokio::spawn(async move { soak.come_and_go().await })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let Counts { sessions, fetches, bytes, cuts, faults } = &soak.counts;
    println!(
        "{} sessions, {} fetches, {:.1} GiB, {} connections cut, {} faults",
        sessions.load(Relaxed),
        fetches.load(Relaxed),
        bytes.load(Relaxed) as f64 / (1 << 30) as f64,
        cuts.load(Relaxed),
        faults.load(Relaxed)
    );
    std::process::exit(i32::from(faults.load(Relaxed) > 0));
}

fn of_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// What the site's file has at an offset.
fn pattern(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

fn seconds(most: f64) -> Duration {
    Duration::from_secs_f64(rand::random_range(0.0..most))
}

/// One client: a session, and the path that it has now.
struct Visitor<'a> {
    soak: &'a Soak,
    driver: Driver,
    path: Option<AbortOnDropHandle<()>>,
}

impl Soak {
    async fn come_and_go(&self) {
        // They don't all come at once.
        sleep(seconds(20.0)).await;
        while Instant::now() < self.until {
            self.counts.sessions.fetch_add(1, Relaxed);
            let config = Arc::new(ClientConfig::new(self.key, self.card.session));
            // Who listens to the news is gone; a client's driver does not mind.
            let (news, _) = mpsc::unbounded_channel();
            let driver = Driver::client(config, rand::random(), news);
            let mut visitor = Visitor { soak: self, driver, path: None };
            if let Err(fault) = visitor.visit().await {
                self.counts.faults.fetch_add(1, Relaxed);
                println!("fault: {fault}");
            }
            visitor.driver.close(code::NONE);
            // The server is told while the path is there.
            sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Visitor<'_> {
    async fn visit(&mut self) -> Result<(), String> {
        self.connect().await?;
        for _ in 0..VISITS {
            if Instant::now() >= self.soak.until {
                return Ok(());
            }
            self.fetch().await?;
            sleep(seconds(10.0)).await;
        }
        Ok(())
    }

    /// A new path; if there was one, it is cut.
    async fn connect(&mut self) -> Result<(), String> {
        if self.path.take().is_some() {
            self.soak.counts.cuts.fetch_add(1, Relaxed);
        }
        let connection = timeout(PATIENCE, TcpStream::connect(self.soak.server)).await;
        let connection =
            connection.map_err(|_| "no connection in time")?.map_err(|e| format!("connecting: {e}"))?;
        connection.set_nodelay(true).map_err(|e| e.to_string())?;
        let (server, access) = (self.soak.key, self.soak.card.access.clone());
        let (driver, dialled) = (self.driver.clone(), Box::new(Client { connection, server, access }));
        let carrying = tokio::spawn(async move { drop(driver.carry(dialled, |_| {}).await) });
        self.path = Some(AbortOnDropHandle::new(carrying));
        Ok(())
    }

    /// A part of the file, during which one of four loses its connection.
    async fn fetch(&mut self) -> Result<(), String> {
        let from = rand::random_range(0..PATTERN_LEN);
        let to = rand::random_range(from..PATTERN_LEN);
        let site = Destination::Address(self.soak.site);
        let opened = timeout(PATIENCE, self.driver.open(&site)).await.map_err(|_| "no stream in time")?;
        let mut stream = opened.map_err(|e| format!("opening: {e}"))?;
        let request = format!(
            "GET /pattern HTTP/1.1\r\nHost: site\r\nRange: bytes={from}-{to}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.map_err(|e| format!("asking: {e}"))?;
        if rand::random_range(0..4) == 0 {
            sleep(seconds(0.05)).await;
            self.connect().await?;
        }
        timeout(PATIENCE, check(&mut stream, from, to)).await.map_err(|_| "no end in time")??;
        self.soak.counts.fetches.fetch_add(1, Relaxed);
        self.soak.counts.bytes.fetch_add(to + 1 - from, Relaxed);
        Ok(())
    }
}

/// Reads an answer: exactly these bytes of the file.
async fn check(stream: &mut Stream, from: u64, to: u64) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("reading: {e}");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.map_err(failed)?);
    }
    if !head.starts_with(b"HTTP/1.1 206 ") {
        return Err(format!("the site answered {:?}", String::from_utf8_lossy(&head)));
    }
    let (mut at, mut buffer) = (from, vec![0; 64 << 10]);
    loop {
        let length = stream.read(&mut buffer).await.map_err(failed)?;
        if length == 0 {
            break;
        }
        for byte in &buffer[..length] {
            if *byte != pattern(at) {
                return Err(format!("a wrong byte at {at}"));
            }
            at += 1;
        }
    }
    match at == to + 1 {
        true => Ok(()),
        false => Err(format!("bytes {from} to {at} came, and {to} was to be the last")),
    }
}
