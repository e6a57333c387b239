//! Accepts everything on a queue through the crate `nfq`: the peer of `nfqueue_accept` in `scripts/bench-nfqueue`.
//!
//!     nfqueue_peer [--queue NUMBER] [--gso]
//!
//! It runs until it is ended.
#![allow(clippy::print_stdout)] // what it prints is its result

use std::error::Error;

use nfq::{Queue, Verdict};

const USAGE: &str = "usage: nfqueue_peer [--queue NUMBER] [--gso]";

fn main() -> Result<(), Box<dyn Error>> {
    let (mut number, mut gso) = (0, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--queue" => number = arguments.next().ok_or(USAGE)?.parse()?,
            "--gso" => gso = true,
            _ => return Err(USAGE.into()),
        }
    }
    let mut queue = Queue::open()?;
    queue.bind(number)?;
    queue.set_recv_gso(number, gso)?;
    println!("ready");
    loop {
        let mut message = queue.recv()?;
        message.set_verdict(Verdict::Accept);
        queue.verdict(message)?;
    }
}
