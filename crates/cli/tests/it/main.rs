//! The command as a user meets it.
#![allow(clippy::expect_used, clippy::unwrap_used)] // the helpers are tests too

mod behaviour;
mod card;
mod client;
mod filter;
mod filter_run;
mod plugin;
mod probe;
mod readme;
mod serve;
mod space;
mod store;
mod watch;

use std::path::PathBuf;
use std::process::Command;

/// The workspace's folder.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

fn tour() -> PathBuf {
    root().join("testdata/tour.pcap")
}

fn daylight() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_daylight"));
    command.env_remove("COLUMNS").env_remove("NO_COLOR");
    command
}
