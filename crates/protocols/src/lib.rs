//! From payload to a protocol and its fields.
//!
//! A [`Protocol`] is declared in one file under its family's folder: what its first bytes look like (patterns), how to
//! be sure (`identify`), how to read it (a [`Parser`]), its fields and its risks. The table in `registry` lists them.
//!
//! The way a payload takes: the [`Dispatcher`](dispatch::Dispatcher) finds the few protocols whose patterns match the
//! first payload of a flow and asks them; the one that says yes gets a [`Driver`](driver::Driver), which feeds its
//! parser the stream in order (or the datagrams) until nothing more is wanted. The parser puts what it finds into a
//! [`Sink`]: fields, risks, transactions, and facts about other flows.
//!
//! Nothing in here reads a clock, does I/O, or keeps state outside the flow.
#![forbid(unsafe_code)]

pub mod ber;
pub mod common;
pub mod cursor;
pub mod dispatch;
pub mod driver;
mod protocol;
mod registry;
pub mod risk;
mod sink;
pub mod testing;
mod value;

pub mod database;
pub mod files;
pub mod identity;
pub mod industrial;
pub mod mail;
pub mod media;
pub mod messaging;
pub mod names;
pub mod network;
pub mod p2p;
pub mod remote;
pub mod vpn;
pub mod web;

pub use protocol::{
    ByteTest, Dir, Earlier, Family, Field, FieldRef, OFFSET_MAX, Parser, Pattern, Port, Probe, Protocol,
    Step, Transport, Verdict, byte, masked, tcp, udp,
};
pub use registry::ProtocolId;
pub use risk::{Risk, Severity, Side};
pub use sink::{
    Asked, Confidence, EVENTS_MAX, Event, FIELDS_MAX, Fact, Findings, LIST_MAX, RiskFound, Sink,
    VALUE_BYTES_MAX, Wanted,
};
pub use value::{Kind, Value};
