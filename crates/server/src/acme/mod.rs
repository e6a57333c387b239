//! Certificates by ACME (RFC 8555), which the server orders and renews by itself.
//!
//! The authority sees that the name is this server's by TLS-ALPN-01 (RFC 8737): a handshake on port 443 with a
//! certificate of its own, which is shown to nobody else, and only while an order is under way.

use std::fs::DirBuilder;
use std::future::poll_fn;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream as _;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_acme::caches::DirCache;
use rustls_acme::{AcmeState, EventOk, ResolvesServerCertAcme, is_tls_alpn_challenge};
use serde::Deserialize;

/// `[web.acme]`: a certificate by ACME.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcmeConfig {
    /// The site's names; whoever looks one up must find this server.
    pub names: Vec<String>,
    /// The address of mail that the authority writes to if something is wrong. Default: none.
    pub contact: Option<String>,
    /// The authority's directory, by HTTPS. Default: Let's Encrypt. To ask it is to agree to its terms.
    #[serde(default = "lets_encrypt")]
    pub directory: String,
    /// Who vouches for the directory's own certificate (PEM). Default: whom browsers trust.
    pub roots: Option<PathBuf>,
}

fn lets_encrypt() -> String {
    rustls_acme::acme::LETS_ENCRYPT_PRODUCTION_DIRECTORY.to_owned()
}

impl AcmeConfig {
    /// What is wrong with it.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.names.is_empty() {
            faults
                .push("web.acme.names is empty: name the site, as names = [\"www.example.org\"]".to_owned());
        }
        let is_name = |name: &&String| {
            name.parse().is_ok_and(|parsed| daylight_card::Address::Name((*name).clone()) == parsed)
        };
        for name in self.names.iter().filter(|name| !is_name(name)) {
            faults.push(format!("web.acme.names: {name:?} is no name in DNS, in small letters"));
        }
        if !self.directory.starts_with("https://") {
            faults.push("web.acme.directory must begin with https://".to_owned());
        }
        if self.contact.as_ref().is_some_and(|contact| !contact.contains('@') || contact.contains(':')) {
            faults.push("web.acme.contact must be an address of mail, as you@example.org".to_owned());
        }
        faults
    }

    /// How the directory is asked, if not everybody's authorities vouch for it.
    fn client(&self) -> Result<Option<ClientConfig>, AcmeError> {
        let Some(path) = &self.roots else { return Ok(None) };
        let wrong = |cause| AcmeError::Roots { path: path.clone(), cause };
        let certificates =
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.map_err(wrong)?);
        if roots.is_empty() {
            return Err(wrong(rustls::pki_types::pem::Error::NoItemsFound));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(Some(builder.with_root_certificates(roots).with_no_client_auth()))
    }
}

/// Why no certificate can be ordered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeError {
    /// The folder for the account and the certificate can't be made.
    #[error("can't keep certificates in {}: {cause}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// The file of [`AcmeConfig::roots`].
    #[error("no certificate can be read in {} (web.acme.roots): {cause}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: rustls::pki_types::pem::Error,
    },
    /// TLS can't be set up at all.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// The certificate that there is at a time.
///
/// A connection begins with [`Acme::challenge`]; if that gives nothing, it goes on with a configuration whose certificate is
/// the [resolver](Acme::resolver)'s.
#[derive(Clone)]
pub struct Acme {
    resolver: Arc<ResolvesServerCertAcme>,
    visitors: Arc<Visitors>,
    challenge: Arc<ServerConfig>,
}

/// The certificate for visitors. Those who ask as the authority does, when there is nothing for it, are refused for the
/// protocol that they ask for, as elsewhere, and not for want of a certificate: they get as far as that with one that
/// is never sent.
#[derive(Debug)]
struct Visitors {
    resolver: Arc<ResolvesServerCertAcme>,
    never_sent: Arc<CertifiedKey>,
}

impl Visitors {
    fn new(resolver: Arc<ResolvesServerCertAcme>) -> Result<Self, rustls::Error> {
        let no_key = |_| rustls::Error::FailedToGetRandomBytes;
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        let key = PrivatePkcs8KeyDer::from(key.map_err(no_key)?.as_ref().to_vec());
        let key = any_ecdsa_type(&key.into())?;
        Ok(Self { resolver, never_sent: Arc::new(CertifiedKey::new(vec![Vec::new().into()], key)) })
    }
}

impl ResolvesServerCert for Visitors {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match is_tls_alpn_challenge(&hello) {
            true => Some(self.never_sent.clone()),
            false => self.resolver.resolve(hello),
        }
    }
}

/// Orders and renews; to be [run](Orders::run) as long as the server is.
pub struct Orders(AcmeState<io::Error>);

impl Acme {
    /// Takes the certificate from the folder if there is one; otherwise [`Orders`] gets it. Account and certificate are kept in
    /// the folder, which is made if it is not there.
    ///
    /// # Errors
    /// If the folder can't be made, or the roots not be read.
    pub fn new(config: &AcmeConfig, folder: &Path) -> Result<(Self, Orders), AcmeError> {
        // Its files have no modes of their own.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|cause| AcmeError::Folder { path: folder.to_owned(), cause })?;
        let mut order = rustls_acme::AcmeConfig::new(&config.names)
            .contact(config.contact.iter().map(|contact| format!("mailto:{contact}")))
            .directory(&config.directory)
            .cache(DirCache::new(folder.to_owned()));
        if let Some(client) = config.client()? {
            order = order.client_tls_config(Arc::new(client));
        }
        let state = order.state();
        let resolver = state.resolver();
        let visitors = Arc::new(Visitors::new(resolver.clone())?);
        let acme = Self { resolver, visitors, challenge: state.challenge_rustls_config() };
        Ok((acme, Orders(state)))
    }

    /// Gives the certificate for visitors; none before the first has come.
    #[must_use]
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        self.visitors.clone()
    }

    /// With what a handshake is to go on that is the authority's own: the connection is ended behind it. Only while an order is
    /// under way: whoever asks at another time is answered as by a server that knows nothing of ACME.
    #[must_use]
    pub fn challenge(&self, hello: ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let is_answered = is_tls_alpn_challenge(&hello) && self.resolver.resolve(hello).is_some();
        is_answered.then(|| self.challenge.clone())
    }
}

impl Orders {
    /// Orders and renews for ever, and tries again when that fails. What happens is told to `say`.
    pub async fn run(mut self, mut say: impl FnMut(&str)) {
        while let Some(event) = poll_fn(|context| Pin::new(&mut self.0).poll_next(context)).await {
            match event {
                Ok(EventOk::DeployedNewCert) => say("there is a new certificate"),
                Ok(_) => {}
                Err(error) => say(&format!("the certificate can't be had, which is tried again: {error}")),
            }
        }
    }
}
