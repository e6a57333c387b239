//! The filter against the kernel, in network namespaces of its own. Needs root and the package iptables; without, the tests
//! say so and do nothing.

// The helpers are tests too; and a test that can't be run says why.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod actions;
mod evasion;
mod faults;
mod filtering;
mod gate;
mod h3;
mod hello;
mod inline;
mod kernel;
mod ledger;
mod lifecycle;
mod namespace;
mod net;
mod packaging;
mod passive;
mod ports;
mod raw;
mod services;
mod wire;
