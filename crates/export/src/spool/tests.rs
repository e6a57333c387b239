//! What a spool keeps when things go wrong.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const UID: &str = "Cabcdefghi123456789";
const NOW: Duration = Duration::ZERO;

fn limits(records_max: u64) -> Limits {
    Limits { records_max, linger: NOW, ..Limits::default() }
}

fn id(n: u64) -> RecordId {
    RecordId((u128::from(n) + 1).to_be_bytes())
}

/// Record `n`, of `len` bytes.
fn line(n: u64, len: usize) -> Vec<u8> {
    let mut line = format!("{{\"n\":{n}}}").into_bytes();
    line.resize(line.len().max(len), b' ');
    line
}

fn fill(spool: &Spool, numbers: std::ops::Range<u64>, len: usize) {
    for n in numbers {
        assert!(spool.append(id(n), UID, n % 3 == 0, &line(n, len)), "{:?}", spool.error());
    }
}

/// Reads and acknowledges until nothing more comes: the numbers of the records, by their names.
fn drain(reader: &mut Reader, limits: &Limits) -> Vec<u64> {
    let mut seen = Vec::new();
    while let Some(batch) = reader.next(limits, NOW).unwrap() {
        seen.extend(batch.entries.iter().map(|entry| u128::from_be_bytes(entry.id.0) as u64 - 1));
        reader.acknowledge(&batch);
    }
    seen
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|suffix| suffix == "spool"));
    paths.sort();
    paths
}

fn open(folder: &Path, names: &[&str]) -> Arc<Spool> {
    Spool::open(folder, BUDGET_BYTES_MIN, names).unwrap()
}

#[test]
fn each_reads_at_its_own_pace_and_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), &["a", "b"]);
    fill(&spool, 0..10, 100);
    let mut a = spool.reader("a").unwrap();
    assert_eq!(drain(&mut a, &limits(3)), (0..10).collect::<Vec<_>>());
    let mut b = spool.reader("b").unwrap();
    let first = b.next(&limits(4), NOW).unwrap().unwrap();
    b.acknowledge(&first);
    let second = b.next(&limits(4), NOW).unwrap().unwrap();
    assert_eq!((second.from, second.until, second.entries.len()), (4, 8, 4));
    assert_eq!(second.entries[0].line.as_ref(), line(4, 100));
    assert_eq!((second.entries[0].uid(), second.entries[2].has_risks), (UID, true));
    let counters = spool.reader_counters("b").unwrap();
    assert_eq!(counters, ReaderCounters { acknowledged: 4, lag: 6, ..Default::default() });
    assert!(spool.reader("c").is_none());
    drop((a, b, spool));

    // As after kill -9: nothing was said on the way out.
    let spool = open(folder.path(), &["a", "b"]);
    fill(&spool, 10..12, 100);
    let mut b = spool.reader("b").unwrap();
    // With other limits, the batch that was not acknowledged is the same.
    assert_eq!(b.next(&limits(1), NOW).unwrap().unwrap(), second);
    assert_eq!(b.next(&limits(1), NOW).unwrap().unwrap(), second, "and again");
    b.acknowledge(&second);
    assert_eq!(drain(&mut b, &limits(100)), [8, 9, 10, 11]);
    assert_eq!(drain(&mut spool.reader("a").unwrap(), &limits(100)), [10, 11]);
    assert!(!b.is_over());
    spool.close();
    assert!(b.is_over());
}

#[test]
fn only_risks_are_read_by_who_wants_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), &["alarms"]);
    fill(&spool, 0..10, 10);
    let mut reader = spool.reader("alarms").unwrap();
    assert_eq!(drain(&mut reader, &Limits { risks_only: true, ..limits(4) }), [0, 3, 6, 9]);
    assert_eq!(spool.reader_counters("alarms").unwrap().acknowledged, 10);
}

#[test]
fn the_oldest_goes_when_the_budget_is_spent_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), &["slow", "quick"]);
    let mut quick = spool.reader("quick").unwrap();
    let mut seen = Vec::new();
    for round in 0..40 {
        fill(&spool, round * 100..round * 100 + 100, 1000);
        seen.extend(drain(&mut quick, &limits(64)));
        let on_disk: u64 = segments(folder.path()).iter().map(|path| path.metadata().unwrap().len()).sum();
        assert_eq!(on_disk, spool.counters().bytes);
        assert!(on_disk <= BUDGET_BYTES_MIN);
    }
    assert_eq!(seen, (0..4000).collect::<Vec<_>>(), "who is quick misses nothing");
    let slow = drain(&mut spool.reader("slow").unwrap(), &limits(100));
    let counters = spool.reader_counters("slow").unwrap();
    assert!((900..1100).contains(&slow.len()), "a MiB of records of a kB: {}", slow.len());
    assert_eq!(slow, (4000 - slow.len() as u64..4000).collect::<Vec<_>>(), "the newest");
    assert_eq!(counters.dropped + counters.acknowledged, 4000);
    assert_eq!(counters.acknowledged, slow.len() as u64);
    assert!(spool.counters().segments_dropped > 40);
    // What all have read goes, but the last segment.
    fill(&spool, 0..70, 1000);
    drain(&mut spool.reader("slow").unwrap(), &limits(100));
    drain(&mut quick, &limits(100));
    assert!(segments(folder.path()).len() <= 2);
}

