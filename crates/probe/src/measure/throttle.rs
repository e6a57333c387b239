//! Throttling: the same page from the same address, with the target's name and with an innocuous one, in turns.
//!
//! Whether that is throttling the rules say; here is only measured. What is slow with both names is a slow server, or a slow
//! line: the round trips and the losses of both connections stand beside the rates.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use daylight_verdict::extras::{ThrottlingPair, Transfer};
use daylight_verdict::ooni::Failure;

use super::clock::ms;
use crate::http::{self, Request};
use crate::net::{Tap, TcpInfo, Watch, connect, tcp_info};
use crate::plan::{Scheme, Target};
use crate::settings::Settings;
use crate::tls::{Hello, Roots, handshake};

/// How often the rate is sampled.
const SAMPLE: Duration = Duration::from_millis(50);
/// Fewer bytes say nothing of a rate: they come at once, before any limit bites.
pub(super) const BYTES_MIN: u64 = 8 << 10;
/// A plateau has no fewer samples.
const PLATEAU_SAMPLES_MIN: usize = 6;
/// Silence of this length is a stall, or of three round trips if they are longer.
const STALL: Duration = Duration::from_millis(1500);

/// Measures the pairs.
pub(super) async fn pairs(
    target: &Target,
    to: SocketAddr,
    settings: &Settings,
    roots: &Roots,
) -> Vec<ThrottlingPair> {
    let work = Work { target, to, settings, roots };
    // Not every server gives the page to whoever asks with another name: then it is asked without any.
    let mut innocuous = Some(settings.control.host.as_str());
    let mut pairs = Vec::new();
    for index in 0..settings.pairs {
        // In turns, so that whatever else happens on the line falls on both.
        let (first, second) = if index % 2 == 0 {
            let first = work.transfer(Some(target.host())).await;
            (first, work.transfer(innocuous).await)
        } else {
            let second = work.transfer(innocuous).await;
            (work.transfer(Some(target.host())).await, second)
        };
        if second.bytes < BYTES_MIN && second.stalled_at.is_none() {
            innocuous = None;
        }
        pairs.push(ThrottlingPair { index, address: to.to_string(), target: first, control: second });
    }
    pairs
}

struct Work<'a> {
    target: &'a Target,
    to: SocketAddr,
    settings: &'a Settings,
    roots: &'a Roots,
}

impl Work<'_> {
    async fn transfer(&self, name: Option<&str>) -> Transfer {
        let mut transfer =
            Transfer { server_name: name.unwrap_or_default().to_owned(), ..Transfer::default() };
        if let Err(failure) = self.run(name, &mut transfer).await {
            transfer.failure = Some(failure);
        }
        transfer
    }

    async fn run(&self, name: Option<&str>, transfer: &mut Transfer) -> Result<(), Failure> {
        let connected = connect(self.to, self.settings.waits.connect).await;
        let stream = connected.into_stream()?;
        // The stream goes to the HTTP client; this one is left to ask the kernel with.
        let socket = stream.as_fd().try_clone_to_owned().map_err(|error| crate::failure::of_io(&error))?;
        let before = tcp_info(&socket);
        // Over TLS the name is in the handshake, and the page asked for is the target's in any case; without it the
        // name is the request's.
        let (host, bytes_max, wait) = (
            http::authority(self.target.url()),
            self.settings.transfer_bytes_max,
            self.settings.waits.transfer,
        );
        if self.target.scheme() == Scheme::Https {
            let hello = Hello { server_name: name, ..Hello::of(self.target.host()) };
            let shaken = handshake(stream, &hello, self.roots, self.settings.waits.handshake).await;
            if let Some(failure) = shaken.failure {
                return Err(failure);
            }
            let stream = shaken.stream.ok_or(Failure::Eof)?;
            let request = Request::visit(self.target.url(), &host, "")?;
            let work = http::exchange(stream, &request, bytes_max, wait);
            self.sample(work, &shaken.watch, transfer, &socket, before).await
        } else {
            let request = Request::visit(self.target.url(), name.unwrap_or(&host), "")?;
            let tap = Tap::new(stream, None);
            let watch = tap.watch();
            let work = http::exchange(tap, &request, bytes_max, wait);
            self.sample(work, &watch, transfer, &socket, before).await
        }
    }

    async fn sample(
        &self,
        work: impl Future<Output = http::Exchange>,
        watch: &Watch,
        transfer: &mut Transfer,
        socket: &std::os::fd::OwnedFd,
        before: Option<TcpInfo>,
    ) -> Result<(), Failure> {
        let start = watch.traffic();
        let mut samples = Vec::new();
        let mut ticker = tokio::time::interval(SAMPLE);
        tokio::pin!(work);
        let page = loop {
            tokio::select! {
                page = &mut work => break page,
                _ = ticker.tick() => samples.push(watch.traffic().received - start.received),
            }
        };
        let end = watch.traffic();
        transfer.bytes = end.received - start.received;
        // From the first byte to the last: how long the server thought about it is not the line's doing.
        let first =
            end.events.iter().find(|event| event.at > page.begun && is_read(event)).map(|event| event.at);
        let took = match (first, end.last_read) {
            (Some(first), Some(last)) if last > first => last - first,
            _ => page.ended - page.begun,
        };
        transfer.took_ms = ms(took);
        transfer.rate_bytes_per_s = rate(transfer.bytes, took);
        transfer.plateau_cv = plateau_cv(&samples);
        let info = tcp_info(socket).or(before);
        if let Some(info) = info {
            transfer.rtt_ms = Some(ms(info.rtt));
            transfer.rtt_min_ms = info.rtt_min.map(ms);
            transfer.loss = info.loss();
        }
        let limit = STALL.max(info.map_or(Duration::ZERO, |info| info.rtt * 3));
        transfer.stalled_at = stalled_at(&end, start.received, page.ended, page.failure.is_some(), limit);
        page.failure.map_or(Ok(()), Err)
    }
}

