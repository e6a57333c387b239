//! Accepts everything on one or several queues, and says at the end how much that was.
//!
//!     nfqueue_accept [--queues FIRST:LAST] [--copy BYTES] [--no-gso] [--for SECONDS]
//!
//! It looks at nothing, so it shows what the way through user space costs. `scripts/bench-nfqueue` runs it.
#![allow(clippy::print_stdout)] // what it prints is its result

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use daylight_capture::nfqueue::{Counters, Options, Queue, Verdict};

const USAGE: &str = "usage: nfqueue_accept [--queues FIRST:LAST] [--copy BYTES] [--no-gso] [--for SECONDS]";

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Options::default();
    let (mut first, mut last, mut seconds) = (0, 0, 10);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--queues" => {
                let queues = value()?;
                let (from, to) = queues.split_once(':').unwrap_or((&queues, &queues));
                (first, last) = (from.parse::<u32>()?, to.parse::<u32>()?);
            }
            "--copy" => options.copy_range = value()?.parse()?,
            "--no-gso" => options.gso = false,
            "--for" => seconds = value()?.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    let queues =
        (first..=last).map(|number| Queue::open(number, options.clone())).collect::<Result<Vec<_>, _>>()?;
    println!("ready");
    let threads: Vec<_> =
        queues.into_iter().map(|queue| thread::spawn(move || accept(queue, until))).collect();
    for thread in threads {
        let (number, counters) = thread.join().map_err(|_| "a thread panicked")??;
        println!("queue {number}: {counters:?}");
    }
    Ok(())
}

fn accept(mut queue: Queue, until: Instant) -> Result<(u16, Counters), daylight_capture::nfqueue::Error> {
    loop {
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            queue.send()?;
            return Ok((queue.number(), queue.counters()));
        }
        for (_packet, verdict) in queue.receive(Some(Duration::from_millis(100)))?.iter_mut() {
            *verdict = Verdict::ACCEPT;
        }
    }
}
