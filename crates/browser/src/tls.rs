//! TLS by BoringSSL, set as the profile's browser sets it.

use std::io::{self, Write};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use boring::ssl::{
    CertificateCompressionAlgorithm, CertificateCompressor, Ssl, SslContext, SslContextBuilder, SslMethod,
    SslMode, SslOptions, SslRef, SslVerifyMode, SslVersion,
};
use boring::x509::store::{X509Store, X509StoreBuilder};
use boring::x509::{X509, X509VerifyError};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};

use crate::error::alert;
use crate::sessions::Memory;
use crate::{Error, Profile, TlsProfile, ffi};

/// BoringSSL asks for the five bytes of a record's header and then for its body; from a buffer of some records, so that
/// a download costs one system call for several.
const READ_BYTES: usize = 64 * 1024;

/// Whom the client believes that a server is who it says.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The certificate authorities of the operating system.
    System,
    /// These certificate authorities alone: PEM, one or more.
    Roots(String),
    /// Anybody. Only for callers who authenticate the server by other means, inside the connection, and bind that to
    /// [`Tls::exporter`]: without it whoever sits on the path can be the server.
    Unverified,
}

/// Makes TLS connections as one installation of a browser does, and remembers sessions to resume.
pub struct Client {
    profile: Profile,
    context: SslContext,
    memory: Memory,
}

impl Client {
    /// A client with the profile's wire image, without sessions to resume.
    ///
    /// # Errors
    /// If the profile asks for what BoringSSL can't do, or the certificate authorities can't be loaded.
    pub fn new(profile: Profile, trust: &Trust) -> Result<Self, Error> {
        let mut context = SslContext::builder(SslMethod::tls())?;
        configure(&mut context, &profile.tls, SslVersion::TLS1_2)?;
        verify(&mut context, trust)?;
        let memory = Memory::of(&mut context)?;
        let context = context.build();
        // What is set for each connection: if it can't be, it is found here.
        offer(&mut *Ssl::new(&context)?, &profile.tls)?;
        Ok(Self { profile, context, memory })
    }

    /// The browser that this client is like.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Makes a TLS connection over `io` to `server_name`: a DNS name, sent as it is (in lower case, without a dot at the
    /// end, and in its `xn--` form: as a browser would), or an address, which is not sent.
    ///
    /// # Errors
    /// If the handshake fails, or the server's certificate isn't good for the name.
    pub async fn connect<T>(&self, io: T, server_name: &str) -> Result<Tls<T>, Error>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let mut ssl = Ssl::new(&self.context)?;
        self.prepare(&mut ssl, server_name)?;
        let io = BufReader::with_capacity(READ_BYTES, io);
        match tokio_boring::SslStreamBuilder::new(ssl, io).connect().await {
            Ok(stream) => Ok(Tls(stream)),
            Err(error) => {
                let server = server_name.to_owned();
                if let Some(broken) = error.as_io_error() {
                    return Err(io::Error::new(broken.kind(), broken.to_string()).into());
                }
                match error.ssl().map(SslRef::verify_result) {
                    // The state before there is a certificate.
                    None | Some(Ok(()) | Err(X509VerifyError::INVALID_CALL)) => {
                        let reason = error.to_string();
                        Err(Error::Handshake { server, alert: alert(&reason), reason })
                    }
                    Some(Err(reason)) => Err(Error::Certificate { server, reason: reason.to_string() }),
                }
            }
        }
    }

    fn prepare(&self, ssl: &mut SslRef, server_name: &str) -> Result<(), Error> {
        name_server(ssl, server_name)?;
        offer(ssl, &self.profile.tls)?;
        self.memory.recall(ssl, server_name)?;
        Ok(())
    }
}

/// Whose certificate is expected, and what is said of that: a DNS name, or an address, which is not said.
pub(crate) fn name_server(ssl: &mut SslRef, server_name: &str) -> Result<(), Error> {
    let bad_name = |_| Error::ServerName(server_name.to_owned());
    if server_name.is_empty() {
        return Err(Error::ServerName(String::new()));
    }
    if let Ok(address) = server_name.parse::<IpAddr>() {
        ssl.param_mut().set_ip(address).map_err(bad_name)
    } else {
        ssl.set_hostname(server_name).map_err(bad_name)?;
        ssl.param_mut().set_host(server_name).map_err(bad_name)
    }
}

