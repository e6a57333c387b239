//! The messages of `nfnetlink_queue`, read and written. Pure functions on bytes; nothing here touches a socket.
//!
//! A netlink message is a header of 16 bytes in the machine's byte order, then netfilter's own of 4, then attributes:
//! a length, a type and a value, padded to 4 bytes. Netfilter's values are in network byte order. Source:
//! `linux/netlink.h`, `linux/netfilter/nfnetlink.h`, `nfnetlink_queue.h` and `nfnetlink_conntrack.h`.

use std::num::NonZeroU32;
use std::ops::Range;

/// Of the netlink header, and with netfilter's.
const NETLINK_HEADER_LEN: usize = 16;
const HEADERS_LEN: usize = 20;
const ATTRIBUTE_HEADER_LEN: usize = 4;

const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;

/// The queue's part of netfilter's netlink family, in the upper byte of a message's type.
const SUBSYSTEM: u16 = 3 << 8;
const MESSAGE_PACKET: u16 = SUBSYSTEM;
pub(super) const MESSAGE_VERDICT: u16 = SUBSYSTEM | 1;
pub(super) const MESSAGE_CONFIG: u16 = SUBSYSTEM | 2;
pub(super) const MESSAGE_VERDICT_BATCH: u16 = SUBSYSTEM | 3;

/// An attribute's type without its flags "nested" and "network byte order".
const TYPE_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

const PACKET_HDR: u16 = 1;
pub(super) const VERDICT_HDR: u16 = 2;
pub(super) const MARK: u16 = 3;
const TIMESTAMP: u16 = 4;
const IFINDEX_INDEV: u16 = 5;
const IFINDEX_OUTDEV: u16 = 6;
const IFINDEX_PHYSINDEV: u16 = 7;
const IFINDEX_PHYSOUTDEV: u16 = 8;
const PAYLOAD: u16 = 10;
pub(super) const CT: u16 = 11;
const CT_INFO: u16 = 12;
const CAP_LEN: u16 = 13;
const SKB_INFO: u16 = 14;

pub(super) const CTA_MARK: u16 = 8;
const CTA_ID: u16 = 12;
pub(super) const CTA_MARK_MASK: u16 = 21;

const SKB_CHECKSUM_NOT_READY: u32 = 1;
const SKB_GSO: u32 = 2;
const SKB_CHECKSUM_NOT_VERIFIED: u32 = 4;

/// A message from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A packet that waits for a verdict.
    Packet(Packet<'a>),
    /// How a request went: 0, or the number of an error (`errno`), positive.
    Answer(i32),
    /// Anything else, such as padding or a message of another part of netfilter.
    Other,
}

/// A packet that waits for a verdict, and what the kernel says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packet<'a> {
    /// Its number in the queue. They ascend by one, and wrap; numbers are left out if packets found no room.
    pub id: u32,
    /// What `payload` begins with: 0x0800 is IPv4, 0x86dd IPv6.
    pub ether_type: u16,
    /// The hook it waits at (0 is PREROUTING, 1 INPUT, 2 FORWARD, 3 OUTPUT, 4 POSTROUTING).
    pub hook: u8,
    /// The packet's mark.
    pub mark: u32,
    /// Index of the interface it came in by, if it came from outside.
    pub input: Option<NonZeroU32>,
    /// Index of the interface it is to go out by, if that is known at the hook.
    pub output: Option<NonZeroU32>,
    /// Of a bridge's port it came in by.
    pub physical_input: Option<NonZeroU32>,
    /// Of a bridge's port it is to go out by.
    pub physical_output: Option<NonZeroU32>,
    /// When it came in, in nanoseconds since 1970 (of whole microseconds); `None` unless somebody in the kernel asked
    /// for times.
    pub timestamp_ns: Option<u64>,
    /// How many bytes it has from the network header on, at most 65,535 unless the kernel was told to build larger
    /// ones.
    pub wire_len: u32,
    /// It is several segments in one, larger than the link allows: its length fields and checksums are not yet those
    /// of the wire.
    pub gso: bool,
    /// What the checksum of its transport header is worth.
    pub checksum: Checksum,
    /// The connection it belongs to, if the queue asks for that and the packet has one.
    pub connection: Option<Connection>,
    /// From the network header on, up to the queue's copy range.
    pub payload: &'a [u8],
}

