//! `daylight serve` over real stores, and over a link in a network namespace of the test's own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::space::{entered, fetch, wait};
use crate::watch::{FAR, is_listening, link, send};
use crate::{daylight, tour};

/// A dashboard that runs, and is killed if the test fails.
struct Serving {
    child: Child,
    said: BufReader<ChildStderr>,
    port: u16,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    /// Starts one on some port, and waits until it says where.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let (mut line, mut before) = (String::new(), String::new());
        let port = loop {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it has ended: {before}");
            match line.trim().rsplit_once("://") {
                Some((_, place)) => {
                    break place.trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
                }
                None => before.push_str(&line),
            }
        };
        Self { child, said, port }
    }

    fn over(store: &Path, more: &[&str]) -> Self {
        Self::start(serve(store).args(["--listen", "127.0.0.1:0"]).args(more))
    }

    fn get(&self, path: &str) -> String {
        fetch(self.port, path, "localhost")
    }

    fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {head}\n{body}"))
    }

    /// Ends it by a signal: its exit status, and what it said since it began to serve.
    fn stop(mut self, signal: Signal) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

fn serve(store: &Path) -> Command {
    let mut command = daylight();
    command.arg("serve").arg("--store").arg(store);
    command
}

fn failed(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{error}");
    error
}

/// A store with the tour in it.
fn filled(folder: &Path) -> PathBuf {
    let store = folder.join("flows");
    let output = daylight().args(["inspect", "-q"]).arg(tour()).arg("--store").arg(&store).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    store
}

/// All time: the tour was recorded some time ago.
const EVER: &str = "from=2000-01-01&to=2090-01-01";

#[test]
fn pages_and_answers_over_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let serving = Serving::over(&store, &["--title", "Net <work>"]);
    let asked = |sql: &str| {
        let output =
            daylight().args(["query", "-f", "csv", "--store"]).arg(&store).arg(sql).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let totals = serving.json(&format!("/api/v1/totals?{EVER}"));
    assert_eq!(totals["flows"].to_string(), asked("SELECT count(*) FROM flows")[0]);
    assert_eq!(totals["down"].to_string(), asked("SELECT sum(dst_bytes) FROM flows")[0]);
    // Every report, with its chart, is answered by the engine, whatever it is sorted by.
    let document = serving.json("/api/v1/openapi.json");
    let mut answered = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let parameters = operations["get"]["parameters"].as_array().unwrap();
        let Some(sorts) = parameters.iter().find(|parameter| parameter["name"] == "sort") else { continue };
        if path.ends_with("/series") {
            let found = serving.json(&format!("/api/v1{path}?{EVER}"));
            assert!(found["error"].is_null(), "{path}: {found}");
            continue;
        }
        for sort in sorts["schema"]["enum"].as_array().unwrap() {
            let sort = sort.as_str().unwrap();
            let found = serving.json(&format!("/api/v1{path}?{EVER}&sort={sort}&search=e"));
            assert!(found["error"].is_null(), "{path} by {sort}: {found}");
            answered += 1;
        }
        let found = serving.get(&format!("{path}?{EVER}"));
        assert!(found.starts_with("HTTP/1.1 200 ") && !found.contains("data-trouble"), "{path}: {found}");
    }
    assert!(answered > 60, "{answered}");
    // Narrowed to each subject, where rows are flows and where they are risks.
    for path in ["hosts", "hosts/series", "findings", "findings/series"] {
        for filter in [
            "application=dns",
            "category=x",
            "client=x",
            "fingerprint=x",
            "host=x",
            "protocol=tls",
            "risk=x",
            "server=x",
            "severity=high",
        ] {
            let found = serving.json(&format!("/api/v1/{path}?{EVER}&{filter}"));
            assert!(found["error"].is_null(), "{path} of {filter}: {found}");
        }
    }
    let protocols = serving.json(&format!("/api/v1/protocols?{EVER}&sort=flows"));
    let expected = asked("SELECT protocol, count(*) AS n FROM flows GROUP BY protocol ORDER BY n DESC");
    assert_eq!(protocols["rows"].as_array().unwrap().len(), expected.len());
    let series = serving.json(&format!("/api/v1/risks/series?{EVER}"));
    let found: f64 = series["series"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|line| line["values"].as_array().unwrap())
        .filter_map(Value::as_f64)
        .sum();
    let expected = asked("SELECT count(*) FROM (SELECT unnest(risks) FROM flows)");
    assert_eq!(found.to_string(), expected[0], "what is over time adds up");
    // One flow, by its record's name.
    let id = serving.json(&format!("/api/v1/flows?{EVER}&rows=1"))["rows"][0]["record_id"].clone();
    let flow = serving.json(&format!("/api/v1/flow?id={}", id.as_str().unwrap()));
    assert_eq!(flow["records"][0]["record_id"], id);
    assert!(serving.get(&format!("/flow?id={}", id.as_str().unwrap())).starts_with("HTTP/1.1 200 "));
    let page = serving.get("/overview");
    assert!(page.contains("Net &lt;work&gt;") && !page.contains("<work>"));
    assert!(serving.get("/now").contains("--live"), "there is no link, and it is said");
    assert_eq!(serving.json("/api/v1/status")["live"], false);
    assert!(fetch(serving.port, "/", "evil.example").starts_with("HTTP/1.1 421 "));
    let (code, said) = serving.stop(Signal::INT);
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

