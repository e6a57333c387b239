//! What is not answered, and what is said then.

use crate::{Asker, store};

#[test]
fn nothing_is_changed() {
    let store = store();
    let asker = Asker::new(store.path());
    let before = listing(store.path());
    let elsewhere = store.path().join("out");
    for sql in [
        "DROP TABLE flows".to_owned(),
        "DROP VIEW risks".to_owned(),
        "CREATE TABLE x AS SELECT 1".to_owned(),
        "CREATE VIEW x AS SELECT 1".to_owned(),
        format!("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '{}'", store.path().display()),
        "INSERT INTO flows SELECT * FROM flows".to_owned(),
        "DELETE FROM flows".to_owned(),
        "UPDATE flows SET src_port = 1".to_owned(),
        format!("COPY flows TO '{}' STORED AS PARQUET", elsewhere.display()),
        format!("COPY (SELECT 1) TO '{}' STORED AS CSV", elsewhere.display()),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        "PREPARE x AS SELECT 1".to_owned(),
    ] {
        let error = asker.refused(&sql);
        assert!(error.contains("only read"), "{sql}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    assert_eq!(listing(store.path()), before);
    assert!(!elsewhere.exists());
}

fn listing(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(listing(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

/// Files outside the store are nobody's business here.
#[test]
fn no_other_files() {
    let store = store();
    let asker = Asker::new(store.path());
    let error = asker.refused("SELECT * FROM '/etc/passwd'");
    assert!(error.contains("there is no table"), "{error}");
    for sql in ["SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM parquet_metadata('/etc/passwd')"] {
        let error = asker.refused(sql);
        assert!(error.contains("not found"), "{error}");
    }
}

#[test]
fn what_was_meant() {
    let store = store();
    let asker = Asker::new(store.path());
    for (sql, what, at) in [
        ("SELECT hostnam FROM flows", "there is no column \"hostnam\"; did you mean hostname?", "       ^"),
        ("SELECT src FROM\nflow", "there is no table \"flow\"; did you mean flows?", "  flow\n  ^"),
        ("SELECT count(* FROM flows", "Expected: ), found: FROM", "SELECT count(* FROM flows\n"),
        ("SELECT sni FROM flows", "did you mean \"tls.sni\", in double quotes?", "         ^"),
        ("SELECT 1; SELECT 2", "more than one statement", ""),
        ("", "there is no question", ""),
        ("SELECT sume(src_bytes) FROM flows", "Invalid function 'sume'", ""),
        ("SELECT in_prefix(src_ip, '10.0.0.0/99') FROM flows", "\"10.0.0.0/99\" is not a network", ""),
        ("SELECT prefix(src_ip, 200) FROM flows", "200 is no length of a prefix", ""),
        ("SELECT $x", "x", ""),
    ] {
        let error = asker.refused(sql);
        assert!(error.contains(what) && error.contains(at), "{sql}:\n{error}");
    }
}

/// Conditions that nest as deep as nobody means them are refused, and don't end the process.
#[test]
fn deep_nesting() {
    let store = store();
    let asker = Asker::new(store.path());
    let deep = format!("SELECT {}1{} FROM flows", "(".repeat(5000), ")".repeat(5000));
    let error = asker.refused(&deep);
    assert!(error.to_lowercase().contains("recursion"), "{error}");
}
