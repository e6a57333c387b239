//! The certificate authorities that are believed.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The certificate authorities that are believed, and the cryptography.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `None` if there is no authority: then nobody vouches for anything.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

/// Why authorities can't be had.
#[derive(Debug, thiserror::Error)]
#[error("the certificate authorities of {from} can't be read: {why}")]
pub struct RootsError {
    from: String,
    why: String,
}

impl Roots {
    /// The system's.
    ///
    /// # Errors
    /// If it has none.
    pub fn system() -> Result<Self, RootsError> {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let why = found.errors.first().map_or_else(|| "it has none".to_owned(), ToString::to_string);
            let from = "this system (install its package of CA certificates, or name a file)".to_owned();
            return Err(RootsError { from, why });
        }
        Ok(Self::of(found.certs))
    }

    /// Those of a PEM file.
    ///
    /// # Errors
    /// If it can't be read, or has no certificate.
    pub fn open(path: &Path) -> Result<Self, RootsError> {
        let failed = |why: String| RootsError { from: path.display().to_string(), why };
        let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| failed(error.to_string()))?;
        if certificates.is_empty() {
            return Err(failed("it has no certificate".to_owned()));
        }
        Ok(Self::of(certificates))
    }

    /// These. What is no certificate of an authority is left out.
    #[must_use]
    pub fn of(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Self {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider)).build();
        Self { verifier: verifier.ok(), provider }
    }

    pub(crate) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    pub(super) fn verifier(&self) -> Option<&Arc<WebPkiServerVerifier>> {
        self.verifier.as_ref()
    }
}
