//! What records carry: a sequence of frames, each a type and its fields, all of them variable-length integers.

use crate::Destination;
use crate::error::Violation;
use crate::wire::{Malformed, Reader, put_varint, varint_len};

const PADDING: u64 = 0x00;
const PING: u64 = 0x01;
const PONG: u64 = 0x02;
const PATH_CLOSE: u64 = 0x03;
const PATH_GONE: u64 = 0x04;
const CLOSE: u64 = 0x05;
const ACK: u64 = 0x06;
const GONE: u64 = 0x07;
const STREAM: u64 = 0x08;
const STREAM_FIN: u64 = 0x09;
const RESET: u64 = 0x0a;
const STOP: u64 = 0x0b;
const MAX_DATA: u64 = 0x0c;
const MAX_STREAM_DATA: u64 = 0x0d;
const MAX_STREAMS: u64 = 0x0e;
const DATAGRAM: u64 = 0x10;
const DATAGRAM_END: u64 = 0x11;
/// From here on types are for extensions: a length follows them, and whoever doesn't know one skips it.
pub(crate) const EXTENSION: u64 = 0x20;

/// A `STREAM` frame's longest header.
pub(crate) const STREAM_HEADER_MAX: usize = 1 + 8 + 8 + 4;
/// Longest of the frames without data.
pub(crate) const CONTROL_FRAME_MAX: usize = 1 + 8 + 8 + 8;

/// One frame. Data is borrowed from the record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Frame<'a> {
    /// Everything up to the end of the record; its bytes mean nothing.
    Padding(usize),
    /// Asks for a `Pong` with the same number on the same path.
    Ping(u64),
    Pong(u64),
    /// The sender writes no more on this path.
    PathClose,
    /// The sender has lost the path of this number.
    PathGone(u64),
    /// The session ends.
    Close {
        code: u64,
    },
    /// All of the stream before `offset` has been received; its end counts as one more.
    Ack {
        stream: u64,
        offset: u64,
    },
    /// The stream is over on both sides, and forgotten: whatever was sent on it has been received.
    Gone {
        stream: u64,
    },
    Stream {
        stream: u64,
        offset: u64,
        fin: bool,
        data: &'a [u8],
    },
    /// The stream's sender gives up; `final_offset` is how much it ever sent.
    Reset {
        stream: u64,
        code: u64,
        final_offset: u64,
    },
    /// The stream's receiver wants no more.
    Stop {
        stream: u64,
        code: u64,
    },
    MaxData(u64),
    MaxStreamData {
        stream: u64,
        limit: u64,
    },
    MaxStreams(u64),
    Datagram {
        association: u64,
        destination: Destination,
        data: &'a [u8],
    },
    DatagramEnd {
        association: u64,
    },
    /// One of an extension that this version doesn't know: it is ignored.
    Extension {
        kind: u64,
        data: &'a [u8],
    },
}

impl<'a> Frame<'a> {
    /// The next frame of a record.
    ///
    /// # Errors
    /// A type below [`EXTENSION`] that is not of this version, or a frame that is cut.
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, Violation> {
        let kind = reader.varint().map_err(|_| Violation::Frame(PADDING))?;
        Self::decode_fields(kind, reader).map_err(|_| Violation::Frame(kind))
    }

    fn decode_fields(kind: u64, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match kind {
            PADDING => Self::Padding(reader.rest().len()),
            PING => Self::Ping(reader.varint()?),
            PONG => Self::Pong(reader.varint()?),
            PATH_CLOSE => Self::PathClose,
            PATH_GONE => Self::PathGone(reader.varint()?),
            CLOSE => Self::Close { code: reader.varint()? },
            ACK => Self::Ack { stream: reader.varint()?, offset: reader.varint()? },
            GONE => Self::Gone { stream: reader.varint()? },
            STREAM | STREAM_FIN => Self::Stream {
                stream: reader.varint()?,
                offset: reader.varint()?,
                fin: kind == STREAM_FIN,
                data: reader.prefixed()?,
            },
            RESET => Self::Reset {
                stream: reader.varint()?,
                code: reader.varint()?,
                final_offset: reader.varint()?,
            },
            STOP => Self::Stop { stream: reader.varint()?, code: reader.varint()? },
            MAX_DATA => Self::MaxData(reader.varint()?),
            MAX_STREAM_DATA => Self::MaxStreamData { stream: reader.varint()?, limit: reader.varint()? },
            MAX_STREAMS => Self::MaxStreams(reader.varint()?),
            DATAGRAM => Self::Datagram {
                association: reader.varint()?,
                destination: Destination::decode(reader)?,
                data: reader.prefixed()?,
            },
            DATAGRAM_END => Self::DatagramEnd { association: reader.varint()? },
            EXTENSION.. => Self::Extension { kind, data: reader.prefixed()? },
            _ => return Err(Malformed),
        })
    }

    /// Appends the frame.
    pub(crate) fn encode<O: Extend<u8> + for<'b> Extend<&'b u8>>(&self, out: &mut O) {
        let mut put = |values: &[u64]| values.iter().for_each(|&value| put_varint(out, value));
        match *self {
            Self::Padding(len) => {
                put(&[PADDING]);
                out.extend(std::iter::repeat_n(0u8, len));
            }
            Self::Ping(number) => put(&[PING, number]),
            Self::Pong(number) => put(&[PONG, number]),
            Self::PathClose => put(&[PATH_CLOSE]),
            Self::PathGone(number) => put(&[PATH_GONE, number]),
            Self::Close { code } => put(&[CLOSE, code]),
            Self::Ack { stream, offset } => put(&[ACK, stream, offset]),
            Self::Gone { stream } => put(&[GONE, stream]),
            Self::Stream { stream, offset, fin, data } => {
                put(&[if fin { STREAM_FIN } else { STREAM }, stream, offset, data.len() as u64]);
                out.extend(data);
            }
            Self::Reset { stream, code, final_offset } => put(&[RESET, stream, code, final_offset]),
            Self::Stop { stream, code } => put(&[STOP, stream, code]),
            Self::MaxData(limit) => put(&[MAX_DATA, limit]),
            Self::MaxStreamData { stream, limit } => put(&[MAX_STREAM_DATA, stream, limit]),
            Self::MaxStreams(limit) => put(&[MAX_STREAMS, limit]),
            Self::Datagram { association, ref destination, data } => {
                put(&[DATAGRAM, association]);
                destination.encode(out);
                put_varint(out, data.len() as u64);
                out.extend(data);
            }
            Self::DatagramEnd { association } => put(&[DATAGRAM_END, association]),
            Self::Extension { kind, data } => {
                put(&[kind, data.len() as u64]);
                out.extend(data);
            }
        }
    }
}

