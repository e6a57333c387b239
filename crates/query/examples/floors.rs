//! Makes a store of many flows, such as a network of some thousands of people has in a day, and asks it what people ask.
//!
//!     cargo run --release -p daylight-query --example floors -- make DIR [MILLIONS]
//!     cargo run --release -p daylight-query --example floors -- ask DIR
//!
//! `make` writes by way of the store's own writer, a file a minute, and merges as the keeper does. `ask` opens the store anew for
//! each question, as the command does, and says how long the answer took, the least of five times, and what it was.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::time::Instant;

use daylight_inspect::{Counters, FlowRecord, RecordSink, Uid};
use daylight_protocols::{Confidence, ProtocolId, RiskFound, common, risk};
use daylight_query::{Embedded, EmbeddedOptions, Engine, Parameters};
use daylight_store::Writer;
use daylight_store::folder::{Keeper, KeeperOptions, Privacy, StoreOptions, StoreWriter};
use futures_util::StreamExt;

/// 2026-01-01T00:00:00Z
const START_NS: i64 = 1_767_225_600_000_000_000;
const HOURS: u64 = 24;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", folder] => make(Path::new(folder), 100),
        ["make", folder, millions] => make(Path::new(folder), millions.parse().expect("a number")),
        ["ask", folder] => ask(Path::new(folder)),
        _ => println!("make DIR [MILLIONS], or ask DIR"),
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of so many, the first often and the last seldom: Zipf's law, nearly.
    fn ranked(&mut self, many: f64) -> u64 {
        (many.powf(self.unit()) - 1.0) as u64
    }
}

const APPLICATIONS: [(&str, &str); 60] = {
    let mut all = [("web", "web"); 60];
    let names = [
        "youtube",
        "netflix",
        "google",
        "facebook",
        "instagram",
        "whatsapp",
        "tiktok",
        "microsoft-365",
        "teams",
        "zoom",
        "apple",
        "icloud",
        "amazon",
        "aws",
        "cloudflare",
        "akamai",
        "fastly",
        "spotify",
        "steam",
        "discord",
        "telegram",
        "signal",
        "twitter",
        "reddit",
        "wikipedia",
        "github",
        "gitlab",
        "dropbox",
        "onedrive",
        "slack",
        "linkedin",
        "pinterest",
        "snapchat",
        "twitch",
        "disney-plus",
        "hulu",
        "paypal",
        "stripe",
        "salesforce",
        "adobe",
        "oracle",
        "windows-update",
        "ubuntu",
        "debian",
        "docker",
        "npm",
        "pypi",
        "openai",
        "bing",
        "yahoo",
        "ebay",
        "aliexpress",
        "yandex",
        "vk",
        "baidu",
        "wechat",
        "line",
        "viber",
        "skype",
        "webex",
    ];
    let categories = ["video", "social", "cloud", "web", "chat", "work", "games", "shopping"];
    let mut i = 0;
    while i < 60 {
        all[i] = (names[i], categories[i % 8]);
        i += 1;
    }
    all
};

fn flow(dice: &mut Dice, number: u64, end_ns: i64) -> Box<FlowRecord> {
    let mut record = FlowRecord::blank(0);
    record.ends.capture = "eth0".into();
    record.ends.uid = Uid::new([dice.next(), dice.next()]);
    let client = dice.ranked(20_000.0);
    record.ends.src_ip = [10, (client >> 14) as u8, (client >> 6) as u8, (client << 2) as u8 | 1].into();
    record.ends.src_port = 32_768 + (dice.next() % 28_000) as u16;
    let host = dice.ranked(200_000.0);
    let application = host % 97;
    let server = host.wrapping_mul(0x9e37_79b9) as u32;
    record.ends.dst_ip = (server | 0x2000_0000).to_be_bytes().into();
    let kind = dice.next() % 100;
    let lasted = (dice.unit().powi(6) * 300e9) as i64;
    (record.start_ns, record.end_ns) = (end_ns - lasted, end_ns);
    let bytes = |dice: &mut Dice, most: f64| most.powf(dice.unit()) as u64 + 60;
    record.src = Counters {
        packets: 1 + dice.next() % 60,
        bytes: bytes(dice, 1e6),
        ip_bytes: 900,
        payload_bytes: 400,
    };
    record.dst = Counters {
        packets: 1 + dice.next() % 90,
        bytes: bytes(dice, 1e8),
        ip_bytes: 900,
        payload_bytes: 400,
    };
    let name: Box<str> = format!("h{host}.site{}.example", host % 9973).into();
    match kind {
        0..30 => {
            record.ends.ip_protocol = 17;
            record.ends.dst_port = 53;
            record.protocol = ProtocolId::Dns;
            record.dst.bytes = 60 + dice.next() % 400;
            record.src.bytes = 60 + dice.next() % 60;
            record.found.fields = vec![(common::HOSTNAME, daylight_protocols::Value::Str(name))];
        }
        30..90 => {
            record.ends.dst_port = 443;
            record.protocol = ProtocolId::Tls;
            record.confidence = Confidence::Handshake;
            record.application = APPLICATIONS.get(application as usize).map(|a| a.0);
            record.category = APPLICATIONS.get(application as usize).map(|a| a.1);
            let ja4 = format!(
                "t13d{:04}h2_{:012x}_{:012x}",
                client % 37,
                client % 37 * 7919,
                client % 11 * 104_729
            );
            record.found.fields = vec![
                (common::HOSTNAME, daylight_protocols::Value::Str(name)),
                (common::JA4, daylight_protocols::Value::Str(ja4.into())),
                (common::TLS_VERSION, "TLSv1.3".into()),
                (common::ALPN, "h2".into()),
            ];
        }
        _ => {
            record.ends.dst_port = (dice.next() % 60_000) as u16;
            record.resolved_name = (kind < 95).then_some(name);
        }
    }
    if number.is_multiple_of(50) {
        record.found.risks.push(RiskFound { risk: &risk::MALFORMED_PACKET, evidence: "dns.flags=1".into() });
    }
    record.into()
}

