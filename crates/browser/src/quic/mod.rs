//! TLS under QUIC by BoringSSL, for quinn, and the browser's first packets.
//!
//! Quinn takes from here what it sends of TLS, and the keys. What of a browser's first packets is no setting of quinn's is
//! made in this place too: the [transport parameters](parameters), what of the ClientHello [comes where](layout) and
//! [between what](initial).

mod acks;
mod ffi;
mod frames;
mod initial;
mod keys;
mod layout;
mod parameters;
mod session;

use std::sync::Arc;

use boring::ssl::{Ssl, SslContext, SslMethod, SslVersion};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, crypto};

use self::session::Session;
use crate::sessions::Memory;
use crate::tls::{configure, name_server, offer, verify};
use crate::{Error, Profile, QuicProfile, TlsProfile, Trust};

/// Makes QUIC's TLS as a browser does, and remembers sessions to resume. For [`quinn::ClientConfig::new`].
///
/// [`quinn::ClientConfig::new`]: https://docs.rs/quinn/0.11/quinn/struct.ClientConfig.html#method.new
pub struct QuicClient {
    profile: Arc<QuicProfile>,
    tls: TlsProfile,
    context: SslContext,
    memory: Memory,
}

impl QuicClient {
    /// A client with the profile's wire image, without sessions to resume.
    ///
    /// # Errors
    /// If the profile asks for what BoringSSL can't do, or the certificate authorities can't be loaded.
    pub fn new(profile: &Profile, trust: &Trust) -> Result<Self, Error> {
        let tls = tls(profile);
        let mut context = SslContext::builder(SslMethod::tls())?;
        configure(&mut context, &tls, SslVersion::TLS1_3)?;
        verify(&mut context, trust)?;
        ffi::set_quic(&mut context)?;
        let memory = Memory::of(&mut context)?;
        let context = context.build();
        // What is set for each connection: if it can't be, it is found here.
        offer(&mut *Ssl::new(&context)?, &tls)?;
        Ok(Self { profile: Arc::new(profile.quic.clone()), tls, context, memory })
    }

    fn begin(&self, server_name: &str, parameters: &TransportParameters) -> Result<Session, Error> {
        let mut ssl = Ssl::new(&self.context)?;
        name_server(&mut ssl, server_name)?;
        offer(&mut ssl, &self.tls)?;
        self.memory.recall(&mut ssl, server_name)?;
        ffi::set_client(&mut ssl, &parameters::like_the_browser(parameters, &self.profile))?;
        Ok(Session::start(ssl, self.profile.clone())?)
    }
}

impl crypto::ClientConfig for QuicClient {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn crypto::Session>, ConnectError> {
        if version != parameters::VERSION {
            return Err(ConnectError::UnsupportedVersion);
        }
        match self.begin(server_name, params) {
            Ok(session) => Ok(Box::new(session)),
            Err(Error::ServerName(name)) => Err(ConnectError::InvalidServerName(name)),
            // Memory is short: everything else was tried when the client was made.
            Err(_) => Err(ConnectError::EndpointStopping),
        }
    }
}

/// What the browser's ClientHello has in QUIC.
fn tls(profile: &Profile) -> TlsProfile {
    let Profile { tls, quic, .. } = profile.clone();
    TlsProfile {
        ciphers: Vec::new(),
        signature_algorithms: quic.signature_algorithms,
        alpn: quic.alpn,
        alps: quic.alps,
        grease: quic.grease,
        ocsp_stapling: quic.ocsp_stapling,
        signed_certificate_timestamps: quic.signed_certificate_timestamps,
        ..tls
    }
}
