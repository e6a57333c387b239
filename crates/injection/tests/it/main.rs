//! Packets that were built, and what is made of them.
#![allow(clippy::unwrap_used)] // helpers of tests are not seen as tests

mod dns;
mod properties;
mod talk;
mod tcp;
