//! Which information elements a column becomes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use daylight_expr::Kind;
use daylight_inspect::{Column, ColumnId, Core};
use serde_json::Value;

use crate::{flat, time};

/// The enterprise number under which an element is the same seen from the other side (RFC 5103).
pub(super) const REVERSE_PEN: u32 = 29305;

/// The number of each column under our enterprise number, by name.
const NUMBERS: &str = include_str!("elements.txt");

/// Data types of RFC 5610 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Type {
    OctetArray = 0,
    Unsigned8 = 1,
    Unsigned16 = 2,
    Unsigned64 = 4,
    Float64 = 10,
    Boolean = 11,
    Text = 13,
    Nanoseconds = 17,
    Ipv4 = 18,
    Ipv6 = 19,
}

impl Type {
    /// Bytes, or none if they vary.
    pub(super) fn len(self) -> Option<u16> {
        Some(match self {
            Self::OctetArray | Self::Text => return None,
            Self::Unsigned8 | Self::Boolean => 1,
            Self::Unsigned16 => 2,
            Self::Unsigned64 | Self::Float64 | Self::Nanoseconds => 8,
            Self::Ipv4 => 4,
            Self::Ipv6 => 16,
        })
    }
}

/// Whose number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Owner {
    Iana,
    Reverse,
    Own,
}

/// An information element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Element {
    pub(super) owner: Owner,
    pub(super) number: u16,
    pub(super) ty: Type,
}

pub(super) const fn iana(number: u16, ty: Type) -> Element {
    Element { owner: Owner::Iana, number, ty }
}

const fn reverse(number: u16) -> Element {
    Element { owner: Owner::Reverse, number, ty: Type::Unsigned64 }
}

/// `applicationName`.
pub(super) const APPLICATION_NAME: Element = iana(96, Type::Text);
/// `observationDomainName`: the sensor.
pub(super) const DOMAIN_NAME: Element = iana(300, Type::Text);
/// `flowStartMilliseconds` and `flowEndMilliseconds`: not every collector reads nanoseconds.
pub(super) const MILLISECONDS: [(&str, Element); 2] =
    [("start", iana(152, Type::Unsigned64)), ("end", iana(153, Type::Unsigned64))];
/// `record_id` has a number beside the columns'.
pub(super) const RECORD_ID: Element = Element { owner: Owner::Own, number: 1, ty: Type::OctetArray };

fn numbers() -> &'static HashMap<&'static str, u16> {
    static MAP: OnceLock<HashMap<&'static str, u16>> = OnceLock::new();
    MAP.get_or_init(|| entries().collect())
}

/// Names and numbers.
pub(super) fn entries() -> impl Iterator<Item = (&'static str, u16)> {
    let lines = NUMBERS.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.filter_map(|line| {
        let (number, name) = line.split_once(' ')?;
        Some((name, number.parse().ok()?))
    })
}

/// The element for a column and a value of it.
pub(super) fn element(column: &Column, value: &Value) -> Option<Element> {
    if let ColumnId::Core(core) = column.id {
        let address = |v4, v6| match value.as_str()?.parse() {
            Ok(IpAddr::V4(_)) => Some(iana(v4, Type::Ipv4)),
            Ok(IpAddr::V6(_)) => Some(iana(v6, Type::Ipv6)),
            Err(_) => None,
        };
        let known = match core {
            Core::SrcIp => address(8, 27),
            Core::DstIp => address(12, 28),
            Core::SrcPort => Some(iana(7, Type::Unsigned16)),
            Core::DstPort => Some(iana(11, Type::Unsigned16)),
            Core::IpProtocol => Some(iana(4, Type::Unsigned8)),
            Core::Start => Some(iana(156, Type::Nanoseconds)),
            Core::End => Some(iana(157, Type::Nanoseconds)),
            Core::SrcPackets => Some(iana(2, Type::Unsigned64)),
            Core::DstPackets => Some(reverse(2)),
            // octetDeltaCount counts from the IP header on, layer2OctetDeltaCount frames whole.
            Core::SrcIpBytes => Some(iana(1, Type::Unsigned64)),
            Core::DstIpBytes => Some(reverse(1)),
            Core::SrcBytes => Some(iana(352, Type::Unsigned64)),
            Core::DstBytes => Some(reverse(352)),
            Core::Reason => Some(iana(136, Type::Unsigned8)),
            _ => None,
        };
        if known.is_some() {
            return known;
        }
    }
    let number = *numbers().get(column.name)?;
    Some(Element { owner: Owner::Own, number, ty: own_type(column) })
}

