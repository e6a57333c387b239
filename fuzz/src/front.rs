//! What programs say to a tunnel's proxies: SOCKS 5, SOCKS 4a, HTTP. Input: a byte that says how the tunnel answers, one that
//! says how the input is cut, and what is said.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use daylight_client::front::{Front, Reach};
use daylight_client::{Association, ConnectError, Tunnel};
use daylight_session::Destination;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;

use crate::input::Input;
use crate::tunnel::RUNTIME;

const PATIENCE: Duration = Duration::from_secs(20);
/// A panic in a task is nobody's but the task's.
static PANICKED: AtomicBool = AtomicBool::new(false);
/// How the tunnel answers.
static ANSWER: AtomicU8 = AtomicU8::new(0);

static ADDRESS: LazyLock<SocketAddr> = LazyLock::new(|| {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICKED.store(true, Ordering::SeqCst);
        before(panic);
    }));
    let front = RUNTIME.block_on(Front::bind((Ipv4Addr::LOCALHOST, 0).into(), Reach::Loopback));
    let front = front.expect("a port");
    let address = front.address();
    RUNTIME.spawn(async { front.serve(Answers).await });
    address
});

/// Gives what it is sent back, or nothing.
#[derive(Clone)]
struct Answers;

impl Tunnel for Answers {
    type Stream = DuplexStream;
    type Association = Answers;

    async fn connect(&self, destination: Destination) -> Result<DuplexStream, ConnectError> {
        assert!(!destination.to_string().is_empty());
        if ANSWER.load(Ordering::Relaxed) & 1 != 0 {
            return Err(ConnectError::of_code(u64::from(ANSWER.load(Ordering::Relaxed) >> 1)));
        }
        let (near, far) = tokio::io::duplex(1 << 16);
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(far);
            // Whoever goes early goes.
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        });
        Ok(near)
    }

    async fn associate(&self) -> Result<Answers, ConnectError> {
        Ok(Answers)
    }
}

impl Association for Answers {
    async fn send(&self, _: Destination, _: Bytes) -> Result<(), ConnectError> {
        Ok(())
    }

    async fn recv(&self) -> Option<(Destination, Bytes)> {
        std::future::pending().await
    }
}

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (answer, cut) = (input.u8(), usize::from(input.u8()) + 1);
    let said = input.rest();
    let address = *ADDRESS;
    ANSWER.store(answer, Ordering::Relaxed);
    let answered = RUNTIME.block_on(async {
        let mut connection = TcpStream::connect(address).await.expect("the front listens");
        connection.set_nodelay(true).expect("a socket");
        let mut answered = Vec::new();
        let conversation = async {
            for piece in said.chunks(cut.max(said.len() / 8)) {
                connection.write_all(piece).await?;
            }
            connection.shutdown().await?;
            connection.read_to_end(&mut answered).await
        };
        // It may be cut off, but must not be left hanging.
        let _cut_off = tokio::time::timeout(PATIENCE, conversation).await.expect("an end in time");
        // Ports are not used up by what nobody waits for.
        connection.set_zero_linger().expect("a socket");
        answered
    });
    assert!(!PANICKED.load(Ordering::SeqCst), "a connection's task panicked");
    match said.first() {
        Some(5) => assert!(answered.first().is_none_or(|first| *first == 5)),
        Some(4) => assert!(answered.first().is_none_or(|first| *first == 0)),
        _ => {}
    }
}
