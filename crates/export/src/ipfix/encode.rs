//! Records into messages.
//!
//! Of a record become, in this order: the elements of its columns, the two times in milliseconds, the sensor, the record's name
//! and the application. Which elements these are is the record's shape; each shape has a template. There are at most
//! [`SHAPES_MAX`]: when they are used up, and when a record does not fit a message, fields of protocols are left out, then
//! everything that is not in [`CORE`]; that is counted.

use std::collections::{HashMap, HashSet};

use daylight_inspect::{ColumnId, Core};

use super::elements::{self, Element, Owner, REVERSE_PEN, Type, iana};
use crate::flat::Flat;
use crate::record::Entry;

/// Templates that are kept.
pub(super) const SHAPES_MAX: usize = 512;
const HEADER_BYTES: usize = 16;
/// The first number for templates, and the one of the template for types.
const TEMPLATE_MIN: u16 = 256;
const TYPES_TEMPLATE: u16 = TEMPLATE_MIN;

/// What is left of a record for which there is no room.
const CORE: &[Core] = &[
    Core::Start,
    Core::End,
    Core::IpProtocol,
    Core::SrcIp,
    Core::SrcPort,
    Core::DstIp,
    Core::DstPort,
    Core::SrcPackets,
    Core::SrcBytes,
    Core::SrcIpBytes,
    Core::DstPackets,
    Core::DstBytes,
    Core::DstIpBytes,
    Core::Reason,
];

/// Which columns of a record are written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Keep {
    All,
    NoProtocols,
    Core,
}

/// What a collector is told about elements of ours (RFC 5610): enterprise, number, type, meaning, name.
const TYPES: [(Element, u16); 5] = [
    (iana(346, Type::Unsigned64), 4),
    (iana(303, Type::Unsigned16), 2),
    (iana(339, Type::Unsigned8), 1),
    (iana(344, Type::Unsigned8), 1),
    (iana(341, Type::Text), u16::MAX),
];

/// Makes messages of records.
pub struct Encoder {
    pen: u32,
    domain: u32,
    bytes_max: usize,
    sequence: u32,
    shapes: HashMap<Box<[Element]>, u16>,
    /// By number, from the one after the template for types on.
    templates: Vec<Box<[Element]>>,
    /// Elements of ours that were described.
    described: HashSet<u16>,
    messages: Vec<Vec<u8>>,
    /// The message that is being filled, with its data records; and where its last set begins, and whose that is.
    message: Vec<u8>,
    records: u32,
    set: Option<(usize, u16)>,
    now_s: u32,
    reduced: u64,
}

impl Encoder {
    /// With this enterprise number, in this domain; messages have at most `bytes_max` bytes (512 to 65 535).
    pub fn new(pen: u32, domain: u32, bytes_max: usize) -> Self {
        Self {
            pen,
            domain,
            bytes_max: bytes_max.clamp(512, 65_535),
            sequence: 0,
            shapes: HashMap::new(),
            templates: Vec::new(),
            described: HashSet::new(),
            messages: Vec::new(),
            message: Vec::new(),
            records: 0,
            set: None,
            now_s: 0,
            reduced: 0,
        }
    }

    /// Forgets what the collector was told: a new session begins.
    pub fn restart(&mut self) {
        *self = Self { reduced: self.reduced, ..Self::new(self.pen, self.domain, self.bytes_max) };
    }

    /// Records of which less was written than there is.
    pub fn reduced(&self) -> u64 {
        self.reduced
    }

    /// The messages for these records, with the templates that are new among them. `now_s`, seconds since 1970, is when they
    /// are sent.
    pub fn encode(&mut self, entries: &[Entry], now_s: u64) -> Vec<Vec<u8>> {
        self.now_s = now_s as u32;
        for flat in entries.iter().filter_map(Flat::read) {
            self.record(&flat);
        }
        self.end_message();
        std::mem::take(&mut self.messages)
    }

