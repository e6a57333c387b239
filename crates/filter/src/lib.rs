//! The accountable filter: an engine inline, by a published policy.
//!
//! What is put on the wire is in [`notice`], and nothing else is: a DNS answer that refuses, an HTTP answer that says who
//! forbids it, and the reset that ends the connection which the latter answered.
#![forbid(unsafe_code)]

pub mod conntrack;
pub mod control;
pub mod daemon;
pub mod decisions;
pub mod gate;
pub mod kernel;
pub mod ledger;
pub mod memory;
pub mod mirror;
pub mod notice;
pub mod question;
pub mod send;
pub mod service;
pub mod status;
pub mod worker;
