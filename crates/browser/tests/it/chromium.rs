//! Debian's Chromium, started for one page.

use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::recorder::{NAME, Recorder};

/// A browser at work. It ends when this is dropped.
pub(crate) struct Chromium {
    _process: Child,
    _profile: TempDir,
}

/// Its version, if there is one.
pub(crate) async fn version() -> Option<String> {
    let output = Command::new("chromium").arg("--version").stdin(Stdio::null()).output().await.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
}

impl Chromium {
    /// Opens the recorder's page with an empty profile.
    pub(crate) fn open(recorder: &Recorder) -> Self {
        Self::start(recorder.address.port(), &[])
    }

    /// Asks by HTTP/3 alone for a page at this port, with an empty profile.
    pub(crate) fn open_by_quic(port: u16) -> Self {
        Self::start(port, &[format!("--origin-to-force-quic-on={NAME}:{port}")])
    }

    fn start(port: u16, more: &[String]) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let process = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-dev-shm-usage",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("--host-resolver-rules=MAP * 127.0.0.1")
            .arg("--ignore-certificate-errors")
            .args(more)
            .arg(format!("https://{NAME}:{port}/"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { _process: process, _profile: profile }
    }
}
