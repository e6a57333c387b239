//! The control: what the same target looks like from where nobody interferes.
//!
//! A helper is asked, by one of several fronts. Where all helpers are blocked too, what one of them saw some time ago can
//! stand in: a signed [`Pack`], brought along on whatever carries a file.

mod client;
mod pack;

pub use client::{Answer, Front, Helpers, Source};
pub use pack::{Entry, PACK_BYTES_MAX, Pack, PackError, Signer, Verifier};
