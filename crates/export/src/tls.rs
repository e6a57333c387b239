//! TLS towards destinations: whom to trust, and who we are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Which certificates are used. Without any, those that the system trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM file of our certificate, for servers that ask for one.
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    pub key: Option<PathBuf>,
}

/// What is wrong with the certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be used.
    #[error("can't use {}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// One goes with the other.
    #[error("a certificate of our own needs both `tls_certificate` and `tls_key`")]
    Half,
    /// They don't fit together.
    #[error("can't use the certificate of our own: {0}")]
    Ours(rustls::Error),
}

pub(crate) fn problem(path: &Path, why: impl ToString) -> TlsError {
    TlsError::File { path: path.to_owned(), why: why.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| problem(path, error))?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| problem(path, error))?;
    if found.is_empty() { Err(problem(path, "there is no certificate in it")) } else { Ok(found) }
}

impl Tls {
    pub(crate) fn roots(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        match &self.ca {
            Some(path) => certificates(path),
            // If the system has none, connections fail and say why.
            None => Ok(rustls_native_certs::load_native_certs().certs),
        }
    }

    pub(crate) fn ours(
        &self,
    ) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, TlsError> {
        match (&self.certificate, &self.key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| problem(key, error))?;
                Ok(Some((certificates(certificate)?, private)))
            }
            _ => Err(TlsError::Half),
        }
    }

    /// For clients that take rustls's own.
    pub(crate) fn client(&self) -> Result<ClientConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.roots()?);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Ours)?
            .with_root_certificates(roots);
        match self.ours()? {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(TlsError::Ours),
        }
    }
}
