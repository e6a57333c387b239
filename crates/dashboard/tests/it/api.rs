//! The interface for programs, held against the document that describes it.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use daylight_dashboard::{Answer, Ask, AskError, BoxFuture, Data, Options, Question};
use daylight_watch::Board;
use serde_json::{Value, json};

use crate::client::encoded;
use crate::{Served, now_ns, store, support};

/// A day of flows, and a link.
fn whole() -> Served {
    let (board, over) = (Board::new(), Arc::default());
    support::link::feed(&board, &over, Duration::from_millis(200), 90, Vec::new());
    let data = Data { live: Some(board), ask: store(support::day(now_ns(), 2000)), networks: None };
    Served::until(over, Options::default(), data)
}

fn document(served: &Served) -> Value {
    served.get("/api/v1/openapi.json").json()
}

/// Holds a value against a schema of the document.
#[track_caller]
fn is_valid(document: &Value, schema: &Value, value: &Value, about: &str) {
    let schema = json!({ "allOf": [schema], "components": document["components"] });
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path)).collect();
    assert!(errors.is_empty(), "{about}: {errors:#?}");
}

/// A value for a parameter that must be given.
fn needed(served: &Served, name: &str) -> String {
    match name {
        "id" => {
            let flows = served.get("/api/v1/flows?rows=1").json();
            flows["rows"][0]["record_id"].as_str().expect("a flow").to_owned()
        }
        "q" => "SELECT application FROM flows".to_owned(),
        other => panic!("the test knows no value for {other}"),
    }
}

#[test]
fn every_route_answers_as_documented() {
    let served = whole();
    let document = document(&served);
    assert_eq!(document["openapi"], "3.1.0");
    let base = document["servers"][0]["url"].as_str().unwrap();
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let operation = &operations["get"];
        let parameters = operation["parameters"].as_array().unwrap();
        let required: Vec<String> = parameters
            .iter()
            .filter(|parameter| parameter["required"] == true)
            .map(|parameter| parameter["name"].as_str().unwrap())
            .map(|name| format!("{name}={}", encoded(&needed(&served, name))))
            .collect();
        let address = |more: &str| format!("{base}{path}?{}&{more}", required.join("&"));
        let content = operation["responses"]["200"]["content"].as_object().unwrap();
        if content.contains_key("text/event-stream") {
            continue; // its events are the schema of /now; see `events_are_documented`
        }
        let schema = &content["application/json"]["schema"];
        let ask = |more: &str| {
            let address = address(more);
            let answer = served.get(&address);
            assert_eq!(answer.status, 200, "{address}: {}", answer.body);
            assert_eq!(answer.field("content-type"), "application/json", "{address}");
            is_valid(&document, schema, &answer.json(), &address);
            answer.json()
        };
        let first = ask("");
        asked += 1;
        if let Some(rows) = first["rows"].as_array() {
            assert!(!rows.is_empty(), "{path} has no rows: nothing is tested");
        }
        // Each value of each parameter that has a list of them.
        for parameter in parameters {
            let name = parameter["name"].as_str().unwrap();
            for value in parameter["schema"]["enum"].as_array().into_iter().flatten() {
                let value = value.as_str().unwrap();
                if (name, value) == ("format", "csv") {
                    assert!(content.contains_key("text/csv"), "{path}");
                    let csv = served.get(&address("format=csv"));
                    assert_eq!(
                        (csv.status, csv.field("content-type")),
                        (200, "text/csv; charset=utf-8; header=present")
                    );
                    assert!(csv.field("content-disposition").starts_with("attachment; filename=\"daylight-"));
                } else {
                    ask(&format!("{name}={value}"));
                }
                asked += 1;
            }
        }
        if parameters.iter().any(|parameter| parameter["name"] == "rows") {
            let count = |value: &Value| value["rows"].as_array().map_or(0, Vec::len);
            if first["rows"].is_array() && !path.ends_with("/series") {
                assert_eq!(count(&ask("rows=1")), 1, "{path}");
                assert!(count(&ask("rows=999999999")) <= 10_000, "{path}");
            }
        }
        let errors: BTreeSet<&String> = operation["responses"].as_object().unwrap().keys().collect();
        assert!(errors.len() > 4, "{path}");
    }
    assert!(asked > 150, "{asked}");
}

