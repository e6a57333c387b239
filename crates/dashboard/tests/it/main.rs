//! The dashboard as browsers, programs and strangers meet it: over sockets, with a store and a link that are made up.
#![allow(clippy::expect_used, clippy::unwrap_used)] // the helpers are tests too

mod access;
mod api;
mod client;
mod live;
mod pages;
#[path = "../support/mod.rs"]
mod support;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use daylight_dashboard::{Dashboard, Data, Options};
use daylight_watch::Board;

use client::{Answer, get};

fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap()
}

/// A dashboard that serves until it is dropped.
struct Served {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Served {
    fn start(options: Options, data: Data) -> Self {
        Self::until(Arc::default(), options, data)
    }

    /// Serves until this is set, at the latest when it is dropped.
    fn until(over: Arc<AtomicBool>, options: Options, data: Data) -> Self {
        let options = Options { listen: "127.0.0.1:0".parse().unwrap(), ..options };
        let dashboard = Dashboard::bind(options).unwrap();
        let address = dashboard.local_addr().unwrap();
        let ending = Arc::clone(&over);
        let server = std::thread::spawn(move || dashboard.run(data, &ending, |_| {}).unwrap());
        Self { address, over, server: Some(server) }
    }

    /// Over these flows, without a link.
    fn over(flows: Vec<support::Flow>) -> Self {
        Self::start(Options::default(), Data { ask: store(flows), ..Data::default() })
    }

    /// Over hostile flows, and a link on which hosts have such names.
    fn hostile() -> Self {
        let (board, over) = (Board::new(), Arc::new(AtomicBool::new(false)));
        support::link::feed(&board, &over, Duration::from_millis(200), 90, support::hostile());
        let data = Data { live: Some(board), ask: store(support::hostile_flows(now_ns())), networks: None };
        Self::until(over, Options::default(), data)
    }

    fn get(&self, path: &str) -> Answer {
        get(self.address, path, &[])
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

fn store(flows: Vec<support::Flow>) -> Option<Arc<dyn daylight_dashboard::Ask>> {
    Some(Arc::new(support::Store(Arc::new(flows))))
}
