//! What a path to a tunnel's server begins with. Input: a byte; if it is even, bytes of a stranger, and where they are cut (1);
//! if it is odd, what a holder of a card says in a first message, after a KEM key.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use daylight_session::{
    Acceptor, HANDSHAKE_LEN_MAX, HandshakeError, Incoming, Progress, ServerConfig, public_key,
};
use snow::resolvers::{DefaultResolver, FallbackResolver, RingResolver};

use crate::input::Input;

const PRIVATE_KEY: [u8; 32] = [1; 32];
const ACCESS_SECRET: [u8; 32] = [2; 32];
/// A key whose coefficients are all 0: one of ML-KEM's, if a bad one.
const KEM_KEY: [u8; 1184] = [0; 1184];

static CONFIG: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| Arc::new(ServerConfig::new(PRIVATE_KEY)));

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut acceptor = Acceptor::new(CONFIG.clone(), [3; 32]);
    let now = Instant::now();
    if input.u8() % 2 == 0 {
        let step = usize::from(input.u8()) + 1;
        let mut path = Incoming::new(ACCESS_SECRET, None, 0);
        for piece in input.rest().chunks(step) {
            match acceptor.handle_bytes(&mut path, now, piece) {
                Ok(Progress::More) => {}
                Ok(_) => panic!("a stranger was answered"),
                Err(error) => {
                    assert_eq!(error, HandshakeError::NotAuthentic);
                    break;
                }
            }
        }
        return;
    }
    let said = input.rest();
    let payload = [&KEM_KEY, &said[..said.len().min(2800)]].concat();
    let mut first = vec![0; 2 + 32 + 16 + payload.len()];
    let resolver = FallbackResolver::new(Box::new(RingResolver), Box::new(DefaultResolver));
    let pattern = "Noise_NKpsk0+psk2_25519_ChaChaPoly_SHA256".parse().expect("a pattern");
    let server_key = public_key(&PRIVATE_KEY);
    let mut noise = snow::Builder::with_resolver(pattern, Box::new(resolver))
        .prologue(b"daylight session 1")
        .and_then(|builder| builder.psk(0, &ACCESS_SECRET))
        .and_then(|builder| builder.remote_public_key(&server_key))
        .and_then(snow::Builder::build_initiator)
        .expect("a client");
    let len = noise.write_message(&payload, &mut first[2..]).expect("room");
    first[..2].copy_from_slice(&(len as u16).to_be_bytes());
    let answer = acceptor.handle_bytes(&mut Incoming::new(ACCESS_SECRET, None, 0), now, &first);
    match &answer {
        Ok(Progress::Answer(bytes) | Progress::Refuse(bytes)) => assert!(bytes.len() <= HANDSHAKE_LEN_MAX),
        Ok(_) => panic!("nobody has shown to hold keys"),
        Err(error) => assert!(matches!(error, HandshakeError::Malformed | HandshakeError::NoSuite)),
    }
    assert_eq!(acceptor.sessions(), 0);
}
