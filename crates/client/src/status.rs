//! How the tunnel is: as one live line, and as JSON on a socket for other programs.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::words::{Bytes, Route};

/// Notices that are kept.
pub const NOTICES_MAX: usize = 16;
/// The widest live line.
const COLUMNS_MAX: usize = 79;
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
/// No status is longer.
const STATUS_LEN_MAX: u64 = 1 << 20;

/// How far the tunnel is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Phase {
    /// Routes are being tried.
    #[default]
    Connecting,
    /// It carries.
    Connected,
    /// Nothing worked; it is tried again soon.
    Waiting,
    /// It is being ended.
    Stopping,
}

/// How the tunnel is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Status {
    /// How far it is.
    pub phase: Phase,
    /// Since when, in seconds of Unix time.
    pub since_s: u64,
    /// The route in use.
    pub route: Option<Route>,
    /// Where the proxies listen.
    pub proxy: Option<std::net::SocketAddr>,
    /// Whether the whole machine is carried.
    pub is_whole_machine: bool,
    /// Connections that are open.
    pub streams: u64,
    /// Bytes in all, to the server.
    pub sent_bytes: u64,
    /// Bytes in all, from the server.
    pub received_bytes: u64,
    /// Bytes in the last second, to the server.
    pub sent_bytes_per_s: u64,
    /// Bytes in the last second, from the server.
    pub received_bytes_per_s: u64,
    /// What happened, the newest last; at most [`NOTICES_MAX`].
    pub notices: Vec<Notice>,
}

/// Something that happened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Notice {
    /// When, in seconds of Unix time.
    pub at_s: u64,
    /// In words.
    pub text: String,
}

impl Status {
    /// Notes that something happened.
    pub fn note(&mut self, at_s: u64, text: String) {
        self.notices.push(Notice { at_s, text });
        let too_many = self.notices.len().saturating_sub(NOTICES_MAX);
        self.notices.drain(..too_many);
    }

    /// How it is, without what changes all the time.
    fn headline(&self) -> String {
        match (self.phase, &self.route) {
            (Phase::Connecting, _) => "connecting".into(),
            (Phase::Connected, Some(route)) => format!("connected to {route}"),
            (Phase::Connected, None) => "connected".into(),
            (Phase::Waiting, _) => "no connection; trying again soon".into(),
            (Phase::Stopping, _) => "stopping".into(),
        }
    }
}

/// Writes statuses for a person: a line that changes in place on a terminal, and elsewhere a line for each change that
/// matters.
#[derive(Debug, Default)]
pub struct Line {
    is_terminal: bool,
    headline: String,
    told: Option<Notice>,
}

impl Line {
    /// For a terminal, or for a file or pipe.
    #[must_use]
    pub fn new(is_terminal: bool) -> Self {
        Self { is_terminal, ..Self::default() }
    }

    /// What to write for this status; nothing if nothing is to be said.
    pub fn render(&mut self, status: &Status) -> String {
        let told =
            self.told.as_ref().and_then(|told| status.notices.iter().rposition(|notice| notice == told));
        let new = status.notices.get(told.map_or(0, |at| at + 1)..).unwrap_or_default();
        self.told = status.notices.last().cloned();
        let headline = status.headline();
        let mut text = String::new();
        if self.is_terminal {
            for notice in new {
                text += &format!("\r\x1b[K{}\n", notice.text);
            }
            let traffic = format!(
                "  ↓ {}/s  ↑ {}/s  {} open",
                Bytes(status.received_bytes_per_s),
                Bytes(status.sent_bytes_per_s),
                status.streams
            );
            let room = COLUMNS_MAX.saturating_sub(traffic.chars().count());
            text += &format!("\r\x1b[K{}{traffic}", cut(&headline, room));
        } else {
            for notice in new {
                text += &format!("{}\n", notice.text);
            }
            if headline != self.headline {
                text += &format!("{headline}\n");
            }
        }
        self.headline = headline;
        text
    }
}

fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.into();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

/// The status can't be offered, or asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// A client listens there.
    #[error("{0}: another client is running: stop it first")]
    Running(PathBuf),
    /// The socket can't be made.
    #[error("can't make {path}: {cause}")]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Nobody listens there.
    #[error("no client is running (nothing answers at {0})")]
    NotRunning(PathBuf),
    /// Something else answered.
    #[error("{path}: {cause}: a client of another version may be running")]
    Answer {
        /// Which.
        path: PathBuf,
        /// Where and why.
        cause: serde_json::Error,
    },
}

/// Where the socket is: in the user's runtime folder.
#[must_use]
pub fn socket_path() -> PathBuf {
    let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    let folder = match folder {
        Some(folder) => PathBuf::from(folder).join("daylight"),
        None if rustix::process::geteuid().is_root() => PathBuf::from("/run/daylight"),
        None => std::env::temp_dir().join(format!("daylight-{}", rustix::process::geteuid().as_raw())),
    };
    folder.join("client.sock")
}

