//! A log of 100,000 entries (40,000 hosts): how long until the page knows it, what it takes to keep, and how long answers
//! take, over a socket, proofs included. The time of an answer is to be held against that of the style sheet, which is the
//! server's alone.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use criterion::Criterion;
use daylight_policy::Basis;
use daylight_policy::audit::{
    Action, Counts, Digest, Entry, Event, HostName, Label, Rule, Signer, Target, Text, Timestamp, Totals,
    VerifierKey, Writer,
};
use daylight_web::public::{Page, Settings};

const ENTRIES: u64 = 100_000;
const HOSTS: u64 = 40_000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let key = write(folder.path())?;
    let before = resident_kib();
    let settings = Settings::new(log, key, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let page = Page::bind(settings)?;
    let address = page.local_addr()?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let begin = Instant::now();
        let served = scope.spawn(|| page.run(|| over.load(Ordering::Relaxed), |line| eprintln!("{line}")));
        while !get(address, "/status").contains(&format!("\"entries\": {ENTRIES},")) {
            std::thread::sleep(Duration::from_millis(10));
        }
        eprintln!(
            "known after {:.2} s; {} KiB more than before",
            begin.elapsed().as_secs_f64(),
            kib_since(before)
        );
        while get(address, "/status").contains("\"verified\": null") {
            std::thread::sleep(Duration::from_millis(10));
        }
        eprintln!(
            "verified after {:.2} s; {} KiB more than before",
            begin.elapsed().as_secs_f64(),
            kib_since(before)
        );
        let mut criterion = Criterion::default().configure_from_args();
        for (name, path) in [
            ("style sheet", "/style.css"),
            ("blocked host", "/is-blocked?host=h20000.example"),
            ("blocked host, JSON", "/is-blocked.json?host=h20000.example"),
            ("unknown host", "/is-blocked?host=www.unknown.example"),
            ("first page", "/"),
            ("proof", "/proof/50000"),
            ("full tile", "/log/tile/0/100"),
        ] {
            assert!(get(address, path).starts_with("HTTP/1.1 200"), "{path}");
            criterion.bench_function(name, |bencher| bencher.iter(|| get(address, path)));
        }
        criterion.final_summary();
        over.store(true, Ordering::Relaxed);
        served.join().map_err(|_| "the page's thread has panicked")??;
        Ok(())
    })
}

/// One request on a connection of its own.
fn get(address: SocketAddr, path: &str) -> String {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: page\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    asked().unwrap_or_default()
}

fn write(folder: &Path) -> Result<VerifierKey, Box<dyn Error>> {
    let signer = Signer::generate(&folder.join("key"), "filter.example.org/log")?;
    let key = signer.verifier_key().clone();
    let mut writer = Writer::create(&folder.join("log"), signer)?;
    let begin = Timestamp::parse("2026-06-01T00:00:00Z")?;
    let (policy, rule) = (Label::new("school")?, Label::new("no-games")?);
    let told = Rule {
        policy: policy.clone(),
        rule: rule.clone(),
        action: Action::Reject,
        condition: Text::new("hostname in $games or dns.query in $games")?,
        reason: Text::new("Games wait until lessons are over")?,
        authority: Text::new("Board of Example School, decision 8")?,
        expires: Timestamp::parse("2099-01-01T00:00:00Z")?,
        appeal: Some(Text::new("mailto:board@example.org")?),
        basis: Basis::Operator,
        hours: vec![],
    };
    writer.append(&[Entry {
        time: begin,
        event: Event::FilterStarted { software: Text::new("daylight 0.1.0")? },
    }])?;
    writer.append(&Entry::policy_loaded(begin, &policy, Digest::of(b"policy"), None, vec![told], vec![]))?;
    for hour in 0_i64.. {
        let time = Timestamp::from_unix_s(begin.unix_s() + (hour + 1) * 3600)?;
        let mut entries = Vec::new();
        for at in writer.len()..ENTRIES.min(writer.len() + 1000) {
            let host = HostName::new(&format!("h{}.example", at * 7919 % HOSTS))?;
            let totals = Totals {
                hour: Timestamp::from_unix_s(begin.unix_s() + hour * 3600)?.hour(),
                policy: policy.clone(),
                rule: rule.clone(),
                target: Target::Host(host),
                counts: Counts { flows: 1 + at % 9, packets: 20, bytes: 1900 },
            };
            entries.push(Entry { time, event: Event::Totals(totals) });
        }
        if entries.is_empty() {
            break;
        }
        writer.append(&entries)?;
    }
    Ok(key)
}

/// What the process has in memory, in KiB; 0 where the system does not say.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn kib_since(before: u64) -> u64 {
    resident_kib().saturating_sub(before)
}
