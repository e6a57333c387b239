//! The server's end of TLS.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// What is wrong with a certificate, or its key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read, or is no PEM.
    #[error("{what} in {}: {cause}", path.display())]
    Pem {
        /// What should be there.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: rustls::pki_types::pem::Error,
    },
    /// There is none.
    #[error("{} has no certificate; it must begin with the site's own (PEM)", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// They don't go together, or are of a kind that is not known.
    #[error("the certificate {} and its key can't be used: {cause}", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        cause: rustls::Error,
    },
    /// The library fails, as for want of random numbers.
    #[error("TLS can't be set up: {0}")]
    Setup(rustls::Error),
}

/// The certificate in these files.
pub(crate) fn of_files(chain: &Path, key: &Path) -> Result<Arc<dyn ResolvesServerCert>, TlsError> {
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(chain).and_then(Iterator::collect).map_err(|cause| TlsError::Pem {
            what: "no certificate can be read",
            path: chain.to_owned(),
            cause,
        })?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate { path: chain.to_owned() });
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|cause| TlsError::Pem {
        what: "no secret key can be read",
        path: key.to_owned(),
        cause,
    })?;
    let certified = CertifiedKey::from_der(certificates, key, &provider()).and_then(|certified| {
        // Keys of a kind that can't be compared are found out by clients.
        match certified.keys_match() {
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) | Ok(()) => Ok(certified),
            Err(error) => Err(error),
        }
    });
    let certified = certified.map_err(|cause| TlsError::Unusable { path: chain.to_owned(), cause })?;
    Ok(Arc::new(SingleCertAndKey::from(certified)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// TLS with a certificate, for HTTP/2 and HTTP/1.1.
pub(crate) fn server(certificate: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Tickets carry all that is needed to resume: the server remembers nobody.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(TlsError::Setup)?;
    Ok(Arc::new(config))
}

/// What only both ends of a TLS connection know, by which a path is bound to it.
pub(crate) fn exporter(connection: &rustls::ServerConnection) -> io::Result<[u8; 32]> {
    connection
        .export_keying_material([0; 32], daylight_tunnel::transports::web::EXPORTER_LABEL, None)
        .map_err(io::Error::other)
}
