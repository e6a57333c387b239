//! How a server is, for Prometheus. Everything is counted over all clients; nothing by client, address or destination.

mod http;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use daylight_session::HandshakeError;
use daylight_tunnel::driver::Unwelcome;
use daylight_tunnel::relay::{Meter, Way};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry, Unit};

pub use http::serve;

use crate::egress::EgressError;
use crate::limits::{Direction, Limit, SessionLimits};

/// What a server counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    sessions: Gauge,
    sessions_begun: Counter,
    paths: Family<Of, Gauge>,
    paths_refused: Family<(Of, Because), Counter>,
    handshakes: Family<(Of, Ended), Counter>,
    streams: Gauge,
    streams_opened: Counter,
    associations: Gauge,
    associations_begun: Counter,
    up_bytes: Counter,
    down_bytes: Counter,
    limits_reached: Family<Reached, Counter>,
    egress_errors: Family<Because, Counter>,
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct Of {
    transport: &'static str,
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct Because {
    reason: &'static str,
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct Reached {
    limit: &'static str,
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct Going {
    direction: &'static str,
}

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct Ended {
    outcome: Handshake,
}

/// How a transport's handshake ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Handshake {
    /// A holder of a card came; with `web` that is every request of one.
    Card,
    /// Somebody else; with `web` that is every request of a visitor.
    Stranger,
    /// It was not tried, since too many from that address had failed.
    NotTried,
}

impl EncodeLabelValue for Handshake {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let outcome = match self {
            Self::Card => "card",
            Self::Stranger => "stranger",
            Self::NotTried => "not-tried",
        };
        outcome.encode(encoder)
    }
}

/// One of those that there are now, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Present(Gauge);

impl Present {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Counters at 0.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("daylight_server");
        let bytes = Family::<Going, Counter>::default();
        registry.register_with_unit(
            "carried",
            "Bytes of streams and datagrams, from clients (up) and to them (down)",
            Unit::Bytes,
            bytes.clone(),
        );
        let going = |direction| bytes.get_or_create_owned(&Going { direction });
        Self {
            up_bytes: going("up"),
            down_bytes: going("down"),
            sessions: register(&mut registry, "sessions", "Sessions that there are"),
            sessions_begun: register(&mut registry, "sessions_begun", "Sessions that began"),
            paths: register(&mut registry, "paths", "Paths that carry sessions, or are being made"),
            paths_refused: register(
                &mut registry,
                "paths_refused",
                "Paths of holders of cards that came to nothing",
            ),
            handshakes: register(
                &mut registry,
                "handshakes",
                "Handshakes of transports: with holders of cards, with strangers, and not tried",
            ),
            streams: register(&mut registry, "streams", "Streams that are connected"),
            streams_opened: register(&mut registry, "streams_opened", "Streams that were connected"),
            associations: register(&mut registry, "associations", "UDP associations that there are"),
            associations_begun: register(&mut registry, "associations_begun", "UDP associations that began"),
            limits_reached: register(
                &mut registry,
                "limits_reached",
                "Sessions, streams, associations and datagrams that a limit refused",
            ),
            egress_errors: register(
                &mut registry,
                "egress_errors",
                "Streams and datagrams that did not reach their destination",
            ),
            registry,
        }
    }

    /// A session begins.
    pub fn session(&self) -> Present {
        self.sessions_begun.inc();
        Present::new(&self.sessions)
    }

    /// A path comes from a holder of a card.
    pub fn path(&self, transport: &'static str) -> Present {
        Present::new(&self.paths.get_or_create(&Of { transport }))
    }

    /// A path came to nothing.
    pub fn path_refused(&self, transport: &'static str, why: &Unwelcome) {
        let reason = match why {
            Unwelcome::Handshake(HandshakeError::NotAuthentic) => "not-authentic",
            Unwelcome::Handshake(HandshakeError::Malformed) => "malformed",
            Unwelcome::Handshake(HandshakeError::NoSuite) => "no-cipher",
            Unwelcome::Handshake(HandshakeError::NotConfirmed) => "not-confirmed",
            Unwelcome::Handshake(_) => "handshake",
            Unwelcome::Refused => "refused",
            Unwelcome::Timeout => "timeout",
            Unwelcome::Connection(_) => "connection",
        };
        self.paths_refused.get_or_create(&(Of { transport }, Because { reason })).inc();
    }

    /// A transport's handshake ended.
    pub fn handshake(&self, transport: &'static str, outcome: Handshake) {
        self.handshakes.get_or_create(&(Of { transport }, Ended { outcome })).inc();
    }

    /// A stream is connected.
    pub fn stream(&self) -> Present {
        self.streams_opened.inc();
        Present::new(&self.streams)
    }

    /// An association begins.
    pub fn association(&self) -> Present {
        self.associations_begun.inc();
        Present::new(&self.associations)
    }

    /// Bytes were carried.
    pub fn carried(&self, direction: Direction, bytes: usize) {
        let counter = match direction {
            Direction::Up => &self.up_bytes,
            Direction::Down => &self.down_bytes,
        };
        counter.inc_by(bytes as u64);
    }

    /// A limit refused something.
    pub fn limit_reached(&self, limit: Limit) {
        let limit = match limit {
            Limit::Associations => "associations",
            Limit::Destinations => "destinations",
            Limit::Sessions => "sessions",
            Limit::Streams => "streams",
        };
        self.limits_reached.get_or_create(&Reached { limit }).inc();
    }

    /// A destination was not reached.
    pub fn egress_error(&self, error: &EgressError) {
        self.egress_errors.get_or_create(&Because { reason: error.kind() }).inc();
    }

    /// In the form that Prometheus reads (OpenMetrics text).
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

fn register<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// Counts what a stream carries, and holds it to its session's rate. The first side of the relay is the destination.
#[derive(Debug)]
pub struct StreamMeter {
    metrics: Arc<Metrics>,
    limits: SessionLimits,
}

impl StreamMeter {
    /// For one stream of the session that has these limits.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, limits: SessionLimits) -> Self {
        Self { metrics, limits }
    }
}

