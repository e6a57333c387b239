//! A client and a server over paths of every kind, in virtual time: nothing here waits, and each seed is one run, the same each
//! time.
#![allow(clippy::expect_used)] // Tests, and what helps them.

mod faults;
mod pair;
mod strangers;
mod streams;
