//! Cards: how to reach a tunnel's servers, on paper, in a chat, on a thumb drive.
//!
//! A [`Card`] is one server: its addresses, what it offers, its key, a secret to be let in by. A [`List`] is many, for one
//! channel. Both are signed by an issuer, whose key works for some months, and for whom a root vouches by a
//! [`Certificate`]. [`Trust`] knows roots, certificates and [`Revocation`]s, and says of a card how far it can be believed.
//!
//! The way of a card: the operator's [`keyring::Keyring`] signs it; [`line`](mod@line) writes it as a line of text,
//! [`qr`] draws the line, [`flier`] puts the code on a page. A list goes onto a [`drive`], or as [`frame`]s across a
//! screen, or is [`seal`]ed so that only several fliers together open it. At the other end a line is read and mended, or
//! a file, which gives a [`keyring::Bundle`].
//!
//! Nothing here reads a clock: today's date is passed in. Only `keyring` and `drive` touch files.
#![forbid(unsafe_code)]

mod card;
mod cbor;
mod certificate;
mod channel;
mod day;
pub mod drive;
mod error;
pub mod flier;
pub mod frame;
mod key;
pub mod keyring;
pub mod line;
mod list;
mod minisign;
pub mod qr;
mod revocation;
pub mod seal;
mod signed;
mod trust;

pub use card::{Address, CARD_BYTES_GOAL, CARD_BYTES_MAX, Card, Offer, Secret, Server, Transport};
pub use cbor::{Malformed, Simple, Value};
pub use certificate::{Certificate, Issuer};
pub use channel::ChannelKey;
pub use day::Day;
pub use error::{Error, Result};
pub use key::{Id, PublicKey, SecretKey, random};
pub use list::{Cards, LIST_BYTES_MAX, List};
pub use revocation::{REVOKED_MAX, Revocation, Revoked};
pub use signed::{Body, Fields, Kind, Signed, Validity};
pub use trust::{Standing, Trust};
