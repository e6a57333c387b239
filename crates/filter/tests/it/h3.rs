//! A web site over HTTP/3, and a client.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Endpoint, EndpointConfig, TokioRuntime};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::hello;
use crate::net::{Host, Net};

pub(crate) const PAGE: &str = "the site itself";

/// A site on the server's port 443, until this is dropped.
pub(crate) struct Site {
    endpoint: Endpoint,
    _runtime: tokio::runtime::Runtime,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.endpoint.close(0u32.into(), b"");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn endpoint(host: &Host, address: &str, server: Option<quinn::ServerConfig>) -> Endpoint {
    let socket = host.within(|| UdpSocket::bind(address).unwrap());
    Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(TokioRuntime)).unwrap()
}

/// Serves the same page under every name, over IPv4 and IPv6.
pub(crate) fn serve(net: &Net) -> Site {
    net.certify();
    serve_with(net)
}

/// … with the certificate that is there.
pub(crate) fn serve_with(net: &Net) -> Site {
    let pem = |name: &str| net.folder.path().join(name);
    let certificate = CertificateDer::from_pem_file(pem("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(pem("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let runtime = runtime();
    let endpoint = {
        let _entered = runtime.enter();
        endpoint(&net.server, "[::]:443", Some(config))
    };
    let accepting = endpoint.clone();
    runtime.spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            tokio::spawn(async move {
                let _ = answer(incoming).await;
            });
        }
    });
    Site { endpoint, _runtime: runtime }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn answer(incoming: quinn::Incoming) -> Result<(), Error> {
    let connection = h3_quinn::Connection::new(incoming.await?);
    let mut connection = h3::server::Connection::<_, Bytes>::new(connection).await?;
    while let Some(request) = connection.accept().await? {
        let (_, mut stream) = request.resolve_request().await?;
        stream.send_response(http::Response::new(())).await?;
        stream.send_data(Bytes::from_static(PAGE.as_bytes())).await?;
        stream.finish().await?;
    }
    Ok(())
}

/// Asks for a page over HTTP/3, with a hello that has so much padding; gives up after `patience`.
pub(crate) fn get(
    client: &Host,
    server: SocketAddr,
    name: &str,
    padding: usize,
    patience: Duration,
) -> Result<String, String> {
    let tls = hello::client("h3", padding);
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let runtime = runtime();
    let asked = runtime.block_on(async {
        let endpoint = endpoint(client, if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }, None);
        let got = tokio::time::timeout(patience, ask(&endpoint, config, server, name)).await;
        endpoint.close(0u32.into(), b"");
        got
    });
    runtime.shutdown_background();
    asked.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())
}

async fn ask(
    endpoint: &Endpoint,
    config: quinn::ClientConfig,
    server: SocketAddr,
    name: &str,
) -> Result<String, Error> {
    let connection = endpoint.connect_with(config, server, name)?.await?;
    let (mut driver, mut requests) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
    let driving = tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
    let request = http::Request::get(format!("https://{name}/index.html")).body(())?;
    let mut stream = requests.send_request(request).await?;
    stream.finish().await?;
    stream.recv_response().await?;
    let mut page = Vec::new();
    while let Some(mut piece) = stream.recv_data().await? {
        page.extend(piece.copy_to_bytes(piece.remaining()));
    }
    driving.abort();
    Ok(String::from_utf8_lossy(&page).into_owned())
}