fn make(folder: &Path, millions: u64) {
    let rows = millions * 1_000_000;
    let begun = Instant::now();
    let sensors: Vec<_> = ["east", "west"]
        .into_iter()
        .zip(0..)
        .map(|(sensor, seed)| {
            let options = StoreOptions {
                privacy: Privacy::KeepAddresses,
                sensor: sensor.into(),
                ..StoreOptions::new(folder)
            };
            std::thread::spawn(move || {
                let mut writer = StoreWriter::new(&options).unwrap();
                let mut dice = Dice(seed);
                let mine = rows / 2;
                let step = (HOURS * 3_600_000_000_000 / mine) as i64;
                for i in 0..mine {
                    let now_ns = START_NS + i as i64 * step;
                    writer.flow(flow(&mut dice, i, now_ns));
                    if i.is_multiple_of((mine / HOURS / 60).max(1)) {
                        writer.tick(now_ns);
                    }
                }
                writer.finish().unwrap()
            })
        })
        .collect();
    let written: u64 = sensors.into_iter().map(|sensor| sensor.join().unwrap()).sum();
    let seconds = begun.elapsed().as_secs_f64();
    println!("{written} flows written in {seconds:.0} s: {:.0} a second", written as f64 / seconds);
    let begun = Instant::now();
    let keeper = Keeper::new(KeeperOptions::new(folder));
    println!("{:?} in {:.0} s", keeper.compact(true).unwrap(), begun.elapsed().as_secs_f64());
}

fn ask(folder: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let questions = [
        (
            "top-20 applications by bytes",
            "SELECT application, sum(src_bytes + dst_bytes) AS bytes FROM flows GROUP BY application \
             ORDER BY bytes DESC LIMIT 20",
        ),
        ("all flows", "SELECT count(*) FROM flows"),
        ("a host by name, popular", "SELECT * FROM flows WHERE hostname = 'h7.site7.example' LIMIT 100"),
        (
            "a host by name, counted",
            "SELECT count(*), sum(dst_bytes) FROM flows WHERE hostname = 'h7.site7.example'",
        ),
        (
            "a host by name, middling",
            "SELECT * FROM flows WHERE hostname = 'h20011.site65.example' LIMIT 100",
        ),
        (
            "a host by name, rare, counted",
            "SELECT count(*), sum(dst_bytes) FROM flows WHERE hostname = 'h190011.site524.example'",
        ),
        ("a host by name, absent", "SELECT count(*) FROM flows WHERE hostname = 'nobody.example'"),
        ("a client's flows", "SELECT * FROM flows WHERE src_ip = '10.0.30.145' LIMIT 100"),
        ("a client, counted", "SELECT count(*), sum(dst_bytes) FROM flows WHERE src_ip = '10.0.30.145'"),
        (
            "a client, rare, counted",
            "SELECT count(*), sum(dst_bytes) FROM flows WHERE src_ip = '10.0.180.33'",
        ),
        (
            "a server by address, counted",
            "SELECT count(*), sum(dst_bytes) FROM flows WHERE dst_ip = '37.3.189.67'",
        ),
        ("a record", "SELECT count(*) FROM flows WHERE record_id = 'AAAAAAAAAAAAAAAA'"),
        (
            "a client in an hour",
            "SELECT count(*), sum(dst_bytes) FROM flows WHERE src_ip = '10.0.30.145' AND \"end\" >= '2026-01-01T12:00:00Z' AND \"end\" < '2026-01-01T13:00:00Z'",
        ),
        ("clients of an hour", "SELECT count(*) FROM clients_by_hour WHERE hour = 12"),
        ("risks", "SELECT risk, count(*) FROM risks GROUP BY risk"),
    ];
    for (name, sql) in questions {
        let mut least = f64::MAX;
        let mut rows = 0;
        let mut first = String::new();
        for _ in 0..5 {
            let begun = Instant::now();
            (rows, first) = runtime.block_on(async {
                let engine = Embedded::new(&EmbeddedOptions::new(folder)).await.unwrap();
                let mut answer = engine.query(sql, &Parameters::new()).await.unwrap();
                let (mut rows, mut first) = (0, String::new());
                while let Some(batch) = answer.rows.next().await {
                    let batch = batch.unwrap();
                    rows += batch.num_rows();
                    if first.is_empty() && batch.num_rows() > 0 {
                        let column =
                            daylight_query::arrow::util::display::array_value_to_string(batch.column(0), 0);
                        first = column.unwrap_or_default();
                    }
                }
                (rows, first)
            });
            least = least.min(begun.elapsed().as_secs_f64());
        }
        println!("{:>9.0} ms  {rows:>6} rows  {name} [{first}]", least * 1000.0);
    }
}
