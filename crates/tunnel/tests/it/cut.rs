//! Connections that are cut in the middle of a download: by reset, by silence, and by a change of address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use daylight_session::PathError;
use daylight_tunnel::driver::News;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::carried::to;
use crate::server::{Server, check, client, connect, dialled};

const OPEN: u8 = 0;
const SILENT: u8 = 1;
const RESET: u8 = 2;

/// Something on the path that can cut what it carries.
struct Middle {
    address: SocketAddr,
    state: Arc<AtomicU8>,
}

impl Middle {
    async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(AtomicU8::new(OPEN));
        let watched = state.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(server).await.unwrap();
                for connection in [&near, &far] {
                    // Dropping it is a reset then, whatever it holds.
                    connection.set_zero_linger().unwrap();
                }
                let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
                for (from, to) in [(near_read, far_write), (far_read, near_write)] {
                    tokio::spawn(pass(from, to, watched.clone()));
                }
            }
        });
        Self { address, state }
    }

    fn set(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    state: Arc<AtomicU8>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match state.load(Ordering::Relaxed) {
            RESET => return,
            SILENT => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            _ => {}
        }
        let read = tokio::time::timeout(Duration::from_millis(20), from.read(&mut buffer)).await;
        match read {
            Ok(Ok(len @ 1..)) if to.write_all(&buffer[..len]).await.is_ok() => {}
            Err(_) => {}
            _ => return,
        }
    }
}

/// A download of 100 MiB, a tenth of which came by a path that was cut then.
async fn survives(cut: u8) {
    let server = Server::start().await;
    let middle = Middle::start(server.address).await;
    let (driver, mut news) = client(|limits| limits.stall = Duration::from_millis(500));
    let _first = connect(&driver, middle.address).await;
    let stream = driver.open(&to("download", 100)).await.unwrap();
    let mut is_cut = false;
    let download = check(stream, |at| {
        if at > 10 << 20 && !std::mem::replace(&mut is_cut, true) {
            middle.set(cut);
        }
    });
    let mend = async {
        loop {
            match news.recv().await.unwrap() {
                News::Stalled(_) | News::Ended(_, PathError::Lost) => break,
                _ => {}
            }
        }
        let second = connect(&driver, server.address).await;
        second.await
    };
    tokio::select! {
        len = download => assert_eq!(len, 100 << 20),
        end = mend => panic!("{end:?}"),
    }
    assert_eq!(server.gate.sessions(), 1, "it is the session that it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_reset() {
    survives(RESET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_silence() {
    survives(SILENT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_a_change_of_address() {
    let server = Server::start().await;
    let (driver, _news) = client(|_| {});
    let from = |address: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
        socket.connect(server.address)
    };
    let connection = from("127.0.0.1").await.unwrap();
    let carrying = driver.clone();
    let first = tokio::spawn(async move { carrying.carry(dialled(connection), |_| {}).await });
    let stream = driver.open(&to("download", 100)).await.unwrap();
    let mut first = Some(first);
    let (moved, moves) = tokio::sync::oneshot::channel();
    let mut moved = Some(moved);
    let download = check(stream, |at| {
        if at > 10 << 20
            && let Some(first) = first.take()
        {
            // The address is gone, and nobody could say anything any more.
            first.abort();
            let _ = moved.take().unwrap().send(());
        }
    });
    let again = async {
        moves.await.unwrap();
        let connection = from("127.0.0.2").await.unwrap();
        driver.carry(dialled(connection), |_| {}).await
    };
    tokio::select! {
        len = download => assert_eq!(len, 100 << 20),
        end = again => panic!("{end:?}"),
    }
    assert_eq!(server.gate.sessions(), 1, "it is the session that it was");
}