/// What BoringSSL has as settings of a context.
pub(crate) fn configure(
    context: &mut SslContextBuilder,
    tls: &TlsProfile,
    oldest: SslVersion,
) -> Result<(), Error> {
    context.set_min_proto_version(Some(oldest))?;
    context.set_max_proto_version(Some(SslVersion::TLS1_3))?;
    context.set_options(SslOptions::NO_COMPRESSION);
    context.set_mode(
        SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::ENABLE_PARTIAL_WRITE | SslMode::RELEASE_BUFFERS,
    );
    if !tls.ciphers.is_empty() {
        context.set_strict_cipher_list(&tls.ciphers.join(":"))?;
    }
    ffi::set_groups(context, &tls.groups)?;
    let signatures: Vec<_> = tls.signature_algorithms.iter().map(|&number| number.into()).collect();
    context.set_verify_algorithm_prefs(&signatures)?;
    context.set_alpn_protos(&length_prefixed("tls.alpn", tls.alpn.iter().map(String::as_bytes))?)?;
    context.set_grease_enabled(tls.grease);
    context.set_permute_extensions(tls.permute_extensions);
    for name in &tls.certificate_compression {
        if name != "brotli" {
            return Err(Error::Unsupported { field: "tls.certificate_compression", value: name.clone() });
        }
        context.add_certificate_compression_algorithm(Brotli)?;
    }
    if tls.ocsp_stapling {
        context.enable_ocsp_stapling();
    }
    if tls.signed_certificate_timestamps {
        context.enable_signed_cert_timestamps();
    }
    if !tls.trust_anchors.is_empty() {
        let ids = length_prefixed("tls.trust_anchors", tls.trust_anchors.iter().map(Vec::as_slice))?;
        ffi::request_trust_anchors(context, &ids)?;
    }
    Ok(())
}

/// What BoringSSL has as settings of a connection, not of a context.
pub(crate) fn offer(ssl: &mut SslRef, tls: &TlsProfile) -> Result<(), Error> {
    ffi::set_key_shares(ssl, &tls.key_shares)?;
    for protocol in &tls.alps {
        ffi::add_application_settings(ssl, protocol)?;
    }
    ssl.set_enable_ech_grease(tls.ech_grease);
    Ok(())
}

/// Each item after its length in one byte.
fn length_prefixed<'a>(field: &'static str, items: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    for item in items {
        let length = u8::try_from(item.len()).ok().filter(|&length| length > 0);
        let length = length.ok_or_else(|| Error::Unsupported {
            field,
            value: format!("an item of {} bytes (1 to 255 can be)", item.len()),
        })?;
        out.push(length);
        out.extend_from_slice(item);
    }
    Ok(out)
}

pub(crate) fn verify(context: &mut SslContextBuilder, trust: &Trust) -> Result<(), Error> {
    let store = match trust {
        Trust::Unverified => {
            context.set_verify(SslVerifyMode::NONE);
            return Ok(());
        }
        Trust::System => system_roots()?,
        Trust::Roots(pem) => {
            let roots = X509::stack_from_pem(pem.as_bytes())?;
            if roots.is_empty() {
                return Err(Error::NoRoots);
            }
            let mut store = X509StoreBuilder::new()?;
            for root in roots {
                store.add_cert(root)?;
            }
            store.build()
        }
    };
    context.set_cert_store(store);
    context.set_verify(SslVerifyMode::PEER);
    Ok(())
}

fn system_roots() -> Result<X509Store, Error> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = X509StoreBuilder::new()?;
    let mut usable = 0;
    for root in found.certs {
        // What BoringSSL doesn't take (an odd encoding, or the same one twice) is not missed.
        if X509::from_der(&root).and_then(|root| store.add_cert(root)).is_ok() {
            usable += 1;
        }
    }
    if usable == 0 {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(Error::Roots(why));
    }
    Ok(store.build())
}

/// Certificates compressed by Brotli (RFC 8879).
struct Brotli;

impl CertificateCompressor for Brotli {
    const ALGORITHM: CertificateCompressionAlgorithm = CertificateCompressionAlgorithm::BROTLI;
    const CAN_COMPRESS: bool = false;
    const CAN_DECOMPRESS: bool = true;

    fn decompress<W: Write>(&self, mut input: &[u8], output: &mut W) -> io::Result<()> {
        // BoringSSL bounds the output by the length that the message says, at most what it takes of a certificate.
        brotli_decompressor::BrotliDecompress(&mut input, output)
    }
}

/// A TLS connection.
#[derive(Debug)]
pub struct Tls<T>(tokio_boring::SslStream<BufReader<T>>);

impl<T> Tls<T> {
    /// Keying material of this connection alone, the same at both ends (RFC 5705, RFC 8446 §7.5): what is bound to it can't
    /// be carried into another connection.
    ///
    /// # Errors
    /// If BoringSSL can't make it; not after a handshake.
    pub fn exporter(&self, label: &str, context: &[u8]) -> Result<[u8; 32], Error> {
        let mut out = [0; 32];
        self.0.ssl().export_keying_material(&mut out, label, Some(context))?;
        Ok(out)
    }

    /// The application protocol that the server chose.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.0.ssl().selected_alpn_protocol()
    }

    /// Whether it goes on from an earlier session with this server.
    #[must_use]
    pub fn resumed(&self) -> bool {
        self.0.ssl().session_reused()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tls<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

/// Every write is a TLS record (several, if it is longer than 16 KiB).
impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tls<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    /// Closes the connection as Chrome does: without the alert that TLS has for it. What comes over it has to say by
    /// itself where it ends, as HTTP/2 does.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.0).poll_flush(cx))?;
        Pin::new(self.0.get_mut()).poll_shutdown(cx)
    }
}