    /// The messages with all templates and types once more.
    pub fn templates(&mut self, now_s: u64) -> Vec<Vec<u8>> {
        self.now_s = now_s as u32;
        let described = std::mem::take(&mut self.described);
        if !self.templates.is_empty() {
            self.types_template();
        }
        for number in 0..self.templates.len() {
            self.template(TYPES_TEMPLATE + 1 + number as u16);
        }
        let mut described: Vec<u16> = described.into_iter().collect();
        described.sort_unstable();
        self.describe(&described);
        self.end_message();
        std::mem::take(&mut self.messages)
    }

    fn record(&mut self, flat: &Flat) {
        for keep in [Keep::All, Keep::NoProtocols, Keep::Core] {
            let (shape, data) = self.data(flat, keep);
            // Beside the data, a message has its header and the set's.
            if data.len() + HEADER_BYTES + 4 > self.bytes_max
                || shape_bytes(&shape) + HEADER_BYTES > self.bytes_max
            {
                continue;
            }
            let Some(number) = self.number(shape, keep) else { continue };
            if keep != Keep::All {
                self.reduced += 1;
            }
            self.put(number, &data);
            self.records += 1;
            return;
        }
        self.reduced += 1;
    }

    /// The elements of a record, and their values one after another.
    fn data(&self, flat: &Flat, keep: Keep) -> (Vec<Element>, Vec<u8>) {
        let (mut shape, mut data) = (Vec::new(), Vec::new());
        for (place, value) in &flat.values {
            let Some(column) = elements::column(*place) else { continue };
            let kept = match column.id {
                ColumnId::Core(core) => keep < Keep::Core || CORE.contains(&core),
                ColumnId::Field(field) => {
                    let common = field.protocol == daylight_protocols::ProtocolId::Unknown;
                    keep == Keep::All || keep == Keep::NoProtocols && common
                }
            };
            let element = kept.then(|| elements::element(column, value)).flatten();
            let Some(element) = element else { continue };
            let before = data.len();
            if elements::write(element, column, value, &mut data).is_some() {
                shape.push(element);
            } else {
                data.truncate(before);
            }
        }
        for (name, element) in elements::MILLISECONDS {
            let time = flat.value(name).and_then(|value| crate::time::nanoseconds(value.as_str()?));
            if let Some(milliseconds) = time.and_then(|ns| u64::try_from(ns / 1_000_000).ok()) {
                shape.push(element);
                data.extend(milliseconds.to_be_bytes());
            }
        }
        shape.push(elements::DOMAIN_NAME);
        elements::variable(flat.sensor.as_bytes(), &mut data);
        shape.push(elements::RECORD_ID);
        elements::variable(&elements::octets(&flat.record_id).unwrap_or_default(), &mut data);
        let name =
            flat.value("application").or_else(|| flat.value("protocol")).and_then(|value| value.as_str());
        shape.push(elements::APPLICATION_NAME);
        elements::variable(name.unwrap_or_default().as_bytes(), &mut data);
        (shape, data)
    }

    /// The number of the shape's template, which is sent if it is new; none if there are too many.
    fn number(&mut self, shape: Vec<Element>, keep: Keep) -> Option<u16> {
        if let Some(number) = self.shapes.get(&*shape) {
            return Some(*number);
        }
        // What is kept least has few shapes, and always has room.
        if self.templates.len() >= SHAPES_MAX && keep < Keep::Core {
            return None;
        }
        if self.templates.is_empty() {
            self.types_template();
        }
        let number = TYPES_TEMPLATE + 1 + self.templates.len() as u16;
        let own: Vec<u16> = shape.iter().filter(|e| e.owner == Owner::Own).map(|e| e.number).collect();
        let shape: Box<[Element]> = shape.into();
        self.templates.push(shape.clone());
        self.shapes.insert(shape, number);
        self.describe(&own);
        self.template(number);
        Some(number)
    }

