//! Ways out, on loopback.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use daylight_server::egress::{Denial, Egress, EgressConfig, EgressError};
use daylight_session::{Destination, code};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::net::{PATIENCE, listen};

fn egress(edit: impl FnOnce(&mut EgressConfig)) -> Arc<Egress> {
    let reach_private = vec!["127.0.0.0/8".parse().unwrap()];
    let mut config = EgressConfig { reach_private, ..EgressConfig::default() };
    edit(&mut config);
    Arc::new(Egress::new(&config).unwrap())
}

fn name(name: &str, port: u16) -> Destination {
    Destination::Name(name.parse().unwrap(), port)
}

#[tokio::test]
async fn what_is_allowed_is_reached_from_the_source() {
    let (listener, address) = listen().await;
    let source: IpAddr = "127.0.0.9".parse().unwrap();
    let egress = egress(|config| config.source = vec![source]);
    // The name may have an address of IPv6 too, which there is no source for.
    for destination in [address.into(), name("localhost", address.port())] {
        let (connected, accepted) = tokio::join!(egress.connect(&destination), listener.accept());
        assert_eq!(accepted.unwrap().1.ip(), source, "{destination}");
        let connected = connected.unwrap();
        assert_eq!(connected.peer_addr().unwrap(), address);
        assert!(connected.nodelay().unwrap() && socket2::SockRef::from(&connected).keepalive().unwrap());
    }
}

#[tokio::test]
async fn the_server_itself_is_not_reached() {
    let (_listener, address) = listen().await;
    let closed = Egress::new(&EgressConfig::default()).unwrap();
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), address.port());
    // The last two are numbers to the system's resolver.
    for destination in [
        address.into(),
        mapped.into(),
        name("localhost", address.port()),
        name("127.1", address.port()),
        name("0x7f.1", address.port()),
    ] {
        let error = closed.connect(&destination).await.unwrap_err();
        assert!(matches!(error, EgressError::NotAllowed(Denial::Special)), "{destination}: {error:?}");
        assert_eq!(error.code(), code::NOT_ALLOWED);
        assert_eq!(error.kind(), "not-allowed");
    }
}

#[tokio::test]
async fn failures_have_their_codes() {
    // Free a moment ago.
    let (_, address) = listen().await;
    let egress = egress(|_| ());
    let error = egress.connect(&address.into()).await.unwrap_err();
    assert_eq!((error.code(), error.kind()), (code::REFUSED, "refused"));
    let error = egress.connect(&name("no-such-name.invalid", 443)).await.unwrap_err();
    assert_eq!(error.code(), code::NAME, "{error:?}");
    let error = egress.connect(&name("localhost", 25)).await.unwrap_err();
    assert!(matches!(error, EgressError::NotAllowed(Denial::Port)));
}

#[tokio::test]
async fn datagrams_go_and_come() {
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap();
    let association = egress(|_| ()).associate().await.unwrap();
    let mut buffer = [0; 64];
    let run = async {
        for destination in
            [address.into(), name("127.0.0.1", address.port()), name("127.0.0.1", address.port())]
        {
            association.send(&destination, b"there").await.unwrap();
            let (len, from) = peer.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..len], b"there");
            peer.send_to(b"back", from).await.unwrap();
            assert_eq!(association.receive().await.unwrap(), (address, "back".into()));
        }
    };
    timeout(PATIENCE, run).await.expect("datagrams");
    let closed = Arc::new(Egress::new(&EgressConfig::default()).unwrap()).associate().await.unwrap();
    let error = closed.send(&address.into(), b"there").await.unwrap_err();
    assert!(matches!(error, EgressError::NotAllowed(Denial::Special)), "{error:?}");
}

#[tokio::test]
async fn only_what_is_listed_is_reached() {
    let (listener, address) = listen().await;
    let (_other, other) = listen().await;
    let text = format!(
        r#"
        reach_private = ["127.0.0.0/8"]
        only_networks = ["127.0.0.0/30"]
        deny_networks = ["127.0.0.2"]
        only_ports = [{}]
        "#,
        address.port()
    );
    let egress = Egress::new(&toml::from_str(&text).unwrap()).unwrap();
    let destination = address.into();
    let (connected, _) = tokio::join!(egress.connect(&destination), listener.accept());
    assert_eq!(connected.unwrap().peer_addr().unwrap(), address);
    let elsewhere = |ip: &str| SocketAddr::new(ip.parse().unwrap(), address.port());
    for (destination, expected) in [
        (other, Denial::Port),
        (elsewhere("127.0.0.2"), Denial::Network),
        (elsewhere("127.0.0.5"), Denial::Network),
        (elsewhere("8.8.8.8"), Denial::Network),
    ] {
        match egress.connect(&destination.into()).await {
            Err(EgressError::NotAllowed(denial)) => assert_eq!(denial, expected, "{destination}"),
            other => panic!("{destination}: {other:?}"),
        }
    }
}

#[test]
fn mistakes_in_the_file_are_told() {
    for (text, expected) in [
        ("deny_port = [25]", "unknown field"),
        (r#"deny_networks = ["10.0.0.0/40"]"#, "write one like"),
        (r#"deny_domains = ["no such"]"#, "is not a domain"),
        (r#"source = ["eth0"]"#, "invalid IP address"),
    ] {
        let error = toml::from_str::<EgressConfig>(text).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("line 1"), "{error}");
    }
}

#[test]
fn a_source_that_the_machine_has_not_is_named() {
    let source = vec!["192.0.2.1".parse().unwrap()];
    let error = Egress::new(&EgressConfig { source, ..EgressConfig::default() }).unwrap_err();
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
}

#[test]
fn faults_are_all_told() {
    let source = ["127.0.0.1", "::1", "127.0.0.2"].map(|source| source.parse().unwrap()).into();
    let config = EgressConfig { source, connect_seconds: 0, ..EgressConfig::default() };
    let faults = config.faults();
    assert!(
        faults[0].contains("egress.source") && faults[1].contains("egress.connect_seconds"),
        "{faults:?}"
    );
    assert!(EgressConfig::default().faults().is_empty());
}
