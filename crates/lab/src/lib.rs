//! A small internet in network namespaces, with censors in it.
#![forbid(unsafe_code)]

pub mod adversary;
pub mod hop;
