//! What a session carries over one path.

use std::time::Duration;

use bytes::Bytes;
use daylight_session::{Destination, code};
use daylight_tunnel::census::{Outcome, report};
use daylight_tunnel::driver::OpenError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::server::{Server, check, client, connect};

pub(crate) fn to(name: &str, port: u16) -> Destination {
    Destination::Name(name.parse().unwrap(), port)
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_both_ways() {
    let server = Server::start().await;
    let (driver, _news) = client(|_| {});
    // Asked for before there is a path.
    let opening = tokio::spawn({
        let driver = driver.clone();
        async move { driver.open(&to("echo", 1)).await.unwrap() }
    });
    let path = connect(&driver, server.address).await;
    let mut echo = opening.await.unwrap();
    echo.write_all(b"there").await.unwrap();
    let mut got = [0; 5];
    echo.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"there");
    // The other direction stays open after the end of the one.
    echo.write_all(b" and back").await.unwrap();
    echo.shutdown().await.unwrap();
    let mut rest = String::new();
    echo.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, " and back");
    let refused = driver.open(&to("refused", 1)).await.err();
    assert_eq!(refused, Some(OpenError::Refused(code::REFUSED)));
    let address = Destination::Address("192.0.2.1:1".parse().unwrap());
    assert_eq!(driver.open(&address).await.err(), Some(OpenError::Refused(code::NOT_ALLOWED)));
    assert_eq!(check(driver.open(&to("download", 5)).await.unwrap(), |_| {}).await, 5 << 20);
    assert_eq!(server.gate.sessions(), 1);
    driver.close(code::NONE);
    assert_eq!(path.await.unwrap(), "the session has ended");
    assert!(driver.open(&to("echo", 1)).await.is_err());
    let forgotten = async {
        while server.gate.sessions() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), forgotten).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_at_once() {
    let server = Server::start().await;
    let (driver, _news) = client(|limits| limits.streams_max = 40);
    let _path = connect(&driver, server.address).await;
    // More than may be open: the others wait for their turn.
    let all = (0..100).map(|_| {
        let driver = driver.clone();
        tokio::spawn(async move { check(driver.open(&to("download", 1)).await.unwrap(), |_| {}).await })
    });
    for one in all.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), 1 << 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_dropped_are_forgotten() {
    let server = Server::start().await;
    let (driver, _news) = client(|limits| limits.streams_max = 2);
    let _path = connect(&driver, server.address).await;
    for _ in 0..20 {
        let mut stream = driver.open(&to("download", 60)).await.unwrap();
        stream.read_u8().await.unwrap();
    }
    // What was under way for them takes nobody's room.
    assert_eq!(check(driver.open(&to("download", 20)).await.unwrap(), |_| {}).await, 20 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams() {
    let server = Server::start().await;
    let (driver, _news) = client(|_| {});
    let _path = connect(&driver, server.address).await;
    driver.open(&to("echo", 1)).await.unwrap();
    let (one, other) = (driver.associate(), driver.associate());
    for (association, text) in [(&one, "one"), (&other, "other"), (&one, "")] {
        association.send(to("there", 53), Bytes::from_static(text.as_bytes())).unwrap();
        let came = tokio::time::timeout(Duration::from_secs(20), association.receive()).await.unwrap();
        assert_eq!(came, Some((to("there", 53), Bytes::from_static(text.as_bytes()))));
    }
    assert!(one.send(to("there", 53), Bytes::from(vec![0; 20_000])).is_err());
    driver.close(code::NONE);
    assert_eq!(other.receive().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_counted_once_a_day() {
    let server = Server::start().await;
    let (driver, _news) = client(|_| {});
    let _path = connect(&driver, server.address).await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("census");
    assert_eq!(report(&driver, &state).await.unwrap(), Outcome::Counted);
    assert_eq!(report(&driver, &state).await.unwrap(), Outcome::Before);
}
