//! Cells, and that the order and the splitting of the input make no difference to anything.

use daylight_incident::cell::cells;
use daylight_incident::read::read_files;
use proptest::prelude::*;

use crate::support::{AUGUST_1, HOUR, Said, folder, rows, study};

#[test]
fn a_cell_counts_verdicts_and_different_probes() {
    let at = AUGUST_1;
    let one = Said::ok(at, "a.example", 1, "p");
    let all = [
        one.clone(),
        Said { at: at + 60, ..one.clone() },
        Said { at: at + 90, probe: "q".into(), ..one.clone() },
        Said { at: at + 100, ..one.clone() }.blocked("dns.nxdomain"),
        Said { at: at + 200, resolver: 15169, ..one.clone() }.blocked("dns.nxdomain"),
        Said { at: at + HOUR, ..one },
    ];
    let rows = rows(&all);
    let found: Vec<_> = cells(&rows).collect();
    let shape: Vec<_> = found
        .iter()
        .map(|cell| (cell.key.resolver, cell.key.layer.is_some(), cell.histogram[0].1, cell.probes))
        .collect();
    assert_eq!(shape, [(1, false, 3, 2), (1, false, 1, 1), (1, true, 1, 1), (15169, true, 1, 1)]);
}

#[test]
fn the_same_measurement_counts_once_and_by_the_newest_rules() {
    let line = Said::ok(AUGUST_1, "a.example", 1, "p").line();
    let newer = line.replace("\"version\":\"1\"", "\"version\":\"10\"").replace("\"ok\"", "\"down\"");
    let older = line.replace("\"version\":\"1\"", "\"version\":\"9\"").replace("\"ok\"", "\"insufficient\"");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    std::fs::write(&path, format!("{line}\n{newer}\n{older}\n{line}\n")).unwrap();
    let read = read_files(&[path], None).unwrap();
    assert_eq!((read.rows.rows.len(), read.rows.duplicates), (1, 3));
    assert_eq!(read.rows.rows[0].state.as_str(), "down");
}

#[test]
fn what_is_no_record_is_told_with_its_place_and_passed_over() {
    let good = Said::ok(AUGUST_1, "a.example", 1, "p").line();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    std::fs::write(
        &path,
        format!("{good}\n\n{{\"schema\":1,\nnonsense\n{}\n", good.replace("\"schema\":1", "\"schema\":2")),
    )
    .unwrap();
    let read = read_files(std::slice::from_ref(&path), None).unwrap();
    assert_eq!((read.rows.rows.len(), read.problem_count), (1, 3));
    let lines: Vec<u64> = read.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [3, 4, 5]);
    assert!(read.problems[2].what.contains("layout 2"), "{}", read.problems[2]);
}

#[test]
fn records_are_read_under_gzip_and_zstd() {
    use std::io::Write as _;
    let (folder, path) =
        folder(&[Said::ok(AUGUST_1, "a.example", 1, "p"), Said::ok(AUGUST_1, "b.example", 1, "p")]);
    let text = std::fs::read(&path).unwrap();
    let zstd = folder.path().join("a.jsonl.zst");
    std::fs::write(&zstd, zstd::encode_all(text.as_slice(), 1).unwrap()).unwrap();
    let gzip = folder.path().join("a.jsonl.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&text).unwrap();
    std::fs::write(&gzip, encoder.finish().unwrap()).unwrap();
    for path in [zstd, gzip] {
        assert_eq!(read_files(&[path], None).unwrap().rows.rows.len(), 2);
    }
}

/// Records of two targets on two networks over some days, blocked from some hour on.
fn arbitrary() -> impl Strategy<Value = Vec<Said>> {
    let one = (0..240_i64, 0..2_u32, 0..2_u32, 0..3_u8, any::<bool>());
    (0..240_i64, prop::collection::vec(one, 1..200)).prop_map(|(from, all)| {
        all.into_iter()
            .enumerate()
            .map(|(i, (hour, target, asn, probe, odd))| {
                let said = Said::ok(
                    AUGUST_1 + hour * HOUR + i as i64,
                    &format!("t{target}.example"),
                    asn + 1,
                    &format!("p{probe}"),
                );
                if hour >= from && !odd { said.blocked("tls.reset.sni") } else { said }
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn order_makes_no_difference(all in arbitrary(), seed in any::<u64>()) {
        let mut shuffled = all.clone();
        let mut random = crate::support::Random(seed);
        for i in (1..shuffled.len()).rev() {
            shuffled.swap(i, (random.next() % (i as u64 + 1)) as usize);
        }
        let (a, b) = (study(&all, None), study(&shuffled, None));
        prop_assert_eq!(&a.detected.changes, &b.detected.changes);
        prop_assert_eq!(&a.incidents, &b.incidents);
        prop_assert_eq!(daylight_incident::report::html(&a, None), daylight_incident::report::html(&b, None));
    }

    #[test]
    fn cells_lose_nothing(all in arbitrary()) {
        let rows = rows(&all);
        let total: u32 = cells(&rows).flat_map(|cell| cell.histogram).map(|(_, count)| count).sum();
        prop_assert_eq!(total as usize, rows.rows.len());
    }
}
