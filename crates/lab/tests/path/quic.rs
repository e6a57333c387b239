//! QUIC as programs speak it, past adversaries that drop it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::oneshot;

use crate::net::{Net, SERVER};
use crate::packets::{censored, matched};

fn address() -> SocketAddr {
    format!("{SERVER}:443").parse().unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Serves a megabyte on every stream until it is told to stop.
async fn serve(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    stop: oneshot::Receiver<()>,
) {
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::server(config, address()).unwrap();
    let accept = async {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let connection = incoming.await?;
                let (mut to, _) = connection.accept_bi().await?;
                to.write_all(&vec![b'x'; 1 << 20]).await?;
                to.finish()?;
                connection.closed().await;
                Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
            });
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stop => {}
    }
}

/// Bytes that come from `name`, or nothing if no connection comes about within a second and a half.
fn fetch(net: &Net, root: &CertificateDer<'static>, version: u32, name: &str) -> Option<usize> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(VarInt::from_u32(1500).into()));
    config.transport_config(Arc::new(transport)).version(version);
    net.within("c", move || {
        block_on(async {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
            let runtime = Arc::new(quinn::TokioRuntime);
            let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, runtime).unwrap();
            let connecting = endpoint.connect_with(config, address(), name).unwrap();
            let connection = tokio::time::timeout(Duration::from_secs(3), connecting).await.ok()?.ok()?;
            let (mut to, mut from) = connection.open_bi().await.ok()?;
            to.write_all(b"?").await.ok()?;
            let bytes = from.read_to_end(2 << 20).await.ok()?;
            connection.close(VarInt::from_u32(0), b"");
            endpoint.wait_idle().await;
            Some(bytes.len())
        })
    })
}

#[test]
fn connections() {
    let Some(net) = Net::bridged() else { return };
    let names = ["blocked.example".to_owned(), "fine.example".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let root = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let (stop, stopped) = oneshot::channel();
    let certificate = root.clone();
    let server =
        net.within("s", move || std::thread::spawn(move || block_on(serve(certificate, key, stopped))));
    let fetch = |version, name| fetch(&net, &root, version, name);

    let hop = censored(&net, "kind = 'sni-drop'\nmatch.sni = ['blocked.example']");
    assert_eq!(fetch(1, "blocked.example"), Some(1 << 20), "a filter of TCP");
    assert_eq!(matched(hop), 0);
    // Clients may split their hello over several datagrams, against boxes that look at one.
    let hop = censored(&net, "kind = 'quic-drop'\nsni = ['blocked.example']\ndatagrams = 4");
    assert_eq!(fetch(1, "blocked.example"), None);
    assert_eq!(fetch(1, "fine.example"), Some(1 << 20));
    assert_eq!(matched(hop), 1);
    let hop = censored(&net, "kind = 'quic-drop'\nversions = [1]\nports = [443]\npayload_bytes_min = 1001");
    assert_eq!(fetch(1, "fine.example"), None);
    let draft_29 = 0xff00_001d;
    assert_eq!(fetch(draft_29, "blocked.example"), Some(1 << 20));
    assert_eq!(matched(hop), 1);
    stop.send(()).unwrap();
    server.join().unwrap();
}
