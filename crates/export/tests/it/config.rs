//! The example that is handed out.

use std::path::Path;

use daylight_export::{Config, Exporter};

#[test]
fn the_example_is_understood_and_starts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/export/export.toml");
    let mut config = Config::read(&path).unwrap_or_else(|error| panic!("{error}"));
    let kinds: Vec<_> = config.to.iter().map(|to| to.kind.name()).collect();
    assert_eq!(kinds, ["nats", "kafka", "clickhouse", "ipfix", "s3", "syslog", "webhook", "otlp"]);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(config.spool.take().as_deref(), Some(&*path.with_file_name("spool")));
    let exporter =
        Exporter::start(&config, "north", Some(&folder.path().join("spool")), Some(folder.path())).unwrap();
    assert_eq!(exporter.statuses().len(), 7);
    drop(exporter);
    let nowhere = Config::read(Path::new("/nonexistent/to.toml")).unwrap_err();
    assert!(nowhere.to_string().starts_with("can't read /nonexistent/to.toml: No such file"));
}
