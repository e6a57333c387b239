//! Verdict records made up for tests: what a probe would have said, hour by hour.

use std::path::PathBuf;

use daylight_incident::Rows;
use daylight_incident::read::read_files;
use daylight_incident::study::Study;

/// 1 August 2020, 00:00 UTC.
pub(crate) const AUGUST_1: i64 = 1_596_240_000;
pub(crate) const HOUR: i64 = 3600;
pub(crate) const DAY: i64 = 86_400;

/// A small generator, so that every run is the same.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Nearly normal, mean 0, deviation 1.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// What a record says.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) at: i64,
    pub(crate) target: String,
    pub(crate) asn: u32,
    pub(crate) country: &'static str,
    pub(crate) network: &'static str,
    pub(crate) probe: String,
    pub(crate) state: &'static str,
    pub(crate) mechanism: Option<&'static str>,
    pub(crate) hop: Option<u8>,
    pub(crate) connect_ms: Option<f64>,
    pub(crate) resolver: u32,
}

impl Said {
    pub(crate) fn ok(at: i64, target: &str, asn: u32, probe: &str) -> Self {
        Self {
            at,
            target: target.to_owned(),
            asn,
            country: "BY",
            network: "",
            probe: format!("{asn}-{probe}"),
            state: "ok",
            mechanism: None,
            hop: None,
            connect_ms: None,
            resolver: asn,
        }
    }

    pub(crate) fn blocked(self, mechanism: &'static str) -> Self {
        Self { state: "blocked", mechanism: Some(mechanism), ..self }
    }

    pub(crate) fn line(&self) -> String {
        let measured = timestamp(self.at);
        let mut random = Random(self.at as u64 ^ u64::from(self.asn) << 32);
        for byte in self.target.bytes().chain(self.probe.bytes()) {
            random.0 = random.0.wrapping_mul(31).wrapping_add(u64::from(byte));
            random.next();
        }
        let hash: String = (0..4).map(|_| format!("{:016x}", random.next())).collect();
        let mut record = serde_json::json!({
            "schema": 1, "measured": measured, "input": format!("https://{}/", self.target),
            "target": self.target,
            "network": {"asn": self.asn, "country": self.country, "resolver_asn": self.resolver},
            "probe": self.probe, "state": self.state, "fired": [],
            "rules": {"version": "1", "sha256": "ab".repeat(32)},
            "classic": {"blocking": null, "accessible": null, "dns_consistency": null},
            "measurement": {"report_id": "", "software": "test 1", "file": "a.jsonl", "line": 1, "sha256": hash},
        });
        if let Some(mechanism) = self.mechanism {
            record["mechanism"] = mechanism.into();
        }
        if !self.network.is_empty() {
            record["network"]["name"] = self.network.into();
        }
        if let Some(hop) = self.hop {
            record["place"] =
                serde_json::json!({"hop": hop, "of_hops": 11, "position": "on-path", "method": "raw"});
        }
        if let Some(ms) = self.connect_ms {
            record["latency_ms"] = serde_json::json!({ "tcp": ms });
        }
        record.to_string()
    }
}

/// Seconds since 1970 as RFC 3339, for times within a few years of 2020.
pub(crate) fn timestamp(at: i64) -> String {
    let (days, rest) = (at.div_euclid(DAY), at.rem_euclid(DAY));
    // Civil from days, by Howard Hinnant's published algorithm.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let of_era = z.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// A folder with one file of records.
pub(crate) fn folder(records: &[Said]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("verdicts.jsonl");
    let lines: Vec<String> = records.iter().map(Said::line).collect();
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    (folder, path)
}

pub(crate) fn rows(records: &[Said]) -> Rows {
    let (_folder, path) = folder(records);
    let read = read_files(&[path], None).unwrap();
    assert!(read.problems.is_empty());
    read.rows
}

pub(crate) fn study(records: &[Said], until: Option<i64>) -> Study {
    Study::new(rows(records), Vec::new(), until, Default::default())
}
