//! HTTP Datagrams (RFC 9297 §2.1), with context 0 (RFC 9298 §5), of the requests of one QUIC connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use quinn::Connection;
use tokio::sync::mpsc;

use super::varint;
use super::window::Window;
use crate::transports;

/// The context of what was sent to a UDP destination (RFC 9298 §5).
const CONTEXT: u64 = 0;
/// So many of a request's datagrams wait for whoever reads them; more are dropped.
const WAITING_MAX: usize = 256;

/// Hands a connection's datagrams to its requests.
#[derive(Clone)]
pub(super) struct Datagrams {
    connection: Connection,
    /// By the quarter of a request's stream.
    requests: Arc<Mutex<Requests>>,
}

type Requests = HashMap<u64, mpsc::Sender<Bytes>>;

fn locked(requests: &Mutex<Requests>) -> MutexGuard<'_, Requests> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Datagrams {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, requests: Arc::default() }
    }

    /// Takes what comes, until the connection ends.
    pub(super) async fn receive(self) {
        while let Ok(mut datagram) = self.connection.read_datagram().await {
            let (Some(quarter), Some(CONTEXT)) = (varint::take(&mut datagram), varint::take(&mut datagram))
            else {
                continue;
            };
            if let Some(request) = locked(&self.requests).get(&quarter) {
                // If it is full: as UDP has it.
                let _ = request.try_send(datagram);
            }
        }
    }

    /// Those of a request, by its stream.
    pub(super) fn of(&self, stream: u64) -> OfRequest {
        let quarter = stream / 4;
        let (sender, inbox) = mpsc::channel(WAITING_MAX);
        locked(&self.requests).insert(quarter, sender);
        let mut prefix = BytesMut::new();
        varint::put(quarter, &mut prefix);
        varint::put(CONTEXT, &mut prefix);
        OfRequest { all: self.clone(), quarter, prefix: prefix.freeze(), inbox }
    }
}

/// The datagrams of one request.
pub(super) struct OfRequest {
    all: Datagrams,
    quarter: u64,
    /// Before each: whose it is, and in which context.
    prefix: Bytes,
    inbox: mpsc::Receiver<Bytes>,
}

impl OfRequest {
    /// Of the connection that they are on.
    pub(super) fn window(&self) -> Window {
        Window::new(self.all.connection.clone())
    }
}

impl transports::Datagrams for OfRequest {
    fn len_max(&self) -> usize {
        let len_max = self.all.connection.max_datagram_size();
        len_max.map_or(0, |len| len.saturating_sub(self.prefix.len()))
    }

    fn send(&mut self, datagram: Bytes) {
        // If it can't be: as UDP has it.
        let _ = self.all.connection.send_datagram([&self.prefix[..], &datagram].concat().into());
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Bytes> {
        match self.inbox.poll_recv(context) {
            Poll::Ready(Some(datagram)) => Poll::Ready(datagram),
            _ => Poll::Pending,
        }
    }
}

impl Drop for OfRequest {
    fn drop(&mut self) {
        locked(&self.all.requests).remove(&self.quarter);
    }
}
