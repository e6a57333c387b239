//! The server's half.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::{Firsts, NO, VERSION, YES};

/// For the whole exchange, with the client's disk in it.
const TIME_MAX: Duration = Duration::from_secs(120);

/// Serves a report, on a stream that goes to [`destination`](super::destination). `count` is called at most once, when the
/// client has written down that it is counted; with `None` the client hears that this server does not count.
///
/// # Errors
/// If the stream breaks, takes longer than two minutes, or brings something else.
pub async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    count: Option<impl FnOnce(Firsts)>,
) -> io::Result<()> {
    let exchange = async {
        let mut offer = [0; 2];
        stream.read_exact(&mut offer).await?;
        let [version, firsts] = offer;
        let firsts = Firsts::of_byte(firsts).filter(|_| version == VERSION);
        let (Some(firsts), Some(count)) = (firsts, count) else {
            stream.write_all(&[NO]).await?;
            return stream.shutdown().await;
        };
        stream.write_all(&[YES]).await?;
        stream.flush().await?;
        if stream.read_u8().await? != YES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no report"));
        }
        count(firsts);
        stream.write_all(&[YES]).await?;
        stream.shutdown().await
    };
    timeout(TIME_MAX, exchange).await.map_err(io::Error::from)?
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use jiff::civil::{Date, date};
    use tokio::io::{DuplexStream, ReadBuf, duplex};

    use super::*;
    use crate::census::{Outcome, ReportError, State, report_on};

    const TODAY: Date = date(2026, 11, 23);

    /// A stream that breaks after so many bytes have been read, or written.
    struct Breaking {
        stream: DuplexStream,
        read_left: usize,
        write_left: usize,
    }

    impl AsyncRead for Breaking {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.read_left == 0 {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let mut byte = [0];
            let mut one = ReadBuf::new(&mut byte);
            let polled = Pin::new(&mut self.stream).poll_read(context, &mut one);
            self.read_left -= one.filled().len();
            buffer.put_slice(one.filled());
            polled
        }
    }

    impl AsyncWrite for Breaking {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.write_left == 0 {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let polled = Pin::new(&mut self.stream).poll_write(context, &data[..1]);
            self.write_left -= usize::from(polled.is_ready());
            polled
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.stream).poll_shutdown(context)
        }
    }

    /// A client and a server; how the client saw it.
    async fn meet(
        state: &Path,
        read_left: usize,
        write_left: usize,
        counted: Option<Arc<AtomicUsize>>,
    ) -> Result<Outcome, ReportError> {
        let (ours, theirs) = duplex(64);
        let count = counted.map(|counted| {
            move |_: Firsts| {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        let server = tokio::spawn(serve(theirs, count));
        let stream = Breaking { stream: ours, read_left, write_left };
        let said = report_on(stream, State::open(state).unwrap(), TODAY).await;
        let _ = server.await.unwrap();
        said
    }

    #[tokio::test]
    async fn wherever_it_breaks_nobody_is_counted_twice() {
        const ENOUGH: usize = 9;
        let mut outcomes = Vec::new();
        for (read_left, write_left) in (0..4).map(|at| (at, ENOUGH)).chain((0..4).map(|at| (ENOUGH, at))) {
            let folder = tempfile::tempdir().unwrap();
            let state = folder.path().join("census");
            let counted = Arc::new(AtomicUsize::new(0));
            let first = meet(&state, read_left, write_left, Some(counted.clone())).await;
            let stored = state.exists();
            let again = meet(&state, ENOUGH, ENOUGH, Some(counted.clone())).await.unwrap();
            assert_eq!(again == Outcome::Before, stored);
            let counted = counted.load(Ordering::Relaxed);
            assert!(counted <= 1, "broken after {read_left} and {write_left} bytes");
            outcomes.push((first.ok(), counted));
        }
        // The server's answer was lost; the client's consent was lost: somebody was not counted; and all went well.
        let (lost, not_counted, well) = ((None, 1), (None, 0), (Some(Outcome::Counted), 1));
        let after_reading = [lost, lost, well, well];
        let after_writing = [lost, lost, not_counted, well];
        assert_eq!(outcomes, [after_reading, after_writing].concat());
    }

    #[tokio::test]
    async fn a_client_that_can_write_nothing_down_is_not_counted() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("census");
        // Nothing can be renamed to a folder's name.
        let opened = State::open(&state).unwrap();
        std::fs::create_dir(&state).unwrap();
        let (ours, theirs) = duplex(64);
        let count = |_: Firsts| panic!("counted");
        let server = tokio::spawn(serve(theirs, Some(count)));
        assert!(matches!(report_on(ours, opened, TODAY).await, Err(ReportError::State(_))));
        assert_eq!(server.await.unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn one_that_is_declined_may_report_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("census");
        assert_eq!(meet(&state, 9, 9, None).await.unwrap(), Outcome::Declined);
        let counted = Arc::new(AtomicUsize::new(0));
        assert_eq!(meet(&state, 9, 9, Some(counted.clone())).await.unwrap(), Outcome::Counted);
        assert_eq!(meet(&state, 9, 9, Some(counted)).await.unwrap(), Outcome::Before);
    }

    #[tokio::test]
    async fn what_is_no_report_is_not_counted() {
        for said in [&[2, 1, 1][..], &[1, 0, 1], &[1, 9, 1], &[1, 1, 0], &[1, 1], &[1]] {
            let (mut ours, theirs) = duplex(64);
            let count = |_: Firsts| panic!("counted");
            let server = tokio::spawn(serve(theirs, Some(count)));
            ours.write_all(said).await.unwrap();
            ours.shutdown().await.unwrap();
            let mut heard = Vec::new();
            ours.read_to_end(&mut heard).await.unwrap();
            let _ = server.await.expect("not counted");
            assert!(heard.len() <= 1, "{said:?} was answered with {heard:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let (ours, theirs) = duplex(64);
        let count = |_: Firsts| panic!("counted");
        let error = serve(theirs, Some(count)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(ours);
    }
}
