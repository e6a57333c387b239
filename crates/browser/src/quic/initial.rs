//! The client's Initial packets as Chrome makes them: their numbers, and the order of what is in them.
//!
//! Whoever is on the path can read them (RFC 9001 §5.2). Quinn writes one CRYPTO frame and padding; Chrome cuts the frame
//! into several, out of order, among PING and PADDING. The packet's key is where that can be changed: it sees each packet
//! before it is sealed, and by the length that it gives for its tag it keeps room for what is added.

use std::sync::{Arc, OnceLock};

use bytes::BytesMut;
use quinn_proto::crypto::{self, CryptoError};
use rand::seq::SliceRandom as _;
use rand::{Rng, RngExt as _};

use super::frames::{Frame, crypto_header_len, decrement, frames, write_crypto, write_ping};
use super::keys::{PacketKey, TAG_LEN};
use super::layout::Layout;

/// Cuts of CRYPTO frames, and PING frames, in a packet: from, to.
const CUTS: (usize, usize) = (2, 10);
const PINGS: (usize, usize) = (2, 10);
/// A packet before its frames, in bytes, as quinn writes it without a name of the client's, with 8 bytes of the server's:
/// flags, version, two lengths and the name, the token's length, the packet's length, its number (RFC 9000 §17.2.2).
const HEADER_LEN: usize = 1 + 4 + 1 + 8 + 1 + 1 + 2 + 1;
/// At least so much is kept for the headers of frames that had to be cut where quinn did not: in bytes.
const ROOM_LEN_MIN: usize = 32;
/// Chrome's first packet is number 1.
const FIRST_NUMBER: u64 = 1;
/// The packet whose number Chrome writes in two bytes: its second.
const NUMBER_OF_TWO_BYTES: u64 = 2;

/// How the packets of a connection are made. It is known from when the ClientHello is.
#[derive(Default)]
pub(super) struct Shape(OnceLock<(Layout, usize)>);

impl Shape {
    /// The ClientHello in the order in which quinn is to send it in datagrams of this length.
    pub(super) fn arrange(&self, hello: Vec<u8>, datagram_len: u16, beginning: usize) -> Vec<u8> {
        let Some(layout) = Layout::new(hello.len(), beginning) else { return hello };
        let room = usize::from(datagram_len).checked_sub(HEADER_LEN + TAG_LEN + layout.room());
        let Some(room) = room.filter(|&room| room >= ROOM_LEN_MIN) else { return hello };
        let arranged = layout.arrange(&hello);
        if self.0.set((layout, room)).is_ok() { arranged } else { hello }
    }

    /// What a packet's frames become in a payload of this length; `None` if they don't fit.
    fn payload(&self, written: &[u8], len: usize, random: &mut impl Rng) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(len);
        let mut pieces = Vec::new();
        for (frame, place) in frames(written) {
            match frame {
                Frame::Padding(_) => {}
                Frame::Crypto(offset, data) => match self.0.get() {
                    None => pieces.push((offset, &written[data])),
                    Some((layout, _)) => {
                        let start = data.start;
                        for (part, to) in layout.true_offsets(offset..offset + data.len()) {
                            pieces
                                .push((to, &written[start + part.start - offset..start + part.end - offset]));
                        }
                    }
                },
                Frame::Ping | Frame::Ack(_) | Frame::Other => out.extend_from_slice(&written[place]),
            }
        }
        let need = |pieces: &[(usize, &[u8])]| -> usize {
            pieces.iter().map(|(offset, data)| crypto_header_len(*offset, data.len()) + data.len()).sum()
        };
        let mut room = len.checked_sub(out.len() + need(&pieces))?;
        if !pieces.is_empty() {
            room -= cut(&mut pieces, room, random);
            let mut mixed: Vec<Piece<'_>> =
                pieces.into_iter().map(|(offset, data)| Piece::Crypto(offset, data)).collect();
            let pings = random.random_range(PINGS.0..=PINGS.1).min(room);
            mixed.extend(std::iter::repeat_n(Piece::Ping, pings));
            room -= pings;
            // What is left is halved, about, for each frame.
            for _ in 0..mixed.len() {
                let padding = random.random_range(0..=room);
                if padding > 0 {
                    mixed.push(Piece::Padding(padding));
                }
                room -= padding;
            }
            mixed.shuffle(random);
            for piece in mixed {
                match piece {
                    Piece::Crypto(offset, data) => write_crypto(offset, data, &mut out),
                    Piece::Ping => write_ping(&mut out),
                    Piece::Padding(padding) => out.resize(out.len() + padding, 0),
                }
            }
        }
        out.resize(len, 0);
        Some(out)
    }
}

