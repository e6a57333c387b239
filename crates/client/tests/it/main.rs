//! The client's behaviour, as programs and networks see it.

// The helpers are tests too; and a test that can't be run says why.
#![allow(clippy::expect_used, clippy::print_stdout)]

mod engine;
mod front;
mod served;
mod tun;
mod world;
