//! `daylight filter run` and its companions, on the loopback interface of a network namespace of the test's own.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::daylight;
use crate::space::{entered, fetch, serve, wait};

const POLICY: &str = r#"
[policy]
name = "demo"

[[rule]]
name = "no evil"
when = 'http && hostname == "evil.example"'
action = "reject"
reason = "It spreads malware"
authority = "Board of the Example Network, decision 3"
expires = 2099-06-30
"#;

/// What a request for a host is answered.
fn get(port: u16, host: &str) -> String {
    fetch(port, "/", host)
}

/// The command in this folder: exit status, and what it said.
fn run(folder: &Path, line: &str) -> (Option<i32>, String) {
    let output = daylight().current_dir(folder).args(line.split(' ')).output().unwrap();
    let Output { status, stdout, stderr } = output;
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

/// A filter that is killed if the test fails.
struct Filter(Child);

impl Drop for Filter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const RUN: &str = "filter run p.toml --log log --key key --own-traffic --control sock --decisions decisions.jsonl \
                   --metrics 127.0.0.1:9451";

/// Starts one, and waits until it is in force.
fn start(folder: &Path) -> Filter {
    let mut command = daylight();
    let child = command.current_dir(folder).args(RUN.split(' ')).stderr(Stdio::null()).spawn().unwrap();
    let filter = Filter(child);
    wait(|| run(folder, "filter status --control sock").0 == Some(0));
    wait(|| rules().contains("NFQUEUE"));
    filter
}

fn rules() -> String {
    let output = Command::new("sh").args(["-c", "iptables-save; ip6tables-save"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn signal(filter: &Filter, name: &str) {
    let pid = filter.0.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

#[test]
fn a_filter_from_its_key_to_its_end() {
    if !entered("filter_run::a_filter_from_its_key_to_its_end") {
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    let port = serve();
    let write = |text: &str| fs::write(folder.join("p.toml"), text).unwrap();
    write(POLICY);
    let (code, said) = run(folder, RUN);
    assert!(code == Some(1) && said.contains("daylight audit create"), "{said}");
    let (code, key) = run(folder, "audit create log --key key --origin filter.test/log");
    assert_eq!(code, Some(0), "{key}");
    fs::write(folder.join("key.pub"), &key).unwrap();
    let (code, said) = run(folder, "filter status --control sock");
    assert!(code == Some(1) && said.contains("no filter listens here"), "{said}");

    let mut filter = start(folder);
    let refused = get(port, "evil.example");
    assert!(refused.starts_with("HTTP/1.1 451 ") && refused.contains("It spreads malware"), "{refused}");
    assert!(get(port, "good.example").ends_with("site"));
    let (code, said) = run(folder, &RUN.replace("--log log", "--log other").replace("9451", "9452"));
    assert!(code == Some(1) && said.contains("runs already"), "{said}");

    // A reload that is refused changes nothing, and is told; so is one by a signal.
    write(&POLICY.replace("reason", "raeson"));
    let (code, said) = run(folder, "filter reload --control sock");
    assert!(code == Some(1) && said.contains("p.toml:9:1") && said.contains("stays"), "{said}");
    assert!(get(port, "evil.example").contains(" 451 "));
    write(&POLICY.replace("evil.example", "other.example"));
    signal(&filter, "HUP");
    wait(|| get(port, "evil.example").ends_with("site"));
    assert!(get(port, "other.example").contains(" 451 "));
    let (_, said) = run(folder, "filter status --control sock");
    assert!(said.contains("stopped") && said.contains("by no evil") && !said.contains("refused:"), "{said}");
    let (_, said) = run(folder, "filter status --control sock --metrics");
    assert!(said.contains("daylight_filter_stopped_flows_total{policy=\"demo\",rule=\"no evil\"}"), "{said}");

    let metrics = get(9451, "metrics");
    assert!(metrics.contains("404"), "{metrics}");
    wait(|| fetch(9451, "/metrics", "localhost").contains("daylight_filter_flows_dropped_total"));

    // Killed: traffic goes on, what it left is taken out, and its counts are told by the next one.
    wait(|| fs::read_to_string(folder.join("log.counts")).unwrap().contains("other.example"));
    signal(&filter, "KILL");
    filter.0.wait().unwrap();
    assert!(get(port, "other.example").ends_with("site"));
    assert!(rules().contains("DAYLIGHT-main"));
    assert!(run(folder, "filter clean").1.contains("taken out"));
    assert!(!rules().contains("DAYLIGHT"));
    assert!(run(folder, "filter clean").1.contains("nothing of it"));

    let mut filter = start(folder);
    signal(&filter, "INT");
    assert_eq!(filter.0.wait().unwrap().code(), Some(0));
    assert!(!rules().contains("DAYLIGHT") && !folder.join("sock").exists());
    let (code, said) = run(folder, "audit verify log --key key.pub");
    assert!(
        code == Some(0) && said.contains("2 filter-started") && said.contains("1 policy-refused"),
        "{said}"
    );
    let (_, said) = run(folder, "audit tail log --key key.pub");
    let of = |host: &str| said.matches(&format!("\"target\":{{\"host\":\"{host}\"}}")).count();
    assert_eq!((of("evil.example"), of("other.example")), (1, 1), "{said}");
    // The public page answers from the log alone.
    let mut command = daylight();
    command
        .current_dir(folder)
        .args("filter serve --log log --key key.pub --listen 127.0.0.1:8451".split(' '));
    let mut page = Filter(command.stderr(Stdio::null()).spawn().unwrap());
    wait(|| TcpStream::connect(("127.0.0.1", 8451)).is_ok());
    wait(|| fetch(8451, "/status", "localhost").contains(" 200 "));
    let answer = fetch(8451, "/is-blocked.json?host=evil.example", "localhost");
    assert!(answer.contains("Board of the Example Network, decision 3"), "{answer}");
    signal(&page, "INT");
    assert_eq!(page.0.wait().unwrap().code(), Some(0));
    // The operator's log names the rule and the server; the client, which is the same here, is another.
    let decisions = fs::read_to_string(folder.join("decisions.jsonl")).unwrap();
    assert!(
        decisions.contains("\"rule\":\"no evil\"") && decisions.contains("\"server\":\"127.0.0.1\""),
        "{decisions}"
    );
    assert!(!decisions.contains("\"client\":\"127.0.0.1\""), "{decisions}");
}

#[test]
fn a_plan_is_what_is_put_into_the_kernel() {
    let temp = tempfile::tempdir().unwrap();
    let (code, said) = run(temp.path(), "filter plan --name two --queues 4 --first-queue 8 --if-gone closed");
    assert_eq!(code, Some(0));
    assert!(
        said.contains("-j NFQUEUE --queue-balance 8:11\n") && said.contains("*filter\n:DAYLIGHT-two"),
        "{said}"
    );
    assert!(said.contains("# ip6tables-restore"), "{said}");
    let (code, said) = run(temp.path(), "filter plan --name a_b");
    assert!(code == Some(2) && said.contains("letters, digits and hyphens"), "{said}");
    let (code, said) = run(temp.path(), "filter plan --queues 2 --first-queue 65535");
    assert!(code == Some(1) && said.contains("65535"), "{said}");
}
