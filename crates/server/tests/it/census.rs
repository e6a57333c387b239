//! Clients report to a server, and it publishes.

use std::path::Path;
use std::sync::Arc;

use daylight_server::census::{Census, CensusConfig, Visitor};
use daylight_tunnel::census::{Outcome, State, report_on, today};
use tokio::io::duplex;

const CONFIG: CensusConfig = CensusConfig { regions: None, granularity: 10 };

async fn report(state: &Path, visitor: Arc<Visitor>) -> Outcome {
    let (ours, theirs) = duplex(64);
    let server = tokio::spawn(async move { visitor.serve(theirs).await });
    let outcome = report_on(ours, State::open(state).unwrap(), today()).await.unwrap();
    server.await.unwrap().unwrap();
    outcome
}

#[tokio::test]
async fn each_client_is_counted_once_over_sessions_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let state = |client: usize| folder.path().join(format!("client-{client}"));
    let servers = folder.path().join("census");
    let census = Census::open(&CONFIG, &servers).unwrap();
    let visitor = |census: &Arc<Census>| Arc::new(census.visitor("192.0.2.1".parse().ok(), "web"));
    for client in 0..12 {
        let session = visitor(&census);
        assert_eq!(report(&state(client), session.clone()).await, Outcome::Counted);
        // No second client comes by the same session.
        assert_eq!(report(&state(client + 100), session).await, Outcome::Declined);
    }
    census.save().unwrap();
    drop(census);
    let census = Census::open(&CONFIG, &servers).unwrap();
    for client in 0..12 {
        assert_eq!(report_before(&state(client)).await, Outcome::Before);
    }
    assert_eq!(report(&state(12), visitor(&census)).await, Outcome::Counted);
    census.save().unwrap();
    let ledger = std::fs::read_to_string(servers.join("ledger.json")).unwrap();
    let ledger: serde_json::Value = serde_json::from_str(&ledger).unwrap();
    for period in ["today", "week", "month"] {
        assert_eq!(ledger[period], serde_json::json!({ "unknown": { "web": 13 } }), "{ledger}");
    }
    assert_eq!(ledger["day"], today().to_string());
    assert!(!ledger.to_string().contains("192.0.2.1"));
}

/// A client that has nothing to say says nothing.
async fn report_before(state: &Path) -> Outcome {
    let (ours, mut theirs) = duplex(64);
    let outcome = report_on(ours, State::open(state).unwrap(), today()).await.unwrap();
    let mut said = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut theirs, &mut said).await.unwrap();
    assert!(said.is_empty());
    outcome
}
