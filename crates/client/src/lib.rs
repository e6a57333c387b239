//! The tunnel's client: what stands between a person's programs and the servers of their cards.
//!
//! A program speaks SOCKS or HTTP to the [`front`], or its packets come by [`tun`]. [`split`] says whether its connection goes
//! through the tunnel, [`direct`], or nowhere; [`relay`] copies the bytes. The [`Tunnel`] is an [`engine::Engine`]: it dials
//! the servers as the [`race`] says, which begins with what the [`memory`] holds of this network.

#![forbid(unsafe_code)]

pub mod cause;
pub mod direct;
pub mod engine;
pub mod front;
pub mod hints;
pub mod memory;
pub mod race;
pub mod split;
pub mod status;
pub mod tun;
mod tunnel;
pub mod words;

pub use daylight_tunnel::relay;
pub use tunnel::{Association, ConnectError, Tunnel};
