//! What a server of the transport `plain` reads of anybody. Input: a byte that chooses the server's key and what is read,
//! and what comes.

use daylight_tunnel::transports::plain::{Access, ClientHello, HelloReader, Listener, Progress, Suite};
use rand::SeedableRng;
use rand::rngs::StdRng;

const NOW_S: u64 = 1_795_000_000;
const ACCESS: Access = Access { id: [1; 8], secret: [2; 32] };

pub(crate) fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    // Keys with each of the looks there are.
    let listener = Listener::new([choice & 15; 32]).expect("keys can be derived");
    if choice & 0x10 == 0 {
        // Nobody without a card gets in, however it comes.
        let whole = read(&listener, data, usize::MAX);
        let pieces = read(&listener, data, 7);
        assert!(!matches!(whole, Progress::Hello(_)) && !matches!(pieces, Progress::Hello(_)));
    } else {
        // A true flight in which some bytes were changed is the same flight, or none.
        let mut random = StdRng::seed_from_u64(u64::from(*choice));
        let (_, mut wire) =
            ClientHello::new(listener.public(), &ACCESS, Suite::Aes128Gcm, NOW_S, b"early", &mut random)
                .expect("a flight");
        for change in data.chunks_exact(3) {
            let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % wire.len();
            wire[at] ^= change[2];
        }
        if let Progress::Hello(hello) = read(&listener, &wire, 100) {
            assert_eq!((hello.access, &hello.early[..]), (ACCESS.id, &b"early"[..]));
        }
    }
}

fn read(listener: &Listener, wire: &[u8], piece: usize) -> Progress {
    let mut reader = HelloReader::default();
    for bytes in wire.chunks(piece) {
        let secret = |id: &[u8; 8]| (*id == ACCESS.id).then_some(ACCESS.secret);
        match reader.read(bytes, listener, NOW_S, secret) {
            Progress::Need => {}
            progress => return progress,
        }
    }
    Progress::Need
}
