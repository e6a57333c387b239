//! Queues on a real kernel, between a client and a server in network namespaces. Each test takes root, `ip`,
//! `iptables` and `ip6tables`, and is skipped with a word about it where one is missing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // the helpers are tests too

mod net;
mod offload;
mod opening;
mod traffic;
mod verdicts;