/// The routes that the interface has are those of the document: what isn't in it isn't there.
#[test]
fn there_are_no_other_routes() {
    let served = whole();
    let document = document(&served);
    let known: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let reports = [
        "applications",
        "hosts",
        "clients",
        "talkers",
        "protocols",
        "risks",
        "findings",
        "flows",
        "dns",
        "fingerprints",
        "servers",
    ];
    let others =
        ["openapi.json", "status", "now", "live", "totals", "networks", "questions", "query", "flow"];
    let mut all: BTreeSet<String> = reports.iter().map(|name| format!("/{name}")).collect();
    all.extend(reports.iter().map(|name| format!("/{name}/series")));
    all.extend(others.iter().map(|name| format!("/{name}")));
    assert_eq!(known, all.iter().map(String::as_str).collect());
    let error = &document["components"]["schemas"]["Error"];
    let words = [
        "",
        "series",
        "totals/series",
        "query/series",
        "host",
        "flows/",
        "flows/series/x",
        "v1",
        "admin",
        "login",
        "../status",
    ];
    for word in words {
        let answer = served.get(&format!("/api/v1/{word}"));
        assert_eq!(answer.status, 404, "{word}");
        is_valid(&document, error, &answer.json(), word);
    }
}

#[test]
fn events_are_documented() {
    let served = whole();
    let document = document(&served);
    let now = served.get("/api/v1/now");
    is_valid(&document, &document["components"]["schemas"]["Now"], &now.json(), "now");
    assert!(now.json()["seconds"]["bits"].as_array().unwrap().len() > 10);
}

#[test]
fn errors_are_documented() {
    let served = Served::over(support::day(now_ns(), 10));
    let document = document(&served);
    for (path, status) in [
        ("/api/v1/query", 400),
        ("/api/v1/query?q=DROP+TABLE+flows", 400),
        ("/api/v1/flow", 400),
        ("/api/v1/flow?id=nobody", 404),
        ("/api/v1/now", 404),
        ("/api/v1/live", 404),
    ] {
        let answer = served.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        is_valid(&document, &document["components"]["schemas"]["Error"], &answer.json(), path);
    }
    let empty = Served::start(Options::default(), Data::default());
    for path in ["/api/v1/hosts", "/api/v1/totals", "/api/v1/hosts/series", "/api/v1/query?q=SELECT+1"] {
        let answer = empty.get(path);
        assert_eq!(answer.status, 503, "{path}");
        is_valid(&document, &document["components"]["schemas"]["Error"], &answer.json(), path);
    }
}

/// What came from the network is in JSON as it was, and harmless; in CSV no cell is a formula.
#[test]
fn hostile_values_are_harmless() {
    let served = Served::hostile();
    for path in [
        "hosts",
        "applications",
        "clients",
        "talkers",
        "risks",
        "findings",
        "flows",
        "dns",
        "fingerprints",
        "servers",
    ] {
        let json = served.get(&format!("/api/v1/{path}?range=30d"));
        for hidden in ['<', '>', '&', '\u{202e}', '\u{200b}', '\u{1b}', '\u{7}', '\0'] {
            assert!(!json.body.contains(hidden), "{path}: {hidden:?}");
        }
        let rows = json.json();
        let texts: BTreeSet<&str> = rows["rows"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|row| row.as_object().unwrap().values().filter_map(Value::as_str))
            .collect();
        assert!(texts.contains("<script>window.hacked=1</script>"), "{path}: it is as it was");
        for path in [
            format!("/api/v1/{path}?range=30d&format=csv"),
            format!("/api/v1/{path}/series?range=30d&rows=30&format=csv"),
        ] {
            let csv = served.get(&path).body;
            let cells = cells(&csv);
            assert!(cells.len() > 20, "{path}");
            for cell in cells {
                assert!(!cell.starts_with(['=', '+', '@', '\t', '\r', '|', '%']), "{path}: {cell:?}");
                assert!(!cell.starts_with('-') || cell.parse::<f64>().is_ok(), "{path}: {cell:?}");
                assert!(!cell.chars().any(|c| c.is_control() || c == '\u{202e}'), "{path}: {cell:?}");
            }
        }
    }
    let csv = served.get("/api/v1/query?q=SELECT+application&format=csv").body;
    assert!(csv.contains("'=HYPERLINK(") && !csv.contains(",=HYPERLINK(") && !csv.contains("\n=HYPERLINK("));
}

