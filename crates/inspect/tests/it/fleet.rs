//! Several engines that are fed as packets come, against one that is fed with the whole capture.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use daylight_inspect::{
    Config, Control, Fleet, FleetOptions, FlowRecord, KeepLimits, KeptPackets, RecordSink, Uid, inspect,
};
use daylight_packet::{Batch, FrameSource};

use crate::net::{CLIENT, Capture, SERVER};

const TOUR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/tour.pcap");

#[derive(Default)]
struct Told {
    flows: Vec<FlowRecord>,
    progress: Vec<FlowRecord>,
    /// How many packets were kept of a flow, and how many bytes.
    kept: HashMap<Uid, (u64, u64)>,
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Told>>);

impl RecordSink for Sink {
    fn flow(&mut self, record: Box<FlowRecord>) {
        self.0.lock().unwrap().flows.push(*record);
    }

    fn progress(&mut self, record: Box<FlowRecord>) {
        self.0.lock().unwrap().progress.push(*record);
    }

    fn packets(&mut self, record: &FlowRecord, packets: KeptPackets) {
        let bytes = packets.iter().map(|frame| frame.bytes.len() as u64).sum();
        let kept = (packets.iter().count() as u64, bytes);
        self.0.lock().unwrap().kept.insert(record.ends.uid, kept);
    }
}

fn tour() -> Box<dyn FrameSource> {
    daylight_capture::open(TOUR.as_ref()).unwrap()
}

fn config(threads: usize) -> Arc<Config> {
    Arc::new(Config { seed: Some(1), threads, ..Config::default() })
}

fn options(name: &str) -> FleetOptions {
    FleetOptions {
        interfaces: vec![name.into()],
        salt: 0,
        reports: true,
        keep: Some(KeepLimits {
            packets_max: usize::MAX,
            flow_bytes_max: usize::MAX,
            ..KeepLimits::default()
        }),
    }
}

/// Deals batches out in turn, whatever is in them: nearly everything has to be passed on.
fn dealt(source: &mut dyn FrameSource, name: &str, threads: usize, len: usize) -> Told {
    let sink = Sink::default();
    let (fleet, mut workers) = Fleet::new(config(threads), &options(name), Box::new(sink.clone()));
    let (mut turn, mut frames, mut now_ns) = (0, 0, 0);
    while let Some(batch) = source.next_batch(len).unwrap() {
        frames += batch.frames.len() as u64;
        now_ns = batch.frames.iter().map(|frame| frame.ts_ns).max().unwrap_or(now_ns).max(now_ns);
        workers[turn % threads].packets(0, batch);
        turn += 1;
        // Before anybody is a batch ahead.
        let others = workers.iter_mut().filter(|worker| worker.number() != (turn - 1) % threads);
        others.for_each(|worker| worker.take_in());
    }
    workers.iter_mut().for_each(|worker| worker.advance(now_ns, true));
    let status = fleet.status();
    assert_eq!(status.frames.frames, frames);
    assert!(status.flows > 0 && status.packets_not_passed_on == 0, "{status:?}");
    workers.into_iter().for_each(|worker| worker.finish());
    assert_eq!(fleet.status().flows, 0);
    std::mem::take(&mut *sink.0.lock().unwrap())
}

#[test]
fn however_packets_are_dealt_out_the_records_are_the_same() {
    let mut whole: Vec<FlowRecord> = Vec::new();
    inspect(tour().as_mut(), "tour.pcap", &config(1), &Control::default(), &mut whole).unwrap();
    let by =
        |record: &FlowRecord| (record.start_ns, record.ends.src_ip, record.ends.src_port, record.ends.dst_ip);
    whole.sort_by_key(by);
    for threads in [1, 2, 3] {
        // In longer ones, of two names that an address was given in one batch another may be found.
        for len in [1, 7, 20] {
            let mut told = dealt(tour().as_mut(), "tour.pcap", threads, len);
            told.flows.sort_by_key(by);
            assert_eq!(told.flows.len(), whole.len());
            for (one, other) in told.flows.iter_mut().zip(&whole) {
                let (packets, bytes) = told.kept[&one.ends.uid];
                // Named by its time there, by its place here.
                one.ends.uid = other.ends.uid;
                assert_eq!(one, other, "{threads} workers, in batches of {len}");
                assert_eq!(packets, one.src.packets + one.dst.packets);
                assert_eq!(bytes, one.src.bytes + one.dst.bytes);
            }
        }
    }
}