#[test]
fn questions_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let serving = Serving::over(&store, &["--memory", "64", "--threads", "2"]);
    let ask = |sql: &str, more: &str| {
        let sql: String = url::form_urlencoded::byte_serialize(sql.as_bytes()).collect();
        serving.json(&format!("/api/v1/query?q={sql}{more}"))
    };
    let answer = ask("SELECT 1 AS n, 'x' AS n2, NULL AS nothing, [1, 2] AS list, X'00ff' AS bytes", "");
    assert_eq!(answer["rows"], serde_json::json!([[1, "x", null, [1, 2], "00ff"]]), "{answer}");
    let answer = ask("SELECT count(*) FROM flows WHERE protocol = $name", "&p.name=dns");
    assert!(answer["rows"][0][0].as_u64().unwrap() > 0, "{answer}");
    let answer = ask("SELECT * FROM generate_series(1, 100000)", "&rows=7");
    assert_eq!((answer["rows"].as_array().unwrap().len(), &answer["truncated"]), (7, &Value::Bool(true)));
    for (sql, word) in [
        ("DROP TABLE flows", "would change"),
        ("COPY flows TO '/tmp/x.csv'", "would change"),
        ("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'", "would change"),
        ("SET datafusion.execution.batch_size = 1", "would change"),
        ("SELECT hostnam FROM flows", "did you mean hostname?"),
        ("SELECT * FROM '/etc/passwd'", "there is no table"),
        ("SELECT", ""),
        ("SELECT 1; SELECT 2", ""),
        ("SELECT 1/0 FROM flows", ""),
    ] {
        let answer = ask(sql, "");
        assert_eq!(answer["error"], "question", "{sql}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(word), "{sql}: {answer}");
    }
    // The questions that have a name are answered as they are offered.
    let questions = serving.json("/api/v1/questions");
    let questions = questions["questions"].as_array().unwrap();
    assert!(questions.len() >= 12);
    for question in questions {
        let values: String = question["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|parameter| {
                let default = match parameter["name"].as_str() {
                    Some("network") => "10.0.0.0/8",
                    _ => parameter["default"].as_str().unwrap_or("10"),
                };
                let value: String = url::form_urlencoded::byte_serialize(default.as_bytes()).collect();
                format!("&p.{}={value}", parameter["name"].as_str().unwrap())
            })
            .collect();
        let answer = ask(question["sql"].as_str().unwrap(), &values);
        assert!(answer["error"].is_null(), "{}: {answer}", question["name"]);
    }
    let (code, _) = serving.stop(Signal::TERM);
    assert_eq!(code, Some(0));
}

