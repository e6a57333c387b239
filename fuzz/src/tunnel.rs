//! What the tunnel's ends read of strangers, beside first flights ([`crate::plain`]) and sessions ([`crate::handshake`]).

use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Bytes, BytesMut};
use daylight_session::{ClientConfig, Event, Session, public_key};
use daylight_tunnel::census::{self, Firsts};
use daylight_tunnel::plugin::{Certificate, read_options};
use daylight_tunnel::transports::door::{CardKeys, Doorman};
use daylight_tunnel::transports::plain::path::Client;
use daylight_tunnel::transports::plain::stream::Door as _;
use daylight_tunnel::transports::plain::{ClientHello, Suite};
use daylight_tunnel::transports::web::{Channel, Web};
use daylight_tunnel::transports::{Arrived, Dialled as _};
use http::{HeaderValue, Method, Request, header};
use http_body_util::Empty;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::input::Input;

const KEY: [u8; 32] = [1; 32];
const SECRET: [u8; 16] = [2; 16];
const EXPORTER: [u8; 32] = [3; 32];

static CARD: LazyLock<CardKeys> = LazyLock::new(|| CardKeys::of(&SECRET).expect("keys"));

/// For what waits; targets run in turn, and their tasks beside them in one thread.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("a runtime")
});

static DOOR: LazyLock<Arc<Doorman>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let door = Doorman::open(KEY, &folder.path().join("taken")).expect("a memory");
    door.set_cards([CARD.clone()]);
    Arc::new(door)
});

/// Requests to a site that may be a tunnel's. Input: a byte: by which method, whether through something that ends TLS, and
/// whether a card's holder asks; then what cookies say (a zero between two of them), or what the holder's flight holds.
pub(crate) fn cookie(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.u8();
    let said = input.rest();
    let is_holder = choice & 4 != 0;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() =
        [Method::GET, Method::POST, Method::HEAD, Method::PUT][usize::from(choice & 3)].clone();
    if is_holder {
        let seed = said.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        let mut random = StdRng::seed_from_u64(seed);
        let key = public_key(&KEY);
        let made = ClientHello::new(&key, &CARD.access, Suite::Aes128Gcm, DOOR.now_s(), said, &mut random);
        let Some((_, flight)) = made else { return };
        let cookie = format!("session={}", URL_SAFE_NO_PAD.encode(flight));
        request.headers_mut().insert(header::COOKIE, HeaderValue::try_from(cookie).expect("base64"));
    } else {
        for cookie in said.split(|byte| *byte == 0) {
            if let Ok(value) = HeaderValue::from_bytes(cookie) {
                request.headers_mut().append(header::COOKIE, value);
            }
        }
    }
    let channel = if choice & 8 == 0 { Channel::Tls(EXPORTER) } else { Channel::Relayed };
    let (asked, headers) = (request.method().clone(), request.headers().clone());
    let (give, mut take) = mpsc::unbounded_channel::<Arrived>();
    let web = Web::new(DOOR.clone(), give);
    let answer = RUNTIME.block_on(async {
        // A path of pieces waits for something to send.
        tokio::time::timeout(Duration::from_millis(1), web.answer(request, channel, None, true)).await
    });
    let has_arrived = take.try_recv().is_ok();
    match answer {
        Ok(Err(back)) => {
            assert!(!has_arrived);
            assert_eq!((back.method(), back.headers()), (&asked, &headers), "the site gets it as it came");
        }
        Ok(Ok(_)) | Err(_) => {
            assert!(is_holder && has_arrived && asked == Method::GET, "a stranger was answered");
            assert!(said.len() >= 35 && said[0] == 2);
            assert!(choice & 8 != 0 || said[2..35] == [&[1], &EXPORTER[..]].concat());
        }
    }
}

/// What a client hears from somebody who is not its server. Input: a byte that says of which protocol, and the bytes.
pub(crate) fn answer(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.u8();
    let said = input.rest();
    let key = public_key(&KEY);
    if choice & 1 == 0 {
        let connection = tokio::io::join(Cursor::new(said.to_vec()), tokio::io::sink());
        let client = Box::new(Client { connection, server: key, access: CARD.access.clone() });
        let begun = RUNTIME.block_on(client.begin(vec![7; 100]));
        assert!(begun.is_err(), "a stranger is the server");
        return;
    }
    let now = Instant::now();
    let config = Arc::new(ClientConfig::new(key, CARD.session));
    let mut session = Session::client(config, now, [4; 32]);
    let path = session.open_path(now, None, 0).expect("a path");
    session.poll_transmit(path, now, 1 << 16, &mut BytesMut::new());
    for piece in said.chunks(usize::from(choice) + 1) {
        session.handle_bytes(path, now, piece);
    }
    session.handle_timeout(now);
    while let Some(event) = session.poll_event() {
        assert!(matches!(event, Event::PathClosed(..)), "a stranger's {event:?}");
    }
}

/// Reports to the census. Input: what a client says.
pub(crate) fn report(data: &[u8]) {
    let counted = AtomicUsize::new(0);
    let mut written = Vec::new();
    let stream = tokio::io::join(data, &mut written);
    let count = |_: Firsts| {
        counted.fetch_add(1, Ordering::Relaxed);
    };
    let served = RUNTIME.block_on(census::serve(stream, Some(count)));
    let is_one = matches!(data, [1, 1 | 3 | 5 | 7, 1, ..]);
    assert_eq!(
        (counted.into_inner(), written.last() == Some(&1) && written.len() == 2),
        (usize::from(is_one), is_one)
    );
    assert!(served.is_ok() || !is_one);
}

/// The strings by which other programs say what they want of a plug-in. Input: the text.
pub(crate) fn options(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(certificate) = text.parse::<Certificate>() {
        assert_eq!(certificate.to_string(), text);
    }
    let Ok(mut options) = read_options(&text) else { return };
    options.remove("");
    let escaped = |text: &str| text.replace('\\', "\\\\").replace(';', "\\;").replace('=', "\\=");
    let written: Vec<_> =
        options.iter().map(|(key, value)| format!("{}={}", escaped(key), escaped(value))).collect();
    assert_eq!(read_options(&written.join(";")), Ok(options));
}

/// A server's configuration. Input: the text.
pub(crate) fn config(data: &[u8]) {
    static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));
    let path = FOLDER.path().join("server.toml");
    std::fs::write(&path, data).expect("a file");
    match daylight_server::config::Config::read(&path) {
        Ok(config) => {
            assert!(config.key.is_absolute());
            assert!(config.web.is_some() || config.behind.is_some() || config.plain.is_some());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
