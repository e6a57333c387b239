//! What the network does now, once a second, for any number of viewers: looked at once, written out once, and handed to all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use daylight_watch::Board;
use daylight_watch::board::{
    Budget, FlowDetail, Interface, Kind, Loss, Query, Rates, RiskRow, Snapshot, TopRow,
};
use futures_util::{Stream, stream};
use hyper::body::Bytes;
use serde::Serialize;
use tokio::sync::watch;

use crate::range::rfc3339;
use crate::text;

/// Seconds of throughput that are shown.
const SECONDS: usize = 180;
/// Rows of each table.
const ROWS: usize = 8;
const RISKS: usize = 12;
/// More viewers than this are refused: something goes wrong with them.
pub(crate) const VIEWERS_MAX: usize = 1000;
const BEAT: Duration = Duration::from_secs(15);

/// What a viewer of the live page gets.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Now {
    /// `null` before the first second.
    pub(crate) time: Option<String>,
    pub(crate) running_s: u64,
    pub(crate) rates: Rates,
    pub(crate) flows_open: u64,
    pub(crate) flows_ended: u64,
    pub(crate) risks_found: u64,
    pub(crate) seconds: Seconds,
    /// The time that tops are taken over.
    pub(crate) window_s: u32,
    pub(crate) tops: Tops,
    pub(crate) risks: Vec<RiskRow>,
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) losses: Vec<Loss>,
    pub(crate) budgets: Vec<Budget>,
}

/// The last seconds, the oldest first.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Seconds {
    pub(crate) bits: Vec<u64>,
    pub(crate) packets: Vec<u64>,
    pub(crate) dropped: Vec<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Tops {
    pub(crate) applications: Vec<TopRow>,
    pub(crate) hosts: Vec<TopRow>,
    pub(crate) clients: Vec<TopRow>,
    pub(crate) protocols: Vec<TopRow>,
}

impl From<Snapshot> for Now {
    fn from(seen: Snapshot) -> Self {
        let of = |what: fn(&daylight_watch::board::Sample) -> u64| seen.seconds.iter().map(what).collect();
        Self {
            time: seen.now_ns.map(rfc3339),
            running_s: seen.running_s,
            rates: seen.rates,
            flows_open: seen.gauges.flows_open,
            flows_ended: seen.flows_ended,
            risks_found: seen.risks_found,
            seconds: Seconds {
                bits: of(|second| second.bytes.saturating_mul(8)),
                packets: of(|second| second.packets),
                dropped: of(|second| second.dropped),
            },
            window_s: seen.tops.window.seconds(),
            tops: Tops {
                applications: seen.tops.applications.rows,
                hosts: seen.tops.hosts.rows,
                clients: seen.tops.talkers.rows,
                protocols: seen.tops.protocols.rows,
            },
            risks: seen.risks,
            interfaces: seen.gauges.interfaces,
            losses: seen.losses,
            budgets: seen.budgets,
        }
    }
}

fn query() -> Query {
    Query {
        kinds: vec![Kind::Applications, Kind::Hosts, Kind::Talkers, Kind::Protocols],
        rows: ROWS,
        seconds: SECONDS,
        risks: RISKS,
        ..Query::default()
    }
}

/// One look at the board.
#[derive(Clone)]
pub(crate) struct Look {
    pub(crate) now: Arc<Now>,
    /// The same as an event.
    event: Bytes,
    at: Instant,
}

impl Look {
    fn take(board: &Board) -> Self {
        let now = Arc::new(Now::from(board.snapshot(&query())));
        let mut event = b"event: now\ndata: ".to_vec();
        event.extend(text::json(&*now));
        event.extend(b"\n\n");
        Self { now, event: event.into(), at: Instant::now() }
    }
}

/// The board, and who looks at it.
pub(crate) struct Live {
    board: Arc<Board>,
    looks: watch::Sender<Option<Look>>,
    latest: Mutex<Option<Look>>,
    over: Arc<AtomicBool>,
}

impl Live {
    /// Begins to look once a second, as long as anybody wants to see.
    pub(crate) fn start(board: Arc<Board>) -> Self {
        let (looks, _) = watch::channel(None);
        let over = Arc::new(AtomicBool::new(false));
        let live = Self {
            board: Arc::clone(&board),
            looks: looks.clone(),
            latest: Mutex::default(),
            over: Arc::clone(&over),
        };
        let look = move || {
            let mut ticks = 0;
            while !over.load(Ordering::Relaxed) {
                let started = Instant::now();
                let now = board.wait(ticks, Duration::from_millis(500));
                if now > ticks && looks.receiver_count() > 0 {
                    looks.send_replace(Some(Look::take(&board)));
                    // Of an engine that ticks faster than once a second, some are passed over.
                    std::thread::sleep(Duration::from_millis(900).saturating_sub(started.elapsed()));
                }
                ticks = now;
            }
            looks.send_replace(None);
        };
        // Without the thread, pages show what there is when they are asked for.
        let _ = std::thread::Builder::new().name("dashboard-live".to_owned()).spawn(look);
        live
    }

