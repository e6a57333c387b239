//! The server's parts, through their public interface.

// The helpers are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod acme;
mod census;
mod egress;
mod front;
mod guide;
mod h3;
mod init;
mod metrics;
mod net;
mod origin;
mod run;
mod site;
