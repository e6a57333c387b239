//! Calls and streams.

pub mod rtcp;
pub mod rtp;
pub mod sip;
pub mod stun;
pub mod teams;
pub mod zoom;
