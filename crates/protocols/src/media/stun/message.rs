//! One STUN message: header and attributes (RFC 8489 §5 and §14; RFC 3489 §11 for those without a magic cookie).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cursor::Cursor;

/// The value that tells RFC 5389 from RFC 3489.
pub(super) const MAGIC_COOKIE: u32 = 0x2112_a442;
/// Length of the header.
pub(super) const HEADER: usize = 20;

/// A message, borrowed from its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    /// The 14 bits of method and class.
    pub(super) kind: u16,
    /// Has the magic cookie.
    pub(super) cookie: bool,
    /// The 96 bits of the transaction ID (of RFC 3489: the last 96 of its 128).
    pub(super) transaction: [u8; 12],
    /// The attributes, unparsed.
    pub(super) body: &'a [u8],
    /// Attributes are padded to four bytes. Microsoft's TURN is older than that rule and does without (MS-TURN §2.2).
    padded: bool,
}

/// What the two class bits say (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

impl<'a> Message<'a> {
    /// The message at the start of `bytes`, if its header is sound and its whole length is there.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut c = Cursor::new(bytes);
        let kind = c.u16()?;
        if kind & 0xc000 != 0 {
            return None;
        }
        let len = c.u16()?;
        let cookie = c.u32()? == MAGIC_COOKIE;
        let transaction = c.array()?;
        let message = Self { kind, cookie, transaction, body: c.take(len.into())?, padded: true };
        let bare = Self { padded: false, ..message };
        Some(if !message.is_sound() && bare.is_sound() { bare } else { message })
    }

    /// Bytes that it takes.
    pub(super) fn len(&self) -> usize {
        HEADER + self.body.len()
    }

    pub(super) fn class(&self) -> Class {
        match (self.kind >> 7 & 2) | (self.kind >> 4 & 1) {
            0 => Class::Request,
            1 => Class::Indication,
            2 => Class::Success,
            _ => Class::Error,
        }
    }

    /// The method, without the class bits that lie between its own.
    pub(super) fn method(&self) -> u16 {
        (self.kind & 0x000f) | (self.kind & 0x00e0) >> 1 | (self.kind & 0x3e00) >> 2
    }

    /// The attributes in order. Ends early where one does not fit.
    pub(super) fn attributes(&self) -> Attributes<'a> {
        Attributes { c: Cursor::new(self.body), padded: self.padded }
    }

    /// True if the attributes fill the body exactly. The padding of the last one may be missing: some senders leave
    /// it out.
    pub(super) fn is_sound(&self) -> bool {
        let mut attributes = self.attributes();
        while attributes.next().is_some() {}
        attributes.c.is_empty()
    }

    /// True if its first attribute is MS-TURN's own magic cookie: its messages need not have the other one.
    pub(super) fn is_microsoft(&self) -> bool {
        self.body.starts_with(&[0x00, 0x0f, 0x00, 0x04, 0x72, 0xc6, 0x4b, 0xc6]) && self.is_sound()
    }

    /// True if it is one of RFC 3489 whose every attribute is known and has a length that it can have. Used where no
    /// cookie vouches for it.
    pub(super) fn is_classic(&self) -> bool {
        matches!(self.kind, 0x0001 | 0x0101 | 0x0111 | 0x0002 | 0x0102 | 0x0112)
            && self.body.len().is_multiple_of(4)
            && self.is_sound()
            && self.attributes().all(|(kind, value)| match kind {
                // Addresses: family, port, 4 or 16 bytes.
                0x0001 | 0x0002 | 0x0004 | 0x0005 | 0x000b | 0x8020 | 0x0103 => address(value).is_some(),
                // CHANGE-REQUEST: 32 bits of which two count.
                0x0003 => matches!(value, [0, 0, 0, b] if b & !6 == 0),
                0x0006 | 0x0007 => !value.is_empty() && value.len() <= 512,
                0x0008 => value.len() == 20,
                0x0009 => value.len() >= 4 && value[..2] == [0, 0] && matches!(value[2], 1..=6),
                0x000a => value.len().is_multiple_of(2),
                0x0101 => value.len() == 20,
                0x8022 => value.len() <= 763,
                0x8028 => value.len() == 4,
                _ => false,
            })
    }
}

/// Iterates over type and value of the attributes.
pub(super) struct Attributes<'a> {
    c: Cursor<'a>,
    padded: bool,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut c = self.c;
        let kind = c.u16()?;
        let value = c.vec16()?;
        let padding = if self.padded { value.len().wrapping_neg() % 4 } else { 0 };
        c.skip(padding.min(c.remaining()))?;
        self.c = c;
        Some((kind, value))
    }
}

/// A MAPPED-ADDRESS-like value in clear.
pub(super) fn address(value: &[u8]) -> Option<(IpAddr, u16)> {
    let mut c = Cursor::new(value);
    c.skip(1)?;
    let family = c.u8()?;
    let port = c.u16()?;
    let ip = match (family, c.remaining()) {
        (1, 4) => Ipv4Addr::from(c.u32()?).into(),
        (2, 16) => Ipv6Addr::from(c.array::<16>()?).into(),
        _ => return None,
    };
    Some((ip, port))
}

/// An XOR-MAPPED-ADDRESS-like value (RFC 8489 §14.2).
pub(super) fn xor_address(value: &[u8], transaction: &[u8; 12]) -> Option<(IpAddr, u16)> {
    let (ip, port) = address(value)?;
    let ip = match ip {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip) ^ MAGIC_COOKIE).into(),
        IpAddr::V6(ip) => {
            let mut mask = [0; 16];
            mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
            mask[4..].copy_from_slice(transaction);
            Ipv6Addr::from(u128::from(ip) ^ u128::from_be_bytes(mask)).into()
        }
    };
    Some((ip, port ^ (MAGIC_COOKIE >> 16) as u16))
}

/// The name of a message's method and class, such as `binding-request`.
pub(super) fn name(message: &Message<'_>) -> &'static str {
    macro_rules! classes {
        ($method:literal) => {
            match message.class() {
                Class::Request => concat!($method, "-request"),
                Class::Indication => concat!($method, "-indication"),
                Class::Success => concat!($method, "-success"),
                Class::Error => concat!($method, "-error"),
            }
        };
    }
    match message.method() {
        0x001 => classes!("binding"),
        0x002 => classes!("shared-secret"),
        0x003 => classes!("allocate"),
        0x004 => classes!("refresh"),
        0x006 => classes!("send"),
        0x007 => classes!("data"),
        0x008 => classes!("create-permission"),
        0x009 => classes!("channel-bind"),
        0x00a => classes!("connect"),
        0x00b => classes!("connection-bind"),
        0x00c => classes!("connection-attempt"),
        0x080 => classes!("goog-ping"),
        _ => classes!("other"),
    }
}
