//! Records: how much there is, sealed, and what there is, sealed.
//!
//! ```text
//! data length and end flag 2 | padding length 2 | tag 16 | data | padding | tag 16
//! ```
//!
//! Nothing on the wire says where a record begins or ends, and a byte that was changed anywhere ends the stream before
//! anything of its record is given out.

use bytes::{Bytes, BytesMut};

use super::keys::{Cipher, TAG_LEN};

const SIZES_LEN: usize = 4 + TAG_LEN;
const END: u16 = 0x8000;
/// The most data in a record, in bytes.
pub const DATA_LEN_MAX: usize = 0x7fff;

/// Both directions of a connection.
pub struct Traffic {
    /// What is sent.
    pub seal: Sealer,
    /// What comes.
    pub open: Opener,
}

impl Traffic {
    pub(super) fn new(seal: Cipher, open: Cipher) -> Self {
        Self { seal: Sealer { cipher: seal }, open: Opener { cipher: open, sizes: None } }
    }
}

/// Why records can't be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// What came is not what was sent: it was changed on the way, or the other side has other keys.
    #[error("the stream was changed on the way")]
    Damaged,
    /// More than fits into a record.
    #[error("{length} bytes of data or padding, and a record takes {DATA_LEN_MAX}")]
    TooLong {
        /// In bytes.
        length: usize,
    },
}

/// Makes records.
pub struct Sealer {
    cipher: Cipher,
}

impl Sealer {
    /// Appends a record to `out`. `is_end`: it is the last.
    ///
    /// # Errors
    /// If there is too much of data or padding.
    pub fn seal(
        &mut self,
        data: &[u8],
        padding: usize,
        is_end: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        let length = data.len().max(padding);
        let [data_len, padding_len] =
            [data.len(), padding].map(|len| (len <= DATA_LEN_MAX).then_some(len as u16));
        let (Some(data_len), Some(padding_len)) = (data_len, padding_len) else {
            return Err(RecordError::TooLong { length });
        };
        out.reserve(SIZES_LEN + data.len() + padding + TAG_LEN);
        let start = out.len();
        out.extend((data_len | if is_end { END } else { 0 }).to_be_bytes());
        out.extend(padding_len.to_be_bytes());
        self.cipher.seal(out, start).map_err(|_| RecordError::Damaged)?;
        let start = out.len();
        out.extend(data);
        out.resize(start + data.len() + padding, 0);
        self.cipher.seal(out, start).map_err(|_| RecordError::Damaged)
    }
}

/// Reads records.
pub struct Opener {
    cipher: Cipher,
    /// Of the record that is under way.
    sizes: Option<Sizes>,
}

#[derive(Clone, Copy)]
struct Sizes {
    data: usize,
    body: usize,
    is_end: bool,
}

/// What was in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What was sent; nothing if the record was padding only.
    pub data: Bytes,
    /// Nothing comes after it.
    pub is_end: bool,
}

impl Opener {
    /// Takes the next record out of `wire`, where it lies; `None` if not all of it is there.
    ///
    /// # Errors
    /// If it is not what was sent; then nothing after it can be read either.
    pub fn open(&mut self, wire: &mut BytesMut) -> Result<Option<Opened>, RecordError> {
        let sizes = match self.sizes {
            Some(sizes) => sizes,
            None if wire.len() < SIZES_LEN => return Ok(None),
            None => {
                let mut sealed = wire.split_to(SIZES_LEN);
                let open = self.cipher.open(&mut sealed).map_err(|_| RecordError::Damaged)?;
                let [a, b, c, d] = *open else { return Err(RecordError::Damaged) };
                let (data, padding) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                let length = usize::from(data & !END);
                let body = length + usize::from(padding) + TAG_LEN;
                let sizes = Sizes { data: length, body, is_end: data & END != 0 };
                self.sizes = Some(sizes);
                sizes
            }
        };
        if wire.len() < sizes.body {
            return Ok(None);
        }
        let mut body = wire.split_to(sizes.body);
        self.cipher.open(&mut body).map_err(|_| RecordError::Damaged)?;
        body.truncate(sizes.data);
        self.sizes = None;
        Ok(Some(Opened { data: body.freeze(), is_end: sizes.is_end }))
    }

    /// How many more bytes it takes to have the record that is under way, or the beginning of the next.
    pub fn wanted(&self, wire: &BytesMut) -> usize {
        self.sizes.map_or(SIZES_LEN, |sizes| sizes.body).saturating_sub(wire.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::keys::{Derived, Suite};
    use super::*;

    fn pair(suite: Suite) -> (Sealer, Opener) {
        let cipher = || Derived::new(b"", b"a test").cipher(suite, &[b"records"]).unwrap();
        let Traffic { seal, open } = Traffic::new(cipher(), cipher());
        (seal, open)
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            records in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..2000), 0_usize..600), 1..8),
            piece in 1_usize..3000,
            wrong in proptest::option::of((any::<proptest::sample::Index>(), 0_u8..8)),
        ) {
            let (mut sealer, mut opener) = pair(Suite::Aes128Gcm);
            let (mut wire, mut ends) = (Vec::new(), Vec::new());
            for (at, (data, padding)) in records.iter().enumerate() {
                sealer.seal(data, *padding, at + 1 == records.len(), &mut wire).unwrap();
                ends.push(wire.len());
            }
            let wrong = wrong.map(|(at, bit)| (at.index(wire.len()), bit));
            if let Some((at, bit)) = wrong {
                wire[at] ^= 1 << bit;
            }
            let (mut buffer, mut came, mut damaged) = (BytesMut::new(), Vec::new(), false);
            'all: for bytes in wire.chunks(piece) {
                buffer.extend_from_slice(bytes);
                loop {
                    match opener.open(&mut buffer) {
                        Ok(Some(opened)) => came.push(opened),
                        Ok(None) => { prop_assert!(opener.wanted(&buffer) > 0); break }
                        Err(error) => {
                            prop_assert_eq!(error, RecordError::Damaged);
                            damaged = true;
                            break 'all;
                        }
                    }
                }
            }
            // All records before the one that was changed, and nothing after them.
            let whole = wrong.map_or(ends.len(), |(at, _)| ends.iter().filter(|end| **end <= at).count());
            prop_assert_eq!((came.len(), damaged), (whole, wrong.is_some()));
            for (opened, (data, _)) in came.iter().zip(&records) {
                prop_assert_eq!(&opened.data[..], &data[..]);
            }
            prop_assert_eq!(came.last().is_some_and(|last| last.is_end), wrong.is_none());
        }

        #[test]
        fn noise_is_damaged(noise in proptest::collection::vec(any::<u8>(), SIZES_LEN..200)) {
            let (_, mut opener) = pair(Suite::ChaCha20Poly1305);
            prop_assert_eq!(opener.open(&mut noise.as_slice().into()), Err(RecordError::Damaged));
        }
    }

    #[test]
    fn as_much_as_fits() {
        let (mut sealer, mut opener) = pair(Suite::Aes128Gcm);
        let mut wire = Vec::new();
        sealer.seal(&[7; DATA_LEN_MAX], DATA_LEN_MAX, false, &mut wire).unwrap();
        let opened = opener.open(&mut wire.as_slice().into()).unwrap().unwrap();
        assert_eq!((opened.data.len(), opened.is_end), (DATA_LEN_MAX, false));
        let too_long = sealer.seal(&[7; DATA_LEN_MAX + 1], 0, false, &mut wire);
        assert_eq!(too_long, Err(RecordError::TooLong { length: DATA_LEN_MAX + 1 }));
    }
}
