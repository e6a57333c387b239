//! Damaged captures: no panic, no hang, no more records than packets, memory within bounds.
//!
//! Captures come from the folder that `DAYLIGHT_CAPTURES` names, or `../shared/data/captures`; without either, from
//! `testdata` and from the flows of the protocols' own tests. Each is damaged in seeded ways, as a file and as packets,
//! twenty times or as often as `DAYLIGHT_MUTATIONS` says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use daylight_inspect::Config;

use crate::corpus::{self, Frames, Owned, Random};
use crate::net::Capture;

/// How often each capture is damaged in each way.
const MUTATIONS: usize = 20;
/// No run takes this long: the largest capture has some ten thousand packets.
const RUN_MAX: Duration = Duration::from_secs(120);
/// The whole process, other tests with it.
const MEMORY_MAX_KIB: u64 = 1 << 20;

/// A capture: name and file.
struct Source {
    name: String,
    file: Vec<u8>,
}

fn sources() -> Vec<Source> {
    let folder = env::var_os("DAYLIGHT_CAPTURES")
        .map_or_else(|| corpus::root().join("../shared/data/captures"), Into::into);
    let mut paths = corpus::files(&folder, &["pcap", "pcapng", "cap", "gz"]);
    paths.extend(corpus::files(&corpus::root().join("testdata"), &["pcap", "pcapng", "gz"]));
    let mut sources: Vec<_> = paths
        .into_iter()
        .map(|path| Source {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            file: fs::read(&path).expect("a readable capture"),
        })
        .collect();
    sources.extend(own());
    sources
}

/// The protocols' own test flows, a hundred to a capture.
fn own() -> Vec<Source> {
    let samples = corpus::samples();
    samples
        .chunks(100)
        .enumerate()
        .map(|(n, samples)| {
            let mut capture = Capture::new();
            for (i, sample) in samples.iter().enumerate() {
                let (client, server) = ([10, 0, n as u8, i as u8], [203, 0, 113, i as u8]);
                corpus::add(&mut capture, (client, sample.ports[0]), (server, sample.ports[1]), sample, true);
            }
            Source { name: format!("own-{n}"), file: capture.to_pcap() }
        })
        .collect()
}

/// Bits turned, the end cut off, pieces twice or in each other's place.
fn damage_file(file: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(40) {
        if let Some(byte) = {
            let at = random.below(file.len());
            file.get_mut(at)
        } {
            *byte ^= 1 << random.below(8);
        }
    }
    match random.below(4) {
        0 => file.truncate(random.below(file.len() + 1)),
        1 => {
            let from = random.below(file.len());
            let piece = file[from..file.len().min(from + random.below(3000))].to_vec();
            let at = random.below(file.len() + 1);
            file.splice(at..at, piece);
        }
        2 => {
            let (a, b) = (random.below(file.len()), random.below(file.len()));
            let (a, b) = (a.min(b), a.max(b));
            let n = random.below(3000).min(b - a).min(file.len() - b);
            let (left, right) = file.split_at_mut(b);
            left[a..a + n].swap_with_slice(&mut right[..n]);
        }
        _ => {}
    }
}

/// The same to packets: each one in ten is damaged, and a few change places or come twice.
fn damage_packets(frames: &mut Vec<Owned>, random: &mut Random) {
    for (frame, bytes) in frames.iter_mut() {
        if bytes.is_empty() || random.below(10) > 0 {
            continue;
        }
        match random.below(3) {
            0 => bytes.truncate(random.below(bytes.len() + 1)),
            _ => {
                for _ in 0..=random.below(6) {
                    let at = random.below(bytes.len());
                    bytes[at] ^= 1 << random.below(8);
                }
            }
        }
        frame.cap_len = bytes.len() as u32;
        if random.below(2) == 0 {
            frame.wire_len = frame.cap_len;
        }
    }
    for _ in 0..frames.len() / 20 {
        let (a, b) = (random.below(frames.len()), random.below(frames.len()));
        match random.below(3) {
            0 => frames.swap(a, b),
            1 => {
                let again = frames[a].clone();
                frames.insert(b, again);
            }
            _ => {
                // Near by, as in real disorder.
                let b = (a + 1 + random.below(4)).min(frames.len() - 1);
                frames.swap(a, b);
            }
        }
    }
}

