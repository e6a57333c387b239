//! Metrics as a collector reads them.

use std::sync::Arc;

use daylight_server::metrics::{Metrics, serve};

use crate::net::{comparable, exchange, listen};

#[tokio::test]
async fn a_collector_reads_them() {
    let (listener, address) = listen().await;
    let metrics = Arc::new(Metrics::new());
    let _session = metrics.session();
    tokio::spawn(serve(listener, metrics));
    let get = async |line: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n");
        comparable(&exchange(address, request.as_bytes()).await)
    };
    let metrics = get("GET /metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 200 OK\n"), "{metrics}");
    assert!(metrics.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\n"));
    assert!(metrics.contains("\ndaylight_server_sessions 1\n") && metrics.ends_with("# EOF\n"), "{metrics}");
    for other in ["GET /", "GET /metrics/", "POST /metrics"] {
        let answer = get(other).await;
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\n") && answer.ends_with("\n\n"), "{answer}");
    }
}