#[test]
fn what_is_refused_before_anything_listens() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let error = failed(serve(&missing).args(["--listen", "127.0.0.1:0"]), 1);
    assert!(error.contains("can't read the store") && !missing.exists(), "{error}");
    let store = filled(folder.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = failed(serve(&store).args(["--listen", &address]), 1);
    assert!(
        error.contains(&format!("can't listen on {address}")) && error.contains("choose another"),
        "{error}"
    );
    let error = failed(serve(&store).args(["--listen", "0.0.0.0:0"]), 1);
    assert!(error.contains("there is no password file"), "{error}");
    let passwords = folder.path().join("passwords");
    let set = passwd(&passwords, "anna", "long enough it is\n");
    assert_eq!(set.0, Some(0), "{}", set.1);
    assert_eq!(fs::metadata(&passwords).unwrap().permissions().mode() & 0o777, 0o600);
    let guarded = |more: &[&str]| {
        failed(serve(&store).args(["--listen", "0.0.0.0:0", "--passwords"]).arg(&passwords).args(more), 1)
    };
    assert!(guarded(&[]).contains("passwords would travel in clear"));
    let file = passwords.display().to_string();
    assert!(guarded(&["--certificate", &file, "--certificate-key", &file]).contains("no certificate"));
    fs::set_permissions(&passwords, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(guarded(&["--clear-text"]).contains("chmod 600"));
    let networks = failed(serve(&store).args(["--listen", "127.0.0.1:0", "--networks", &file]), 1);
    assert!(networks.contains("MaxMind"), "{networks}");
    for bad in [
        vec!["serve"],
        vec!["serve", "--store", "d", "--listen", "nowhere"],
        vec!["serve", "--store", "d", "--certificate", "c"],
        vec!["serve", "--store", "d", "--behind-proxy", "--clear-text"],
        vec!["serve", "--store", "d", "--acme", "a.example", "--certificate", "c", "--certificate-key", "k"],
        vec!["serve", "--store", "d", "--capture", "packet"],
        vec!["serve", "--store", "d", "passwd", "f", "u"],
        vec!["serve", "passwd", "f"],
    ] {
        failed(daylight().args(&bad), 2);
    }
}

fn passwd(file: &Path, user: &str, input: &str) -> (Option<i32>, String) {
    let mut child = daylight()
        .args(["serve", "passwd"])
        .arg(file)
        .arg(user)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn with_passwords_one_must_log_in() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let file = folder.path().join("passwords");
    let (code, said) = passwd(&file, "anna", "short\n");
    assert!(code == Some(1) && said.contains("too short") && !file.exists(), "{said}");
    let (code, said) = passwd(&file, "an:na", "long enough it is\n");
    assert!(code == Some(1) && said.contains("can't be a user's name"), "{said}");
    assert_eq!(passwd(&file, "anna", "long enough it is\n").0, Some(0));
    assert!(!fs::read_to_string(&file).unwrap().contains("long enough"));
    let serving = Serving::over(&store, &["--passwords", &file.display().to_string()]);
    assert!(serving.get("/hosts").contains("location: /login?next=%2Fhosts"));
    assert!(serving.get("/api/v1/hosts").starts_with("HTTP/1.1 401 "));
    assert!(serving.get("/login").contains("name=\"password\""));
    serving.stop(Signal::INT);
}

/// A store is only read: on a mount that can't be written to, as on any.
#[test]
fn a_store_that_cannot_be_written_to() {
    if !entered("serve::a_store_that_cannot_be_written_to") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let mounted = |arguments: &[&str]| {
        let status = Command::new("mount").args(arguments).arg(&store).status().unwrap();
        assert!(status.success());
    };
    let path = store.display().to_string();
    mounted(&["--bind", &path]);
    mounted(&["-o", "remount,bind,ro"]);
    assert!(fs::write(store.join("x"), "x").is_err(), "it is read-only");
    let serving = Serving::over(&store, &[]);
    let totals = serving.json(&format!("/api/v1/totals?{EVER}"));
    let (code, said) = serving.stop(Signal::INT);
    let unmounted = Command::new("umount").arg(&store).status().unwrap();
    assert!(unmounted.success());
    assert!(totals["flows"].as_u64().unwrap() > 0, "{totals}");
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

#[test]
fn a_damaged_file_is_left_out_and_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path());
    let whole = Serving::over(&store, &[]);
    let before = whole.json(&format!("/api/v1/protocols?{EVER}"));
    assert_eq!(before["warnings"], serde_json::json!([]));
    drop(whole);
    let hour = fs::read_dir(&store)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("day="))
        .map(|day| fs::read_dir(day).unwrap().next().unwrap().unwrap().path())
        .expect("an hour");
    let good = fs::read_dir(&hour).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&good).unwrap();
    bytes.truncate(bytes.len() / 2);
    let name = good.file_name().unwrap().to_string_lossy().replace(".parquet", "x.parquet");
    fs::write(hour.join(&name), &bytes).unwrap();
    let serving = Serving::over(&store, &[]);
    let after = serving.json(&format!("/api/v1/protocols?{EVER}"));
    assert_eq!(after["rows"], before["rows"]);
    assert!(after["warnings"][0].as_str().is_some_and(|warning| warning.contains(&name)), "{after}");
    serving.stop(Signal::INT);
}

/// What passes a link is on the live page, and then in the store that the pages ask.
#[test]
fn a_link_is_shown_and_kept() {
    if !entered("serve::a_link_is_shown_and_kept") {
        return;
    }
    link();
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("flows");
    let line = format!("--live {FAR} --capture packet --threads 2 --user root");
    let serving = Serving::over(&store, &line.split(' ').collect::<Vec<_>>());
    wait(is_listening);
    assert_eq!(serving.json("/api/v1/status")["live"], true);
    send();
    let seen = || serving.json("/api/v1/now")["interfaces"][0]["received"].as_u64().unwrap_or(0);
    wait(|| seen() > 100);
    let now = serving.json("/api/v1/now");
    assert_eq!(now["interfaces"][0]["name"], FAR);
    assert!(now["flows_open"].as_u64().unwrap() + now["flows_ended"].as_u64().unwrap() > 10, "{now}");
    assert!(serving.get("/").starts_with("HTTP/1.1 200 "), "the first page is the live one");
    let (code, said) = serving.stop(Signal::INT);
    assert_eq!(code, Some(0), "{said}");
    assert!(!is_listening(), "promiscuous mode is taken back");
    let inspected = daylight().args(["inspect", "-q", "-f", "jsonl"]).arg(tour()).output().unwrap();
    let flows = String::from_utf8(inspected.stdout).unwrap().lines().count();
    let again = Serving::over(&store, &[]);
    let totals = again.json("/api/v1/totals?range=1h");
    assert_eq!(totals["flows"].as_u64(), Some(flows as u64), "every flow is kept when it ends");
}
