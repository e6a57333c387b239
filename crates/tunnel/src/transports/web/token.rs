//! What a request's cookie says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use daylight_session::ChannelBinding;
use http::{HeaderMap, HeaderValue, header};
use ring::hmac;

use super::{Channel, Mode};
use crate::transports::door::Doorman;
use crate::transports::plain::stream::Door as _;
use crate::transports::plain::{Hello, HelloReader, Progress};

/// The cookie's name, and what stands before its value.
const NAME: &str = "session=";
const MAC_LEN: usize = 16;
/// What is read where there is no cookie, so that whether there was one can't be seen by how long an answer takes.
const NO_FLIGHT: [u8; 512] = [0x55; 512];

/// What a flight is for, as its early data begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(in crate::transports) enum Kind {
    Web = 2,
    H3 = 3,
}

/// A flight's early data.
pub(in crate::transports) struct Early {
    pub(in crate::transports) kind: Kind,
    pub(in crate::transports) mode: Mode,
    /// The exporter of the client's TLS connection, if it knows one.
    pub(in crate::transports) binding: ChannelBinding,
    /// A path's first message.
    pub(in crate::transports) first: Vec<u8>,
}

impl Early {
    pub(in crate::transports) fn encode(&self) -> Vec<u8> {
        let binding = self.binding.unwrap_or_default();
        let head = [self.kind as u8, self.mode.number(), u8::from(self.binding.is_some())];
        [&head, &binding[..], &self.first].concat()
    }

    fn decode(kind: Kind, bytes: &[u8]) -> Option<Self> {
        let (&[its_kind, mode, is_bound], rest) = bytes.split_first_chunk()?;
        let (binding, first) = rest.split_first_chunk::<32>()?;
        let mode = Mode::from_number(mode).filter(|_| its_kind == kind as u8 && is_bound < 2)?;
        Some(Self { kind, mode, binding: (is_bound == 1).then_some(*binding), first: first.to_vec() })
    }
}

/// Opens a flight that a request carried (or none), if it is good for this, here and now, and was not taken before.
pub(in crate::transports) fn open(
    door: &Doorman,
    flight: Option<&[u8]>,
    kind: Kind,
    channel: Channel,
) -> Option<(Box<Hello>, Early)> {
    let flight = flight.unwrap_or(&NO_FLIGHT);
    let secret = |access: &[u8; 8]| door.secret(access);
    let mut reader = HelloReader::default();
    let Progress::Hello(hello) = reader.read(flight, door.listener(), door.now_s(), secret) else {
        return None;
    };
    let early = Early::decode(kind, &hello.early).filter(|_| hello.rest.is_empty())?;
    let is_bound = match (channel, early.binding) {
        (Channel::Relayed, _) => true,
        (Channel::Tls(here), Some(there)) => subtle::ConstantTimeEq::ct_eq(&here[..], &there[..]).into(),
        (Channel::Tls(_), None) => false,
    };
    if !is_bound || door.remember(&hello).is_err() {
        return None;
    }
    Some((hello, early))
}

/// Which way a piece goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// From the server, by GET.
    Down,
    /// To the server, by POST.
    Up,
}

/// Makes and checks the tickets of one path.
#[derive(Clone)]
pub(super) struct Tickets {
    pub(super) path: [u8; 16],
    key: hmac::Key,
}