/// The socket; it is removed at the end.
#[derive(Debug)]
pub struct StatusSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl StatusSocket {
    /// Listens, for the same user only.
    ///
    /// # Errors
    /// If another client does, or the socket can't be made.
    pub fn bind(path: &Path) -> Result<Self, StatusError> {
        let failed = |cause| StatusError::Socket { path: path.into(), cause };
        if let Some(folder) = path.parent() {
            let no_folder = |cause| StatusError::Socket { path: folder.into(), cause };
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(no_folder)?;
            // In a folder for everybody's files another user could have been first.
            if fs::metadata(folder).map_err(failed)?.uid() != rustix::process::geteuid().as_raw() {
                let cause = io::Error::new(io::ErrorKind::PermissionDenied, "its folder is another user's");
                return Err(failed(cause));
            }
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(StatusError::Running(path.into()));
        }
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let socket = Self { listener, path: path.into() };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(socket)
    }

    /// Gives the newest status to everybody who connects, for ever.
    pub async fn serve(self, status: watch::Receiver<Status>) -> ! {
        loop {
            let Ok((mut connection, _)) = self.listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            let text = serde_json::to_string(&*status.borrow()).unwrap_or_default();
            // Whoever does not read it has only themselves to blame.
            let _ = timeout(PATIENCE, connection.write_all(format!("{text}\n").as_bytes())).await;
        }
    }
}

impl Drop for StatusSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Asks a running client for its status.
///
/// # Errors
/// If none is running, or it speaks otherwise.
pub async fn ask(path: &Path) -> Result<Status, StatusError> {
    let not_running = |_| StatusError::NotRunning(path.into());
    let connection = UnixStream::connect(path).await.map_err(not_running)?;
    let mut text = String::new();
    timeout(PATIENCE, connection.take(STATUS_LEN_MAX).read_to_string(&mut text))
        .await
        .map_err(|_| StatusError::NotRunning(path.into()))?
        .map_err(not_running)?;
    serde_json::from_str(&text).map_err(|cause| StatusError::Answer { path: path.into(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected() -> Status {
        let route =
            Route { server: "a-rather-long-name.of-a-site.example.org".into(), transport: "web".into() };
        let mut status = Status { phase: Phase::Connected, route: Some(route), ..Status::default() };
        (status.received_bytes_per_s, status.sent_bytes_per_s, status.streams) = (1_300_000, 900, 12);
        status.note(1, "this network freezes connections to x after 16 KiB".into());
        status
    }

    #[test]
    fn one_line_of_eighty_columns_at_most() {
        let mut line = Line::new(true);
        let first = line.render(&connected());
        let (notice, live) = first.split_once('\n').expect("a notice and the line");
        assert!(notice.ends_with("after 16 KiB"));
        assert!(live.starts_with("\r\x1b[Kconnected to a-rather-long"), "{live}");
        assert!(live.ends_with("…  ↓ 1.2 MiB/s  ↑ 900 B/s  12 open"), "{live}");
        assert_eq!(live.trim_start_matches("\r\x1b[K").chars().count(), COLUMNS_MAX);
        assert!(!line.render(&connected()).contains('\n'), "a notice is told once");
    }

    #[test]
    fn without_a_terminal_only_changes() {
        let mut line = Line::new(false);
        let mut status = connected();
        let first = line.render(&status);
        assert_eq!(first.lines().count(), 2);
        status.received_bytes_per_s = 7;
        assert_eq!(line.render(&status), "");
        status.note(2, "something else".into());
        assert_eq!(line.render(&status), "something else\n");
        status.phase = Phase::Waiting;
        assert_eq!(line.render(&status), "no connection; trying again soon\n");
        for at in 0..100 {
            status.note(at, format!("{at}"));
        }
        assert_eq!(status.notices.len(), NOTICES_MAX);
        assert_eq!(line.render(&status).lines().count(), NOTICES_MAX);
    }

    #[tokio::test]
    async fn a_socket_for_its_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("inner/client.sock");
        assert!(matches!(ask(&path).await, Err(StatusError::NotRunning(_))));
        let (sender, receiver) = watch::channel(Status::default());
        let serving = tokio::spawn(StatusSocket::bind(&path).expect("a socket").serve(receiver));
        assert_eq!(fs::metadata(&path).expect("a socket").permissions().mode() & 0o777, 0o600);
        assert_eq!(ask(&path).await.expect("a status"), Status::default());
        sender.send_replace(connected());
        assert_eq!(ask(&path).await.expect("a status"), connected());
        assert!(matches!(StatusSocket::bind(&path), Err(StatusError::Running(_))));
        serving.abort();
        let _ = serving.await;
        assert!(!path.exists());
        // What a killed client left is no hindrance.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists());
        StatusSocket::bind(&path).expect("a socket");
    }
}