fn is_read(event: &crate::net::Event) -> bool {
    event.operation == crate::net::Operation::Read
}

fn rate(bytes: u64, took: Duration) -> f64 {
    let seconds = took.as_secs_f64();
    if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 }
}

/// After how many bytes nothing more came for longer than `limit`: in between, or at the end of what failed.
fn stalled_at(
    traffic: &crate::net::Traffic,
    before: u64,
    ended: Instant,
    failed: bool,
    limit: Duration,
) -> Option<u64> {
    let end = traffic.last_read.filter(|last| failed && ended.saturating_duration_since(*last) > limit);
    let at = match traffic.longest_gap {
        Some((at, gap)) if gap > limit && at > before => Some(at),
        _ => end.map(|_| traffic.received),
    };
    at.map(|at| at.saturating_sub(before))
}

/// How much the rate varies once it has settled: the standard deviation of what came in each interval, over its mean.
fn plateau_cv(samples: &[u64]) -> Option<f64> {
    let steps: Vec<f64> =
        samples.iter().zip(samples.iter().skip(1)).map(|(a, b)| b.saturating_sub(*a) as f64).collect();
    // Without the silence before, the beginning (a burst is let through, or the window opens) and the last piece.
    let start = steps.iter().position(|step| *step > 0.0)?;
    let end = steps.iter().rposition(|step| *step > 0.0)?;
    let plateau = steps.get(start + (end - start) / 5..end)?;
    if plateau.len() < PLATEAU_SAMPLES_MIN {
        return None;
    }
    let n = plateau.len() as f64;
    let mean = plateau.iter().sum::<f64>() / n;
    let variance = plateau.iter().map(|step| (step - mean).powi(2)).sum::<f64>() / n;
    (mean > 0.0).then(|| variance.sqrt() / mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_rate_is_a_plateau() {
        let even: Vec<u64> = (0..40).map(|n| n * 1000).collect();
        assert!(plateau_cv(&even).unwrap() < 0.01);
        let bursts: Vec<u64> = (0..40).map(|n| n / 4 * 4000).collect();
        assert!(plateau_cv(&bursts).unwrap() > 1.0);
        assert_eq!(plateau_cv(&even[..5]), None);
        assert_eq!(plateau_cv(&[0; 30]), None);
    }

    #[test]
    fn silence_is_a_stall_where_it_is_long() {
        let now = Instant::now();
        let after = |ms| now + Duration::from_millis(ms);
        let traffic = |gap, last| crate::net::Traffic {
            received: 21_000,
            last_read: Some(after(last)),
            longest_gap: Some((17_000, Duration::from_millis(gap))),
            ..Default::default()
        };
        // Between two pieces.
        assert_eq!(stalled_at(&traffic(1600, 2000), 1000, after(2100), false, STALL), Some(16_000));
        // At the end, of what failed.
        assert_eq!(stalled_at(&traffic(100, 500), 1000, after(8000), true, STALL), Some(20_000));
        assert_eq!(stalled_at(&traffic(100, 500), 1000, after(600), false, STALL), None);
        // Before the transfer.
        assert_eq!(stalled_at(&traffic(1600, 2000), 18_000, after(2100), false, STALL), None);
    }
}
