//! Talking to a running filter: a socket of its own in the file system, one line in, one JSON object out.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::status::Status;

/// How long the other side may keep one waiting.
const PATIENCE: Duration = Duration::from_millis(200);
/// A policy with long lists takes its time.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
const REQUEST_BYTES_MAX: u64 = 64;

/// What a filter is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// How it is.
    Status,
    /// To load its policy anew.
    Reload,
}

const WORDS: [(&str, Request); 2] = [("status", Request::Status), ("reload", Request::Reload)];

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// How it is.
    Status(Box<Status>),
    /// What was asked for is done.
    Done,
    /// It was not: why.
    Failed(String),
}

/// Why a filter could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", .path.display())]
pub struct ControlError {
    path: PathBuf,
    why: String,
}

impl ControlError {
    fn new(path: &Path, error: &io::Error) -> Self {
        let why = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "no filter listens here: none of this name runs".to_owned()
            }
            io::ErrorKind::PermissionDenied => {
                "no permission (run as the filter's user, or as root)".to_owned()
            }
            _ => error.to_string(),
        };
        Self { path: path.to_owned(), why }
    }
}

/// The filter's side.
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Listens at a path. A socket that a killed filter left behind is replaced.
    ///
    /// # Errors
    /// If a filter listens there already, or the socket can't be made.
    pub fn listen(path: &Path) -> Result<Self, ControlError> {
        let fail = |error: io::Error| ControlError::new(path, &error);
        if UnixStream::connect(path).is_ok() {
            let why = "a filter of this name runs already; stop it, or give this one another name".to_owned();
            return Err(ControlError { path: path.to_owned(), why });
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(fail)?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(fail)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers whoever waits. A caller who asks nothing, or nothing that is known, is told so.
    pub fn answer(&self, mut what: impl FnMut(Request) -> Answer) {
        while let Ok((stream, _)) = self.listener.accept() {
            // Whoever has gone away meanwhile isn't answered.
            let _ = answered(&stream, &mut what);
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn answered(stream: &UnixStream, what: &mut impl FnMut(Request) -> Answer) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let answer = match WORDS.iter().find(|(word, _)| *word == line.trim()) {
        Some((_, request)) => what(*request),
        None => Answer::Failed(format!("{:?} is not known; there are status and reload", line.trim())),
    };
    let mut answer = serde_json::to_vec(&answer)?;
    answer.push(b'\n');
    (&*stream).write_all(&answer)
}

/// Asks the filter that listens at a path.
///
/// # Errors
/// If there is none, or it doesn't answer.
pub fn ask(path: &Path, request: Request) -> Result<Answer, ControlError> {
    let asked = || -> io::Result<Answer> {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
        let word = WORDS.iter().find(|(_, known)| *known == request).map_or("", |(word, _)| word);
        writeln!(stream, "{word}")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(serde_json::from_slice(&answer)?)
    };
    asked().map_err(|error| ControlError::new(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asked_and_answered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run").join("test.sock");
        let none = ask(&path, Request::Status).unwrap_err().to_string();
        assert!(none.contains("no filter listens here"), "{none}");
        let control = Control::listen(&path).unwrap();
        assert!(Control::listen(&path).err().unwrap().to_string().contains("runs already"));
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                // One says nothing, and one something unknown.
                drop(UnixStream::connect(&path).unwrap());
                let mut other = UnixStream::connect(&path).unwrap();
                other.write_all(b"jump\n").unwrap();
                let mut said = String::new();
                other.read_to_string(&mut said).unwrap();
                assert!(said.contains("not known"), "{said}");
                let Ok(Answer::Status(status)) = ask(&path, Request::Status) else { panic!("a status") };
                (status.pid, ask(&path, Request::Reload))
            });
            while !asking.is_finished() {
                control.answer(|request| match request {
                    Request::Status => Answer::Status(Box::new(Status { pid: 7, ..Status::default() })),
                    Request::Reload => Answer::Failed("no".into()),
                });
                std::thread::sleep(Duration::from_millis(5));
            }
            let (status, reload) = asking.join().unwrap();
            assert_eq!(status, 7);
            assert!(matches!(reload, Ok(Answer::Failed(why)) if why == "no"));
        });
        drop(control);
        assert!(!path.exists());
        // A stale one is replaced.
        drop(UnixListener::bind(&path).unwrap());
        Control::listen(&path).unwrap();
    }
}
