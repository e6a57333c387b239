//! What viewers of the live page cost: a dashboard in a process of its own, this one looks. Without viewers, with one, and with a
//! hundred; the floor is a tenth of a core for the hundred.
//!
//! `cargo run --release -p daylight-dashboard --example viewers [SECONDS [VIEWERS]]`
#![allow(clippy::print_stdout, clippy::expect_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use daylight_dashboard::{Dashboard, Data, Options};
use daylight_watch::Board;

/// Ticks of the kernel's accounting in a second: on Linux, to programs, always.
const TICKS_PER_S: f64 = 100.0;
/// Of a core, for a hundred viewers.
const FLOOR: f64 = 0.10;

/// The dashboard's process; it ends when its standard input does.
fn serve() -> Result<(), Box<dyn Error>> {
    let over = Arc::new(AtomicBool::new(false));
    let board = Board::new();
    support::link::feed(&board, &over, Duration::from_secs(1), 180, Vec::new());
    let options = Options { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Options::default() };
    let dashboard = Dashboard::bind(options)?;
    println!("{}", dashboard.local_addr()?);
    let ending = Arc::clone(&over);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        ending.store(true, Ordering::Relaxed);
    });
    dashboard.run(Data { live: Some(board), ..Data::default() }, &over, |_| {})?;
    Ok(())
}

/// Seconds that a process has computed.
fn computed_s(process: u32) -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may have spaces.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    Ok((ticks(11) + ticks(12)) / TICKS_PER_S)
}

/// Kilobytes of memory that a process has.
fn memory_kb(process: u32) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.split_whitespace().next().unwrap_or("0").parse()?)
}

/// Looks until the connection is closed; counts events and bytes.
fn look(
    address: SocketAddr,
    events: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
) -> Result<TcpStream, Box<dyn Error>> {
    let stream = TcpStream::connect(address)?;
    write!(&stream, "GET /api/v1/live HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let reading = stream.try_clone()?;
    std::thread::spawn(move || {
        for line in BufReader::new(reading).lines().map_while(Result::ok) {
            events.fetch_add(u64::from(line.starts_with("data: ")), Ordering::Relaxed);
            bytes.fetch_add(line.len() as u64, Ordering::Relaxed);
        }
    });
    Ok(stream)
}

fn measure(server: &Child, address: SocketAddr, viewers: usize, seconds: u64) -> Result<f64, Box<dyn Error>> {
    let (events, bytes) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let looking: Vec<TcpStream> = (0..viewers)
        .map(|_| look(address, Arc::clone(&events), Arc::clone(&bytes)))
        .collect::<Result<_, _>>()?;
    std::thread::sleep(Duration::from_secs(3));
    let (before_s, began) = (computed_s(server.id())?, Instant::now());
    let (events_before, bytes_before) = (events.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed));
    std::thread::sleep(Duration::from_secs(seconds));
    let took_s = began.elapsed().as_secs_f64();
    let share = (computed_s(server.id())? - before_s) / took_s;
    let per_s = |now: &AtomicU64, before: u64| (now.load(Ordering::Relaxed) - before) as f64 / took_s;
    println!(
        "{viewers:>4} viewers: {:>5.1} % of a core, {:>5.0} events/s, {:>7.0} kB/s, {:>4} MB of memory",
        share * 100.0,
        per_s(&events, events_before),
        per_s(&bytes, bytes_before) / 1000.0,
        memory_kb(server.id())? / 1000
    );
    for stream in looking {
        stream.shutdown(std::net::Shutdown::Both)?;
    }
    std::thread::sleep(Duration::from_secs(2));
    Ok(share)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "serve") {
        return serve();
    }
    let number = |at: usize, default: u64| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (seconds, viewers) = (number(0, 30)?, usize::try_from(number(1, 100)?)?);
    let mut server = Command::new(std::env::current_exe()?)
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse()?;
    for few in [0, 1] {
        measure(&server, address, few, seconds)?;
    }
    let share = measure(&server, address, viewers, seconds)?;
    drop(server.stdin.take());
    server.wait()?;
    let verdict = if share <= FLOOR { "within" } else { "beyond" };
    println!("{verdict} the floor of {:.0} % of a core", FLOOR * 100.0);
    Ok(())
}
