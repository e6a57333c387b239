//! HTTP/2 as the profile's browser speaks it.

use bytes::Bytes;
use http2::frame::{PseudoId, PseudoOrder, SettingId, SettingsOrder, StreamDependency, StreamId};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::records::FrameRecords;
use crate::{Error, Profile, Tls};

/// Sends requests over a connection; it can be cloned.
pub type SendRequest = http2::client::SendRequest<Bytes>;

/// The connection itself: a future that must be polled (in a task of its own) for anything to move.
pub type Connection<T> = http2::client::Connection<FrameRecords<Tls<T>>, Bytes>;

/// The longest body of a DATA frame that a browser sends: with the nine bytes of its header it fills one TLS record. The
/// `http2` crate sends what it is given, up to what the server allows; callers give it pieces of at most so many bytes.
pub const DATA_BYTES_MAX: usize = 16 * 1024 - 9;

/// Begins HTTP/2 on a connection, with the profile's settings, windows and priorities.
///
/// # Errors
/// If the server chose another protocol, the connection broke, or the profile has a setting that isn't supported.
pub async fn http2<T>(tls: Tls<T>, profile: &Profile) -> Result<(SendRequest, Connection<T>), Error>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    match tls.alpn() {
        Some(b"h2") => {}
        Some(other) => return Err(Error::NotHttp2(String::from_utf8_lossy(other).into_owned())),
        None => return Err(Error::NotHttp2("nothing".to_owned())),
    }
    let builder = builder(profile)?;
    Ok(builder.handshake(FrameRecords::new(tls)).await?)
}

fn builder(profile: &Profile) -> Result<http2::client::Builder, Error> {
    let http2 = &profile.http2;
    let mut builder = http2::client::Builder::new();
    let mut order = SettingsOrder::builder();
    for &(id, value) in &http2.settings {
        match id {
            1 => builder.header_table_size(value),
            2 => builder.enable_push(value != 0),
            3 => builder.max_concurrent_streams(value),
            4 => builder.initial_window_size(value),
            5 => builder.max_frame_size(value),
            6 => builder.max_header_list_size(value),
            8 => builder.enable_connect_protocol(value != 0),
            9 => builder.no_rfc7540_priorities(value != 0),
            _ => return Err(Error::Unsupported { field: "http2.settings", value: format!("id {id}") }),
        };
        order = order.push(SettingId::from(id));
    }
    let mut pseudo = PseudoOrder::builder();
    for name in &http2.pseudo_headers {
        pseudo = pseudo.push(match name.as_str() {
            ":method" => PseudoId::Method,
            ":scheme" => PseudoId::Scheme,
            ":authority" => PseudoId::Authority,
            ":path" => PseudoId::Path,
            _ => return Err(Error::Unsupported { field: "http2.pseudo_headers", value: name.clone() }),
        });
    }
    // On the wire a weight of 1 is a 0.
    let weight = http2.priority.weight.saturating_sub(1).min(255) as u8;
    builder
        .settings_order(order.build())
        .headers_pseudo_order(pseudo.build())
        .headers_stream_dependency(StreamDependency::new(StreamId::zero(), weight, http2.priority.exclusive))
        .initial_connection_window_size(http2.connection_window);
    Ok(builder)
}
