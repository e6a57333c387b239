//! The tunnel as people meet it: a card, a client, a browser, and a network that blocks what they want to read.
//!
//! ```text
//!   client ── router ── server        (the tunnel's)
//!                └───── site          (blocked for the client)
//! ```
//!
//! Each is a namespace of its own, which ends with the test. Root is needed, and the programs that a test names.
#![allow(clippy::expect_used, clippy::unwrap_used)] // the helpers are tests too

mod blocked;
mod hosts;
mod machine;