    fn template(&mut self, number: u16) {
        let Some(shape) = self.templates.get(usize::from(number - TYPES_TEMPLATE - 1)) else { return };
        let mut record = Vec::new();
        record.extend(number.to_be_bytes());
        record.extend((shape.len() as u16).to_be_bytes());
        for element in shape {
            specify(element, element.ty.len().unwrap_or(u16::MAX), self.pen, &mut record);
        }
        self.put(2, &record);
    }

    fn types_template(&mut self) {
        let mut record = Vec::new();
        record.extend(TYPES_TEMPLATE.to_be_bytes());
        record.extend((TYPES.len() as u16).to_be_bytes());
        // The scope is enterprise and number: an element.
        record.extend(2u16.to_be_bytes());
        for (element, len) in TYPES {
            specify(&element, len, self.pen, &mut record);
        }
        self.put(3, &record);
    }

    /// Tells of the elements that the collector does not know yet.
    fn describe(&mut self, numbers: &[u16]) {
        for number in numbers {
            let Some((name, ty)) = elements::named(*number).filter(|_| self.described.insert(*number)) else {
                continue;
            };
            let mut record = Vec::new();
            record.extend(self.pen.to_be_bytes());
            record.extend(number.to_be_bytes());
            record.push(ty as u8);
            // Without a meaning but its value.
            record.push(0);
            elements::variable(name.as_bytes(), &mut record);
            self.put(TYPES_TEMPLATE, &record);
            self.records += 1;
        }
    }

    /// Adds a record to a set of this number, in a new set or message where it is due.
    fn put(&mut self, set: u16, record: &[u8]) {
        let open = self.set.is_some_and(|(_, of)| of == set);
        let need = record.len() + if open { 0 } else { 4 };
        if !self.message.is_empty() && self.message.len() + need > self.bytes_max {
            self.end_message();
        }
        if self.message.is_empty() {
            self.message.extend([0; HEADER_BYTES]);
        }
        if self.set.is_none_or(|(_, of)| of != set) {
            self.end_set();
            self.set = Some((self.message.len(), set));
            self.message.extend(set.to_be_bytes());
            self.message.extend([0; 2]);
        }
        self.message.extend_from_slice(record);
    }

    fn end_set(&mut self) {
        if let Some((start, _)) = self.set.take() {
            let len = (self.message.len() - start) as u16;
            patch(&mut self.message, start + 2, &len.to_be_bytes());
        }
    }

    fn end_message(&mut self) {
        self.end_set();
        if self.message.is_empty() {
            return;
        }
        let len = self.message.len() as u16;
        let header = [
            (0, &10u16.to_be_bytes()[..]),
            (2, &len.to_be_bytes()),
            (4, &self.now_s.to_be_bytes()),
            (8, &self.sequence.to_be_bytes()),
            (12, &self.domain.to_be_bytes()),
        ];
        for (at, bytes) in header {
            patch(&mut self.message, at, bytes);
        }
        // The number of the first data record of the next message.
        self.sequence = self.sequence.wrapping_add(std::mem::take(&mut self.records));
        self.messages.push(std::mem::take(&mut self.message));
    }
}

fn patch(message: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = message.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// A field specifier.
fn specify(element: &Element, len: u16, pen: u32, to: &mut Vec<u8>) {
    let enterprise = match element.owner {
        Owner::Iana => None,
        Owner::Reverse => Some(REVERSE_PEN),
        Owner::Own => Some(pen),
    };
    let flag = if enterprise.is_some() { 0x8000 } else { 0 };
    to.extend((element.number | flag).to_be_bytes());
    to.extend(len.to_be_bytes());
    to.extend(enterprise.into_iter().flat_map(u32::to_be_bytes));
}

/// How long the template's set is.
fn shape_bytes(shape: &[Element]) -> usize {
    8 + shape.iter().map(|element| if element.owner == Owner::Iana { 4 } else { 8 }).sum::<usize>()
}
