//! Records that stay, and questions to them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::{daylight, tour};

fn ok(command: &mut Command) -> String {
    let output = command.output().expect("daylight");
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn failed(command: &mut Command, code: i32) -> String {
    let output = command.output().expect("daylight");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{error}");
    error
}

fn query(store: &Path) -> Command {
    let mut command = daylight();
    command.arg("query").arg("--store").arg(store);
    command
}

fn filled(store: &Path, more: &[&str]) -> Output {
    let output = daylight()
        .arg("inspect")
        .arg(tour())
        .arg("--store")
        .arg(store)
        .args(more)
        .output()
        .expect("daylight");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The same flows as the summary has, with clients under pseudonyms; and with their addresses if that is asked for.
#[test]
fn captures_into_a_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let (store, open) = (folder.path().join("flows"), folder.path().join("open"));
    let told = filled(&store, &["--sensor", "edge"]);
    assert!(told.stdout.is_empty());
    filled(&open, &["-q", "--keep-addresses"]);
    let jsonl = ok(daylight().args(["inspect", "-q", "--format", "jsonl"]).arg(tour()));
    let flows = jsonl.lines().count();
    assert!(String::from_utf8_lossy(&told.stderr).contains(&format!("{flows} flows in ")));
    let count = |store: &Path| ok(query(store).args(["SELECT count(*) FROM flows", "-f", "csv"]));
    assert_eq!(count(&store).lines().nth(1), Some(&*flows.to_string()));
    assert_eq!(count(&open), count(&store));
    let addresses =
        |store: &Path| ok(query(store).args(["SELECT DISTINCT src_ip FROM flows ORDER BY 1", "-f", "csv"]));
    let clients = addresses(&open);
    for client in clients.lines().skip(1) {
        assert!(jsonl.contains(&format!("\"src_ip\":\"{client}\"")), "{client}");
        assert!(!addresses(&store).lines().any(|line| line == client), "{client}");
    }
    assert_eq!(clients.lines().count(), addresses(&store).lines().count());
    assert_eq!(
        ok(query(&store).args(["SELECT DISTINCT sensor FROM flows", "-f", "csv"])),
        "sensor\r\nedge\r\n"
    );
    // The keys lie beside the store, for their owner only; with addresses, there are none.
    let key = folder.path().join("flows.key");
    assert_eq!(fs::metadata(&key).expect("the keys").permissions().mode() & 0o777, 0o600);
    assert!(!folder.path().join("open.key").exists());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("chmod");
    let error = failed(daylight().arg("inspect").arg(tour()).arg("--store").arg(&store), 1);
    assert!(error.contains("flows.key can be read by others (mode 644)"), "{error}");
}

#[test]
fn what_the_command_line_refuses() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("flows");
    for bad in [
        vec!["inspect", "x.pcap", "--keep-addresses"],
        vec!["inspect", "x.pcap", "--store", "d", "--format", "csv"],
        vec!["query", "SELECT 1"],
        vec!["query", "--store", "d"],
        vec!["store", "prune", "d"],
    ] {
        failed(daylight().args(&bad), 2);
    }
    let sensor = ["inspect", "x.pcap", "--store", "d", "--sensor", "a/b"];
    let error = failed(daylight().args(sensor).current_dir(folder.path()), 1);
    assert!(error.contains("\"a/b\" can't be a sensor's name"), "{error}");
    let clients = ["inspect", "x.pcap", "--store", "d", "--clients", "10.0.0.0/40"];
    let error = failed(daylight().args(clients).current_dir(folder.path()), 1);
    assert!(error.contains("\"10.0.0.0/40\" is not a network"), "{error}");
    let error = failed(query(&store).arg("top-hosts"), 1);
    assert!(error.contains("can't read the store") && error.contains("No such file"), "{error}");
    for command in ["status", "compact"] {
        let error = failed(daylight().args(["store", command]).arg(&store), 1);
        assert!(error.contains("can't read the store"), "{error}");
    }
    assert!(!store.exists(), "a mistyped folder isn't made");
    filled(&store, &["-q"]);
    for (arguments, what) in [
        (vec!["top-host"], "did you mean \"top-hosts\"?"),
        (vec!["host"], "it wants host="),
        (vec!["top-hosts", "x"], "it has no parameters"),
        (vec!["SELECT 1", "--since", "yesterday"], "\"yesterday\" is not a time"),
        (vec!["SELECT 1", "--format", "parquet"], "name a file with --output"),
        (vec!["DROP TABLE flows"], "only read"),
        (vec!["SELECT hostnam FROM flows"], "did you mean hostname?"),
    ] {
        let error = failed(query(&store).args(&arguments), 1);
        assert!(error.contains(what), "{arguments:?}: {error}");
    }
}

