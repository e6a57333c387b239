//! `plain`: bytes that look like nothing, for where there is no web to hide in.
//!
//! ```text
//! client                                              server
//!   R 32 | head 16+16 | early 2+n+16, dressed  ─────▶   opens it with its key and the card's secret, or reads on
//!                                                       for ever and says nothing
//!                           R 32 | records …   ◀─────
//!   records …                                  ─────▶
//!   record: sizes 2+2+16 | data and padding + 16
//! ```
//!
//! `R` is an ephemeral key as [32 random bytes](elligator). Everything else is sealed: the head with the server's key alone,
//! so that the server learns whose card it is; what comes early also with the card's secret; records with both sides'
//! ephemeral keys, so that nobody who learns the others later can read them. The first flight is dressed (`dress.rs`), so that
//! it is not of the kind that filters of fully encrypted traffic look for; nothing after it is. A first flight is taken
//! [once](replay), and only while it is fresh.
//!
//! All but [`stream`] is without input, output and clocks: bytes, times and random numbers come in from outside.

mod dress;
pub mod elligator;
mod field;
mod hello;
mod keys;
pub mod path;
mod record;
pub mod replay;
pub mod stream;

pub use hello::{
    Access, CLOCK_TOLERANCE_S, ClientHello, EARLY_LEN_MAX, Hello, HelloReader, Listener, Progress, Refusal,
};
pub use keys::Suite;
pub use record::{DATA_LEN_MAX, Opened, Opener, RecordError, Sealer, Traffic};
