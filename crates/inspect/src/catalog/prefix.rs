//! Address prefixes, and which of many a given address is in.
//!
//! IPv4 addresses are seen as IPv4-mapped IPv6 ones (`::ffff:0:0/96`), so that there is one kind of number to compare.

use std::net::IpAddr;

/// The addresses whose first `length` bits are those of `bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Prefix {
    /// The lowest address in it.
    pub(crate) bits: u128,
    /// 0 to 128.
    pub(crate) length: u8,
}

/// The number of an address.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Prefix {
    /// `192.0.2.0/24`, `2001:db8::/32`, or one address. The error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (this, number) = Self::with_address(text)?;
        if this.bits != number {
            return Err(format!("{text:?} has bits set after the prefix: write {this}"));
        }
        Ok(this)
    }

    /// The same where bits after the prefix don't matter; and the number of the address as it was written.
    pub(crate) fn with_address(text: &str) -> Result<(Self, u128), String> {
        let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(format!(
                "{text:?} is not an address or prefix such as 192.0.2.0/24 or 2001:db8::/32"
            ));
        };
        let (offset, bits) = if address.is_ipv4() { (96, 32) } else { (0, 128) };
        let length = match length.map(str::parse::<u8>) {
            None => bits,
            Some(Ok(length)) if (1..=bits).contains(&length) => length,
            Some(_) => return Err(format!("{text:?}: the number after the slash must be 1 to {bits}")),
        };
        Ok((Self::of(number(address), offset + length), number(address)))
    }

    /// The prefix of this length that an address is in.
    pub(crate) fn of(number: u128, length: u8) -> Self {
        let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
        Self { bits: number & mask, length }
    }

    /// The highest address in it.
    pub(crate) fn last(self) -> u128 {
        self.bits | u128::MAX.checked_shr(self.length.into()).unwrap_or(0)
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = std::net::Ipv6Addr::from_bits(self.bits);
        match address.to_ipv4_mapped() {
            Some(v4) if self.length >= 96 => write!(f, "{v4}/{}", self.length - 96),
            _ => write!(f, "{address}/{}", self.length),
        }
    }
}

/// What [`flatten`] says of addresses that are in no prefix.
pub(crate) const NONE: u16 = u16::MAX;

/// From prefixes, of which some may be within others, to the points where the answer changes: from each number to the
/// next one, the addresses belong to the application beside it. The longest prefix has the say.
pub(crate) fn flatten(prefixes: &[(Prefix, u16)]) -> Vec<(u128, u16)> {
    let mut sorted = prefixes.to_vec();
    sorted.sort_by_key(|(p, _)| (p.bits, p.length));
    let mut points: Vec<(u128, u16)> = Vec::new();
    let mut add = |from: u128, app: u16| {
        while points.last().is_some_and(|(at, _)| *at >= from) {
            points.pop();
        }
        if points.last().map_or(NONE, |(_, app)| *app) != app {
            points.push((from, app));
        }
    };
    // The prefixes that the current point is within, the longest last.
    let mut open: Vec<(Prefix, u16)> = Vec::new();
    for (prefix, app) in sorted {
        close(&mut open, Some(prefix.bits), &mut add);
        add(prefix.bits, app);
        open.push((prefix, app));
    }
    close(&mut open, None, &mut add);
    points
}

/// Ends the prefixes that do not reach `next`.
fn close(open: &mut Vec<(Prefix, u16)>, next: Option<u128>, add: &mut impl FnMut(u128, u16)) {
    while let Some(ended) = open.pop_if(|(p, _)| next.is_none_or(|next| p.last() < next)) {
        if let Some(after) = ended.0.last().checked_add(1) {
            add(after, open.last().map_or(NONE, |(_, app)| *app));
        }
    }
}

/// Finds an address among the points of [`flatten`].
pub(crate) fn find(points: &[(u128, u16)], number: u128) -> Option<u16> {
    let after = points.partition_point(|(from, _)| *from <= number);
    let (_, app) = points.get(after.checked_sub(1)?)?;
    (*app != NONE).then_some(*app)
}
