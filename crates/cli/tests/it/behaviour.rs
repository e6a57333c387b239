//! Wrong arguments, damaged files, closed pipes, full disks, interruptions.

use std::fs;
use std::io::{Read, Write};
use std::process::{Output, Stdio};

use crate::{daylight, tour};

fn inspect(args: &[&str]) -> Output {
    daylight().arg("inspect").args(args).output().expect("daylight")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn path() -> String {
    tour().display().to_string()
}

#[test]
fn records_are_the_same_byte_for_byte_at_any_number_of_threads() {
    let of = |threads: &str| inspect(&[&path(), "-q", "-f", "jsonl", "--threads", threads]).stdout;
    let one = of("1");
    assert!(one.len() > 10_000);
    for threads in ["2", "3", "7"] {
        assert!(of(threads) == one, "{threads} threads");
    }
}

#[test]
fn a_pipe_gzip_and_zstd_give_what_the_file_gives() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = fs::read(tour()).expect("the tour");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).expect("memory");
    let zstd = zstd::encode_all(&bytes[..], 1).expect("memory");
    let packed = [("tour.pcap", gzip.finish().expect("memory")), ("again/tour.pcap", zstd)];
    let want = inspect(&[&path(), "-q", "-f", "jsonl"]).stdout;
    fs::create_dir(folder.path().join("again")).expect("a folder");
    for (name, bytes) in packed {
        let file = folder.path().join(name);
        fs::write(&file, bytes).expect("a file");
        let got = inspect(&[&file.display().to_string(), "-q", "-f", "jsonl"]);
        assert!(got.stdout == want, "{name}: {}", stderr(&got));
    }
    let mut child = daylight()
        .args(["inspect", "-", "-q", "-f", "csv", "--fields", "protocol"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("daylight");
    child.stdin.take().expect("a pipe").write_all(&bytes).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert_eq!(
        output.stdout.iter().filter(|b| **b == b'\n').count(),
        want.iter().filter(|b| **b == b'\n').count() + 1
    );
}

#[test]
fn a_capture_that_is_cut_short_is_read_as_far_as_it_goes_and_the_exit_status_tells() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cut.pcap");
    let bytes = fs::read(tour()).expect("the tour");
    fs::write(&file, &bytes[..bytes.len() - 100]).expect("a file");
    let output = inspect(&[&file.display().to_string(), "-q"]);
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("flows") && text.contains("stopped at byte"), "{text}");
}

#[test]
fn what_is_not_a_capture_is_said_clearly() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("notes.txt");
    fs::write(&text, "These are notes, not packets.\n").expect("a file");
    let empty = folder.path().join("empty.pcap");
    fs::write(&empty, "").expect("a file");
    for (file, word) in
        [(&text, "pcap"), (&empty, "empty"), (&folder.path().join("missing.pcap"), "missing.pcap")]
    {
        let output = inspect(&[&file.display().to_string()]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn wrong_names_are_answered_with_the_nearest_right_ones() {
    for (args, near) in [
        (&["--fields", "hostnmae"][..], "hostname"),
        (&["--sort", "src_byte"], "src_bytes"),
        (&["--where", "protocl == \"tls\""], "protocol"),
        (&["--where", "src_port == \"high\""], "src_port"),
    ] {
        let output = inspect(&[&[path().as_str()], args].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(near), "{args:?}: {}", stderr(&output));
    }
    let output = daylight().args(["protocols", "htpt"]).output().expect("daylight");
    assert!(stderr(&output).contains("http"), "{}", stderr(&output));
    assert_eq!(inspect(&["--format", "yaml", "x"]).status.code(), Some(2));
}

#[test]
fn conditions_limits_and_orders_do_what_they_say() {
    let lines = |args: &[&str]| {
        let output = inspect(&[&[path().as_str(), "-q", "-f", "csv"], args].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&["--where", "ssh", "--fields", "protocol,dst_port"]), ["ssh,22"]);
    assert_eq!(lines(&["--limit", "3", "--fields", "protocol"]).len(), 3);
    let sizes: Vec<u64> = lines(&["--sort", "-dst_bytes", "--fields", "dst_bytes"])
        .iter()
        .map(|n| n.parse().expect("a number"))
        .collect();
    assert!(sizes.len() > 20 && sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let mut child = daylight()
        .args(["inspect", &path(), "-q", "-f", "jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("daylight");
    let mut out = child.stdout.take().expect("a pipe");
    let mut some = [0; 10];
    out.read_exact(&mut some).expect("some bytes");
    drop(out);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_full_disk_is_told_with_what_was_written() {
    let output = inspect(&[&path(), "-q", "-f", "jsonl", "-o", "/dev/full"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("No space left"), "{}", stderr(&output));
    let output = inspect(&[&path(), "-q", "-o", "/dev/full"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_interruption_prints_what_was_learned() {
    let bytes = fs::read(tour()).expect("the tour");
    let mut child = daylight()
        .args(["inspect", "-", "-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("daylight");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&bytes).expect("it reads");
    stdin.flush().expect("it reads");
    std::thread::sleep(std::time::Duration::from_millis(500));
    let status = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(status.expect("kill").success());
    // The pipe is still open: only the interruption can end it.
    let output = child.wait_with_output().expect("it ends");
    drop(stdin);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{text}{}", stderr(&output));
    assert!(text.contains("Protocols") && text.contains("ssh"), "{text}");
}

#[test]
fn the_summary_stays_within_eighty_columns_and_has_no_colours_in_a_pipe() {
    let output = inspect(&[&path(), "-q"]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(!text.contains('\x1b'));
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line:?}");
    }
}

#[test]
fn no_secret_comes_out_in_any_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = folder.path().join("logs");
    let zeek = inspect(&[&path(), "-q", "-f", "zeek", "-o", &logs.display().to_string()]);
    assert!(zeek.status.success(), "{}", stderr(&zeek));
    let mut all = inspect(&[&path(), "-q", "-f", "jsonl"]).stdout;
    for entry in fs::read_dir(&logs).expect("logs") {
        all.extend(fs::read(entry.expect("a log").path()).expect("a log"));
    }
    let text = String::from_utf8_lossy(&all);
    // The tour's password, as it is and in the two forms in which it crossed the wire.
    for secret in ["secret", "YWxpY2U6c2VjcmV0", "AGFsaWNlAHNlY3JldA=="] {
        assert!(!text.contains(secret), "{secret}");
    }
}