impl Packet<'_> {
    /// Its bytes were not all copied.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.payload.len() < self.wire_len as usize
    }
}

/// What a transport checksum in a queued packet is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// It was found right, or is not ours to check.
    #[default]
    Ready,
    /// The sender leaves it to hardware: it looks wrong, and isn't.
    NotReady,
    /// Nobody has checked it yet.
    NotVerified,
}

/// What conntrack says about a packet's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Connection {
    /// The kernel's number for it.
    pub id: u32,
    /// The connection's mark.
    pub mark: u32,
    /// Which way the packet goes, and what the connection is to it.
    pub state: State,
}

/// A packet's relation to its connection (`enum ip_conntrack_info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Belongs to a connection that both sides have sent on; in the direction of its first packet.
    Established,
    /// Begins, or reports on, another connection's relative.
    Related,
    /// The first, or not answered yet.
    New,
    /// As `Established`, in the other direction.
    EstablishedReply,
    /// As `Related`, in the other direction.
    RelatedReply,
    /// A number that this program doesn't know.
    #[default]
    Unknown,
}

/// Why bytes are no message. Offsets count from the message's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Too short for what it must begin with.
    #[error("the netlink message ends at byte {len}, within its header")]
    Header {
        /// Bytes there are.
        len: usize,
    },
    /// Its length field is below that of a header, or beyond the bytes there are.
    #[error("the netlink message says that it has {says} bytes, but there are {len}")]
    Length {
        /// Its length field.
        says: u32,
        /// Bytes there are.
        len: usize,
    },
    /// An attribute's length field is below that of its header, or beyond the message.
    #[error("the attribute at byte {offset} says that it has {says} bytes, which is not within its message")]
    Attribute {
        /// Of the attribute's header.
        offset: usize,
        /// Its length field.
        says: u16,
        /// The packet's number, if it was read before.
        id: Option<u32>,
    },
    /// A value is shorter than what its type needs.
    #[error("the attribute of type {kind} at byte {offset} is too short for its type")]
    Value {
        /// Of the attribute's header.
        offset: usize,
        /// The attribute's type.
        kind: u16,
        /// The packet's number, if it was read before.
        id: Option<u32>,
    },
    /// A packet without a number can't be given a verdict.
    #[error("the message of a packet lacks the packet's number (NFQA_PACKET_HDR)")]
    NoId,
}

impl MessageError {
    /// The number of the packet that the message was about, so that it can be given a verdict all the same.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        match *self {
            Self::Attribute { id, .. } | Self::Value { id, .. } => id,
            _ => None,
        }
    }
}

/// Reads the message at the beginning of `bytes`; also returns how many of them belong to it, padding included.
///
/// Nothing is copied and nothing allocated. Unknown attributes are passed over; of an attribute that comes twice the
/// last counts, as in the kernel.
///
/// # Errors
/// If it is cut short or its lengths contradict one another. A datagram's later messages can't be found then.
pub fn parse_message(bytes: &[u8]) -> Result<(Message<'_>, usize), MessageError> {
    let short = MessageError::Header { len: bytes.len() };
    let says = u32::from_ne_bytes(array(bytes, 0).ok_or(short)?);
    let kind = u16::from_ne_bytes(array(bytes, 4).ok_or(short)?);
    if bytes.len() < NETLINK_HEADER_LEN {
        return Err(short);
    }
    let wrong = MessageError::Length { says, len: bytes.len() };
    let message =
        bytes.get(..says as usize).filter(|message| message.len() >= NETLINK_HEADER_LEN).ok_or(wrong)?;
    let used = message.len().next_multiple_of(4).min(bytes.len());
    let message = match kind {
        MESSAGE_PACKET => Message::Packet(packet(message)?),
        NLMSG_ERROR => {
            let number = i32::from_ne_bytes(array(message, NETLINK_HEADER_LEN).ok_or(wrong)?);
            Message::Answer(number.saturating_neg())
        }
        _ => Message::Other,
    };
    Ok((message, used))
}

