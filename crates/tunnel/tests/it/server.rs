//! A server with `plain`, whose streams give what their names ask for, or go to an address of loopback, and a client of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use daylight_session::{ClientConfig, Destination, Limits, ServerConfig, code, public_key};
use daylight_tunnel::census;
use daylight_tunnel::driver::{Association, Driver, Gate, News, Opened, Stream};
use daylight_tunnel::relay::relay_connection;
use daylight_tunnel::transports::Dialled;
use daylight_tunnel::transports::door::{CardKeys, Doorman};
use daylight_tunnel::transports::plain::path::{Client, arrived};
use daylight_tunnel::transports::plain::stream::accept;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

pub(crate) const KEY: [u8; 32] = [7; 32];
pub(crate) const SECRET: [u8; 16] = [9; 16];

/// What a download carries at an offset.
pub(crate) fn pattern(from: u64, len: usize) -> Vec<u8> {
    (from..from + len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) gate: Arc<Gate>,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let (folder, door, gate) = begin();
        let address = listen(door, gate.clone()).await;
        Self { address, gate, _folder: folder }
    }
}

/// Lets `plain` in, at the address that it gives.
pub(crate) async fn listen(door: Arc<Doorman>, gate: Arc<Gate>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let (gate, door) = (gate.clone(), door.clone());
            tokio::spawn(async move {
                let accepted = accept(connection, &*door, rand::make_rng()).await.ok()?;
                gate.carry(arrived(accepted, &door, None)?).await.ok()
            });
        }
    });
    address
}

/// The server behind all transports.
pub(crate) fn begin() -> (tempfile::TempDir, Arc<Doorman>, Arc<Gate>) {
    let folder = tempfile::tempdir().unwrap();
    let door = Doorman::open(KEY, &folder.path().join("taken")).unwrap();
    door.set_cards([CardKeys::of(&SECRET).unwrap()]);
    let (new, mut sessions) = mpsc::unbounded_channel();
    let gate = Arc::new(Gate::new(Arc::new(ServerConfig::new(KEY)), [3; 32], new));
    tokio::spawn(async move {
        while let Some(begun) = sessions.recv().await {
            tokio::spawn(serve(begun.session.clone()));
            tokio::spawn(associate(begun.session));
        }
    });
    (folder, Arc::new(door), gate)
}

/// A client's session, without paths.
pub(crate) fn client(change: impl FnOnce(&mut Limits)) -> (Driver, mpsc::UnboundedReceiver<News>) {
    let keys = CardKeys::of(&SECRET).unwrap();
    let mut config = ClientConfig::new(public_key(&KEY), keys.session);
    change(&mut config.limits);
    let (news, listening) = mpsc::unbounded_channel();
    (Driver::client(Arc::new(config), rand::random(), news), listening)
}

pub(crate) fn dialled(connection: TcpStream) -> Box<dyn Dialled> {
    let access = CardKeys::of(&SECRET).unwrap().access;
    Box::new(Client { connection, server: public_key(&KEY), access })
}

/// A path over a connection of its own, for as long as it lives.
pub(crate) async fn connect(driver: &Driver, address: SocketAddr) -> tokio::task::JoinHandle<String> {
    let connection = TcpStream::connect(address).await.unwrap();
    let driver = driver.clone();
    tokio::spawn(async move { driver.carry(dialled(connection), |_| {}).await.to_string() })
}

async fn serve(session: Driver) {
    while let Some(opened) = session.accept().await {
        match &opened.destination {
            Destination::Name(name, port) => {
                let (name, port) = (name.as_str().to_owned(), u64::from(*port));
                tokio::spawn(answer(session.clone(), opened.clone(), name, port));
            }
            Destination::Address(address) if address.ip().is_loopback() => {
                let connection = TcpStream::connect(address).await.unwrap();
                let stream = session.accept_stream(&opened).unwrap();
                tokio::spawn(relay_connection(connection, stream, ()));
            }
            Destination::Address(_) => session.refuse(&opened, code::NOT_ALLOWED),
        }
    }
}

async fn answer(session: Driver, opened: Opened, name: String, port: u64) {
    match name.as_str() {
        "refused" => session.refuse(&opened, code::REFUSED),
        "download" => {
            let mut stream = session.accept_stream(&opened).unwrap();
            download(&mut stream, port << 20).await;
        }
        "echo" => {
            let stream = session.accept_stream(&opened).unwrap();
            let (mut read, mut write) = tokio::io::split(stream);
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        }
        "census.daylight.invalid" => {
            let stream = session.accept_stream(&opened).unwrap();
            census::serve(stream, Some(|_| {})).await.unwrap();
        }
        other => panic!("no {other}"),
    }
}

/// Sends so many bytes; what a client that gives up does not read is no fault.
async fn download(stream: &mut Stream, len: u64) {
    for from in (0..len).step_by(64 << 10) {
        if stream.write_all(&pattern(from, 64 << 10)).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

/// Sends every datagram back, from whom it was sent to.
async fn associate(session: Driver) {
    while let Some(association) = session.accept_association().await {
        tokio::spawn(async move {
            let association: Association = association;
            while let Some((to, data)) = association.receive().await {
                let _ = association.send(to, data);
            }
        });
    }
}

/// What is sent to a stream that echoes comes back, both ways at once.
pub(crate) async fn comes_back(driver: &Driver) {
    let stream = driver.open(&Destination::Name("echo".parse().unwrap(), 1)).await.unwrap();
    let sent = pattern(0, 3 << 20);
    let (mut read, mut write) = tokio::io::split(stream);
    let mut back = Vec::new();
    let (wrote, came) = tokio::join!(
        async {
            write.write_all(&sent).await?;
            write.shutdown().await
        },
        read.read_to_end(&mut back)
    );
    wrote.unwrap();
    came.unwrap();
    assert!(back == sent);
}

/// Waits until a server has no session left.
pub(crate) async fn forgotten(gate: &Gate) {
    let forgotten = async {
        while gate.sessions() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), forgotten).await.expect("sessions are forgotten");
}

/// Reads a download to its end; how much of it there was.
pub(crate) async fn check(mut stream: Stream, mut progress: impl FnMut(u64)) -> u64 {
    let (mut at, mut buffer) = (0, vec![0; 64 << 10]);
    loop {
        let len = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut buffer)).await;
        let len = len.expect("the download goes on").unwrap();
        if len == 0 {
            return at;
        }
        assert!(buffer[..len] == pattern(at, len), "wrong bytes at {at}");
        at += len as u64;
        progress(at);
    }
}
