//! QUIC clients of our own: a fetch over HTTP/3 (RFC 9114), as Debian 12's curl has none, and an echo.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Buf;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::End;
use super::fetch::{How, RATE_BYTES_MIN, Url, of_site};
use crate::adversary::tls_interception::Credulous;
use crate::scenario::model::Outcome;
use crate::service::{ECHO_ALPN, H3_ALPN, SITE_HEADER};

/// How an action failed, and in whose words.
type Failure = (Outcome, String);

/// What a client sends to an echo.
const WORDS: &[u8] = b"daylight";
/// QUIC's codes for TLS alerts begin here (RFC 9001 §4.8).
const CRYPTO_ERROR: u64 = 0x100;
/// Alerts about certificates: bad_certificate to unknown_ca but for illegal_parameter (RFC 8446 §6).
const CERTIFICATE_ALERTS: [u64; 6] = [42, 43, 44, 45, 46, 48];

/// Gets a URL from an address over HTTP/3. `spent` is what resolving took.
pub(super) fn fetch(url: &Url, address: IpAddr, how: &How<'_>, spent: Duration) -> End {
    let start = Instant::now();
    let to = Target {
        address,
        port: url.port,
        name: &url.host,
        alpn: H3_ALPN,
        insecure: how.insecure,
        ca: how.ca,
    };
    let left = how.timeout.saturating_sub(spent).max(Duration::from_millis(50));
    let mut got = Got::default();
    let result = within(left, get(&to, url, &mut got));
    let elapsed = spent + start.elapsed();
    let mut end = match result {
        Ok(()) => {
            let (location, link) = (got.location.as_deref(), got.link.as_deref());
            let (outcome, detail) = of_site(got.is_site(how.token), got.status, location, link);
            End::new(outcome, elapsed, detail)
        }
        Err((Outcome::Timeout, why)) if got.status > 0 => {
            End::new(Outcome::Timeout, elapsed, format!("stopped midway: {why}"))
        }
        Err((outcome, why)) => End::new(outcome, elapsed, why),
    };
    end.bytes = (got.bytes > 0).then_some(got.bytes);
    if let Some(first) = got.first.filter(|_| got.bytes >= RATE_BYTES_MIN) {
        end.rate_mbit = Some(got.bytes as f64 * 8.0 / first.elapsed().as_secs_f64().max(1e-6) / 1e6);
    }
    end
}

/// Opens a connection to an echo, says something, and waits for it to come back.
pub(super) fn echo(address: IpAddr, port: u16, name: &str, ca: &Path, timeout: Duration) -> End {
    let start = Instant::now();
    let to = Target { address, port, name, alpn: ECHO_ALPN, insecure: false, ca };
    let result = within(timeout, async {
        let open = open(&to).await?;
        let (mut there, mut back) = open.connection.open_bi().await.map_err(|e| of_connection(&e))?;
        let lost = |why: &dyn std::fmt::Display| {
            let closed = open.connection.close_reason();
            closed.map_or_else(|| (Outcome::Failed, why.to_string()), |e| of_connection(&e))
        };
        there.write_all(WORDS).await.map_err(|e| lost(&e))?;
        there.finish().map_err(|e| lost(&e))?;
        let said = back.read_to_end(1024).await.map_err(|e| lost(&e))?;
        open.close().await;
        if said == WORDS { Ok(()) } else { Err((Outcome::Failed, "something else came back".to_owned())) }
    });
    match result {
        Ok(()) => End::new(Outcome::Ok, start.elapsed(), format!("{address}")),
        Err((outcome, why)) => End::new(outcome, start.elapsed(), why),
    }
}

/// Runs it to its end, or until time is up.
fn within<T>(timeout: Duration, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| (Outcome::Failed, e.to_string()))?;
    let late = |_| Err((Outcome::Timeout, format!("nothing for {:.1} s", timeout.as_secs_f64())));
    runtime.block_on(async { tokio::time::timeout(timeout, work).await.unwrap_or_else(late) })
}

/// A server, and what is wanted of it.
struct Target<'a> {
    address: IpAddr,
    port: u16,
    name: &'a str,
    alpn: &'static [u8],
    insecure: bool,
    ca: &'a Path,
}

/// An open connection, and the socket that it runs over.
struct Open {
    endpoint: Endpoint,
    connection: Connection,
}

impl Open {
    /// Tells the server, so that it need not wait for more.
    async fn close(&self) {
        self.connection.close(VarInt::from_u32(0), b"");
        let _ = tokio::time::timeout(Duration::from_millis(100), self.endpoint.wait_idle()).await;
    }
}