    pub(crate) fn stop(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn viewers(&self) -> usize {
        self.looks.receiver_count()
    }

    /// What there is to see, at most a second old.
    pub(crate) async fn now(&self) -> Option<Arc<Now>> {
        let is_fresh = |look: &Look| look.at.elapsed() < Duration::from_secs(1);
        if let Some(look) = self.looks.borrow().as_ref().filter(|look| is_fresh(look)) {
            return Some(Arc::clone(&look.now));
        }
        let held = self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(look) = held.filter(is_fresh) {
            return Some(look.now);
        }
        let board = Arc::clone(&self.board);
        let look = tokio::task::spawn_blocking(move || Look::take(&board)).await.ok()?;
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(look.clone());
        Some(look.now)
    }

    /// A flow that goes on or has ended a short time ago.
    pub(crate) async fn flow(&self, uid: String) -> Option<FlowDetail> {
        let board = Arc::clone(&self.board);
        let query = Query { kinds: Vec::new(), seconds: 0, uid: Some(uid), ..Query::default() };
        tokio::task::spawn_blocking(move || board.snapshot(&query).flow).await.ok()?
    }

    /// Events for a viewer, for as long as it may look on.
    pub(crate) fn events(
        &self,
        may_go_on: impl Fn() -> bool + Send + 'static,
    ) -> impl Stream<Item = Bytes> + Send + 'static {
        let over = Arc::clone(&self.over);
        let first = Bytes::from_static(b"retry: 3000\n\n");
        stream::unfold((self.looks.subscribe(), Some(first)), move |(mut looks, first)| {
            let goes_on = !over.load(Ordering::Relaxed) && may_go_on();
            async move {
                if let Some(first) = first {
                    return Some((first, (looks, None)));
                }
                if !goes_on {
                    return None;
                }
                let event = match tokio::time::timeout(BEAT, looks.changed()).await {
                    // A line that says nothing keeps proxies from giving up.
                    Err(_) => Bytes::from_static(b": still here\n\n"),
                    Ok(Err(_)) => return None,
                    Ok(Ok(())) => looks.borrow_and_update().as_ref().map(|look| look.event.clone())?,
                };
                Some((event, (looks, None)))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    fn live() -> (Live, watch::Sender<Option<Look>>) {
        let (looks, _) = watch::channel(None);
        let live = Live {
            board: Board::new(),
            looks: looks.clone(),
            latest: Mutex::default(),
            over: Arc::default(),
        };
        (live, looks)
    }

    fn look(live: &Live, number: usize) -> Look {
        let now = Arc::new(Now::from(live.board.snapshot(&query())));
        Look { now, event: format!("event {number}").into(), at: Instant::now() }
    }

    /// Who reads slowly gets what is new when it reads on: nothing is kept for it.
    #[tokio::test]
    async fn a_stalled_viewer_holds_one_event() {
        let (live, looks) = live();
        let mut stalled = Box::pin(live.events(|| true));
        let mut reader = Box::pin(live.events(|| true));
        assert_eq!(stalled.next().await.unwrap(), "retry: 3000\n\n");
        reader.next().await.unwrap();
        let first = look(&live, 0);
        for number in 0..1000 {
            looks.send_replace(Some(Look { event: format!("event {number}").into(), ..first.clone() }));
            assert_eq!(reader.next().await.unwrap(), format!("event {number}"));
        }
        assert_eq!(stalled.next().await.unwrap(), "event 999");
        assert_eq!(live.viewers(), 2);
        drop((stalled, reader));
        assert_eq!(live.viewers(), 0);
    }

    #[tokio::test]
    async fn who_may_not_look_on_sees_no_more() {
        let (live, looks) = live();
        let may = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&may);
        let mut events = Box::pin(live.events(move || asked.load(Ordering::Relaxed)));
        events.next().await.unwrap();
        looks.send_replace(Some(look(&live, 1)));
        assert_eq!(events.next().await.unwrap(), "event 1");
        may.store(false, Ordering::Relaxed);
        looks.send_replace(Some(look(&live, 2)));
        assert!(events.next().await.is_none());
    }
}
