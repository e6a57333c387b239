//! What a session costs: CPU seconds per GiB, both ends together, beside the AEAD alone and Noise's own transport messages.
//!
//! `cargo run --release -p daylight-session --example sealing_cost [GiB]`. All in memory and in one thread; rounds are interleaved, and
//! the least of three is printed, since whatever else the machine does only adds.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // It is a measurement: it prints, and nothing it does may fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use daylight_session::{
    Acceptor, ClientConfig, Event, Incoming, PathId, Progress, Read, ServerConfig, Session, Suite, public_key,
};
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use snow::resolvers::{DefaultResolver, FallbackResolver, RingResolver};

const GIB: u64 = 1 << 30;
const RECORD_LEN: usize = 16_366;
/// What a transport takes at once.
const BUDGET: usize = 256 << 10;

/// CPU time of this thread, from the scheduler.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn raw(algorithm: &'static aead::Algorithm, len: u64) {
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &[1; 32][..algorithm.key_len()]).unwrap());
    let mut record = vec![0; RECORD_LEN + 16];
    for number in 0..len / RECORD_LEN as u64 {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        let sealed = &mut record[..RECORD_LEN];
        let nonce_of = || Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce_of(), Aad::empty(), sealed).unwrap();
        record[RECORD_LEN..].copy_from_slice(tag.as_ref());
        key.open_in_place(nonce_of(), Aad::empty(), &mut record).unwrap();
    }
}

fn noise(cipher: &str, len: u64) {
    let build = || {
        let resolver = FallbackResolver::new(Box::new(RingResolver), Box::new(DefaultResolver));
        let pattern = format!("Noise_NN_25519_{cipher}_SHA256").parse().unwrap();
        snow::Builder::with_resolver(pattern, Box::new(resolver))
    };
    let (mut client, mut server) = (build().build_initiator().unwrap(), build().build_responder().unwrap());
    let (mut wire, mut plain) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let n = client.write_message(&[], &mut wire).unwrap();
    server.read_message(&wire[..n], &mut plain).unwrap();
    let n = server.write_message(&[], &mut wire).unwrap();
    client.read_message(&wire[..n], &mut plain).unwrap();
    let (mut client, mut server) =
        (client.into_transport_mode().unwrap(), server.into_transport_mode().unwrap());
    let data = vec![7; RECORD_LEN];
    for _ in 0..len / RECORD_LEN as u64 {
        let n = server.write_message(&data, &mut wire).unwrap();
        client.read_message(&wire[..n], &mut plain).unwrap();
    }
}

struct Pair {
    now: Instant,
    client: Session,
    server: Session,
    path: PathId,
    buffer: BytesMut,
}

impl Pair {
    fn new(suite: Suite) -> Self {
        let now = Instant::now();
        let private_key = [3; 32];
        let mut config = ClientConfig::new(public_key(&private_key), [4; 32]);
        config.suites = vec![suite];
        let mut client = Session::client(Arc::new(config), now, [5; 32]);
        let server = ServerConfig::new(private_key);
        let mut acceptor = Acceptor::new(Arc::new(server), [6; 32]);
        let path = client.open_path(now, None, 0).unwrap();
        let mut incoming = Incoming::new([4; 32], None, 0);
        let mut buffer = BytesMut::new();
        loop {
            client.poll_transmit(path, now, BUDGET, &mut buffer);
            match acceptor.handle_bytes(&mut incoming, now, &buffer.split()).unwrap() {
                Progress::Answer(answer) => client.handle_bytes(path, now, &answer),
                Progress::New(server, path) => return Self { now, client, server: *server, path, buffer },
                _ => {}
            }
        }
    }

    /// Whether something went over.
    fn exchange(&mut self) -> bool {
        let Self { now, client, server, path, buffer } = self;
        *now += Duration::from_millis(1);
        buffer.clear();
        let mut len = server.poll_transmit(*path, *now, BUDGET, buffer);
        for piece in buffer.chunks(64 << 10) {
            // This copy stands for the one that a socket makes anyway.
            client.input(*path).unwrap().extend_from_slice(piece);
            client.handle_appended(*path, *now);
        }
        buffer.clear();
        client.handle_timeout(*now);
        len += client.poll_transmit(*path, *now, BUDGET, buffer);
        server.handle_bytes(*path, *now, buffer);
        server.handle_timeout(*now);
        len > 0
    }
}

fn session(suite: Suite, len: u64) {
    let mut pair = Pair::new(suite);
    let destination = daylight_session::Destination::Name("example.org".parse().unwrap(), 443);
    while pair.exchange() {}
    let stream = pair.client.open(&destination).unwrap();
    pair.exchange();
    pair.exchange();
    pair.server.accept(stream).unwrap();
    let source = Bytes::from(vec![9; 64 << 10]);
    let (mut written, mut read) = (0, 0);
    while read < len {
        while written < len {
            let mut data = source.clone();
            match pair.server.write_bytes(stream, &mut data).unwrap() {
                0 => break,
                n => written += n as u64,
            }
        }
        pair.exchange();
        while let Ok(Read::Data(data)) = pair.client.read(stream, usize::MAX) {
            read += data.len() as u64;
        }
        while let Some(event) = pair.client.poll_event() {
            assert!(!matches!(event, Event::Closed(_)), "{event:?}");
        }
        while pair.server.poll_event().is_some() {}
    }
}

fn main() {
    let gib = std::env::args().nth(1).map_or(1.0, |gib| gib.parse::<f64>().unwrap());
    let len = (gib * GIB as f64) as u64;
    type Run = Box<dyn Fn(u64)>;
    let runs: [(&str, Run); 8] = [
        ("AES-128-GCM alone", Box::new(|len| raw(&aead::AES_128_GCM, len))),
        ("session, AES-128-GCM", Box::new(|len| session(Suite::Aes128Gcm, len))),
        ("AES-256-GCM alone", Box::new(|len| raw(&aead::AES_256_GCM, len))),
        ("Noise messages, AES-256-GCM", Box::new(|len| noise("AESGCM", len))),
        ("session, AES-256-GCM", Box::new(|len| session(Suite::Aes256Gcm, len))),
        ("ChaCha20-Poly1305 alone", Box::new(|len| raw(&aead::CHACHA20_POLY1305, len))),
        ("Noise messages, ChaCha20-Poly1305", Box::new(|len| noise("ChaChaPoly", len))),
        ("session, ChaCha20-Poly1305", Box::new(|len| session(Suite::ChaCha20Poly1305, len))),
    ];
    let mut least = [f64::MAX; 8];
    for _ in 0..3 {
        for (least, (_, run)) in least.iter_mut().zip(&runs) {
            let before = cpu_s();
            run(len);
            *least = least.min((cpu_s() - before) / gib);
        }
    }
    let mut alone = 0.0;
    for ((name, _), cost) in runs.iter().zip(least) {
        if name.ends_with("alone") {
            alone = cost;
        }
        println!("{name:36} {cost:5.2} CPU-s/GiB  {:4.2}x", cost / alone);
    }

    let before = cpu_s();
    (0..200).for_each(|_| drop(Pair::new(Suite::Aes128Gcm)));
    println!("a new session with its handshake, both ends: {:.2} ms", (cpu_s() - before) / 200.0 * 1e3);
}
