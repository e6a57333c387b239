//! The object storage of PyPI's moto.

use std::path::Path;
use std::time::Duration;

use daylight_export::s3::{Pass, S3, S3Options};
use daylight_export::{Config, Exporter, Tls};

use crate::peers::{
    Request, Running, Server, finish, free_port, python, run, script, wait_for, wait_for_port,
};

fn options(url: &str) -> S3Options {
    S3Options {
        url: url.to_owned(),
        bucket: "flows".into(),
        region: "us-east-1".into(),
        prefix: "north/".into(),
        path_style: true,
        access_key: Some("key".into()),
        secret_key: Some("secret".to_owned().into()),
        settle: Duration::ZERO,
        tls: Tls::default(),
    }
}

/// A store with two hours, something unfinished, and something else.
fn store(folder: &Path) -> std::path::PathBuf {
    let store = folder.join("store");
    for (name, text) in [
        ("day=2026-01-01/hour=03/a.parquet", "PAR1 a PAR1"),
        ("day=2026-01-01/hour=03/b c+ü.parquet", "PAR1 b PAR1"),
        ("day=2026-01-01/hour=04/d.parquet", "PAR1 d PAR1"),
        ("day=2026-01-01/hour=04/.e.parquet.part", "PAR1 e"),
        ("notes.txt", "hello"),
    ] {
        let path = store.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    store
}

/// The objects of the bucket and what is in them.
fn objects(python: &Path, url: &str) -> serde_json::Value {
    serde_json::from_str(&script(python, "s3.py", &[url, "list"])).unwrap()
}

fn moto(python: &Path, folder: &Path) -> (Running, String) {
    let port = free_port();
    let args = ["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()];
    let server = run(python.to_str().unwrap(), &args, &folder.join("moto.log")).unwrap();
    wait_for_port(port);
    let url = format!("http://127.0.0.1:{port}");
    script(python, "s3.py", &[&url, "make"]);
    (server, url)
}

#[test]
fn files_are_copied_once_and_merged_ones_replace_others() {
    let Some(python) = python("moto.server, boto3, flask_cors") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (_server, url) = moto(&python, folder.path());
    let (store, options) = (store(folder.path()), options(&url));
    let patient = S3Options { settle: Duration::from_secs(3600), ..options.clone() };
    let mut s3 = S3::new(&patient, folder.path(), "archive").unwrap();
    assert_eq!(s3.pass(&store).unwrap(), Pass::default(), "they may still be merged");
    let mut s3 = S3::new(&options, folder.path(), "archive").unwrap();
    assert_eq!(s3.pass(&store).unwrap(), Pass { copied: 3, bytes: 33, ..Pass::default() });
    assert_eq!(s3.pass(&store).unwrap(), Pass::default(), "nothing twice");
    let mut expected = serde_json::json!({
        "north/day=2026-01-01/hour=03/a.parquet": "PAR1 a PAR1",
        "north/day=2026-01-01/hour=03/b c+ü.parquet": "PAR1 b PAR1",
        "north/day=2026-01-01/hour=04/d.parquet": "PAR1 d PAR1",
    });
    assert_eq!(objects(&python, &url), expected);
    // After a restart the journal says what is there; without it, the service does.
    assert_eq!(S3::new(&options, folder.path(), "archive").unwrap().pass(&store).unwrap(), Pass::default());
    let mut forgetful = S3::new(&options, folder.path(), "other").unwrap();
    assert_eq!(forgetful.pass(&store).unwrap(), Pass { present: 3, ..Pass::default() });
    // What is there under the same name is never overwritten.
    std::fs::write(store.join("day=2026-01-01/hour=04/d.parquet"), "PAR1 other PAR1").unwrap();
    let pass = S3::new(&options, folder.path(), "third").unwrap().pass(&store).unwrap();
    assert_eq!(pass.conflicts, ["north/day=2026-01-01/hour=04/d.parquet"]);
    // A merge in the store.
    let hour = store.join("day=2026-01-01/hour=03");
    std::fs::write(hour.join("m.replaces"), "a.parquet\nb c+ü.parquet\n").unwrap();
    std::fs::write(hour.join("m.merged.parquet"), "PAR1 ab PAR1").unwrap();
    assert_eq!(s3.pass(&store).unwrap(), Pass { copied: 2, bytes: 37, removed: 2, ..Pass::default() });
    let objects_then = expected.as_object_mut().unwrap();
    objects_then.retain(|name, _| name.contains("hour=04"));
    objects_then.insert("north/day=2026-01-01/hour=03/m.merged.parquet".into(), "PAR1 ab PAR1".into());
    objects_then
        .insert("north/day=2026-01-01/hour=03/m.replaces".into(), "a.parquet\nb c+ü.parquet\n".into());
    assert_eq!(objects(&python, &url), expected);
    assert_eq!(s3.pass(&store).unwrap(), Pass::default());
    // What the store forgets stays in the bucket.
    std::fs::remove_dir_all(store.join("day=2026-01-01")).unwrap();
    assert_eq!(s3.pass(&store).unwrap(), Pass::default());
    assert_eq!(objects(&python, &url), expected);
}

#[test]
fn an_exporter_copies_on_when_the_service_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let mut answers = [503u16, 500, 200].into_iter();
    let server =
        Server::start(move |_: &Request| (answers.next().unwrap_or(200), "<Code>SlowDown</Code>".into()));
    std::fs::write(folder.path().join("key"), "secret").unwrap();
    let text = format!(
        "[[to]]\nkind = \"s3\"\nname = \"archive\"\nurl = {:?}\nbucket = \"flows\"\naccess_key = \"key\"\nsecret_key_file = \"key\"\nsettle_s = 0",
        server.url
    );
    let config = Config::parse(&text, "test.toml", folder.path()).unwrap();
    let spool = folder.path().join("spool");
    let exporter = Exporter::start(&config, "north", Some(&spool), Some(&store)).unwrap();
    let status =
        wait_for("they are copied", || exporter.uploads().remove(0), |status| status.total.copied == 3);
    assert_eq!((&*status.name, status.error), ("archive", None));
    finish(exporter);
    let put = &server.requests()[2];
    assert_eq!(put.header("if-none-match"), Some("*"));
    assert_eq!(put.header("content-length"), Some("11"));
    assert!(put.line.starts_with("PUT /flows/day%3D2026-01-01/hour%3D03/a.parquet?X-Amz-"), "{}", put.line);
    assert!(put.line.contains("if-none-match%3Bx-amz-checksum-sha256"), "signed: {}", put.line);
    let Err(error) = Exporter::start(&config, "north", Some(&spool), None) else {
        panic!("there is no store")
    };
    assert!(error.to_string().contains("--store"), "{error}");
}
