//! What `h3` costs and carries, from one process to another or within one.
//!
//! ```text
//! cargo run --release -p daylight-tunnel --example h3 -- both 127.0.0.1:0 MIB [rustls]
//!                                                        serve ADDRESS
//!                                                        load ADDRESS MIB [rustls]
//! ```
//!
//! `both` prints CPU seconds per GiB of both ends together. The client's TLS is the browser's, or that of rustls.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // It is a measurement: it prints, and nothing it does may fail.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use daylight_browser::{Profile, QuicClient, Trust};
use daylight_session::{ClientConfig, Destination, ServerConfig, public_key};
use daylight_tunnel::driver::{Driver, Gate};
use daylight_tunnel::transports::door::{CardKeys, Doorman};
use daylight_tunnel::transports::h3::client::{Client, Server};
use daylight_tunnel::transports::h3::server::Visit;
use daylight_tunnel::transports::h3::{H3, Site, endpoint};
use http::{Request, Response};
use http_body_util::Empty;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

const KEY: [u8; 32] = [7; 32];
const SECRET: [u8; 16] = [9; 16];
const NAME: &str = "site.example";

struct Nothing;

impl Site for Nothing {
    type Body = Empty<Bytes>;

    async fn answer(&self, _: Request<Visit>, _: IpAddr) -> Response<Empty<Bytes>> {
        Response::new(Empty::new())
    }
}

/// Where `serve` leaves its certificate for `load`.
fn certificate_file() -> PathBuf {
    std::env::temp_dir().join("daylight-h3-example.pem")
}

fn serve(address: SocketAddr) -> SocketAddr {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    std::fs::write(certificate_file(), made.cert.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let key = ring::sign::any_supported_type(&key).unwrap();
    let certificates = SingleCertAndKey::from(CertifiedKey::new(vec![made.cert.der().clone()], key));
    let endpoint = endpoint::listen(endpoint::bind(address).unwrap(), Arc::new(certificates)).unwrap();
    let address = endpoint.local_addr().unwrap();
    let memory = std::env::temp_dir().join(format!("daylight-h3-example-{}", std::process::id()));
    let door = Doorman::open(KEY, &memory).unwrap();
    std::fs::remove_file(memory).unwrap();
    door.set_cards([CardKeys::of(&SECRET).unwrap()]);
    let (arrived, mut arriving) = mpsc::unbounded_channel();
    let (new, mut sessions) = mpsc::unbounded_channel();
    let gate = Arc::new(Gate::new(Arc::new(ServerConfig::new(KEY)), rand::random(), new));
    tokio::spawn(async move {
        while let Some(path) = arriving.recv().await {
            let gate = gate.clone();
            tokio::spawn(async move { gate.carry(path).await.map(drop) });
        }
    });
    tokio::spawn(async move {
        while let Some(new) = sessions.recv().await {
            tokio::spawn(send(new.session));
        }
    });
    tokio::spawn(Arc::new(H3::new(Arc::new(door), arrived)).serve(endpoint, Arc::new(Nothing)));
    address
}

/// Sends as many MiB as a destination's port says.
async fn send(session: Driver) {
    while let Some(opened) = session.accept().await {
        let Destination::Name(_, mib) = opened.destination else { continue };
        let mut stream = session.accept_stream(&opened).unwrap();
        tokio::spawn(async move {
            let data = vec![7; 64 << 10];
            for _ in 0..u32::from(mib) << 4 {
                stream.write_all(&data).await.unwrap();
            }
            stream.shutdown().await.unwrap();
        });
    }
}

/// The client's TLS, which believes the server of the file.
fn tls(by_rustls: bool) -> Arc<dyn quinn::crypto::ClientConfig> {
    let pem = std::fs::read_to_string(certificate_file()).unwrap();
    if !by_rustls {
        return Arc::new(QuicClient::new(&Profile::current(), &Trust::Roots(pem)).unwrap());
    }
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    Arc::new(QuicClientConfig::try_from(tls).unwrap())
}

async fn load(address: SocketAddr, mib: u16, by_rustls: bool) {
    let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let endpoint = endpoint::dial(endpoint::bind(local.parse().unwrap()).unwrap(), tls(by_rustls)).unwrap();
    let card = CardKeys::of(&SECRET).unwrap();
    let server = Server { address, name: NAME.to_owned(), key: public_key(&KEY), access: card.access };
    let client = Client::connect(&endpoint, server).await.unwrap();
    let connection = client.connection().clone();
    let (news, _listening) = mpsc::unbounded_channel();
    let config = ClientConfig::new(public_key(&KEY), card.session);
    let driver = Driver::client(Arc::new(config), rand::random(), news);
    let carrying = driver.clone();
    tokio::spawn(async move { carrying.carry(Box::new(client), |_| {}).await.to_string() });
    let mut stream = driver.open(&Destination::Name("load".parse().unwrap(), mib)).await.unwrap();
    let (began, mut buffer, mut came) = (Instant::now(), vec![0; 256 << 10], 0);
    loop {
        match stream.read(&mut buffer).await.unwrap() {
            0 => break,
            len => came += len,
        }
    }
    assert_eq!(came, usize::from(mib) << 20);
    let rate = came as f64 * 8e-6 / began.elapsed().as_secs_f64();
    println!("{rate:.1} Mbit/s, packets of {} bytes at last", connection.stats().path.current_mtu);
    driver.close(0);
}

/// CPU time of this process.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // User and system time, in ticks of 10 ms (proc(5)).
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

#[tokio::main]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let mib = || arguments[2].parse().unwrap();
    let address = arguments[1].parse().unwrap();
    let by_rustls = arguments.get(3).is_some_and(|tls| tls == "rustls");
    match arguments[0].as_str() {
        "serve" => {
            println!("{}", serve(address));
            std::future::pending::<()>().await;
        }
        "load" => load(address, mib(), by_rustls).await,
        _ => {
            let address = serve(address);
            let before = cpu_s();
            load(address, mib(), by_rustls).await;
            println!("{:.2} CPU s/GiB", (cpu_s() - before) * 1024.0 / f64::from(mib()));
        }
    }
}