/// The type under our enterprise number. Lists are text, joined as in CSV; so are addresses, which IPFIX has no one type for.
pub(super) fn own_type(column: &Column) -> Type {
    if column.list {
        return Type::Text;
    }
    match column.kind {
        Kind::Bool => Type::Boolean,
        Kind::Uint => Type::Unsigned64,
        Kind::Float => Type::Float64,
        Kind::Bytes => Type::OctetArray,
        Kind::Time => Type::Nanoseconds,
        _ => Type::Text,
    }
}

/// The longest text or octets that are written, in bytes.
const BYTES_MAX: usize = 1024;

/// Appends a value; nothing (and `None`) if it is not of the type.
pub(super) fn write(element: Element, column: &Column, value: &Value, to: &mut Vec<u8>) -> Option<()> {
    match element.ty {
        Type::Unsigned8 if element.number == 136 => to.push(end_reason(value.as_str()?)),
        Type::Unsigned8 => to.push(u8::try_from(value.as_u64()?).ok()?),
        Type::Unsigned16 => to.extend(u16::try_from(value.as_u64()?).ok()?.to_be_bytes()),
        Type::Unsigned64 => to.extend(value.as_u64()?.to_be_bytes()),
        Type::Float64 => to.extend(value.as_f64()?.to_be_bytes()),
        // True is 1, false is 2.
        Type::Boolean => to.push(if value.as_bool()? { 1 } else { 2 }),
        Type::Nanoseconds => to.extend(ntp(time::nanoseconds(value.as_str()?)?).to_be_bytes()),
        Type::Ipv4 | Type::Ipv6 => match value.as_str()?.parse().ok()? {
            IpAddr::V4(ip) => to.extend(ip.octets()),
            IpAddr::V6(ip) => to.extend(ip.octets()),
        },
        Type::OctetArray => variable(&octets(value.as_str()?)?, to),
        Type::Text if column.list => variable(list(value)?.as_bytes(), to),
        Type::Text => variable(value.as_str()?.as_bytes(), to),
    }
    Some(())
}

/// `flowEndReason`: idle timeout, active timeout, end of flow, forced end, lack of resources.
fn end_reason(name: &str) -> u8 {
    match name {
        "idle" => 1,
        "active" => 2,
        "closed" => 3,
        "budget" => 5,
        _ => 4,
    }
}

/// Seconds since 1900 and their fraction, rounded up, so that the nanoseconds come out again when they are cut off.
pub(super) fn ntp(ns: i64) -> u64 {
    const TO_1970: i64 = 2_208_988_800;
    let seconds = (ns.div_euclid(1_000_000_000) + TO_1970) as u64 & 0xffff_ffff;
    let fraction = (u128::from(ns.rem_euclid(1_000_000_000) as u64) << 32).div_ceil(1_000_000_000) as u64;
    seconds << 32 | fraction
}

/// Bytes with their length before them (RFC 7011 §7), cut where they are too long, text between characters.
pub(super) fn variable(bytes: &[u8], to: &mut Vec<u8>) {
    let mut end = bytes.len().min(BYTES_MAX);
    if end < bytes.len() && std::str::from_utf8(bytes).is_ok() {
        while bytes.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
            end -= 1;
        }
    }
    let bytes = bytes.get(..end).unwrap_or(bytes);
    match u8::try_from(bytes.len()) {
        Ok(len) if len < 255 => to.push(len),
        _ => {
            to.push(255);
            to.extend((bytes.len() as u16).to_be_bytes());
        }
    }
    to.extend_from_slice(bytes);
}

pub(super) fn octets(hex: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let digit = |c: u8| (c as char).to_digit(16).map(|d| d as u8);
    rest.is_empty().then(|| pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect())?
}

/// As in CSV: joined by `;`, with `\` before a `;` or `\` within. Of risks there are the names.
fn list(value: &Value) -> Option<String> {
    let mut joined = String::new();
    for (i, item) in value.as_array()?.iter().enumerate() {
        if i > 0 {
            joined.push(';');
        }
        match item {
            Value::String(text) => joined.push_str(&text.replace('\\', "\\\\").replace(';', "\\;")),
            Value::Object(risk) => joined.push_str(risk.get("name")?.as_str()?),
            other => joined.push_str(&other.to_string()),
        }
    }
    Some(joined)
}

/// The column that an element of ours is named after, and its place.
pub(super) fn named(number: u16) -> Option<(&'static str, Type)> {
    if number == RECORD_ID.number {
        return Some(("record_id", RECORD_ID.ty));
    }
    let (name, _) = entries().find(|(_, n)| *n == number)?;
    let column = daylight_inspect::column(name)?;
    Some((column.name, own_type(column)))
}

/// The column at this place.
pub(super) fn column(place: usize) -> Option<&'static Column> {
    flat::at(place)
}
