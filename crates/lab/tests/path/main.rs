//! Links and adversaries in network namespaces, with real clients and servers. Without root, every test says that it is
//! skipped. Run with `--nocapture` for the figures.

mod line;
mod net;
mod packets;
mod proxies;
