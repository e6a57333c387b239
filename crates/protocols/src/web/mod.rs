//! The web and the encryption beneath it.

pub mod dtls;
pub mod http;
pub mod http2;
pub mod http_connect;
pub mod http_proxy;
pub mod quic;
pub mod tls;
pub mod websocket;
