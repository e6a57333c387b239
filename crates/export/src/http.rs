//! Requests over HTTP as all destinations make them: bounded in time, without redirects, the server's words in the error.

use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use crate::SendError;
use crate::tls::{Tls, TlsError, problem};

/// So much of an answer is read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Sends requests to one server.
pub(crate) struct Http {
    agent: Agent,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) headers: ureq::http::HeaderMap,
}

impl Http {
    pub(crate) fn new(tls: &Tls, timeout: Duration) -> Result<Self, TlsError> {
        let owned = |der: &[u8]| Certificate::from_der(der).to_owned();
        let roots: Vec<_> = tls.roots()?.iter().map(|der| owned(der)).collect();
        let ours = match (tls.ours()?, &tls.key) {
            (Some((chain, _)), Some(path)) => {
                let chain: Vec<_> = chain.iter().map(|der| owned(der)).collect();
                let pem = std::fs::read(path).map_err(|error| problem(path, error))?;
                let key = PrivateKey::from_pem(&pem).map_err(|error| problem(path, error))?;
                Some(ClientCert::new_with_certs(&chain, key))
            }
            _ => None,
        };
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&roots))
            .client_cert(ours)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(timeout))
            // A redirect would take the records, and what they are signed with, to a place that nobody chose.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("daylight/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent })
    }

    pub(crate) fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, SendError> {
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // What stands behind the question mark may be a signature, and is never news.
        let name = url.split('?').next().unwrap_or_default();
        let failed = |error: ureq::Error| SendError::Again(format!("{name}: {error}"));
        let request = request.body(body).map_err(|error| failed(error.into()))?;
        self.agent.run(request).map(read).map_err(failed)
    }

    /// Sends a file with PUT.
    pub(crate) fn send_file(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        file: std::fs::File,
    ) -> Result<Answer, SendError> {
        let mut request = ureq::http::Request::builder().method("PUT").uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let name = url.split('?').next().unwrap_or_default();
        let failed = |error: ureq::Error| SendError::Again(format!("{name}: {error}"));
        let request = request.body(file).map_err(|error| failed(error.into()))?;
        self.agent.run(request).map(read).map_err(failed)
    }

    /// Sends with POST. What the server says is an answer if it took the body, else an error: one to try again if it may be
    /// otherwise next time.
    pub(crate) fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, SendError> {
        let answer = self.send("POST", url, headers, body)?;
        match answer.status {
            200..300 => Ok(answer),
            status => {
                let said = answer.body.lines().next().unwrap_or_default();
                let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
                let why = format!("{url} answers {status} {said}");
                // What is wrong with a request stays wrong; what is wrong with the key to the door is put right by people.
                Err(if matches!(status, 400 | 413 | 422) {
                    SendError::Refused(why)
                } else {
                    SendError::Again(why)
                })
            }
        }
    }
}

fn read(response: ureq::http::Response<Body>) -> Answer {
    let (parts, mut body) = response.into_parts();
    let body =
        body.with_config().limit(ANSWER_BYTES_MAX).lossy_utf8(true).read_to_string().unwrap_or_default();
    Answer { status: parts.status.as_u16(), body, headers: parts.headers }
}
