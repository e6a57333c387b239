//! Chromium without a window, steered by its DevTools protocol over a pipe: one program, and for each visit a profile of its
//! own (a browser context: its own connections, TLS sessions, cookies and cache), as new as a new installation's.
//!
//! The protocol: <https://chromedevtools.github.io/devtools-protocol/>, JSON messages that each end with a zero byte.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::place::Place;
use super::visitor::{Route, Seen};
use crate::LabError;

/// How long a visit may take, and the browser's start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser that runs, and ends when it is dropped.
pub(super) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    calls: u64,
    /// Whether the page that was asked for is there, with all that belongs to it.
    has_loaded: bool,
    proxy: Option<String>,
}

fn failed(message: impl Into<String>) -> LabError {
    LabError::Failed { what: "chromium".into(), message: message.into() }
}

impl Browser {
    /// Starts it on the host `client`, for visits to the host of this name by this way.
    pub(super) fn start(place: &Place, name: &str, route: Route, seen: Seen) -> Result<Self, LabError> {
        let mut command = Command::new("sh");
        // It reads from descriptor 3 and writes to 4.
        command.args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh"]);
        command.args([
            "--remote-debugging-pipe",
            "--headless=new",
            // The world's processes are root's, where Chromium has no sandbox.
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ]);
        let profile =
            tempfile::tempdir_in(&place.folder).map_err(LabError::file("make", &place.folder))?.keep();
        command.arg(format!("--user-data-dir={}", profile.display()));
        // The lab's authority is not in its list; by QUIC it takes no certificate that it merely ignores the faults of.
        command.arg(format!("--ignore-certificate-errors-spki-list={}", place.authority.key_sha256()));
        match seen {
            Seen::Tcp => command.arg("--disable-quic"),
            Seen::Quic => command.arg(format!("--origin-to-force-quic-on={name}:443")),
        };
        let proxy = match route {
            Route::Direct => None,
            Route::Socks(port) => Some(format!("socks5://127.0.0.1:{port}")),
            Route::Forward(port) => {
                command.arg(format!("--host-resolver-rules=MAP {name}:443 127.0.0.1:{port}"));
                None
            }
        };
        command.arg("about:blank").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = place.namespace("client")?.spawn(command).map_err(|e| failed(e.to_string()))?;
        let (Some(to), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("it has no pipes"));
        };
        let (give, from) = channel();
        std::thread::spawn(move || {
            let messages = BufReader::new(output).split(0).map_while(Result::ok);
            for message in messages.filter_map(|bytes| serde_json::from_slice(&bytes).ok()) {
                if give.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self { child, to, from, calls: 0, has_loaded: false, proxy };
        browser.call("Browser.getVersion", json!({}), None)?;
        Ok(browser)
    }

    /// Visits a page in a new profile. Says its title.
    pub(super) fn visit(&mut self, url: &str) -> Result<String, LabError> {
        let options = self.proxy.as_ref().map_or_else(|| json!({}), |proxy| json!({ "proxyServer": proxy }));
        let context = self.call("Target.createBrowserContext", options, None)?["browserContextId"].take();
        let tab = json!({ "url": "about:blank", "browserContextId": &context });
        let tab = self.call("Target.createTarget", tab, None)?["targetId"].take();
        let attach = json!({ "targetId": tab, "flatten": true });
        let session = self.call("Target.attachToTarget", attach, None)?["sessionId"].take();
        let session = session.as_str().ok_or_else(|| failed("it gave no session"))?;
        self.call("Page.enable", json!({}), Some(session))?;
        self.has_loaded = false;
        let gone = self.call("Page.navigate", json!({ "url": url }), Some(session))?;
        if let Some(error) = gone["errorText"].as_str() {
            return Err(failed(format!("{url}: {error}")));
        }
        let end = Instant::now() + PATIENCE;
        while !self.has_loaded {
            self.read(url, end)?;
        }
        let title = json!({ "expression": "document.title" });
        let title = self.call("Runtime.evaluate", title, Some(session))?["result"]["value"].take();
        self.call("Target.disposeBrowserContext", json!({ "browserContextId": context }), None)?;
        Ok(title.as_str().unwrap_or_default().to_owned())
    }

    /// Calls a method and waits for its result.
    fn call(&mut self, method: &str, params: Value, session: Option<&str>) -> Result<Value, LabError> {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).map_err(|e| failed(format!("{method}: {e}")))?;
        let end = Instant::now() + PATIENCE;
        loop {
            let mut answer = self.read(method, end)?;
            if answer["id"] != self.calls {
                continue;
            }
            return match answer["error"]["message"].as_str() {
                Some(error) => Err(failed(format!("{method}: {error}"))),
                None => Ok(answer["result"].take()),
            };
        }
    }

    /// The next message: an answer or an event.
    fn read(&mut self, waiting_for: &str, end: Instant) -> Result<Value, LabError> {
        let left = end.saturating_duration_since(Instant::now());
        let message = self.from.recv_timeout(left).map_err(|e| match e {
            RecvTimeoutError::Timeout => {
                failed(format!("{waiting_for}: nothing came in {} s", PATIENCE.as_secs()))
            }
            RecvTimeoutError::Disconnected => failed(format!("{waiting_for}: it ended")),
        })?;
        self.has_loaded |= message["method"] == "Page.loadEventFired";
        Ok(message)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends by itself, with all its processes, when asked or when its pipe ends.
        let _ = self.call("Browser.close", json!({}), None);
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
