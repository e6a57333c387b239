//! Metrics for Prometheus, at `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::http::request::Parts;

use crate::server::{Answer, Cache, Limits, Server, ServerError, Site};

/// A place for metrics that listens, and does not answer yet.
pub struct Metrics {
    server: Server,
    site: Arc<Text>,
}

struct Text(Box<dyn Fn() -> String + Send + Sync>);

impl Metrics {
    /// Begins to listen. `text` makes the metrics, in the OpenMetrics form, each time they are asked for.
    ///
    /// # Errors
    /// If the address is taken, or not this machine's.
    pub fn bind(
        listen: SocketAddr,
        text: impl Fn() -> String + Send + Sync + 'static,
    ) -> Result<Self, ServerError> {
        let limits = Limits { connections: 16, threads: 1, ..Limits::default() };
        Ok(Self { server: Server::bind(listen, limits)?, site: Arc::new(Text(Box::new(text))) })
    }

    /// Serves until `is_over`, which is asked ten times a second.
    ///
    /// # Errors
    /// If the system gives no threads or timers.
    pub fn run(self, is_over: impl Fn() -> bool) -> Result<(), ServerError> {
        self.server.run(self.site, is_over)
    }
}

impl Site for Text {
    fn answer(&self, request: &Parts) -> Answer {
        if request.uri.path() != "/metrics" {
            return self.failure(StatusCode::NOT_FOUND);
        }
        Answer {
            status: StatusCode::OK,
            content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
            cache: Cache::Never,
            shared: false,
            body: (self.0)().into_bytes(),
        }
    }

    fn failure(&self, status: StatusCode) -> Answer {
        let body = format!("{status}: there is nothing but GET /metrics here\n").into_bytes();
        Answer { status, content_type: "text/plain; charset=utf-8", cache: Cache::Never, shared: false, body }
    }
}
