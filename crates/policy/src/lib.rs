//! Rules to verdicts, and the public log of what they did.
#![forbid(unsafe_code)]

pub mod audit;
