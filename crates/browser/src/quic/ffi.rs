//! The calls into BoringSSL that TLS under QUIC needs, and the ones that come back from it.
#![allow(unsafe_code, reason = "calls into a C library and from it; every block says why it is sound")]

use std::ffi::c_int;
use std::sync::{LazyLock, Mutex, PoisonError};

use boring::error::ErrorStack;
use boring::ex_data::Index;
use boring::ssl::{ErrorCode, Ssl, SslContextBuilder, SslRef};
use boring_sys::{SSL, SSL_CIPHER, ssl_encryption_level_t};
use foreign_types::{ForeignType as _, ForeignTypeRef};

use super::keys::{Secret, Suite};

/// What TLS has ready for QUIC.
#[derive(Default)]
pub(super) struct Flight {
    /// Messages to send, by [`Level`].
    pub(super) messages: [Vec<u8>; Level::COUNT],
    /// Secrets of the server's packets and of ours, by [`Level`].
    pub(super) secrets: [(Option<Secret>, Option<Secret>); Level::COUNT],
    /// The alert by which TLS ended.
    pub(super) alert: Option<u8>,
}

/// How far the keys are. That of early data is left out: it is never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Initial,
    Handshake,
    Application,
}

impl Level {
    const COUNT: usize = 3;

    fn of(level: ssl_encryption_level_t) -> Option<Self> {
        match level {
            ssl_encryption_level_t::ssl_encryption_initial => Some(Self::Initial),
            ssl_encryption_level_t::ssl_encryption_handshake => Some(Self::Handshake),
            ssl_encryption_level_t::ssl_encryption_application => Some(Self::Application),
            _ => None,
        }
    }
}

static METHOD: boring_sys::SSL_QUIC_METHOD = boring_sys::SSL_QUIC_METHOD {
    set_read_secret: Some(set_read_secret),
    set_write_secret: Some(set_write_secret),
    add_handshake_data: Some(add_handshake_data),
    flush_flight: Some(flush_flight),
    send_alert: Some(send_alert),
};

/// Where a connection's [`Flight`] is, in the connection; `None` if BoringSSL had no memory for that.
static FLIGHT: LazyLock<Option<Index<Ssl, Mutex<Flight>>>> = LazyLock::new(|| Ssl::new_ex_index().ok());

