//! Writes many verdict records, and times what a report on them takes.
//!
//!     cargo run --release -p daylight-incident --example million -- 1000000 /tmp/million
//!
//! The records are of 200 targets on 30 networks in six countries over 30 days; in one country something begins on day 9.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use daylight_incident::report::{Written, write};
use daylight_incident::study::{Source, Study};

const START: i64 = 1_596_240_000;
const DAYS: u64 = 30;

fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn generate(path: &Path, count: u64) -> Result<u64, Box<dyn std::error::Error>> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut state = 0x2545_f491_4f6c_dd1d;
    let mut bytes = 0;
    for i in 0..count {
        let (network, target, probe) = (next(&mut state) % 30, next(&mut state) % 200, next(&mut state) % 12);
        // The clock is a line through the month with some jitter, as files of a month are.
        let at = START + (i * DAYS * 86_400 / count) as i64 + (next(&mut state) % 7200) as i64;
        let country = ["BY", "KZ", "IR", "TR", "RU", "EG"][(network / 5) as usize];
        let blocked =
            country == "BY" && target < 80 && at > START + 8 * 86_400 && next(&mut state) % 100 < 97;
        let (dns, tls) = ("dns.injection.bogon", "tls.reset.sni");
        let verdict = if blocked {
            let (mechanism, layer) = if network % 2 == 0 { (dns, "dns") } else { (tls, "tls") };
            format!(
                r#""state":"blocked","mechanism":"{mechanism}","layer":"{layer}","place":{{"hop":4,"of_hops":11,"position":"on-path","method":"raw"}},"fired":[{{"rule":"{mechanism}.1","class":"blocked","mechanism":"{mechanism}","evidence":[{{"field":"tls.failure","value":"connection_reset"}},{{"field":"control.tls.failure","value":false}}]}}],"witness":{{"rule":"{mechanism}.1","path":"tls_handshakes[0]","values":{{"failure":"connection_reset","server_name":"site-{target}.example"}}}}"#
            )
        } else {
            r#""state":"ok","fired":[{"rule":"ok.same-page","class":"ok","evidence":[{"field":"http.status","value":200}]}],"witness":{"rule":"ok.same-page","path":"requests[0]","values":{"status":200}}"#.to_owned()
        };
        let moment = jiff::Timestamp::from_second(at)?;
        let hash = [(); 4].map(|()| format!("{:016x}", next(&mut state))).concat();
        let connect = 20 + next(&mut state) % 40;
        let line = format!(
            r#"{{"schema":1,"measured":"{moment}","input":"https://site-{target}.example/","target":"site-{target}.example","category":"NEWS","network":{{"asn":{asn},"country":"{country}","name":"Network {network}","resolver_asn":{asn}}},"probe":"{network}-{probe}",{verdict},"rules":{{"version":"1","sha256":"{rules}"}},"classic":{{"blocking":false,"accessible":true,"dns_consistency":"consistent","body_proportion":0.98,"body_length_match":true,"headers_match":true,"status_code_match":true,"title_match":true}},"latency_ms":{{"dns":14.2,"tcp":{connect}.5,"tls":{connect}.9,"http":120.1}},"measurement":{{"report_id":"20200809T060000Z_webconnectivity_{country}_{asn}_n1_{i}","software":"ooniprobe-cli 3.20.0","file":"2020-08.jsonl.gz","line":{line},"sha256":"{hash}"}}}}"#,
            asn = 64_500 + network,
            rules = "5a".repeat(32),
            line = i + 1,
        );
        writeln!(out, "{line}")?;
        bytes += line.len() as u64 + 1;
    }
    out.flush()?;
    Ok(bytes)
}

/// The most memory this process ever held, by the kernel's account.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|kib| kib.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().map_or(Ok(1_000_000), |count| count.parse())?;
    let folder = arguments.next().unwrap_or_else(|| "million".to_owned());
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let mut out = std::io::stdout();
    let bytes = generate(&folder.join("verdicts.jsonl"), count)?;
    writeln!(out, "{count} records, {} MB, generated; peak {} MiB", bytes / 1_000_000, peak_mib())?;
    let start = Instant::now();
    let study = Study::of(&Source { folder: folder.to_owned(), ..Source::default() })?;
    let read = start.elapsed();
    write(&study, &folder.join("report"), &Written { cells: true, ..Written::default() })?;
    writeln!(
        out,
        "read and judged in {:.1} s ({:.0} MB/s), written in {:.1} s more; peak {} MiB",
        read.as_secs_f64(),
        bytes as f64 / 1e6 / read.as_secs_f64(),
        (start.elapsed() - read).as_secs_f64(),
        peak_mib()
    )?;
    for line in daylight_incident::report::headlines(&study) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
