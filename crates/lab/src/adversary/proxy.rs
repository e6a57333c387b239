//! What the two adversaries that end connections themselves have in common: a listener, a kernel rule that sends connections
//! there, and an orderly end.
//!
//! They work where packets are routed, not bridged: in a namespace that forwards between its interfaces. Connections are
//! redirected to the proxy by a `nat` rule, in a table of its own, which is gone when the proxy stops. The server sees the
//! middlebox's address instead of the client's.

use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, ipproto, sockopt};
use serde::Serialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::AdversaryCounters;
use crate::service::system_program;

/// Why a proxy could not be started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// No socket to listen on.
    #[error("{kind}: no socket to listen on: {cause}")]
    Listen {
        /// `tls-interception` or `http-proxy`.
        kind: &'static str,
        /// Why.
        cause: io::Error,
    },
    /// The kernel did not take the rule.
    #[error(
        "{kind}: nft did not take the redirection: {message}: it needs nftables, and CAP_NET_ADMIN in this namespace"
    )]
    Rule {
        /// `tls-interception` or `http-proxy`.
        kind: &'static str,
        /// What nft said.
        message: String,
    },
    /// Certificates could not be made.
    #[error("{kind}: no certificate: {message}")]
    Certificate {
        /// `tls-interception`.
        kind: &'static str,
        /// Why.
        message: String,
    },
}

/// What a proxy has done.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counters {
    /// Connections taken.
    pub(crate) seen: AtomicU64,
    /// Connections meddled with.
    pub(crate) matched: AtomicU64,
}

/// A connection handler.
pub(crate) trait Serve: 'static {
    /// Handles a connection that was to go to `server`. An error ends it, and nothing else.
    fn serve(self: Rc<Self>, client: TcpStream, server: SocketAddr) -> impl Future<Output = io::Result<()>>;
}

/// A proxy at work. Dropping it stops it and takes its rule away.
pub struct Running {
    kind: &'static str,
    port: u16,
    counters: Arc<Counters>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _rule: Rule,
}

impl Running {
    /// The port that it listens on, in the namespace that it was started in.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has done: connections seen and meddled with.
    pub fn counters(&self) -> AdversaryCounters {
        AdversaryCounters {
            seen: self.counters.seen.load(Ordering::Relaxed),
            matched: self.counters.matched.load(Ordering::Relaxed),
            ..AdversaryCounters::of(self.kind)
        }
    }

    /// Stops it, and says what it has done. Connections that are open end.
    pub fn stop(self) -> AdversaryCounters {
        self.counters()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error says that the thread has ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A connection may take so long in all: the lab's scenarios are shorter.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(600);

/// Starts a proxy in the calling thread's network namespace, for TCP connections to `ports` that come in by `interface`, or
/// by any.
pub(crate) fn start<S: Serve>(
    kind: &'static str,
    ports: &[u16],
    interface: Option<&str>,
    counters: Arc<Counters>,
    make: impl FnOnce() -> S + Send + 'static,
) -> Result<Running, ProxyError> {
    let listen = |cause: io::Error| ProxyError::Listen { kind, cause };
    let v4 = socket(AddressFamily::INET, "0.0.0.0:0").map_err(listen)?;
    let port = v4.local_addr().map_err(listen)?.port();
    // Where IPv6 is off there is nothing to redirect.
    let v6 = socket(AddressFamily::INET6, &format!("[::]:{port}")).ok();
    let (stop, stopped) = oneshot::channel();
    let (ready, started) = mpsc::channel();
    let counted = Arc::clone(&counters);
    let thread = std::thread::Builder::new().name(kind.to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime.map_err(|e| ready.send(Err(e))) else { return };
        LocalSet::new().block_on(&runtime, async move {
            let serve = Rc::new(make());
            for listener in [Some(v4), v6].into_iter().flatten() {
                match TcpListener::from_std(listener) {
                    Ok(listener) => {
                        tokio::task::spawn_local(accept(listener, Rc::clone(&serve), Arc::clone(&counted)));
                    }
                    Err(e) => {
                        let _ = ready.send(Err(e));
                        return;
                    }
                }
            }
            let _ = ready.send(Ok(()));
            let _ = stopped.await;
        });
    });
    let thread = thread.map_err(listen)?;
    started.recv().unwrap_or_else(|_| Err(io::Error::other("it panicked"))).map_err(listen)?;
    let mut running =
        Running { kind, port, counters, stop: Some(stop), thread: Some(thread), _rule: Rule { table: None } };
    running._rule = Rule::install(kind, port, ports, interface)?;
    Ok(running)
}

async fn accept<S: Serve>(listener: TcpListener, serve: Rc<S>, counters: Arc<Counters>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of descriptors, most likely: others may be given back.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        counters.seen.fetch_add(1, Ordering::Relaxed);
        let Ok(server) = original_destination(&client) else { continue };
        // Connected to directly, and not by redirection: that would go round in circles.
        if client.local_addr().is_ok_and(|own| own == server) {
            continue;
        }
        let served = Rc::clone(&serve).serve(client, server);
        tokio::task::spawn_local(async move {
            // An end that breaks is the two ends' affair.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, served).await;
        });
    }
}

fn socket(family: AddressFamily, address: &str) -> io::Result<std::net::TcpListener> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let fd = rustix::net::socket(family, SocketType::STREAM, Some(ipproto::TCP))?;
    if family == AddressFamily::INET6 {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    rustix::net::bind(&fd, &address)?;
    rustix::net::listen(&fd, 256)?;
    let listener = std::net::TcpListener::from(fd);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Where a redirected connection was to go.
fn original_destination(client: &TcpStream) -> io::Result<SocketAddr> {
    Ok(match client.local_addr()? {
        SocketAddr::V4(_) => sockopt::ip_original_dst(client)?.into(),
        SocketAddr::V6(_) => sockopt::ipv6_original_dst(client)?.into(),
    })
}

/// A kernel rule that goes when this is dropped.
struct Rule {
    table: Option<String>,
}

impl Rule {
    fn install(
        kind: &'static str,
        to: u16,
        ports: &[u16],
        interface: Option<&str>,
    ) -> Result<Self, ProxyError> {
        let table = format!("daylight_lab_{}_{to}", kind.replace('-', "_"));
        // Only from its beginning on: a connection that was open before knows nothing of the proxy, nor the proxy of it.
        let from = interface.map_or(String::new(), |name| format!("iifname \"{name}\" "));
        let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
        let script = format!(
            "table inet {table} {{\nchain incoming {{\ntype nat hook prerouting priority dstnat;\n\
             {from}tcp dport {{ {} }} tcp flags & (fin | syn | rst | ack) == syn redirect to :{to}\n}}\n}}\n",
            ports.join(", ")
        );
        nft(&script).map_err(|message| ProxyError::Rule { kind, message })?;
        Ok(Self { table: Some(table) })
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        if let Some(table) = &self.table {
            // If that fails, the namespace is gone, and the table with it.
            let _ = nft(&format!("delete table inet {table}\n"));
        }
    }
}

fn nft(script: &str) -> Result<(), String> {
    let out = Command::new(system_program("nft"))
        .arg(script)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).trim().to_owned()) }
}