#[test]
fn flows_that_go_on_are_told_of() {
    let mut capture = Capture::new();
    for n in 0..200 {
        capture.udp(CLIENT, SERVER, &[n; 1000]);
    }
    let mut told = dealt(&mut capture.source(), "x", 2, 10);
    assert_eq!((told.progress.len(), told.flows.len()), (1, 1));
    let (going, over) = (told.progress.remove(0), told.flows.remove(0));
    assert_eq!(going.ends, over.ends);
    assert_eq!(going.src, over.src);
    assert_eq!(over.src.packets, 200);
}

/// A machine without a battery for its clock may begin in another year.
#[test]
fn a_clock_that_is_set_does_not_stop_the_engine() {
    let sink = Sink::default();
    let (fleet, mut workers) = Fleet::new(config(1), &options("x"), Box::new(sink.clone()));
    let worker = &mut workers[0];
    let mut at = |second: i64, port: u16| {
        let mut capture = Capture::new();
        capture.wait_s(second).udp((CLIENT.0, port), SERVER, b"x");
        let batch = capture.source().next_batch(1).unwrap().unwrap();
        let now_ns = batch.frames[0].ts_ns;
        worker.packets(0, batch);
        worker.advance(now_ns, false);
        sink.0.lock().unwrap().flows.len()
    };
    assert_eq!(at(100_000, 1), 0);
    assert_eq!(at(99_980, 2), 0, "twenty seconds back are waited for");
    assert_eq!(at(0, 3), 3, "a day is not: all that is there is ended");
    assert_eq!(at(30, 4), 3);
    assert_eq!(at(200, 5), 4, "time-outs go by the new time");
    assert_eq!(at(300_000_000, 6), 5, "and so they do years ahead");
    assert_eq!(fleet.status().flows, 1);
}

/// On threads, with what each is given at random: nothing is lost, and no flow is in two engines.
#[test]
fn workers_run_at_once() {
    let mut capture = Capture::new();
    for n in 0..20_000u16 {
        capture.udp(([10, 0, 1, (n % 200) as u8], 1024 + n % 500), SERVER, &[7; 100]);
    }
    let mut source = capture.source();
    let batches: Vec<Batch> = std::iter::from_fn(|| source.next_batch(16).unwrap()).collect();
    let sink = Sink::default();
    let (fleet, workers) = Fleet::new(config(3), &options("x"), Box::new(sink.clone()));
    std::thread::scope(|scope| {
        for mut worker in workers {
            let mine: Vec<Batch> = batches.iter().skip(worker.number()).step_by(3).cloned().collect();
            scope.spawn(move || {
                for batch in mine {
                    worker.packets(0, batch);
                    // So that no inbox is full, whichever thread is ahead.
                    std::thread::yield_now();
                }
                // Others may still pass something on.
                std::thread::sleep(std::time::Duration::from_millis(500));
                worker.finish();
            });
        }
    });
    let told = std::mem::take(&mut *sink.0.lock().unwrap());
    let packets: u64 = told.flows.iter().map(|flow| flow.src.packets).sum();
    assert_eq!(packets + fleet.status().packets_not_passed_on, 20_000);
    let ends: std::collections::HashSet<_> =
        told.flows.iter().map(|flow| (flow.ends.src_ip, flow.ends.src_port)).collect();
    assert_eq!(ends.len(), told.flows.len());
}
