//! Links and adversaries in network namespaces, with real clients and servers. Without root, every test says that it is
//! skipped. Run with `--nocapture` for the figures.
#![allow(clippy::unwrap_used)] // the helpers are tests too

mod evidence;
mod line;
mod net;
mod packets;
mod proxies;
mod quic;
