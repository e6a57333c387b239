//! TLS handshakes that end with what was seen, not with a refusal.
//!
//! A certificate is kept and judged, and the handshake goes on whatever it says: a forged certificate is evidence, and an
//! expired one is no interference. What it is worth is a value beside the handshake's own outcome.

mod grease;
mod handshake;
mod roots;
mod verifier;

pub use handshake::{Handshake, Hello, handshake};
pub use roots::{Roots, RootsError};

use std::sync::Arc;

use daylight_verdict::ooni::Failure;
use rustls::pki_types::ServerName;

/// A verifier that takes every certificate, and records it.
pub(crate) fn recorder(roots: &Roots, name: &str) -> Result<Arc<verifier::Recorder>, Failure> {
    let name = ServerName::try_from(name.to_owned()).map_err(|_| Failure::InvalidArgument)?;
    Ok(verifier::Recorder::new(roots, name))
}