#[derive(Clone, Copy)]
enum Piece<'a> {
    Crypto(usize, &'a [u8]),
    Padding(usize),
    Ping,
}

/// Cuts pieces in two, each at any place, as long as there is room for another frame's header: how many bytes that takes.
fn cut(pieces: &mut Vec<(usize, &[u8])>, room: usize, random: &mut impl Rng) -> usize {
    let mut taken = 0;
    for _ in 0..random.random_range(CUTS.0..=CUTS.1) {
        let at = random.random_range(0..pieces.len());
        let (offset, data) = pieces[at];
        if data.len() < 2 {
            continue;
        }
        let (first, second) = data.split_at(random.random_range(1..data.len()));
        let more = crypto_header_len(offset, first.len())
            + crypto_header_len(offset + first.len(), second.len())
            - crypto_header_len(offset, data.len());
        if taken + more > room {
            break;
        }
        taken += more;
        pieces[at].1 = first;
        pieces.push((offset + first.len(), second));
    }
    taken
}

/// Seals what the client sends.
pub(super) struct Sealing {
    pub(super) key: PacketKey,
    pub(super) shape: Arc<Shape>,
}

impl Sealing {
    /// What is kept for the browser's frames in each packet, in bytes.
    fn room(&self) -> usize {
        self.shape.0.get().map_or(0, |(_, room)| *room)
    }
}

impl crypto::PacketKey for Sealing {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        let number = packet + FIRST_NUMBER;
        let (header, payload) = buf.split_at_mut(header_len);
        let number_len = usize::from(header[0] & 0x03) + 1;
        let frames_len = payload.len() - TAG_LEN - self.room();
        // The number's second byte takes one of the room that was kept.
        let longer = usize::from(number == NUMBER_OF_TWO_BYTES && number_len == 1 && self.room() > 0);
        let made =
            self.shape.payload(&payload[..frames_len], payload.len() - TAG_LEN - longer, &mut rand::rng());
        debug_assert!(made.is_some(), "the room that was kept is enough");
        let Some(made) = made else {
            // It can't be: the layout cuts at three places, which takes five bytes each.
            payload.fill(0);
            return self.key.encrypt(number, buf, header_len);
        };
        payload[longer..longer + made.len()].copy_from_slice(&made);
        header[0] = header[0] & !0x03 | (number_len + longer - 1) as u8;
        let header_len = header_len + longer;
        let place = &mut buf[header_len - number_len - longer..header_len];
        let bytes = number.to_be_bytes();
        place.copy_from_slice(&bytes[bytes.len() - place.len()..]);
        self.key.encrypt(number, buf, header_len);
    }

    fn decrypt(&self, packet: u64, header: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        self.key.decrypt(packet, header, payload)
    }

    fn tag_len(&self) -> usize {
        TAG_LEN + self.room()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.key.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.key.integrity_limit()
    }
}

/// Opens what the server sends: it acknowledges packets by the numbers that they have on the wire.
pub(super) struct Opening(pub(super) PacketKey);

