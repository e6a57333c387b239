//! Mail.

pub mod imap;
pub mod imaps;
pub mod pop3;
pub mod pop3s;
pub mod smtp;
pub mod smtps;