/// The cells of CSV (RFC 4180).
fn cells(csv: &str) -> Vec<String> {
    let (mut all, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = csv.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut cell)),
            '\r' if !quoted && chars.next_if_eq(&'\n').is_some() => all.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    assert!(!quoted && cell.is_empty(), "it ends in the middle of a cell");
    all
}

/// A store whose answers never come; it counts the questions under way.
#[derive(Default)]
struct Never(Arc<AtomicUsize>);

struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Ask for Never {
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, AskError>> {
        if question.sql == "panic" {
            panic!("the engine has a fault");
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        let under_way = UnderWay(Arc::clone(&self.0));
        Box::pin(async move {
            std::future::pending::<()>().await;
            drop(under_way);
            Ok(Answer::default())
        })
    }
}

#[track_caller]
fn wait(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited for too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_question_ends_with_its_time_and_with_who_asked() {
    let never = Never::default();
    let under_way = Arc::clone(&never.0);
    let data = || Data { ask: Some(Arc::new(Never(Arc::clone(&under_way)))), ..Data::default() };
    let options = Options { question_time: Duration::from_millis(100), ..Options::default() };
    let served = Served::start(options, data());
    let answer = served.get("/api/v1/hosts");
    assert_eq!((answer.status, answer.json()["error"].as_str()), (504, Some("slow")), "{}", answer.body);
    wait(|| under_way.load(Ordering::SeqCst) == 0);
    assert!(served.get("/hosts").body.contains("data-trouble=\"slow\""));
    drop(served);
    let options = Options { question_time: Duration::from_secs(3600), ..Options::default() };
    let served = Served::start(options, data());
    let mut stream = TcpStream::connect(served.address).unwrap();
    write!(stream, "GET /api/v1/hosts HTTP/1.1\r\nHost: {}\r\n\r\n", served.address).unwrap();
    wait(|| under_way.load(Ordering::SeqCst) == 1);
    drop(stream);
    wait(|| under_way.load(Ordering::SeqCst) == 0);
}

#[test]
fn only_so_many_questions_at_a_time() {
    let never = Never::default();
    let under_way = Arc::clone(&never.0);
    let options =
        Options { questions_max: 2, question_time: Duration::from_secs(3600), ..Options::default() };
    let served = Served::start(options, Data { ask: Some(Arc::new(never)), ..Data::default() });
    let mut streams: Vec<TcpStream> = (0..5)
        .map(|_| {
            let mut stream = TcpStream::connect(served.address).unwrap();
            write!(stream, "GET /api/v1/hosts HTTP/1.1\r\nHost: {}\r\n\r\n", served.address).unwrap();
            stream
        })
        .collect();
    wait(|| under_way.load(Ordering::SeqCst) == 2);
    // Pages that ask nothing don't wait behind them.
    assert_eq!(served.get("/query").status, 200);
    assert_eq!(under_way.load(Ordering::SeqCst), 2);
    // When those who asked first have gone, the next are served.
    streams.drain(..3);
    wait(|| under_way.load(Ordering::SeqCst) == 2);
    drop(streams);
    wait(|| under_way.load(Ordering::SeqCst) == 0);
}

#[test]
fn an_engine_that_fails_ends_nothing_else() {
    let served =
        Served::start(Options::default(), Data { ask: Some(Arc::<Never>::default()), ..Data::default() });
    let answer = served.get("/api/v1/query?q=panic");
    assert_eq!((answer.status, answer.json()["error"].as_str()), (503, Some("store")), "{}", answer.body);
    assert_eq!(served.get("/api/v1/status").status, 200);
}