fn packet(message: &[u8]) -> Result<Packet<'_>, MessageError> {
    if message.len() < HEADERS_LEN {
        return Err(MessageError::Header { len: message.len() });
    }
    let mut packet = Packet {
        id: 0,
        ether_type: 0,
        hook: 0,
        mark: 0,
        input: None,
        output: None,
        physical_input: None,
        physical_output: None,
        timestamp_ns: None,
        wire_len: 0,
        gso: false,
        checksum: Checksum::Ready,
        connection: None,
        payload: &[],
    };
    let (mut id, mut wire_len) = (None, None);
    let mut connection: Option<Connection> = None;
    let mut offset = HEADERS_LEN;
    while let Some(attribute) = attribute(message, offset, id)? {
        let (kind, value) = (attribute.kind, message.get(attribute.value.clone()).unwrap_or_default());
        let short = || MessageError::Value { offset, kind, id };
        let number = || array(value, 0).map(u32::from_be_bytes).ok_or_else(short);
        match kind {
            PACKET_HDR => {
                let [i0, i1, i2, i3, e0, e1, hook] = array(value, 0).ok_or_else(short)?;
                id = Some(u32::from_be_bytes([i0, i1, i2, i3]));
                packet.ether_type = u16::from_be_bytes([e0, e1]);
                packet.hook = hook;
            }
            MARK => packet.mark = number()?,
            TIMESTAMP => {
                let seconds = array(value, 0).map(u64::from_be_bytes).ok_or_else(short)?;
                let micros = array(value, 8).map(u64::from_be_bytes).ok_or_else(short)?;
                packet.timestamp_ns = seconds
                    .checked_mul(1_000_000_000)
                    .and_then(|ns| ns.checked_add(micros.checked_mul(1000)?));
            }
            IFINDEX_INDEV => packet.input = NonZeroU32::new(number()?),
            IFINDEX_OUTDEV => packet.output = NonZeroU32::new(number()?),
            IFINDEX_PHYSINDEV => packet.physical_input = NonZeroU32::new(number()?),
            IFINDEX_PHYSOUTDEV => packet.physical_output = NonZeroU32::new(number()?),
            PAYLOAD => packet.payload = value,
            CAP_LEN => wire_len = Some(number()?),
            SKB_INFO => {
                let flags = number()?;
                packet.gso = flags & SKB_GSO != 0;
                packet.checksum = match flags {
                    _ if flags & SKB_CHECKSUM_NOT_READY != 0 => Checksum::NotReady,
                    _ if flags & SKB_CHECKSUM_NOT_VERIFIED != 0 => Checksum::NotVerified,
                    _ => Checksum::Ready,
                };
            }
            CT => {
                let at = connection.get_or_insert_default();
                (at.id, at.mark) = connection_numbers(message, attribute.value.clone(), id)?;
            }
            CT_INFO => {
                connection.get_or_insert_default().state = match number()? {
                    0 => State::Established,
                    1 => State::Related,
                    2 => State::New,
                    3 => State::EstablishedReply,
                    4 => State::RelatedReply,
                    _ => State::Unknown,
                };
            }
            _ => {}
        }
        offset = attribute.next;
    }
    packet.id = id.ok_or(MessageError::NoId)?;
    packet.connection = connection;
    // Said only if it differs, and never less than what was copied.
    let copied = packet.payload.len() as u32;
    packet.wire_len = wire_len.unwrap_or(copied).max(copied);
    Ok(packet)
}

