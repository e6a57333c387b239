//! The client's half.

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::civil::Date;
use rand::RngExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Firsts, NO, State, StateError, VERSION, YES, destination, today};
use crate::driver::{Driver, OpenError};

/// Seconds.
const DELAY_S: std::ops::Range<f64> = 20.0..90.0;
/// For the whole exchange, on a bad line.
const TIME_MAX: Duration = Duration::from_secs(120);

/// What became of a report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It was counted.
    Counted,
    /// It was counted today before, by this server or another.
    Before,
    /// The server does not count.
    Declined,
}

/// A report failed. Whatever happened, nobody is counted twice; somebody may not be counted that day.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The client's file can't be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The stream broke.
    #[error("the report to the census broke off: {0}")]
    Stream(#[from] io::Error),
    /// The server said something that a server does not say.
    #[error("the server answered the report to the census with {0}, which means nothing")]
    Answer(u8),
}

/// How long after a session's beginning it is to report, by chance: so that what a session begins with looks the same on every
/// day, and those are not counted whom the tunnel did not help.
#[must_use]
pub fn delay() -> Duration {
    Duration::from_secs_f64(rand::rng().random_range(DELAY_S))
}

/// Reports to a session's server, if it is this client's first time today. To be called once for each session, after a
/// [`delay`]. `state` is the client's own file, the same for all servers, so that one who uses two is one user.
///
/// # Errors
/// If the file can't be used, or the stream breaks.
pub async fn report(driver: &Driver, state: &Path) -> Result<Outcome, ReportError> {
    let state = open(state).await?;
    if Firsts::on(today(), state.counted()).is_none() {
        return Ok(Outcome::Before);
    }
    let opened = timeout(TIME_MAX, driver.open(&destination())).await.map_err(io::Error::from)?;
    match opened {
        Ok(stream) => report_on(stream, state, today()).await,
        Err(OpenError::Refused(_)) => Ok(Outcome::Declined),
        Err(error @ OpenError::SessionEnded) => Err(io::Error::other(error).into()),
    }
}

/// Reports on a stream that goes to [`destination`].
///
/// # Errors
/// If the file can't be written, or the stream breaks or takes longer than two minutes.
pub async fn report_on(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut state: State,
    today: Date,
) -> Result<Outcome, ReportError> {
    let Some(firsts) = Firsts::on(today, state.counted()) else { return Ok(Outcome::Before) };
    let exchange = async {
        stream.write_all(&[VERSION, firsts.to_byte()]).await?;
        stream.flush().await?;
        match stream.read_u8().await? {
            YES => {}
            NO => return Ok(Outcome::Declined),
            other => return Err(ReportError::Answer(other)),
        }
        // From here on it counts as done, whether or not the server hears of it.
        let written = spawn_blocking(move || state.set_counted(today)).await;
        written.map_err(io::Error::from)??;
        stream.write_all(&[YES]).await?;
        stream.shutdown().await?;
        match stream.read_u8().await? {
            YES => Ok(Outcome::Counted),
            other => Err(ReportError::Answer(other)),
        }
    };
    timeout(TIME_MAX, exchange).await.map_err(io::Error::from)?
}

/// [`State::open`], which may wait for a disk.
async fn open(path: &Path) -> Result<State, ReportError> {
    let path = path.to_owned();
    Ok(spawn_blocking(move || State::open(&path)).await.map_err(io::Error::from)??)
}
