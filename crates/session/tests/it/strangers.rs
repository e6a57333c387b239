//! The server's door, and who knocks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use daylight_session::{
    Acceptor, ClientConfig, HANDSHAKE_LEN_MAX, HandshakeError, Incoming, PathError, Progress, ServerConfig,
    Session, Suite, public_key,
};

use crate::pair::{ACCESS_SECRET, PRIVATE_KEY, Pair, Shape};

fn acceptor(change: impl FnOnce(&mut ServerConfig)) -> Acceptor {
    let mut config = ServerConfig::new(PRIVATE_KEY);
    change(&mut config);
    Acceptor::new(Arc::new(config), [7; 32])
}

fn client(seed: u8, change: impl FnOnce(&mut ClientConfig)) -> Session {
    let mut config = ClientConfig::new(public_key(&PRIVATE_KEY), ACCESS_SECRET);
    change(&mut config);
    Session::client(Arc::new(config), Instant::now(), [seed; 32])
}

fn first_message(client: &mut Session) -> Vec<u8> {
    let now = Instant::now();
    let path = client.open_path(now, None, 0).expect("a path");
    let mut out = BytesMut::new();
    client.poll_transmit(path, now, 4096, &mut out);
    out.to_vec()
}

fn knock(acceptor: &mut Acceptor, message: &[u8]) -> Result<Progress, HandshakeError> {
    acceptor.handle_bytes(&mut Incoming::new(ACCESS_SECRET, None, 0), Instant::now(), message)
}

#[test]
fn only_holders_of_the_card_are_answered() {
    let mut door = acceptor(|_| {});
    let other_secret = first_message(&mut client(1, |config| config.access_secret = [0; 32]));
    assert_eq!(knock(&mut door, &other_secret).err(), Some(HandshakeError::NotAuthentic));
    let other_key = first_message(&mut client(2, |config| config.server_key = public_key(&[8; 32])));
    assert_eq!(knock(&mut door, &other_key).err(), Some(HandshakeError::NotAuthentic));
    let good = first_message(&mut client(3, |_| {}));
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        // With the length changed more may be waited for, or something may follow.
        let answer = knock(&mut door, &changed);
        assert!(matches!(answer, Err(HandshakeError::NotAuthentic) | Ok(Progress::More)), "{at}");
        assert!(at < 2 || answer.is_err());
    }
    for cut in 0..good.len() {
        assert!(matches!(knock(&mut door, &good[..cut]), Ok(Progress::More)));
    }
    assert!(matches!(knock(&mut door, &good), Ok(Progress::Answer(_))));
    assert_eq!(door.sessions(), 0, "nobody has shown to hold keys");
}

#[test]
fn a_stranger_can_make_it_keep_little() {
    let mut door = acceptor(|_| {});
    let mut path = Incoming::new(ACCESS_SECRET, None, 0);
    let mut taken = 0;
    // The longest length, one byte at a time, and never the end.
    for byte in (HANDSHAKE_LEN_MAX as u16 - 2).to_be_bytes().into_iter().chain(std::iter::repeat(7)) {
        taken += 1;
        if door.handle_bytes(&mut path, Instant::now(), &[byte]).is_err() {
            break;
        }
    }
    assert_eq!(taken, HANDSHAKE_LEN_MAX);
    let longer = (HANDSHAKE_LEN_MAX as u16 - 1).to_be_bytes();
    assert_eq!(knock(&mut door, &longer).err(), Some(HandshakeError::NotAuthentic));
    assert_eq!(knock(&mut door, &[0; 100]).err(), Some(HandshakeError::NotAuthentic));
}

#[test]
fn an_answer_that_is_not_the_servers() {
    for at in [0, 1, 2, 700, 1089, 1100, 1125, 1150] {
        let mut door = acceptor(|_| {});
        let now = Instant::now();
        let mut client = client(4, |_| {});
        let path = client.open_path(now, None, 0).expect("a path");
        let mut out = BytesMut::new();
        client.poll_transmit(path, now, 4096, &mut out);
        let Ok(Progress::Answer(mut answer)) = knock(&mut door, &out) else { panic!("a good message") };
        answer[at] ^= 0x10;
        answer.extend([0; HANDSHAKE_LEN_MAX]);
        client.handle_bytes(path, now, &answer);
        let closed = daylight_session::Event::PathClosed(path, PathError::Handshake);
        assert_eq!(client.poll_event(), Some(closed), "{at}");
        assert!(client.open_path(now, None, 0).is_ok(), "it may try again");
    }
}

#[test]
fn without_the_keys_there_is_no_session() {
    let mut door = acceptor(|_| {});
    let mut path = Incoming::new(ACCESS_SECRET, None, 0);
    let good = first_message(&mut client(5, |_| {}));
    let answer = door.handle_bytes(&mut path, Instant::now(), &good);
    assert!(matches!(answer, Ok(Progress::Answer(_))));
    let end = (0..20_000).find_map(|_| door.handle_bytes(&mut path, Instant::now(), &[3]).err());
    assert_eq!(end, Some(HandshakeError::NotConfirmed));
    assert_eq!(door.sessions(), 0);
}

#[test]
fn ciphers_are_agreed_on() {
    for (offered, willing, expected) in [
        (
            vec![Suite::ChaCha20Poly1305, Suite::Aes128Gcm],
            vec![Suite::Aes128Gcm, Suite::ChaCha20Poly1305],
            true,
        ),
        (vec![Suite::Aes256Gcm], vec![Suite::Aes128Gcm], false),
        (vec![], vec![Suite::Aes128Gcm], false),
    ] {
        let mut door = acceptor(|config| config.suites = willing);
        let message = first_message(&mut client(6, |config| config.suites = offered));
        let answer = knock(&mut door, &message);
        assert_eq!(answer.is_ok(), expected);
        assert!(expected || answer.err() == Some(HandshakeError::NoSuite));
    }
}

#[test]
fn a_full_server_says_so() {
    let mut door = acceptor(|config| config.sessions_max = 0);
    let now = Instant::now();
    let mut client = client(7, |_| {});
    let path = client.open_path(now, None, 0).expect("a path");
    let mut out = BytesMut::new();
    client.poll_transmit(path, now, 4096, &mut out);
    let Ok(Progress::Refuse(answer)) = knock(&mut door, &out) else { panic!("it is full") };
    client.handle_bytes(path, now, &answer);
    let closed = daylight_session::Event::PathClosed(path, PathError::Refused);
    assert_eq!(client.poll_event(), Some(closed));
}

/// Whoever changes a byte on the way ends the path, not the session.
#[test]
fn a_damaged_path_ends_and_the_session_goes_on() {
    let mut pair = Pair::new(10);
    let link = pair.establish(Shape::default());
    pair.run_for(Duration::from_secs(1));
    let path = pair.links[link].path;
    pair.client.handle_bytes(path, pair.now, &[0; 20_000]);
    pair.run_for(Duration::from_secs(1));
    let closed = daylight_session::Event::PathClosed(path, PathError::Record);
    assert!(pair.client_events.contains(&closed));
    pair.connect(Shape::default()).expect("a path");
    pair.run_for(Duration::from_secs(1));
    assert!(!pair.client.is_closed());
    crate::streams::open(&mut pair);
}