#[test]
fn a_write_that_was_interrupted_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    drop({
        let spool = open(folder.path(), &["a"]);
        fill(&spool, 0..5, 200);
        spool
    });
    let path = segments(folder.path()).pop().unwrap();
    let whole = std::fs::read(&path).unwrap();
    for cut in (16..whole.len()).step_by(7).chain([0, 5, whole.len()]) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let spool = open(folder.path(), &["a", "all"]);
        let kept = (cut.saturating_sub(16) / ((whole.len() - 16) / 5)) as u64;
        fill(&spool, 100..102, 10);
        let seen = drain(&mut spool.reader("all").unwrap(), &limits(100));
        assert_eq!(seen, (0..kept).chain(100..102).collect::<Vec<_>>(), "cut at {cut}");
        drop(spool);
        std::fs::remove_file(folder.path().join("all.position")).unwrap();
    }
}

/// A hundred records of a kB, and `bytes` written over the first segment.
fn spoilt(offset: u64, bytes: &[u8]) -> (Vec<u64>, u64, ReaderCounters) {
    let folder = tempfile::tempdir().unwrap();
    drop({
        let spool = open(folder.path(), &["a"]);
        fill(&spool, 0..100, 1000);
        spool
    });
    let segments = segments(folder.path());
    let mut file = OpenOptions::new().write(true).open(&segments[0]).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(bytes).unwrap();
    let second = segments[1].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let spool = open(folder.path(), &["a"]);
    let seen = drain(&mut spool.reader("a").unwrap(), &limits(10));
    (seen, second, spool.reader_counters("a").unwrap())
}

#[test]
fn what_the_disk_spoils_is_counted_and_the_rest_is_read() {
    // In the third record's line: one record is lost.
    let (seen, _, counters) = spoilt(16 + 2 * 1044 + 300, b"?????");
    assert_eq!(seen, (0..100).filter(|n| *n != 2).collect::<Vec<_>>());
    assert_eq!((counters.spoilt, counters.acknowledged), (1, 99));
    // The fifth one's length: everything behind it in its segment, and nothing of the next.
    let (seen, next, counters) = spoilt(16 + 4 * 1044, &u32::MAX.to_le_bytes());
    assert_eq!(seen, (0..4).chain(next..100).collect::<Vec<_>>());
    assert_eq!((counters.spoilt, counters.spoilt + counters.acknowledged), (next - 4, 100));
}

#[test]
fn positions_that_are_ahead_of_the_records_are_set_back() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), &["a"]);
    fill(&spool, 0..5, 100);
    drain(&mut spool.reader("a").unwrap(), &limits(100));
    drop(spool);
    // The power went before the records were on the disk.
    let path = segments(folder.path()).pop().unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
    let spool = open(folder.path(), &["a"]);
    fill(&spool, 7..9, 100);
    assert_eq!(drain(&mut spool.reader("a").unwrap(), &limits(100)), [7, 8]);
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), &[]);
    let Err(error) = Spool::open(folder.path(), BUDGET_BYTES_MIN, &[]) else { panic!("two have it") };
    assert!(matches!(error, SpoolError::InUse { .. }), "{error}");
    drop(spool);
    open(folder.path(), &[]);
}

#[test]
fn nothing_is_kept_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), &[]);
    fill(&spool, 0..10, 100);
    let counters = spool.counters();
    assert_eq!((counters.handed_over, counters.spooled, counters.bytes), (10, 0, 0));
    assert!(segments(folder.path()).is_empty());
}

#[test]
fn a_record_that_is_too_long_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path(), &["a"]);
    assert!(!spool.append(id(1), UID, false, &vec![b'x'; (1 << 20) + 1]));
    assert!(spool.error().unwrap().contains("longer than 1 MiB"));
    fill(&spool, 2..3, 10);
    let counters = spool.counters();
    assert_eq!((counters.handed_over, counters.spooled, counters.unwritten), (2, 1, 1));
    assert_eq!(drain(&mut spool.reader("a").unwrap(), &limits(9)), [2]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Appending, reading, acknowledging and restarting in any order, nothing is lost, doubled or out of order, as long as
    /// there is room.
    #[test]
    fn any_order_of_things(steps in prop::collection::vec((0u8..5, 1u64..40), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = open(folder.path(), &["a"]);
        let mut reader = spool.reader("a").unwrap();
        let (mut appended, mut acknowledged) = (0, 0);
        for (step, n) in steps {
            match step {
                0 | 1 => {
                    fill(&spool, appended..appended + n, 300);
                    appended += n;
                }
                2 | 3 => {
                    let batch = reader.next(&limits(n), NOW).unwrap();
                    prop_assert_eq!(batch.is_none(), acknowledged == appended);
                    if let Some(batch) = batch {
                        let names: Vec<_> = batch.entries.iter().map(|entry| entry.id).collect();
                        let due = acknowledged..acknowledged + names.len() as u64;
                        prop_assert_eq!(names, due.clone().map(id).collect::<Vec<_>>());
                        if step == 2 {
                            reader.acknowledge(&batch);
                            acknowledged = due.end;
                        }
                    }
                }
                _ => {
                    drop((reader, spool));
                    spool = open(folder.path(), &["a"]);
                    reader = spool.reader("a").unwrap();
                }
            }
        }
    }
}
