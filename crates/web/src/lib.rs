//! What Daylight shows in a browser.
//!
//! [`public`] is the filter's public page: it answers, for people and for programs, whether something is blocked here, since
//! when, by which rule, why, on whose authority, until when, and where to appeal, with proofs. It reads the filter's public
//! log and nothing else of the filter's, and anybody can run it on a copy of the log.
//!
//! A request's way: [`server`] takes connections within limits and hands each request's head to a [`server::Site`]. The
//! site of the public page finds the page ([`public`]'s routes), asks the view of the log that a thread keeps
//! up to date for a document, and writes the document as HTML or as JSON; the two always say the same.
//!
//! Pages are plain HTML: no scripts, no cookies, nothing from elsewhere. No address of a client is looked at, logged or kept,
//! and neither is what was asked for.
#![forbid(unsafe_code)]

pub mod metrics;
pub mod public;
pub mod server;
