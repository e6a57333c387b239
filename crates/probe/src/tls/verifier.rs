//! A verifier that records and never fails.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::Roots;

/// What a verifier would have said.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The chain, the server's own certificate first.
    pub(crate) chain: Vec<Vec<u8>>,
    /// Whether it is good for the name.
    pub(crate) verdict: Result<(), Error>,
}

/// Records the chain and what is to be thought of it. That the server has the certificate's key is still demanded: else
/// anyone could show anyone's.
#[derive(Debug)]
pub(crate) struct Recorder {
    roots: Roots,
    /// The name it is judged for, which is not always the name that was sent.
    name: ServerName<'static>,
    seen: Mutex<Option<Seen>>,
}

impl Recorder {
    pub(crate) fn new(roots: &Roots, name: ServerName<'static>) -> Arc<Self> {
        Arc::new(Self { roots: roots.clone(), name, seen: Mutex::new(None) })
    }

    /// What was shown, if anything.
    pub(crate) fn seen(&self) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = match self.roots.verifier() {
            Some(verifier) => {
                verifier.verify_server_cert(end_entity, intermediates, &self.name, ocsp, now).map(|_| ())
            }
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        let chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.to_vec()).collect();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Seen { chain, verdict });
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.roots.provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.roots.provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.roots.provider().signature_verification_algorithms.supported_schemes()
    }
}