/// What holds for every run. Gives the number of frames.
fn check(what: &str, frames: &[Owned], config: &Arc<Config>) -> usize {
    let (records, stats) = corpus::run(&mut Frames::new(frames), config);
    assert_eq!(stats.shards.parser_panics, 0, "{what}: a parser panicked");
    assert_eq!(stats.frames.frames, frames.len() as u64, "{what}");
    let packets: u64 = records.iter().map(|r| r.src.packets + r.dst.packets).sum();
    assert!(packets <= frames.len() as u64, "{what}: {packets} packets of {} frames", frames.len());
    assert!(records.iter().all(|r| r.src.packets + r.dst.packets > 0), "{what}: a record of no packet");
    frames.len()
}

/// One capture, damaged as often as asked.
fn run(source: &Source, mutations: usize, config: &Arc<Config>) -> usize {
    let Ok(mut opened) = daylight_capture::open_bytes(source.file.clone()) else {
        panic!("{} can't be read", source.name)
    };
    let whole = corpus::read_all(&mut *opened);
    let mut count = 0;
    for n in 0..mutations {
        // The name counts, not the place among others: a failure can be had again with a single capture.
        let seed =
            source.name.bytes().fold(n as u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let what = format!("{} mutation {n}", source.name);
        let mut random = Random::new(seed);
        let mut file = source.file.clone();
        damage_file(&mut file, &mut random);
        if let Ok(mut opened) = daylight_capture::open_bytes(file) {
            count += check(&what, &corpus::read_all(&mut *opened), config);
        }
        let mut frames = whole.clone();
        damage_packets(&mut frames, &mut random);
        count += check(&what, &frames, config);
    }
    count
}

#[test]
fn damaged_captures_do_no_harm() {
    let mutations = env::var("DAYLIGHT_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(MUTATIONS);
    let sources = sources();
    let config = Arc::new(Config::default());
    let workers = thread::available_parallelism().map_or(2, usize::from).min(8);
    let (next, frames, running) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(workers));
    let at_work: Vec<Mutex<Option<(Instant, &str)>>> = (0..workers).map(|_| Mutex::new(None)).collect();
    let lock = |place: usize| at_work[place].lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for me in 0..workers {
            let (sources, config, next, frames, running, lock) =
                (&sources, &config, &next, &frames, &running, &lock);
            scope.spawn(move || {
                /// Counts a worker out, also when it fails.
                struct Out<'a>(&'a AtomicUsize);
                impl Drop for Out<'_> {
                    fn drop(&mut self) {
                        self.0.fetch_sub(1, Ordering::AcqRel);
                    }
                }
                let _out = Out(running);
                while let Some(source) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                    *lock(me) = Some((Instant::now(), &source.name));
                    frames.fetch_add(run(source, mutations, config), Ordering::Relaxed);
                    *lock(me) = None;
                }
            });
        }
        while running.load(Ordering::Acquire) > 0 {
            thread::sleep(Duration::from_millis(50));
            for place in 0..workers {
                if let Some((since, name)) = *lock(place)
                    && since.elapsed() > RUN_MAX * mutations.max(1) as u32
                {
                    // A thread that hangs can't be ended otherwise.
                    eprintln!("{name} has hung for {:?}", since.elapsed());
                    std::process::abort();
                }
            }
        }
    });
    let frames = frames.into_inner();
    println!("{} captures, {mutations} mutations each, {frames} packets", sources.len());
    assert!(frames > 1000 * mutations, "{frames}");
    if let Some(peak) = peak_memory_kib() {
        println!("peak memory {} MiB", peak >> 10);
        assert!(peak < MEMORY_MAX_KIB, "{peak} KiB");
    }
}

/// The most memory that the process had so far.
fn peak_memory_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok())
}