impl Tickets {
    /// From 48 bytes that only the two sides of a flight know.
    pub(super) fn new(keys: &[u8; 48]) -> Self {
        let (path, key) = (std::array::from_fn(|at| keys[at]), &keys[16..]);
        Self { path, key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    fn message(&self, way: Way, number: u32) -> [u8; 21] {
        let mut message = [0; 21];
        message[0] = match way {
            Way::Down => 1,
            Way::Up => 2,
        };
        message[1..17].copy_from_slice(&self.path);
        message[17..].copy_from_slice(&number.to_be_bytes());
        message
    }

    pub(super) fn ticket(&self, way: Way, number: u32) -> Vec<u8> {
        let message = self.message(way, number);
        let mac = hmac::sign(&self.key, &message);
        [&message[1..], &mac.as_ref()[..MAC_LEN]].concat()
    }

    pub(super) fn is_good(&self, way: Way, ticket: &Ticket) -> bool {
        let mac = hmac::sign(&self.key, &self.message(way, ticket.number));
        subtle::ConstantTimeEq::ct_eq(&mac.as_ref()[..MAC_LEN], &ticket.mac[..]).into()
    }
}

/// A ticket, of which nothing was checked.
pub(super) struct Ticket {
    pub(super) path: [u8; 16],
    pub(super) number: u32,
    mac: [u8; MAC_LEN],
}

impl Ticket {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (path, rest) = bytes.split_first_chunk()?;
        let (number, mac) = rest.split_first_chunk()?;
        Some(Self { path: *path, number: u32::from_be_bytes(*number), mac: mac.try_into().ok()? })
    }
}

/// The header that carries these bytes.
pub(in crate::transports) fn cookie(bytes: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("{NAME}{}", URL_SAFE_NO_PAD.encode(bytes))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The bytes that a request's cookie carries. HTTP/2 may have cut cookies apart.
pub(in crate::transports) fn carried(headers: &HeaderMap) -> Option<Vec<u8>> {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let value = cookies.flat_map(|value| value.split(';')).find_map(|one| one.trim().strip_prefix(NAME))?;
    URL_SAFE_NO_PAD.decode(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_good_for_one_thing() {
        let (tickets, others) = (Tickets::new(&[1; 48]), Tickets::new(&[2; 48]));
        let bytes = tickets.ticket(Way::Up, 7);
        let ticket = Ticket::read(&bytes).unwrap();
        assert_eq!((ticket.path, ticket.number), ([1; 16], 7));
        assert!(tickets.is_good(Way::Up, &ticket));
        assert!(!tickets.is_good(Way::Down, &ticket));
        assert!(!others.is_good(Way::Up, &ticket));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let ticket = Ticket::read(&changed).unwrap();
            // The path says which keys; the table of paths has looked at it before.
            assert!(at < 16 || !tickets.is_good(Way::Up, &ticket), "{at}");
        }
        assert!(Ticket::read(&bytes[1..]).is_none() && Ticket::read(&[&bytes[..], &[0]].concat()).is_none());
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        assert_eq!(carried(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("theme=dark; consent=1"));
        assert_eq!(carried(&headers), None);
        headers.append(header::COOKIE, cookie(b"what it carries").unwrap());
        assert_eq!(carried(&headers).as_deref(), Some(&b"what it carries"[..]));
    }

    #[test]
    fn early_data_is_read_as_written() {
        for binding in [None, Some([7; 32])] {
            let early =
                Early { kind: Kind::Web, mode: Mode::Pieces, binding, first: b"first".to_vec() }.encode();
            let read = Early::decode(Kind::Web, &early).unwrap();
            assert_eq!((read.mode, read.binding, &read.first[..]), (Mode::Pieces, binding, &b"first"[..]));
            assert!(Early::decode(Kind::Web, &early[..34]).is_none());
            assert!(Early::decode(Kind::H3, &early).is_none(), "it is for another transport");
        }
        assert!(Early::decode(Kind::Web, &[1, 1, 0]).is_none());
    }

    #[test]
    fn a_flight_is_good_once_and_for_one_thing() {
        use crate::transports::door::CardKeys;
        use crate::transports::plain::{ClientHello, Suite};

        let folder = tempfile::tempdir().unwrap();
        let door = Doorman::open([1; 32], &folder.path().join("taken")).unwrap();
        let card = CardKeys::of(&[2; 16]).unwrap();
        door.set_cards([card.clone()]);
        let flight = |kind| {
            let early = Early { kind, mode: Mode::Streams, binding: Some([3; 32]), first: vec![4] }.encode();
            let server = daylight_session::public_key(&[1; 32]);
            let mut random: rand::rngs::StdRng = rand::make_rng();
            let now = crate::transports::door::now_s();
            ClientHello::new(&server, &card.access, Suite::best(), now, &early, &mut random).unwrap().1
        };
        let is_good = |flight: &[u8], kind, exporter| {
            open(&door, Some(flight), kind, Channel::Tls([exporter; 32])).is_some()
        };
        for (kind, other) in [(Kind::Web, Kind::H3), (Kind::H3, Kind::Web)] {
            let flight = flight(kind);
            assert!(!is_good(&flight, other, 3), "for another transport");
            assert!(!is_good(&flight, kind, 5), "on another connection");
            assert!(is_good(&flight, kind, 3));
            assert!(!is_good(&flight, kind, 3), "again");
        }
        assert!(open(&door, None, Kind::H3, Channel::Relayed).is_none());
    }
}