/// Appends what stands before the data of a `STREAM` frame, whose bytes then follow without a copy between.
pub(crate) fn put_stream_header(out: &mut impl Extend<u8>, stream: u64, offset: u64, fin: bool, len: usize) {
    for value in [if fin { STREAM_FIN } else { STREAM }, stream, offset, len as u64] {
        put_varint(out, value);
    }
}

/// What that takes, for data of at most `len` bytes.
pub(crate) fn stream_header_len(stream: u64, offset: u64, len: usize) -> usize {
    1 + varint_len(stream) + varint_len(offset) + varint_len(len as u64)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::destination::tests::any_destination;
    use crate::wire::VARINT_MAX;

    /// A frame with its data beside it.
    fn any_frame() -> impl Strategy<Value = (u64, [u64; 3], Destination, Vec<u8>)> {
        let number = || (0u64..=VARINT_MAX, 0u32..62).prop_map(|(value, shift)| value >> shift);
        let kinds = prop_oneof![0u64..0x12, EXTENSION..0x4100];
        (kinds, [number(), number(), number()], any_destination(), vec(any::<u8>(), 0..300))
    }

    fn frame<'a>(
        kind: u64,
        [a, b, c]: [u64; 3],
        destination: Destination,
        data: &'a [u8],
    ) -> Option<Frame<'a>> {
        Some(match kind {
            PING => Frame::Ping(a),
            PONG => Frame::Pong(a),
            PATH_CLOSE => Frame::PathClose,
            PATH_GONE => Frame::PathGone(a),
            CLOSE => Frame::Close { code: a },
            ACK => Frame::Ack { stream: a, offset: b },
            GONE => Frame::Gone { stream: a },
            STREAM | STREAM_FIN => Frame::Stream { stream: a, offset: b, fin: kind == STREAM_FIN, data },
            RESET => Frame::Reset { stream: a, code: b, final_offset: c },
            STOP => Frame::Stop { stream: a, code: b },
            MAX_DATA => Frame::MaxData(a),
            MAX_STREAM_DATA => Frame::MaxStreamData { stream: a, limit: b },
            MAX_STREAMS => Frame::MaxStreams(a),
            DATAGRAM => Frame::Datagram { association: a, destination, data },
            DATAGRAM_END => Frame::DatagramEnd { association: a },
            EXTENSION.. => Frame::Extension { kind, data },
            _ => return None,
        })
    }

    proptest! {
        #[test]
        fn frames_come_back(frames in vec(any_frame(), 0..8), padding in 0usize..40) {
            let mut sent: Vec<_> =
                frames.iter().filter_map(|(kind, n, to, data)| frame(*kind, *n, to.clone(), data)).collect();
            sent.push(Frame::Padding(padding));
            let mut bytes = Vec::new();
            for frame in &sent {
                frame.encode(&mut bytes);
            }
            let mut reader = Reader::new(&bytes);
            for frame in sent {
                prop_assert_eq!(Frame::decode(&mut reader), Ok(frame));
            }
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn a_cut_frame_is_found((kind, n, to, data) in any_frame()) {
            if let Some(frame) = frame(kind, n, to, &data) {
                let mut bytes = Vec::new();
                frame.encode(&mut bytes);
                for cut in 0..bytes.len() {
                    prop_assert!(Frame::decode(&mut Reader::new(&bytes[..cut])).is_err());
                }
            }
        }

        #[test]
        fn headers_are_those_of_frames(stream in 0..VARINT_MAX, offset in 0..VARINT_MAX, fin: bool, data: Vec<u8>) {
            let (mut whole, mut parts) = (Vec::new(), Vec::new());
            Frame::Stream { stream, offset, fin, data: &data }.encode(&mut whole);
            put_stream_header(&mut parts, stream, offset, fin, data.len());
            prop_assert_eq!(parts.len(), stream_header_len(stream, offset, data.len()));
            parts.extend(data);
            prop_assert_eq!(parts, whole);
        }
    }

    #[test]
    fn types_of_other_versions() {
        for kind in [0x0f, 0x12, 0x1f] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, kind);
            bytes.extend([0; 8]);
            assert_eq!(Frame::decode(&mut Reader::new(&bytes)), Err(Violation::Frame(kind)));
        }
    }
}