fn check(result: c_int) -> Result<(), ErrorStack> {
    if result == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// Makes the context's connections those of QUIC.
pub(super) fn set_quic(context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    // SAFETY: the context is alive, and what it keeps a pointer to is static.
    check(unsafe { boring_sys::SSL_CTX_set_quic_method(context.as_ptr(), &METHOD) })
}

/// Makes it a client's connection that says these transport parameters.
pub(super) fn set_client(ssl: &mut Ssl, parameters: &[u8]) -> Result<(), ErrorStack> {
    let index = FLIGHT.ok_or_else(ErrorStack::get)?;
    ssl.set_ex_data(index, Mutex::default());
    // SAFETY: the connection is alive, and BoringSSL copies the bytes, whose pointer and length belong together.
    unsafe {
        boring_sys::SSL_set_connect_state(ssl.as_ptr());
        check(boring_sys::SSL_set_quic_transport_params(ssl.as_ptr(), parameters.as_ptr(), parameters.len()))
    }
}

/// Goes as far as TLS can with what it has of the server's: whether it came to an error.
pub(super) fn advance(ssl: &mut Ssl) -> Result<(), ErrorStack> {
    let result = if is_handshaking(ssl) {
        // SAFETY: the connection is alive. What it calls back takes it by a shared reference alone.
        unsafe { boring_sys::SSL_do_handshake(ssl.as_ptr()) }
    } else {
        // SAFETY: as above.
        unsafe { boring_sys::SSL_process_quic_post_handshake(ssl.as_ptr()) }
    };
    if result == 1 || ssl.error_code(result) == ErrorCode::WANT_READ {
        Ok(())
    } else {
        Err(ErrorStack::get())
    }
}

/// Hands over the server's messages, of the level whose keys were the last to come.
pub(super) fn provide(ssl: &mut Ssl, messages: &[u8]) -> Result<(), ErrorStack> {
    // SAFETY: the connection is alive, and BoringSSL copies the bytes, whose pointer and length belong together.
    check(unsafe {
        let level = boring_sys::SSL_quic_read_level(ssl.as_ptr());
        boring_sys::SSL_provide_quic_data(ssl.as_ptr(), level, messages.as_ptr(), messages.len())
    })
}

pub(super) fn is_handshaking(ssl: &Ssl) -> bool {
    // SAFETY: the connection is alive; the call reads its state.
    unsafe { boring_sys::SSL_in_init(ssl.as_ptr()) == 1 }
}

/// What the server said of its transport, once it did.
pub(super) fn peer_parameters(ssl: &Ssl) -> Option<&[u8]> {
    let (mut bytes, mut len) = (std::ptr::null(), 0);
    // SAFETY: the connection is alive, and so are the places where the call puts the pointer and the length.
    unsafe { boring_sys::SSL_get_peer_quic_transport_params(ssl.as_ptr(), &mut bytes, &mut len) };
    // SAFETY: the bytes are the connection's, which the result borrows and which changes them only through `&mut`.
    (len > 0).then(|| unsafe { std::slice::from_raw_parts(bytes, len) })
}

/// Reads or takes what TLS has ready.
pub(super) fn with_flight<T>(ssl: &SslRef, with: impl FnOnce(&mut Flight) -> T) -> Option<T> {
    let flight = ssl.ex_data((*FLIGHT)?)?;
    Some(with(&mut flight.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// What a call from BoringSSL does with the connection that it is about: 1 if it could.
///
/// # Safety
/// The connection is alive.
unsafe fn called(
    ssl: *mut SSL,
    level: ssl_encryption_level_t,
    with: impl FnOnce(&mut Flight, usize) -> Option<()>,
) -> c_int {
    let Some(level) = Level::of(level) else { return 0 };
    // SAFETY: by the contract of this function. Only shared references are made of it.
    let ssl = unsafe { SslRef::from_ptr(ssl) };
    with_flight(ssl, |flight| with(flight, level as usize)).flatten().is_some().into()
}

/// # Safety
/// The cipher is alive, and the bytes are as many as `len` says.
unsafe fn secret(cipher: *const SSL_CIPHER, bytes: *const u8, len: usize) -> Option<Secret> {
    // SAFETY: by the contract of this function; the call reads a number, and the bytes are only read here.
    let (number, bytes) =
        unsafe { (boring_sys::SSL_CIPHER_get_protocol_id(cipher), std::slice::from_raw_parts(bytes, len)) };
    Suite::of(number).map(|suite| Secret::new(suite, bytes))
}

unsafe extern "C" fn set_read_secret(
    ssl: *mut SSL,
    level: ssl_encryption_level_t,
    cipher: *const SSL_CIPHER,
    bytes: *const u8,
    len: usize,
) -> c_int {
    // SAFETY: BoringSSL calls with its own connection and cipher, and with bytes that are there as long as the call.
    unsafe {
        called(ssl, level, |flight, level| {
            flight.secrets[level].0 = Some(secret(cipher, bytes, len)?);
            Some(())
        })
    }
}

unsafe extern "C" fn set_write_secret(
    ssl: *mut SSL,
    level: ssl_encryption_level_t,
    cipher: *const SSL_CIPHER,
    bytes: *const u8,
    len: usize,
) -> c_int {
    // SAFETY: as in `set_read_secret`.
    unsafe {
        called(ssl, level, |flight, level| {
            flight.secrets[level].1 = Some(secret(cipher, bytes, len)?);
            Some(())
        })
    }
}

unsafe extern "C" fn add_handshake_data(
    ssl: *mut SSL,
    level: ssl_encryption_level_t,
    data: *const u8,
    len: usize,
) -> c_int {
    if len == 0 {
        return 1;
    }
    // SAFETY: as in `set_read_secret`.
    unsafe {
        let data = std::slice::from_raw_parts(data, len);
        called(ssl, level, |flight, level| {
            flight.messages[level].extend_from_slice(data);
            Some(())
        })
    }
}

/// QUIC asks for what is ready after each call: there is nothing to do.
unsafe extern "C" fn flush_flight(_: *mut SSL) -> c_int {
    1
}

unsafe extern "C" fn send_alert(ssl: *mut SSL, level: ssl_encryption_level_t, alert: u8) -> c_int {
    // SAFETY: as in `set_read_secret`.
    unsafe {
        called(ssl, level, |flight, _| {
            flight.alert = Some(alert);
            Some(())
        })
    }
}
