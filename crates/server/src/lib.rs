//! A tunnel's server: what carries sessions in, and what it has besides.
//!
//! [`config`] is what it is told, [`secrets`] says whose cards are good; [`run`] listens, and brings together what
//! strangers see, [`site`], and what cards open: sessions, and their ways out, [`egress`]. [`limits`] says how much of
//! them a session, and an address, may have; [`metrics`] counts.
#![forbid(unsafe_code)]

pub mod acme;
pub mod census;
pub mod config;
pub mod egress;
pub mod init;
pub mod limits;
pub mod metrics;
pub mod run;
pub mod secrets;
pub mod site;
mod tls;
