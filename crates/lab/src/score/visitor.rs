//! Who visits sites: a browser, or curl where a thousand visits by a browser would take an hour.

use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::browser::Browser;
use super::place::Place;
use super::site;
use crate::LabError;

/// The client program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Visitor {
    /// Chromium without a window, a new profile for each visit.
    Chromium,
    /// curl: a page and what belongs to it, one after the other over one connection.
    Curl,
}

impl Visitor {
    /// Its program, which is also the Debian package's name.
    pub fn program(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Curl => "curl",
        }
    }

    /// Whether it is there.
    pub fn is_installed(self) -> bool {
        is_installed(self.program())
    }
}

/// Whether a program is in the path.
pub(crate) fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// How the visitor gets to a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// By itself.
    Direct,
    /// Through a SOCKS5 proxy on this port of its own host.
    Socks(u16),
    /// This port of its own host is the site.
    Forward(u16),
}

/// What carries the visitor's own HTTPS, as a censor sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// TCP.
    Tcp,
    /// QUIC, which is for browsers alone: Debian's curl does not have it.
    Quic,
}

/// A visitor on its way to a site.
pub(crate) struct Guest<'a> {
    place: &'a Place,
    name: String,
    route: Route,
    browser: Option<Browser>,
}

impl<'a> Guest<'a> {
    /// One who will visit the site of this name.
    pub(crate) fn new(
        visitor: Visitor,
        place: &'a Place,
        name: &str,
        route: Route,
        seen: Seen,
    ) -> Result<Self, LabError> {
        let browser = match visitor {
            Visitor::Chromium => Some(Browser::start(place, name, route, seen)?),
            Visitor::Curl => None,
        };
        Ok(Self { place, name: name.to_owned(), route, browser })
    }

    /// Visits a page, as somebody who was never there. Fails if it doesn't come.
    pub(crate) fn visit(&mut self, n: usize) -> Result<(), LabError> {
        let failed = |message: String| LabError::Failed { what: format!("visit {n}"), message };
        let title = match &mut self.browser {
            Some(browser) => {
                let page = site::visit(n).swap_remove(0);
                browser.visit(&format!("https://{}{page}", self.name))?
            }
            None => fetch(self.place, curl(&self.name, n, self.route)).map_err(failed)?,
        };
        match title.starts_with("Page ") {
            true => Ok(()),
            false => Err(failed("the page did not come".into())),
        }
    }
}

/// The title of the first page that a program fetches.
fn fetch(place: &Place, mut command: Command) -> Result<String, String> {
    let out = place.folder.join("visit.out");
    let file = std::fs::File::create(&out).map_err(|e| e.to_string())?;
    command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(file);
    let namespace = place.namespace("client").map_err(|e| e.to_string())?;
    let status = namespace.spawn(command).and_then(|mut child| child.wait()).map_err(|e| e.to_string())?;
    let page = std::fs::read(&out).map_err(|e| e.to_string())?;
    let page = String::from_utf8_lossy(&page);
    let title =
        page.split_once("<title>").map(|(_, rest)| rest.lines().next().unwrap_or_default().to_owned());
    match title.filter(|_| status.success()) {
        Some(title) => Ok(title),
        None => Err(format!("it ended with {status}")),
    }
}

fn curl(name: &str, n: usize, route: Route) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--http2", "--fail", "--max-time", "60"]);
    match route {
        Route::Direct => &mut command,
        Route::Socks(port) => command.arg("--socks5").arg(format!("127.0.0.1:{port}")),
        Route::Forward(port) => command.arg("--connect-to").arg(format!("{name}:443:127.0.0.1:{port}")),
    };
    command.args(site::visit(n).iter().map(|path| format!("https://{name}{path}")));
    command
}
