//! Listens to an interface for some seconds and says what it cost:
//! `listen INTERFACE THREADS SECONDS [packet|xdp] [MIB] [FIELD,FIELD…]`.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use daylight_capture::live::{self, Means};
use daylight_inspect::{Config, FlowRecord, RecordSink, column};
use daylight_sensor::{Sensor, SensorOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Default)]
struct Count {
    flows: u64,
    progress: u64,
    bytes: u64,
}

impl RecordSink for Count {
    fn flow(&mut self, record: Box<FlowRecord>) {
        self.flows += 1;
        self.bytes += record.src.bytes + record.dst.bytes;
    }

    fn progress(&mut self, _: Box<FlowRecord>) {
        self.progress += 1;
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (interface, threads) = (args[1].clone(), args[2].parse().unwrap());
    let seconds = args[3].parse().unwrap();
    let means = match args.get(4).map(String::as_str) {
        Some("xdp") => Means::Xdp,
        _ => Means::Packet,
    };
    let mib: usize = args.get(5).map_or(64, |text| text.parse().unwrap());
    let mut config = Config { threads, ..Config::default() };
    config.wanted.set_events(false);
    if let Some(names) = args.get(6) {
        config.want_columns(names.split(',').map(|name| column(name).expect("there is such a field").id));
    }
    let options = SensorOptions {
        interfaces: vec![interface],
        live: live::Options { means, ring_bytes: mib << 20, ..live::Options::default() },
        config: Arc::new(config),
        salt: 1,
        reports: true,
        keep: None,
    };
    let (running, exit) = Sensor::open(options).unwrap().start().unwrap();
    let sink = std::thread::spawn(move || {
        let mut count = Count::default();
        exit.run(&mut count, Duration::from_secs(1), |_| ());
        count
    });
    println!("listening");
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let start = Instant::now();
    let status = running.stop();
    let count = sink.join().unwrap();
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let counters = status.interfaces[0].counters;
    println!(
        "received {} dropped {} ({:.3} %), flows {} told of {} bytes {}, CPU {}.{:03} s, {:.0} ns a packet, stopped in {:.2} s",
        counters.received,
        counters.dropped,
        counters.dropped as f64 * 100.0 / (counters.received + counters.dropped).max(1) as f64,
        count.flows,
        count.progress,
        count.bytes,
        cpu.tv_sec,
        cpu.tv_nsec / 1_000_000,
        (cpu.tv_sec as f64 * 1e9 + cpu.tv_nsec as f64) / counters.received.max(1) as f64,
        start.elapsed().as_secs_f64(),
    );
    let memory = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = memory.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    println!("{peak}, flows at most {}", status.fleet.shards.flows_peak);
    println!("{:?}", status.fleet);
    println!("records lost {}", status.records_lost);
}