/// A connection's number and mark, from the attributes nested in bytes `within` of the message.
fn connection_numbers(
    message: &[u8],
    within: Range<usize>,
    id: Option<u32>,
) -> Result<(u32, u32), MessageError> {
    let message = message.get(..within.end).unwrap_or_default();
    let (mut number, mut mark, mut offset) = (0, 0, within.start);
    while let Some(attribute) = attribute(message, offset, id)? {
        let kind = attribute.kind;
        let value = || {
            let value = array(message, attribute.value.start).filter(|_| attribute.value.len() >= 4);
            value.map(u32::from_be_bytes).ok_or(MessageError::Value { offset, kind, id })
        };
        match kind {
            CTA_ID => number = value()?,
            CTA_MARK => mark = value()?,
            _ => {}
        }
        offset = attribute.next;
    }
    Ok((number, mark))
}

struct Attribute {
    kind: u16,
    value: Range<usize>,
    /// Where the next one begins.
    next: usize,
}

/// The attribute at `offset`, or `None` if no header fits any more, as the kernel itself reads them.
fn attribute(message: &[u8], offset: usize, id: Option<u32>) -> Result<Option<Attribute>, MessageError> {
    let (Some(len), Some(kind)) = (array(message, offset), array(message, offset + 2)) else {
        return Ok(None);
    };
    let (says, kind) = (u16::from_ne_bytes(len), u16::from_ne_bytes(kind) & TYPE_MASK);
    let end = offset + usize::from(says);
    if usize::from(says) < ATTRIBUTE_HEADER_LEN || end > message.len() {
        return Err(MessageError::Attribute { offset, says, id });
    }
    Ok(Some(Attribute { kind, value: offset + ATTRIBUTE_HEADER_LEN..end, next: end.next_multiple_of(4) }))
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// How many bytes of `messages`, which were written here, can go in a datagram of at most `max`: whole messages, and at
/// least one.
pub(super) fn whole_messages(messages: &[u8], max: usize) -> usize {
    let mut end = 0;
    while let Some(len) = array(messages, end).map(u32::from_ne_bytes) {
        let next = end + len as usize;
        if len == 0 || end > 0 && next > max {
            break;
        }
        end = next;
    }
    end.min(messages.len())
}

/// Writes one message at the end of a buffer.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Writer<'a> {
    /// Begins a message of type `kind` about `queue`. With `answer` the kernel says how it went, else only that it
    /// went wrong.
    pub(super) fn new(out: &'a mut Vec<u8>, kind: u16, queue: u16, answer: bool) -> Self {
        let start = out.len();
        let flags = NLM_F_REQUEST | if answer { NLM_F_ACK } else { 0 };
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&kind.to_ne_bytes());
        out.extend_from_slice(&flags.to_ne_bytes());
        // Sequence and port, which the kernel only sends back; then the family (any) and the version.
        out.extend_from_slice(&[0; 10]);
        out.extend_from_slice(&queue.to_be_bytes());
        Self { out, start }
    }

    /// Adds an attribute. Its value is at most some dozen bytes here.
    pub(super) fn attribute(self, kind: u16, value: &[u8]) -> Self {
        self.out.extend_from_slice(&((ATTRIBUTE_HEADER_LEN + value.len()) as u16).to_ne_bytes());
        self.out.extend_from_slice(&kind.to_ne_bytes());
        self.out.extend_from_slice(value);
        self.out.resize(self.out.len().next_multiple_of(4), 0);
        self
    }

    /// Adds numbers as attributes within an attribute.
    pub(super) fn nested(self, kind: u16, numbers: &[(u16, u32)]) -> Self {
        let len = ATTRIBUTE_HEADER_LEN + numbers.len() * 8;
        self.out.extend_from_slice(&(len as u16).to_ne_bytes());
        self.out.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        numbers.iter().fold(self, |writer, (kind, number)| writer.attribute(*kind, &number.to_be_bytes()))
    }

    /// Ends the message.
    pub(super) fn end(self) {
        let len = (self.out.len() - self.start) as u32;
        if let Some(field) = self.out.get_mut(self.start..self.start + 4) {
            field.copy_from_slice(&len.to_ne_bytes());
        }
    }
}
