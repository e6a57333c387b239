//! The filter against the kernel, in network namespaces of its own. Needs root and the package iptables; without, the tests
//! say so and do nothing.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod evasion;
mod filtering;
mod gate;
mod hello;
mod inline;
mod kernel;
mod ledger;
mod namespace;
mod net;
mod raw;
