//! Belarus, August 2020, synthesised from published facts (see `testdata/belarus-2020/README.md`). The tests know when it
//! began; the code doesn't.

use std::path::{Path, PathBuf};

use daylight_incident::detect::Kind;
use daylight_incident::series::outage::changes;
use daylight_incident::series::{Series, read};
use daylight_incident::study::{Source, Study};

use crate::support::{AUGUST_1, DAY, HOUR, Random, Said, folder, study};

const AUGUST_9: i64 = AUGUST_1 + 8 * DAY;
const END: i64 = AUGUST_1 + 30 * DAY;
const NETWORKS: [(u32, &str, &str); 4] = [
    (6697, "Beltelecom", "http.redirect.blockpage"),
    (12406, "Business Network", "tls.reset.sni"),
    (42772, "A1", "http.transparent-proxy"),
    (25106, "MTS", "dns.injection.blockpage"),
];

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/belarus-2020")
}

fn file(name: &str) -> Vec<Series> {
    read(name, &std::fs::read(testdata().join(name)).unwrap()).unwrap()
}

/// The changes of a series with this in its name, as the days they began on, from 1 August.
fn onsets(series: &[Series], name: &str) -> Vec<i64> {
    let one: Vec<Series> = series.iter().filter(|one| one.name.contains(name)).cloned().collect();
    assert_eq!(one.len(), 1, "{name}");
    changes(&one, END, &Default::default()).iter().map(|c| (c.onset.best - AUGUST_1) / DAY + 1).collect()
}

#[test]
fn the_series_turn_on_the_ninth_and_the_controls_do_not() {
    let success = file("success.csv");
    assert_eq!(onsets(&success, "psiphon.ca"), [9]);
    assert!(onsets(&success, "wikipedia.org").is_empty());
    assert_eq!(onsets(&file("connectivity.csv"), "connectivity"), [9]);
    assert_eq!(onsets(&file("atlas.csv"), "probes"), [9]);
    assert_eq!(onsets(&file("tor-users.csv"), "relay"), [9]);
}

#[test]
fn it_is_found_under_noise_by_any_seed() {
    let mut exact = 0;
    for seed in 0..60 {
        let mut random = Random(seed);
        let noise = 0.01 + 0.05 * random.uniform();
        let mut points = Vec::new();
        for day in 0..30 {
            // Some days are missing, but not the first ones, nor the one.
            if day >= 3 && day != 8 && random.uniform() < 0.08 {
                continue;
            }
            let level = if day < 8 { 1.0 } else { 0.02 + 0.01 * random.uniform() };
            let value = (level + noise * random.normal()).clamp(0.0, 1.0);
            points.push(format!("{},{value:.4}", &crate::support::timestamp(AUGUST_1 + day * DAY)[..10]));
        }
        let text = format!("date,success_ratio\n{}\n", points.join("\n"));
        let series = read("success.csv", text.as_bytes()).unwrap();
        let found = changes(&series, END, &Default::default());
        assert_eq!(found.len(), 1, "seed {seed}: {found:?}");
        let onset = &found[0].onset;
        // A bad day just before the change can pass for its first.
        assert!((onset.best - AUGUST_9).abs() <= DAY, "seed {seed}, noise {noise:.3}: {onset:?}");
        assert!(onset.earliest.unwrap() <= AUGUST_9 && onset.latest >= AUGUST_9, "seed {seed}: {onset:?}");
        exact += usize::from(onset.best == AUGUST_9);
    }
    assert!(exact >= 57, "{exact} of 60");
}

/// Measurements of four networks, each with some probes that measure every few hours; false alarms and gaps are in.
fn measurements(seed: u64) -> Vec<Said> {
    let mut random = Random(seed);
    let targets: Vec<String> = (0..12).map(|i| format!("news-{i}.example")).collect();
    let mut all = Vec::new();
    for (asn, name, mechanism) in NETWORKS {
        for probe in 0..4 {
            let mut at = AUGUST_1 + (random.uniform() * 6.0 * HOUR as f64) as i64;
            while at < END {
                for (i, target) in targets.iter().enumerate() {
                    let mut said = Said::ok(at + i as i64 * 7, target, asn, &format!("p{probe}"));
                    said.network = name;
                    // Elections on 9 August; the first blocks at six in the morning. The last two targets stay free.
                    let blocked = at >= AUGUST_9 + 6 * HOUR && i < 10;
                    if blocked && random.uniform() < 0.97 {
                        said = said.blocked(mechanism);
                        said.hop = Some(4);
                    } else if random.uniform() < 0.01 {
                        said.state = "likely-blocked";
                        said.mechanism = Some("tcp.timeout");
                    }
                    all.push(said);
                }
                at += ((3.0 + 5.0 * random.uniform()) * HOUR as f64) as i64;
            }
        }
    }
    all
}

#[test]
fn one_incident_with_four_networks_and_four_mechanisms() {
    for seed in 0..5 {
        let study = study(&measurements(seed), Some(END));
        let found: Vec<_> = study.incidents.iter().filter(|i| i.kind == Kind::Interference).collect();
        assert_eq!(found.len(), 1, "seed {seed}: {:#?}", daylight_incident::report::headlines(&study));
        let incident = found[0];
        assert_eq!(incident.country, "BY");
        assert_eq!(incident.targets.len(), 10);
        let onset = incident.onset;
        assert!(
            onset.earliest.unwrap() <= AUGUST_9 + 6 * HOUR && onset.latest >= AUGUST_9 + 6 * HOUR,
            "{onset:?}"
        );
        assert_eq!((onset.best - AUGUST_1) / DAY, 8, "seed {seed}");
        assert!(matches!(incident.end, daylight_incident::detect::End::Continues));
        for (asn, _, mechanism) in NETWORKS {
            let part = incident
                .networks
                .iter()
                .find(|part| study.rows.networks[part.network as usize].asn == asn)
                .unwrap();
            assert_eq!(study.rows.mechanism(part.mechanisms[0].mechanism), Some(mechanism));
            assert_eq!(part.probes, 4);
            assert!(part.share > 0.9);
        }
    }
}

#[test]
fn the_report_tells_the_networks_apart() {
    let (folder, _) = folder(&measurements(1));
    for name in ["success.csv", "atlas.csv", "connectivity.csv", "tor-users.csv"] {
        std::fs::copy(testdata().join(name), folder.path().join(name)).unwrap();
    }
    let study =
        Study::of(&Source { folder: folder.path().to_owned(), until: Some(END), ..Source::default() })
            .unwrap();
    assert!(study.problems.is_empty());
    let text = daylight_incident::report::markdown(&study, None);
    for (asn, name, mechanism) in NETWORKS {
        let line = text.lines().find(|line| line.starts_with(&format!("| AS{asn} {name} "))).unwrap();
        assert!(line.contains(mechanism), "{line}");
    }
    assert!(text.contains("9 August 2020") && text.contains("Belarus"), "{text}");
    assert!(text.contains("Each network does it in its own way"));
}