impl Meter for StreamMeter {
    fn carry(&mut self, way: Way, len: usize) -> Option<Instant> {
        let direction = match way {
            Way::Forth => Direction::Down,
            Way::Back => Direction::Up,
        };
        self.metrics.carried(direction, len);
        self.limits.rate()?.spend(direction, len, tokio::time::Instant::now().into_std())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Limits, LimitsConfig};

    #[test]
    fn what_is_counted_is_rendered() {
        let metrics = Arc::new(Metrics::new());
        let session = metrics.session();
        drop(metrics.session());
        let _path = metrics.path("web");
        metrics.path_refused("plain", &HandshakeError::NoSuite.into());
        metrics.handshake("web", Handshake::Stranger);
        let _stream = metrics.stream();
        let _association = metrics.association();
        metrics.limit_reached(Limit::Destinations);
        metrics.egress_error(&EgressError::Name);
        let config = LimitsConfig { down_bytes_per_s: 1000, ..LimitsConfig::default() };
        let mut meter = StreamMeter::new(metrics.clone(), Limits::new(&config).session());
        assert!(meter.carry(Way::Back, 3).is_none());
        assert!(meter.carry(Way::Forth, 2000).is_some());
        let text = metrics.render();
        for line in [
            "# TYPE daylight_server_sessions gauge",
            "daylight_server_sessions 1",
            "daylight_server_sessions_begun_total 2",
            r#"daylight_server_paths{transport="web"} 1"#,
            r#"daylight_server_paths_refused_total{transport="plain",reason="no-cipher"} 1"#,
            r#"daylight_server_handshakes_total{transport="web",outcome="stranger"} 1"#,
            "daylight_server_streams 1",
            "daylight_server_associations 1",
            r#"daylight_server_limits_reached_total{limit="destinations"} 1"#,
            r#"daylight_server_egress_errors_total{reason="name"} 1"#,
            r#"daylight_server_carried_bytes_total{direction="up"} 3"#,
            r#"daylight_server_carried_bytes_total{direction="down"} 2000"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
        drop(session);
        assert!(metrics.render().contains("daylight_server_sessions 0\n"));
    }
}
