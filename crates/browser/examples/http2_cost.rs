//! What this client costs: CPU for a download, an upload and a connection, and memory for an idle connection; the same
//! with rustls and no frame cutting, for the ratio. Each client and each server is a process of its own.
//!
//! `cargo run --release -p daylight-browser --example http2_cost`
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring program")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use daylight_browser::{Client, DATA_BYTES_MAX, Profile, SendRequest, Trust, http2};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

const GIB: f64 = (1u64 << 30) as f64;
const TRANSFER_BYTES: usize = 512 << 20;
const CONNECTIONS: usize = 200;
const ROUNDS: usize = 3;
const NAME: &str = "site.example";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("server") => serve().await,
        Some(kind) => println!("{kind:8} {}", measure(kind, &Server::start()).await),
        None => {
            println!("{ROUNDS} rounds, {} MiB each way, {CONNECTIONS} connections", TRANSFER_BYTES >> 20);
            let program = std::env::current_exe().unwrap();
            for _ in 0..ROUNDS {
                for kind in ["browser", "rustls"] {
                    assert!(Command::new(&program).arg(kind).status().unwrap().success());
                }
            }
        }
    }
}

async fn measure(kind: &str, server: &Server) -> String {
    let maker = Maker::new(kind);
    let (start, cpu) = (Instant::now(), cpu_s("self"));
    let memory = resident_bytes();
    let mut kept = Vec::new();
    for _ in 0..CONNECTIONS {
        kept.push(maker.connect(&server.address).await);
    }
    let per = |seconds: f64| seconds * 1000.0 / CONNECTIONS as f64;
    let connection = format!(
        "{:.2} ms CPU, {:.2} ms, {} KiB",
        per(cpu_s("self") - cpu),
        per(start.elapsed().as_secs_f64()),
        resident_bytes().saturating_sub(memory) / CONNECTIONS / 1024,
    );
    // Only now, so that memory that they freed isn't used again above.
    let requests = maker.connect(&server.address).await;
    let down = cost(server, download(requests.clone())).await;
    let up = cost(server, upload(requests)).await;
    format!("a connection {connection}; down {down}, up {up} CPU-s/GiB (client + server)")
}

async fn cost(server: &Server, transfer: impl Future<Output = ()>) -> String {
    let id = server.process.id().to_string();
    let (mine, theirs) = (cpu_s("self"), cpu_s(&id));
    transfer.await;
    let gib = TRANSFER_BYTES as f64 / GIB;
    format!("{:.2} + {:.2}", (cpu_s("self") - mine) / gib, (cpu_s(&id) - theirs) / gib)
}

enum Maker {
    Browser(Box<Client>),
    Rustls(tokio_rustls::TlsConnector),
}

impl Maker {
    fn new(kind: &str) -> Self {
        if kind == "browser" {
            return Self::Browser(Box::new(Client::new(Profile::current(), &Trust::Unverified).unwrap()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(anybody::Anybody(provider)))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self::Rustls(tokio_rustls::TlsConnector::from(Arc::new(config)))
    }

    async fn connect(&self, address: &str) -> SendRequest {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        match self {
            Self::Browser(client) => {
                let tls = client.connect(socket, NAME).await.unwrap();
                let (requests, connection) = http2(tls, client.profile()).await.unwrap();
                tokio::spawn(connection);
                requests
            }
            Self::Rustls(connector) => {
                let tls = connector.connect(NAME.try_into().unwrap(), socket).await.unwrap();
                let mut builder = http2::client::Builder::new();
                builder.initial_window_size(6 << 20).initial_connection_window_size(15 << 20);
                let (requests, connection) = builder.handshake(tls).await.unwrap();
                tokio::spawn(connection);
                requests
            }
        }
    }
}

async fn download(requests: SendRequest) {
    let request = Request::get(format!("https://{NAME}/")).body(()).unwrap();
    let (response, _) = requests.ready().await.unwrap().send_request(request, true).unwrap();
    assert_eq!(drain(response.await.unwrap().into_body()).await, TRANSFER_BYTES);
}

async fn upload(requests: SendRequest) {
    let request = Request::post(format!("https://{NAME}/")).body(()).unwrap();
    let (response, body) = requests.ready().await.unwrap().send_request(request, false).unwrap();
    fill(body, TRANSFER_BYTES).await;
    drain(response.await.unwrap().into_body()).await;
}

async fn drain(mut body: http2::RecvStream) -> usize {
    let mut bytes = 0;
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        bytes += piece.len();
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    bytes
}

async fn fill(mut body: http2::SendStream<Bytes>, mut left: usize) {
    let zeros = Bytes::from_static(&[0; DATA_BYTES_MAX]);
    while left > 0 {
        body.reserve_capacity(left.min(DATA_BYTES_MAX));
        let window = std::future::poll_fn(|cx| body.poll_capacity(cx)).await.unwrap().unwrap();
        let piece = window.min(left).min(DATA_BYTES_MAX);
        left -= piece;
        body.send_data(zeros.slice(..piece), left == 0).unwrap();
    }
}

/// The server's process; it ends with this.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        let program = std::env::current_exe().unwrap();
        let mut process = Command::new(program).arg("server").stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { process, address: address.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn serve() {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        let acceptor = acceptor.clone();
        tokio::spawn(async move { answer(acceptor.accept(socket).await.unwrap()).await });
    }
}

async fn answer<T: AsyncRead + AsyncWrite + Unpin>(io: T) {
    let mut builder = http2::server::Builder::new();
    builder.initial_window_size(6 << 20).initial_connection_window_size(15 << 20);
    let mut connection = builder.handshake(io).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        tokio::spawn(async move {
            let bytes = if request.method() == http::Method::GET { TRANSFER_BYTES } else { 0 };
            drain(request.into_body()).await;
            let stream = respond.send_response(Response::new(()), bytes == 0).unwrap();
            if bytes > 0 {
                fill(stream, bytes).await;
            }
        });
    }
}

/// User and system time of a process, from /proc.
fn cpu_s(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let ticks: f64 = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|n| n.parse::<f64>().unwrap())
        .sum();
    ticks / 100.0
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A verifier that takes any certificate.
mod anybody {
    use std::sync::Arc;

    use rustls::DigitallySignedStruct;
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    #[derive(Debug)]
    pub(crate) struct Anybody(pub(crate) Arc<CryptoProvider>);

    impl ServerCertVerifier for Anybody {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
