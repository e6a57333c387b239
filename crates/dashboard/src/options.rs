//! How a dashboard is run, and what is refused before anything listens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::PasswordError;

/// How a dashboard is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen. Default: `127.0.0.1:8480`.
    pub listen: SocketAddr,
    /// Who may look ([`set_password`](crate::set_password)). Without it everybody who reaches the address: then it must be a
    /// loopback one.
    pub passwords: Option<PathBuf>,
    /// How connections are kept secret.
    pub transport: Transport,
    /// Names under which readers may ask for it; requests for other names are refused. Empty: any if there are passwords, on a
    /// loopback address without them the names of that alone, so that no foreign page can reach it by way of DNS.
    pub names: Vec<String>,
    /// What stands in the title: which network this is. Text.
    pub title: Option<String>,
    /// A session ends after so long without a request. Default: an hour.
    pub session_idle: Duration,
    /// A session ends after so long in any case. Default: 12 hours.
    pub session_absolute: Duration,
    /// Connections at a time. Default: 1024.
    pub connections_max: u32,
    /// Questions to the store at a time; more wait. Default: 4.
    pub questions_max: usize,
    /// How long a question may take. Default: 30 s.
    pub question_time: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8480)),
            passwords: None,
            transport: Transport::Plain,
            names: Vec::new(),
            title: None,
            session_idle: Duration::from_secs(3600),
            session_absolute: Duration::from_secs(12 * 3600),
            connections_max: 1024,
            questions_max: 4,
            question_time: Duration::from_secs(30),
        }
    }
}

/// How connections are kept secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Transport {
    /// Not at all: on a loopback address.
    Plain,
    /// Not at all, on any address, because the operator said so.
    PlainAnywhere,
    /// By a reverse proxy, which alone can reach the address, and says in `X-Forwarded-For` and `X-Forwarded-Proto` whose request
    /// it is.
    BehindProxy,
    /// TLS with a certificate from files (PEM).
    Files {
        /// The certificate, and those that vouch for it.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// TLS with a certificate that is ordered and renewed by ACME (RFC 8555), by TLS-ALPN-01: the authority must reach this server
    /// on port 443.
    Acme(Acme),
}

/// A certificate by ACME.
#[derive(Clone, Debug)]
pub struct Acme {
    /// The names it is for.
    pub names: Vec<String>,
    /// The address of mail that the authority writes to if something is wrong.
    pub contact: Option<String>,
    /// The authority's directory. `None`: Let's Encrypt. To ask it is to agree to its terms.
    pub directory: Option<String>,
    /// Where the account and the certificate are kept.
    pub folder: PathBuf,
}

/// Why a dashboard can't be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Others could look, without a password.
    #[error(
        "{0} can be reached by others, and there is no password file; set a password and name the file, or listen on 127.0.0.1"
    )]
    NoPasswords(SocketAddr),
    /// Passwords would travel in clear.
    #[error(
        "{0} can be reached by others, and passwords would travel in clear; give a certificate and its key, or ACME, or say that a reverse proxy stands in front, or that clear text is meant"
    )]
    NoTls(SocketAddr),
    /// The password file.
    #[error(transparent)]
    Passwords(#[from] PasswordError),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {cause}; choose another address, or end what listens there")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        cause: std::io::Error,
    },
    /// A file of the certificate.
    #[error("can't use {}: {why}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// TLS can't be set up.
    #[error("TLS can't be set up: {0}")]
    Tls(String),
    /// The system gives no threads, timers or random numbers.
    #[error("the dashboard can't start: {0}")]
    Start(std::io::Error),
}

impl Options {
    /// Refuses what would let strangers in.
    pub(crate) fn check(&self) -> Result<(), ServeError> {
        let is_reachable = !self.listen.ip().to_canonical().is_loopback();
        let is_open = is_reachable || matches!(self.transport, Transport::BehindProxy);
        if is_open && self.passwords.is_none() {
            return Err(ServeError::NoPasswords(self.listen));
        }
        if is_reachable && matches!(self.transport, Transport::Plain) {
            return Err(ServeError::NoTls(self.listen));
        }
        if let Transport::Acme(acme) = &self.transport
            && acme.names.is_empty()
        {
            return Err(ServeError::Tls("ACME needs the name that the certificate is for".to_owned()));
        }
        Ok(())
    }

    /// True if readers use TLS here.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.transport, Transport::Files { .. } | Transport::Acme(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_not_let_in() {
        let loopback = Options::default();
        assert!(loopback.check().is_ok());
        let open = Options { listen: "0.0.0.0:8480".parse().unwrap(), ..Options::default() };
        assert!(matches!(open.check(), Err(ServeError::NoPasswords(_))));
        let clear = Options { passwords: Some("passwords".into()), ..open.clone() };
        assert!(matches!(clear.check(), Err(ServeError::NoTls(_))));
        assert!(Options { transport: Transport::PlainAnywhere, ..clear.clone() }.check().is_ok());
        let files = Transport::Files { certificate: "c".into(), key: "k".into() };
        assert!(Options { transport: files.clone(), ..clear }.check().is_ok());
        assert!(matches!(Options { transport: files, ..open }.check(), Err(ServeError::NoPasswords(_))));
        let proxied = Options { transport: Transport::BehindProxy, ..loopback };
        assert!(matches!(proxied.check(), Err(ServeError::NoPasswords(_))));
    }
}
