//! A server as a process, with its signals: HUP reads the configuration again, TERM and INT end it, a second one at once.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{Say, Server, StartError, files};
use crate::config::{Config, ConfigError};

/// Why a server did not begin, or ended other than by a signal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It can't start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system has no threads or signals for it.
    #[error("the server can't be run: {0}")]
    System(#[from] io::Error),
}

/// Runs a server until it is told to end. What it has to say goes to `say`, line by line.
///
/// # Errors
/// If it can't begin.
pub fn run(path: &Path, say: impl Fn(&str) + Send + Sync + 'static) -> Result<(), DaemonError> {
    let config = Config::read(path)?;
    files::allow_many();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(path, config, Arc::new(say)))?;
    // Nothing that is still going on is waited for.
    runtime.shutdown_background();
    Ok(())
}

async fn serve(path: &Path, mut config: Config, say: Say) -> Result<(), DaemonError> {
    let mut hup = signal(SignalKind::hangup())?;
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let server = Server::start(&config, say.clone()).await?;
    for (what, place) in server.addresses() {
        say(&format!("{what}: {place}"));
    }
    notify("READY=1");
    loop {
        tokio::select! {
            _ = hup.recv() => {
                let read = Config::read(path).map_err(|error| error.to_string());
                let outcome = read.and_then(|new| {
                    server.reload(&new).map_err(|error| error.to_string())?;
                    config = new;
                    Ok(())
                });
                match outcome {
                    Ok(()) => say("read the configuration again; a changed address needs a restart"),
                    Err(error) => say(&format!("nothing was changed: {error}")),
                }
            }
            _ = term.recv() => break,
            _ = int.recv() => break,
        }
    }
    notify("STOPPING=1");
    let patience = Duration::from_secs(config.drain_s.into());
    let sessions = server.sessions();
    if sessions > 0 {
        say(&format!("ending: {sessions} sessions have {} s; ask again to end at once", config.drain_s));
    }
    tokio::select! {
        () = server.drain(patience) => {}
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}

/// Tells systemd, if it is there (sd_notify(3)).
fn notify(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let told = std::os::unix::net::UnixDatagram::unbound()
        .and_then(|unbound| unbound.send_to(state.as_bytes(), Path::new(&socket)));
    // A server whose systemd does not listen serves all the same.
    drop(told);
}
