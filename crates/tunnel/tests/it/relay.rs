//! Connections of programs at both ends of the tunnel.

use std::io;
use std::time::Duration;

use daylight_tunnel::driver::Driver;
use daylight_tunnel::relay::{Carried, relay_connection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::server::{Server, client, connect, pattern};

const PATIENCE: Duration = Duration::from_secs(60);
const LEN: usize = 5_000_001;

/// A connection of a program through the tunnel to a service: both ends, and the client's relay.
async fn through(driver: &Driver) -> (TcpStream, TcpStream, JoinHandle<io::Result<Carried>>) {
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let destination = service.local_addr().unwrap().into();
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let program = TcpStream::connect(front.local_addr().unwrap()).await.unwrap();
    let (connection, _) = front.accept().await.unwrap();
    let (stream, accepted) = tokio::join!(driver.open(&destination), service.accept());
    let relaying = tokio::spawn(relay_connection(connection, stream.unwrap(), ()));
    (program, accepted.unwrap().0, relaying)
}

async fn ends() -> (Server, Driver) {
    let server = Server::start().await;
    let (driver, _news) = client(|_| ());
    drop(connect(&driver, server.address).await);
    (server, driver)
}

#[tokio::test]
async fn all_bytes_pass_both_ways_and_each_way_ends_by_itself() {
    let (_server, driver) = ends().await;
    let (mut program, mut service, relaying) = through(&driver).await;
    let run = async {
        let upload = async {
            program.write_all(&pattern(0, LEN)).await.unwrap();
            program.shutdown().await.unwrap();
        };
        let mut came = Vec::new();
        let (_, read) = tokio::join!(upload, service.read_to_end(&mut came));
        read.unwrap();
        assert!(came == pattern(0, LEN));
        let download = async {
            service.write_all(&pattern(7, LEN)).await.unwrap();
            service.shutdown().await.unwrap();
        };
        came.clear();
        let (_, read) = tokio::join!(download, program.read_to_end(&mut came));
        read.unwrap();
        assert!(came == pattern(7, LEN));
        let len = LEN as u64;
        assert_eq!(relaying.await.unwrap().unwrap(), Carried { forth: len, back: len });
    };
    timeout(PATIENCE, run).await.expect("all bytes");
}

#[tokio::test]
async fn who_is_cut_off_sees_it_at_the_other_end() {
    let (_server, driver) = ends().await;
    let run = async {
        let (mut program, service, relaying) = through(&driver).await;
        service.set_zero_linger().unwrap();
        drop(service);
        let error = program.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(relaying.await.unwrap().is_err());

        let (program, mut service, relaying) = through(&driver).await;
        program.set_zero_linger().unwrap();
        drop(program);
        let error = service.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(relaying.await.unwrap().is_err());
    };
    timeout(PATIENCE, run).await.expect("resets");
}
