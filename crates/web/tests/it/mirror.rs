//! The log as others fetch it.

use std::fs;
use std::path::Path;

use daylight_policy::audit::{Action, Entry, verify};

use crate::common::{Filter, ago, host, rule, totals};

fn filter(entries: u64) -> Filter {
    let mut filter = Filter::running(vec![rule("no-games", Action::Reject, "hostname in $games")], vec![]);
    let time = ago(60);
    let rest: Vec<Entry> = (filter.writer.len()..entries)
        .map(|at| totals(time, "no-games", host(&format!("h{at}.example")), at))
        .collect();
    filter.append(&rest);
    filter
}

fn tile(level: &str, index: u64, width: u64) -> String {
    let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
    format!("tile/{level}/{index:03}{partial}")
}

/// The files that a log of this size has (fewer than 65,536 entries).
fn files(size: u64) -> Vec<String> {
    let mut files = Vec::new();
    for (level, count) in [("entries", size), ("0", size), ("1", size >> 8)] {
        files.extend((0..count >> 8).map(|index| tile(level, index, 256)));
        if count % 256 > 0 {
            files.push(tile(level, count >> 8, count % 256));
        }
    }
    files
}

#[test]
fn a_mirror_of_what_is_served_verifies() {
    let filter = filter(600);
    let page = filter.page();
    let mirror = tempfile::tempdir().unwrap();
    let checkpoint = page.get("/log/checkpoint");
    assert_eq!((checkpoint.status, checkpoint.content_type.as_str()), (200, "text/plain; charset=utf-8"));
    fs::write(mirror.path().join("checkpoint"), &checkpoint.body).unwrap();
    for name in files(600) {
        let file = page.get(&format!("/log/{name}"));
        assert_eq!((file.status, file.content_type.as_str()), (200, "application/octet-stream"), "{name}");
        let path = mirror.path().join(&name);
        fs::create_dir_all(path.parent().unwrap_or_else(|| Path::new(""))).unwrap();
        fs::write(path, file.body).unwrap();
    }
    let verified = verify(mirror.path(), &filter.key).unwrap();
    assert_eq!(verified.checkpoint.checkpoint().size, 600);
}

#[test]
fn only_what_the_checkpoint_covers_is_given_out() {
    let mut filter = filter(200);
    let page = filter.page();
    // Left behind by a crash: it lies there, and nothing vouches for it.
    let stray = filter.log().join("tile/0/000.p/201");
    fs::copy(filter.log().join("tile/0/000.p/200"), &stray).unwrap();
    assert_eq!(page.get("/log/tile/0/000.p/200").status, 200);
    assert_eq!(page.get("/log/tile/0/000.p/201").status, 404);
    fs::remove_file(stray).unwrap();
    // Who still goes by the older checkpoint gets its partial tiles when they are gone from the disk, too.
    let (hashes, bundle) =
        (page.get("/log/tile/0/000.p/200").body, page.get("/log/tile/entries/000.p/200").body);
    filter.append(&(0..100).map(|_| totals(ago(1), "no-games", host("z.example"), 1)).collect::<Vec<_>>());
    page.until_entries(300);
    assert!(!filter.log().join("tile/0/000.p").exists());
    assert_eq!(page.get("/log/tile/0/000.p/200").body, hashes);
    assert_eq!(page.get("/log/tile/entries/000.p/200").body, bundle);
    assert_eq!(page.get("/log/tile/0/000").body.len(), 8192);
}
