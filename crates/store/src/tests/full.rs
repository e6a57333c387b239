//! Full disks and closed pipes.

use std::io;

use daylight_inspect::{FlowRecord, RecordSink};

use super::{Disk, http_events, named};
use crate::out::{Out, Target};
use crate::{Destination, Format, StoreError, Writer, jsonl, open};

/// Flows until the writer closes itself.
fn fill(writer: &mut dyn Writer) -> u64 {
    let mut handed = 0;
    while !writer.is_closed() && handed < 1_000_000 {
        writer.flow(FlowRecord::blank(handed).into());
        handed += 1;
    }
    handed
}

#[test]
fn whole_lines_are_kept_and_counted() {
    for room in [0, 10, 200_000, 400_001] {
        let disk = Disk::new(room);
        let out = Out::new(Box::new(disk.clone()), "flows.jsonl".into());
        let mut writer = jsonl::Jsonl::new(named(&["uid", "src_ip", "dst_ip"]), out);
        let handed = fill(&mut writer);
        let error = writer.finish().unwrap_err();
        let content = disk.content();
        let lines = content.iter().filter(|b| **b == b'\n').count() as u64;
        assert!(content.is_empty() || content.ends_with(b"}\n"), "no half line");
        assert!(lines < handed);
        let StoreError::Write { flows, .. } = &error else { panic!("{error}") };
        assert_eq!(*flows, lines);
        assert!(room < 200_000 || content.len() + 1000 > room, "what there is room for is written");
        let text = error.to_string();
        assert!(text.contains("flows.jsonl") && text.contains(&format!("after {lines} flows")), "{text}");
        assert!(text.contains("what was written until then is kept"), "{text}");
    }
}

#[test]
fn what_does_not_fit_at_the_end_is_told_too() {
    let disk = Disk::new(10);
    let out = Out::new(Box::new(disk), "x".into());
    let mut writer = jsonl::Jsonl::new(named(&["uid"]), out);
    writer.flow(FlowRecord::blank(1).into());
    assert!(!writer.is_closed());
    assert!(matches!(writer.finish(), Err(StoreError::Write { flows: 0, .. })));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device() {
    for format in [Format::Jsonl, Format::Csv, Format::Parquet] {
        let to = Destination::Path("/dev/full".into());
        let mut writer = open(format, named(&["uid"]), &to).unwrap();
        let handed = fill(&mut *writer);
        assert!(handed < 1_000_000, "{format:?} does not close itself");
        let text = writer.finish().unwrap_err().to_string();
        assert!(text.contains("/dev/full after 0 flows: No space left on device"), "{text}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn one_log_of_zeek_is_on_a_full_device() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("http.log")).unwrap();
    let to = Destination::Path(folder.path().into());
    let mut writer = open(Format::Zeek, Vec::new(), &to).unwrap();
    http_events().into_iter().for_each(|event| writer.event(event));
    writer.flow(FlowRecord::blank(1).into());
    let text = writer.finish().unwrap_err().to_string();
    assert!(text.contains("http.log after 1 flows: No space left on device"), "{text}");
    for (log, rows) in [("conn.log", 1), ("files.log", 2)] {
        let text = std::fs::read_to_string(folder.path().join(log)).unwrap();
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), rows, "{log}");
        assert!(text.lines().last().unwrap().starts_with("#close"), "{log}");
    }
}

#[test]
fn places_that_do_not_fit() {
    assert!(matches!(open(Format::Zeek, Vec::new(), &Destination::Stdout), Err(StoreError::NeedsFolder)));
    assert!(matches!(open(Format::Parquet, Vec::new(), &Destination::Stdout), Err(StoreError::NeedsFile)));
    let nowhere = Destination::Path("/nonexistent/flows.csv".into());
    let Err(error) = open(Format::Csv, Vec::new(), &nowhere) else { panic!("it was created") };
    assert!(error.to_string().starts_with("can't create /nonexistent/flows.csv: No such file"), "{error}");
}

struct Pipe;

impl io::Write for Pipe {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Target for Pipe {}

#[test]
fn a_closed_pipe_is_told_apart() {
    let mut writer = jsonl::Jsonl::new(named(&["uid"]), Out::new(Box::new(Pipe), "standard output".into()));
    assert!(fill(&mut writer) < 1_000_000);
    assert!(writer.finish().unwrap_err().is_closed_pipe());
}
