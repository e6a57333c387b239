//! The dashboard over a made-up network, to look at and to test in a browser: no capture, no store, the same flows each time.
//!
//! `cargo run -p daylight-dashboard --example dashboard-demo -- [SCENE] [PORT]`; it says where it listens, and ends with its standard input.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daylight_dashboard::{Dashboard, Data, Options};
use daylight_watch::Board;

#[path = "../tests/support/mod.rs"]
mod support;

/// Flows of a full day.
const FLOWS: usize = 12_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let scene = arguments.next().unwrap_or_else(|| "day".to_owned());
    let port: u16 = arguments.next().map_or(Ok(0), |port| port.parse())?;
    let now = i64::try_from(jiff::Timestamp::now().as_nanosecond())?;
    let (flows, names) = match scene.as_str() {
        "day" => (support::day(now, FLOWS), Vec::new()),
        "empty" => (Vec::new(), Vec::new()),
        "one" => (support::day(now, FLOWS).into_iter().rev().take(1).collect(), Vec::new()),
        "hostile" => (support::hostile_flows(now), support::hostile()),
        other => return Err(format!("{other} is no scene; there are day, empty, one, hostile").into()),
    };
    let over = Arc::new(AtomicBool::new(false));
    let live = (scene != "empty").then(Board::new);
    if let Some(board) = &live {
        support::link::feed(board, &over, Duration::from_secs(1), 170, names);
    }
    let listen = SocketAddr::from(([127, 0, 0, 1], port));
    let options = Options { listen, title: Some("Example network".to_owned()), ..Options::default() };
    let data = Data { live, ask: Some(Arc::new(support::Store(Arc::new(flows)))), networks: None };
    let dashboard = Dashboard::bind(options)?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{}", dashboard.local_addr()?)?;
    out.flush()?;
    let ending = Arc::clone(&over);
    std::thread::spawn(move || {
        // Who started it holds the other end; when that is gone, so is the reason to run.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ending.store(true, Ordering::Relaxed);
    });
    dashboard.run(data, &over, |_| {})?;
    Ok(())
}
