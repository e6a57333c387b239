//! Mail.

pub mod imap;
pub mod imaps;
pub(crate) mod lines;
pub(crate) mod message;
pub mod pop3;
pub mod pop3s;
pub(crate) mod sasl;
pub mod smtp;
pub mod smtps;