async fn open(to: &Target<'_>) -> Result<Open, Failure> {
    let failed = |what: String| (Outcome::Failed, what);
    let any: SocketAddr = if to.address.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let endpoint = Endpoint::client(any).map_err(|e| failed(e.to_string()))?;
    let config = configure(to).map_err(|e| failed(e.to_string()))?;
    let connecting = endpoint
        .connect_with(config, (to.address, to.port).into(), to.name)
        .map_err(|e| failed(e.to_string()))?;
    let connection = connecting.await.map_err(|e| of_connection(&e))?;
    Ok(Open { endpoint, connection })
}

type Whatever = Box<dyn std::error::Error + Send + Sync>;

fn configure(to: &Target<'_>) -> Result<ClientConfig, Whatever> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(to.ca)? {
        roots.add(certificate?)?;
    }
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut tls = if to.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Credulous::new(provider)))
    } else {
        builder.with_root_certificates(roots)
    }
    .with_no_client_auth();
    tls.alpn_protocols = vec![to.alpn.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    // The scenario says how long to wait: whoever drops packets must not be called a closed connection first.
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(None);
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// What came of a fetch until now.
#[derive(Default)]
struct Got {
    status: u16,
    site: Option<String>,
    location: Option<String>,
    link: Option<String>,
    bytes: u64,
    /// When the first of the body came.
    first: Option<Instant>,
}

impl Got {
    fn is_site(&self, token: &str) -> bool {
        self.site.as_deref() == Some(token)
    }
}

async fn get(to: &Target<'_>, url: &Url, got: &mut Got) -> Result<(), Failure> {
    let open = open(to).await?;
    let lost = |why: &dyn std::fmt::Display| {
        let closed = open.connection.close_reason();
        closed.map_or_else(|| (Outcome::Failed, why.to_string()), |e| of_connection(&e))
    };
    let (mut driver, mut sender) =
        h3::client::new(h3_quinn::Connection::new(open.connection.clone())).await.map_err(|e| lost(&e))?;
    let request =
        http::Request::get(url.text.as_str()).body(()).map_err(|e| (Outcome::Failed, e.to_string()))?;
    let exchange = async {
        let mut stream = sender.send_request(request).await.map_err(|e| lost(&e))?;
        stream.finish().await.map_err(|e| lost(&e))?;
        let response = stream.recv_response().await.map_err(|e| lost(&e))?;
        got.status = response.status().as_u16();
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        (got.site, got.location, got.link) = (header(SITE_HEADER), header("location"), header("link"));
        while let Some(part) = stream.recv_data().await.map_err(|e| lost(&e))? {
            got.first.get_or_insert_with(Instant::now);
            got.bytes += part.remaining() as u64;
        }
        Ok(())
    };
    // The driver has to be asked all along; when it ends first, the exchange says why.
    let mut exchange = std::pin::pin!(exchange);
    let result = tokio::select! {
        result = &mut exchange => result,
        why = driver.wait_idle() => Err(lost(&why)),
    };
    open.close().await;
    result
}

/// How a connection that ended did.
fn of_connection(error: &ConnectionError) -> Failure {
    let outcome = match error {
        ConnectionError::TransportError(e) => of_code(u64::from(e.code)),
        ConnectionError::ConnectionClosed(e) => of_code(u64::from(e.error_code)),
        ConnectionError::ApplicationClosed(_) | ConnectionError::LocallyClosed => Outcome::Closed,
        ConnectionError::Reset => Outcome::Reset,
        ConnectionError::TimedOut => Outcome::Timeout,
        ConnectionError::VersionMismatch | ConnectionError::CidsExhausted => Outcome::Failed,
    };
    (outcome, error.to_string())
}

/// What a transport error's code says (RFC 9000 §20.1).
fn of_code(code: u64) -> Outcome {
    match code.checked_sub(CRYPTO_ERROR) {
        Some(alert) if CERTIFICATE_ALERTS.contains(&alert) => Outcome::TlsCertificate,
        Some(alert) if alert < 0x100 => Outcome::TlsError,
        // CONNECTION_REFUSED
        None if code == 2 => Outcome::Refused,
        _ => Outcome::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        // unknown_ca, handshake_failure, CONNECTION_REFUSED, PROTOCOL_VIOLATION.
        for (code, outcome) in [
            (0x130, Outcome::TlsCertificate),
            (0x128, Outcome::TlsError),
            (2, Outcome::Refused),
            (10, Outcome::Closed),
        ] {
            assert_eq!(of_code(code), outcome, "{code:#x}");
        }
    }
}