#[test]
fn answers_in_every_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("flows");
    filled(&store, &["-q"]);
    let table = ok(query(&store).args(["top-protocols"]));
    assert!(table.lines().nth(1).is_some_and(|rule| rule.starts_with("─")), "{table}");
    assert!(table.contains("tls"), "{table}");
    assert_eq!(ok(query(&store).args(["top-protocols", "--limit", "2"])).lines().count(), 4);
    let sql = "SELECT protocol, hostname FROM flows WHERE hostname IS NOT NULL ORDER BY record_id";
    let jsonl = ok(query(&store).args([sql, "--format", "jsonl"]));
    assert!(jsonl.lines().next().is_some_and(|line| line.starts_with("{\"protocol\":\"")), "{jsonl}");
    let file = folder.path().join("answer.parquet");
    ok(query(&store).args([sql, "--format", "parquet", "--output"]).arg(&file));
    assert!(fs::read(&file).expect("the file").starts_with(b"PAR1"));
    let plan = ok(query(&store).args([sql, "--explain"]));
    assert!(plan.contains("physical_plan"), "{plan}");
    let list = ok(daylight().args(["query", "--list"]));
    for name in ["top-applications", "risks", "in_prefix", "hosts_by_hour"] {
        assert!(list.contains(name), "{list}");
    }
    // From standard input, with a value that is no SQL.
    let mut child = query(&store)
        .args(["-", "name=' OR 1=1 --", "-f", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("daylight");
    let sql = b"SELECT count(*) AS n FROM flows WHERE hostname = $name";
    child.stdin.take().expect("its input").write_all(sql).expect("a pipe");
    let output = child.wait_with_output().expect("daylight");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "n\r\n0\r\n");
    // Nobody reads on: nothing is wrong.
    let command = format!(
        "{} query --store {} 'SELECT a.value FROM generate_series(1, 1000000) a' | head -n 1",
        env!("CARGO_BIN_EXE_daylight"),
        store.display()
    );
    let output = Command::new("sh").args(["-c", &command]).output().expect("sh");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn looking_after_a_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("flows");
    (0..3).for_each(|_| drop(filled(&store, &["-q"])));
    let count =
        || ok(query(&store).args(["SELECT count(*), count(DISTINCT record_id) FROM flows", "-f", "csv"]));
    let before = count();
    let keeper = |arguments: &[&str]| ok(daylight().arg("store").args(arguments).arg(&store));
    let status = keeper(&["status"]);
    assert!(status.contains("files   3 (0 merged)"), "{status}");
    let merged = keeper(&["compact"]);
    assert!(merged.starts_with("3 files merged into 1"), "{merged}");
    assert_eq!(keeper(&["compact"]), "there was nothing to do\n");
    assert_eq!(count(), before);
    assert!(keeper(&["compact", "--now"]).contains("3 files removed"));
    assert!(keeper(&["status"]).contains("files   1 (1 merged)"));
    assert_eq!(count(), before);
    let json = keeper(&["status", "--json"]);
    assert!(json.contains("\"files\":1"), "{json}");
    // The capture is older than a day.
    let pruned = ok(daylight().args(["store", "prune", "--keep-days", "1"]).arg(&store));
    assert!(pruned.contains("1 hours removed"), "{pruned}");
    assert!(count().contains("0,0"));
    // A file that is none is told of, and the rest goes on.
    filled(&store, &["-q"]);
    filled(&store, &["-q"]);
    let day =
        fs::read_dir(&store).expect("the store").flatten().find(|e| e.file_name() != ".lock").expect("a day");
    let hour = fs::read_dir(day.path()).expect("the day").flatten().next().expect("an hour");
    fs::write(hour.path().join("x.parquet"), "no").expect("a file");
    let error = failed(daylight().args(["store", "compact"]).arg(&store), 3);
    assert!(error.contains("/x.parquet"), "{error}");
    let output = query(&store).arg("SELECT count(*) FROM flows").output().expect("daylight");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/x.parquet is left out: "));
}

#[test]
fn ctrl_c_ends_a_query() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("flows");
    filled(&store, &["-q"]);
    let sql = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value < b.value";
    let child =
        query(&store).arg(sql).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("daylight");
    std::thread::sleep(Duration::from_secs(4));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    let output = child.wait_with_output().expect("daylight");
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.is_empty());
}

/// A store that can't be written on is asked like any other.
#[test]
fn a_store_that_can_only_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("flows");
    filled(&store, &["-q"]);
    let command = |daylight: &str| {
        format!(
            "mount --bind {0} {0} && mount -o remount,bind,ro {0} && exec {1} {daylight}",
            store.display(),
            env!("CARGO_BIN_EXE_daylight")
        )
    };
    let run = |arguments: &str| {
        Command::new("unshare").args(["-m", "sh", "-c", &command(arguments)]).output().expect("unshare")
    };
    if !run("--version").status.success() {
        eprintln!(
            "a_store_that_can_only_be_read: skipped: it needs root, and the packages mount and util-linux"
        );
        return;
    }
    let at = store.display();
    let output = run(&format!("query --store {at} sensors"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("main"));
    for arguments in [format!("inspect -q {} --store {at}", tour().display()), format!("store compact {at}")]
    {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("Read-only file system"), "{arguments}");
    }
}
