//! The test vectors of `docs/reference/session-wire.md`: made here, and compared with the page.

use std::fmt::Write as _;
use std::path::Path;

use bytes::BytesMut;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};

use crate::frame::Frame;
use crate::handshake::{self, Answer, ClientHandshake, Credit, Request, SessionId};
use crate::keys::{DatagramSealer, Sealer};
use crate::{ClientConfig, ServerConfig, Suite, public_key};

const BEGIN: &str = "<!-- Written by the crate's test `vectors`. -->\n```text\n";
const END: &str = "```\n<!-- End of what the test writes. -->\n";

/// 32 bytes that count up.
fn counting(from: u8) -> [u8; 32] {
    std::array::from_fn(|at| from + at as u8)
}

/// The first bytes that a generator with this seed gives.
fn numbers<const N: usize>(rng: &mut ChaCha20Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

struct Page(String);

impl Page {
    fn put(&mut self, name: &str, bytes: &[u8]) {
        self.0 += name;
        for (at, byte) in bytes.iter().enumerate() {
            let before = if at % 48 == 0 { "\n  " } else { "" };
            write!(self.0, "{before}{byte:02x}").expect("memory");
        }
        self.0 += "\n";
    }
}

fn record(sealer: &mut Sealer, frames: &[Frame<'_>]) -> BytesMut {
    let mut out = BytesMut::new();
    Sealer::begin(&mut out);
    frames.iter().for_each(|frame| frame.encode(&mut out));
    sealer.seal(&mut out, 0);
    out
}

fn page() -> String {
    let mut page = Page(String::new());
    let (private_key, access_secret, binding) = (counting(0), counting(0x20), counting(0x40));
    page.put("server's private key", &private_key);
    page.put("server's public key", &public_key(&private_key));
    page.put("access secret", &access_secret);
    page.put("channel binding", &binding);

    let mut rng = ChaCha20Rng::from_seed(counting(0x60));
    let mut copy = ChaCha20Rng::from_seed(counting(0x60));
    let seed = numbers(&mut copy);
    page.put("client's ephemeral private key", &numbers::<32>(&mut ChaCha20Rng::from_seed(seed)));
    page.put("client's ML-KEM seed (d || z)", &numbers::<64>(&mut copy));
    let mut client = ClientConfig::new(public_key(&private_key), access_secret);
    client.suites = vec![Suite::Aes128Gcm, Suite::ChaCha20Poly1305];
    let request = Request::New(Credit { max_data: 8 << 20, max_stream_data: 2 << 20, max_streams: 0 });
    let (mut handshake, first) =
        ClientHandshake::new(&client, &request, 0, Some(binding), 0, &mut rng).expect("a handshake");
    page.put("first message", &first);

    let server = ServerConfig::new(private_key);
    let server_seed = counting(0x80);
    let opened = handshake::open(&first, &server, &access_secret, Some(binding), server_seed)
        .expect("good")
        .expect("whole");
    page.put("server's ephemeral private key", &numbers::<32>(&mut ChaCha20Rng::from_seed(server_seed)));
    let mut rng = ChaCha20Rng::from_seed(counting(0xa0));
    page.put("server's ML-KEM randomness (m)", &numbers::<32>(&mut ChaCha20Rng::from_seed(counting(0xa0))));
    let id = SessionId(std::array::from_fn(|at| 0xc0 + at as u8));
    page.put("session id", &id.0);
    let credit = Credit { max_data: 8 << 20, max_stream_data: 2 << 20, max_streams: 1024 };
    let (answer, of_server) = opened.answer(Answer::New(id, credit), 0, &mut rng).expect("an answer");
    page.put("answer", &answer);

    let read = handshake.read(&answer, &client).expect("the server's").expect("whole");
    assert_eq!(read, (Answer::New(id, credit), Suite::Aes128Gcm, Vec::new()));
    let of_client = handshake.finish(Suite::Aes128Gcm).expect("keys");
    assert_eq!((of_client.root.0, of_client.resumption.0), (of_server.root.0, of_server.resumption.0));
    page.put("root", &of_client.root.0);
    page.put("resumption secret", &of_client.resumption.0);
    page.put("client's secret", &of_client.root.expand("client").0);
    page.put("client's next secret", &of_client.root.expand("client").expand("next").0);

    let mut keys = of_client.keys;
    let ping = record(&mut keys.sealer, &[Frame::Ping(0)]);
    page.put("client's record 0: PING 0", &ping);
    let destination = [3, 7, b'a', b'.', b't', b'e', b's', b't', b'.', 0x01, 0xbb];
    let stream = Frame::Stream { stream: 0, offset: 0, fin: true, data: &destination };
    page.put(
        "client's record 1: STREAM 0 to a.test.:443 with its end, PADDING of 3 bytes",
        &record(&mut keys.sealer, &[stream, Frame::Padding(3)]),
    );
    let mut of_server = of_server.keys;
    page.put("server's record 0: PONG 0", &record(&mut of_server.sealer, &[Frame::Pong(0)]));
    let mut input = ping;
    assert_eq!(of_server.opener.open(&mut input).expect("good").as_deref(), Some(&[1, 0][..]));

    for (name, suite) in [("AES-256-GCM", Suite::Aes256Gcm), ("ChaCha20-Poly1305", Suite::ChaCha20Poly1305)] {
        let mut sealer = Sealer::new(suite, of_client.root.expand("client")).expect("keys");
        let name = format!("client's record 0 with {name}: PING 0");
        page.put(&name, &record(&mut sealer, &[Frame::Ping(0)]));
    }
    let mut frames = Vec::new();
    let destination = std::net::SocketAddr::from(([192, 0, 2, 1], 53)).into();
    Frame::Datagram { association: 5, destination, data: b"?" }.encode(&mut frames);
    let secret = of_client.root.expand("client").expand("datagram");
    let mut sealer = DatagramSealer::new(Suite::Aes128Gcm, secret).expect("keys");
    page.put(
        "client's unreliable datagram 0: DATAGRAM 5 to 192.0.2.1:53, \"?\"",
        &sealer.seal(&frames).expect("a number"),
    );
    let message = [&b"daylight session 1 attach"[..], &id.0, &7u64.to_be_bytes(), &[0; 32]].concat();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &of_client.resumption.0);
    page.put("proof for path 7 with a KEM key whose SHA-256 is 0", ring::hmac::sign(&key, &message).as_ref());
    page.0
}

/// Writes the page's vectors anew if `DAYLIGHT_WRITE_VECTORS` is set.
#[test]
fn vectors() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/session-wire.md");
    let whole = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = whole.split_once(BEGIN).expect("where the vectors begin");
    let (written, after) = rest.split_once(END).expect("where they end");
    let made = page();
    if std::env::var_os("DAYLIGHT_WRITE_VECTORS").is_some() {
        std::fs::write(&path, [before, BEGIN, &made, END, after].concat()).expect("room");
    } else {
        assert_eq!(written, made, "set DAYLIGHT_WRITE_VECTORS to write them anew");
    }
}