impl crypto::PacketKey for Opening {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        self.0.encrypt(packet, buf, header_len);
    }

    fn decrypt(&self, packet: u64, header: &[u8], payload: &mut BytesMut) -> Result<(), CryptoError> {
        self.0.decrypt(packet, header, payload)?;
        let acks: Vec<usize> = frames(payload)
            .filter_map(|(frame, _)| if let Frame::Ack(largest) = frame { Some(largest) } else { None })
            .collect();
        // There is no number 0: a server that acknowledges it is none.
        if acks.into_iter().all(|largest| decrement(&mut payload[largest..])) {
            Ok(())
        } else {
            Err(CryptoError)
        }
    }

    fn tag_len(&self) -> usize {
        self.0.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.0.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.0.integrity_limit()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use quinn_proto::crypto::PacketKey as _;

    use super::super::keys::Secret;
    use super::*;

    const DESTINATION: [u8; 8] = [7; 8];

    /// A packet as quinn writes it, sealed, and what the server finds in it: its number, and the frames.
    fn sent(sealing: &Sealing, number: u8, frames: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let header = [&[0xc0, 0, 0, 0, 1, 8][..], &DESTINATION, &[0, 0, 0x44, 0xd0, number]].concat();
        let mut packet = [&header[..], frames, &vec![0; sealing.tag_len()]].concat();
        let len = packet.len();
        sealing.encrypt(number.into(), &mut packet, header.len());
        assert_eq!(packet.len(), len);
        let header_len = header.len() + usize::from(packet[0] & 3);
        let mut payload = BytesMut::from(&packet[header_len..]);
        let key = Secret::initial(&DESTINATION).0.packet_key();
        key.decrypt(u64::from(number) + 1, &packet[..header_len], &mut payload).unwrap();
        (packet[header.len() - 1..header_len].to_vec(), payload.to_vec())
    }

    fn sealing() -> Sealing {
        Sealing { key: Secret::initial(&DESTINATION).0.packet_key(), shape: Arc::default() }
    }

    fn crypto(offset: usize, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_crypto(offset, data, &mut out);
        out
    }

    #[test]
    fn the_server_has_it_whole_and_out_of_order() {
        let hello: Vec<u8> = (0..1950_u32).map(|at| (at % 251) as u8).collect();
        let sealing = sealing();
        let arranged = sealing.shape.arrange(hello.clone(), 1250, 70);
        let room = 1250 - HEADER_LEN - sealing.tag_len();
        let first = room - crypto_header_len(0, room - 4);
        let (number, one) = sent(&sealing, 0, &crypto(0, &arranged[..first]));
        assert_eq!(number, [1]);
        let (number, two) = sent(&sealing, 1, &crypto(first, &arranged[first..]));
        assert_eq!(number, [0, 2]);
        let mut came = BTreeMap::new();
        for (payload, parts) in [(one, 2), (two, 1)] {
            let mut kinds = Vec::new();
            for (frame, _) in frames(&payload) {
                if let Frame::Crypto(offset, data) = frame.clone() {
                    came.insert(offset, payload[data].to_vec());
                }
                kinds.push(frame);
            }
            assert!(!kinds.contains(&Frame::Other));
            let count = |wanted: fn(&Frame) -> bool| kinds.iter().filter(|frame| wanted(frame)).count();
            let pieces = count(|frame| matches!(frame, Frame::Crypto(..)));
            assert!((parts + 1..=parts + CUTS.1).contains(&pieces), "{pieces}");
            assert!((PINGS.0..=PINGS.1).contains(&count(|frame| *frame == Frame::Ping)));
        }
        let joined = came.into_iter().fold(Vec::new(), |mut all, (offset, data)| {
            assert_eq!(offset, all.len());
            all.extend(data);
            all
        });
        assert_eq!(joined, hello);
    }

    #[test]
    fn what_is_no_hello_stays() {
        let sealing = sealing();
        let (_, payload) = sent(&sealing, 5, &[2, 9, 0, 0, 0, 1, 0x1c, 0, 0, 0]);
        assert!(payload.starts_with(&[2, 9, 0, 0, 0, 1]), "{payload:?}");
        // A ClientHello that fits into one datagram, and one that has more than two.
        assert_eq!(sealing.shape.arrange(vec![5; 100], 1250, 70), [5; 100]);
        assert_eq!(sealing.shape.arrange(vec![5; 2500], 1250, 70), [5; 2500]);
        assert_eq!(sealing.tag_len(), TAG_LEN);
    }

    #[test]
    fn acknowledgements_have_quinns_numbers() {
        let server = || Secret::initial(&DESTINATION).1.packet_key();
        let opened = |frames: &[u8]| {
            let mut packet = [&[0xc0][..], frames, &[0; TAG_LEN]].concat();
            server().encrypt(3, &mut packet, 1);
            let mut payload = BytesMut::from(&packet[1..]);
            Opening(server()).decrypt(3, &[0xc0], &mut payload).map(|()| payload.to_vec())
        };
        assert_eq!(opened(&[2, 2, 0, 0, 1, 6, 0, 1, 9]).unwrap(), [2, 1, 0, 0, 1, 6, 0, 1, 9]);
        assert!(opened(&[2, 0, 0, 0, 0]).is_err());
    }
}
