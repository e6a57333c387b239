//! A filter's log that is written to, and a page that shows it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use daylight_policy::audit::{
    Action, Counts, Digest, Domain, Entry, Event, HostName, Label, List, Rule, Signer, Target, Terms, Text,
    Timestamp, Totals, VerifierKey, Writer,
};
use daylight_policy::{Basis, Policy};
use daylight_web::public::{Page, Settings};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const ORIGIN: &str = "filter.example.org/log";
/// How long a test waits for something that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn now() -> Timestamp {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Timestamp::from_unix_s(seconds as i64).unwrap()
}

pub(crate) fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_unix_s(now().unix_s() - seconds).unwrap()
}

pub(crate) fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

pub(crate) fn text(text: &str) -> Text {
    Text::new(text).unwrap()
}

pub(crate) fn rule(name: &str, action: Action, condition: &str) -> Rule {
    Rule {
        policy: label("school"),
        rule: label(name),
        action,
        condition: text(condition),
        reason: text("Games wait until lessons are over"),
        authority: text("Board of Example School, decision 8"),
        expires: Timestamp::parse("2029-08-01T00:00:00Z").unwrap(),
        appeal: Some(text("mailto:board@example.org")),
        basis: Basis::default(),
        hours: vec![],
    }
}

pub(crate) fn totals(time: Timestamp, rule: &str, target: Target, flows: u64) -> Entry {
    let counts = Counts { flows, packets: 3 * flows, bytes: 700 * flows };
    let (policy, rule) = (label("school"), label(rule));
    Entry { time, event: Event::Totals(Totals { hour: time.hour(), policy, rule, target, counts }) }
}

pub(crate) fn host(name: &str) -> Target {
    Target::Host(HostName::new(name).unwrap())
}

pub(crate) fn listed(name: &str) -> Target {
    Target::ListName { list: label("games"), name: Domain::new(name).unwrap() }
}

/// A folder with a key and a log in it.
pub(crate) struct Filter {
    pub(crate) folder: TempDir,
    pub(crate) key: VerifierKey,
    pub(crate) writer: Writer,
}

impl Filter {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let signer = Signer::generate(&folder.path().join("key"), ORIGIN).unwrap();
        let key = signer.verifier_key().clone();
        let writer = Writer::create(&folder.path().join("log"), signer).unwrap();
        Self { folder, key, writer }
    }

    /// A filter that runs, with this policy, of which the log says no more than it did before it told when rules apply.
    pub(crate) fn running(rules: Vec<Rule>, lists: Vec<List>) -> Self {
        Self::running_on(None, rules, lists)
    }

    /// A filter that runs, with this policy.
    pub(crate) fn running_on(terms: Option<Terms>, rules: Vec<Rule>, lists: Vec<List>) -> Self {
        let mut filter = Self::new();
        filter.append(&[Entry {
            time: ago(7200),
            event: Event::FilterStarted { software: text("daylight 0.1.0") },
        }]);
        filter.append(&Entry::policy_loaded(
            ago(7199),
            &label("school"),
            Digest::of(b"policy"),
            terms,
            rules,
            lists,
        ));
        filter
    }

    /// A filter that runs, with this policy in a file.
    pub(crate) fn with_policy(policy: &str, games: &str) -> (Self, PathBuf) {
        let filter = Self::new();
        let path = filter.folder.path().join("school.toml");
        std::fs::write(&path, policy).unwrap();
        std::fs::write(filter.folder.path().join("games.txt"), games).unwrap();
        let mut filter = filter;
        filter.append(&[Entry {
            time: ago(7200),
            event: Event::FilterStarted { software: text("daylight 0.1.0") },
        }]);
        filter.load(&path, ago(7199));
        (filter, path)
    }

    /// Tells of the policy in a file as the filter does when it has loaded it.
    pub(crate) fn load(&mut self, path: &Path, time: Timestamp) {
        self.append(&Policy::load(path, None).unwrap().entries(time).unwrap());
    }

    pub(crate) fn append(&mut self, entries: &[Entry]) {
        self.writer.append(entries).unwrap();
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::new(self.log(), self.key.clone(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    pub(crate) fn page(&self) -> Running {
        self.page_with(|_| ())
    }

    /// A page with other settings.
    pub(crate) fn page_with(&self, change: impl FnOnce(&mut Settings)) -> Running {
        let mut settings = self.settings();
        change(&mut settings);
        Running::start(settings)
    }

    /// A page that knows the policy in this file, once it does: then an answer rests on it.
    pub(crate) fn page_on(&self, policy: &Path) -> Running {
        let page = self.page_with(|settings| settings.policy = Some(policy.to_owned()));
        page.until("the policy is read", |page| page.about("games.example")["basis"] == "policy");
        page
    }
}

/// Asserts what stands in a document, by JSON pointers (RFC 6901).
#[track_caller]
pub(crate) fn says(document: &Value, expected: &[(&str, &str)]) {
    for (pointer, text) in expected {
        let found = document.pointer(pointer).and_then(Value::as_str);
        assert_eq!(found, Some(*text), "{pointer} of {document:#}");
    }
}

/// A page that runs.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) told: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts a page, and waits until it has looked at the log.
    pub(crate) fn start(settings: Settings) -> Self {
        let page = Page::bind(settings).unwrap();
        let address = page.local_addr().unwrap();
        let (over, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let thread = std::thread::spawn({
            let (over, told) = (Arc::clone(&over), Arc::clone(&told));
            move || {
                page.run(|| over.load(Ordering::Relaxed), |line| told.lock().unwrap().push(line.to_owned()))
                    .unwrap();
            }
        });
        let running = Self { address, told, over, thread: Some(thread) };
        running.until("the log is read", |page| page.json("/status").1["state"] != "reading");
        running
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.asking(path, None)
    }

    pub(crate) fn asking(&self, path: &str, accept: Option<&str>) -> Response {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        let mut request = agent.get(format!("http://{}{path}", self.address));
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let mut response = request.call().unwrap();
        let header = |name: &str| {
            response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        Response {
            status: response.status().as_u16(),
            content_type: header("content-type"),
            cache: header("cache-control"),
            policy: header("content-security-policy"),
            headers: format!("{:?}", response.headers()),
            body: response.body_mut().with_config().limit(1 << 28).read_to_vec().unwrap(),
        }
    }

    pub(crate) fn json(&self, path: &str) -> (u16, Value) {
        let response = self.get(path);
        assert_eq!(response.content_type, "application/json", "{path}");
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }

    /// The answer about a host, as data.
    pub(crate) fn about(&self, host: &str) -> Value {
        self.json(&format!("/is-blocked.json?host={host}")).1
    }

    /// Waits for something to become so.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !is_so(self) {
            assert!(begin.elapsed() < PATIENCE, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the page has seen so many entries.
    pub(crate) fn until_entries(&self, entries: u64) {
        self.until("the entries are seen", |page| page.json("/status").1["entries"] == entries);
    }

    pub(crate) fn end(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the page's thread has panicked");
        }
    }
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) cache: String,
    pub(crate) policy: String,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}
