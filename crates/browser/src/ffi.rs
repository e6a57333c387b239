//! The calls into BoringSSL that the `boring` crate has no safe form of. With those of QUIC the
//! only `unsafe` of this crate.
#![allow(unsafe_code, reason = "calls into a C library; every block says why it is sound")]

use std::ffi::c_int;

use boring::error::ErrorStack;
use boring::ssl::{SslContextBuilder, SslRef, SslSession, SslSessionRef};
use foreign_types::ForeignTypeRef;

fn check(result: c_int) -> Result<(), ErrorStack> {
    if result == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// The groups that are offered, by their TLS numbers, most wanted first.
pub(crate) fn set_groups(context: &mut SslContextBuilder, groups: &[u16]) -> Result<(), ErrorStack> {
    // SAFETY: the context is alive, and BoringSSL copies the list, whose pointer and length belong together.
    check(unsafe { boring_sys::SSL_CTX_set1_group_ids(context.as_ptr(), groups.as_ptr(), groups.len()) })
}

/// Asks for a certificate of one of these trust anchors: each an id with its length in one byte before it.
pub(crate) fn request_trust_anchors(context: &mut SslContextBuilder, ids: &[u8]) -> Result<(), ErrorStack> {
    // SAFETY: the context is alive, and BoringSSL copies the bytes, whose pointer and length belong together.
    check(unsafe {
        boring_sys::SSL_CTX_set1_requested_trust_anchors(context.as_ptr(), ids.as_ptr(), ids.len())
    })
}

/// The groups for which key shares are sent: a subset of the groups, in their order.
pub(crate) fn set_key_shares(ssl: &mut SslRef, groups: &[u16]) -> Result<(), ErrorStack> {
    // SAFETY: the connection is alive, and BoringSSL copies the list, whose pointer and length belong together.
    check(unsafe { boring_sys::SSL_set1_client_key_shares(ssl.as_ptr(), groups.as_ptr(), groups.len()) })
}

/// Offers empty application settings for a protocol of the ALPN list.
pub(crate) fn add_application_settings(ssl: &mut SslRef, protocol: &str) -> Result<(), ErrorStack> {
    // SAFETY: the connection is alive; BoringSSL copies the name, and reads nothing of settings whose length is 0.
    check(unsafe {
        boring_sys::SSL_add_application_settings(
            ssl.as_ptr(),
            protocol.as_ptr(),
            protocol.len(),
            std::ptr::null(),
            0,
        )
    })
}

/// Offers to resume a session.
pub(crate) fn set_session(ssl: &mut SslRef, session: &SslSession) -> Result<(), ErrorStack> {
    // SAFETY: both are alive, and BoringSSL counts references to the session. What it asks for besides is that the session's
    // context is of the same kind (X.509 certificates), and this crate makes contexts of one kind alone.
    unsafe { ssl.set_session(session) }
}

/// Whether a session may be offered only once (TLS 1.3), so that nobody can tell that two connections are of one person.
pub(crate) fn is_single_use(session: &SslSessionRef) -> bool {
    // SAFETY: the session is alive; the call reads one number of it.
    unsafe { boring_sys::SSL_SESSION_should_be_single_use(session.as_ptr()) == 1 }
}
