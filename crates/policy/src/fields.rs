//! The fields that a policy reads, and how much of them is known of a flow that still goes on.

use std::cell::RefCell;

use daylight_expr::{FieldType, Knowledge, Row, Schema, ValueRef};
use daylight_inspect::{ColumnId, Core, FlowRecord, RecordSchema, column};
use daylight_protocols::common;

/// A set of the fields that a policy reads, by their places in [`Fields`]. A policy that reads more than 128 has one bit
/// for all from the 128th on: that may cost an evaluation too many, never one too few.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(u128);

impl FieldSet {
    /// All fields.
    pub const ALL: Self = Self(u128::MAX);
    /// None.
    pub const NONE: Self = Self(0);

    fn one(place: usize) -> Self {
        Self(1 << place.min(127))
    }

    /// Those of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if there is a field in both.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// True if there is none in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A field that a policy reads.
#[derive(Clone, Debug)]
pub struct Field {
    /// By which a [`Row`] is asked for it.
    pub id: u32,
    /// As in the record.
    pub name: Box<str>,
    /// The record's column; none if it asks whether a flow speaks a protocol.
    pub column: Option<ColumnId>,
    /// True if it can hold several values.
    pub list: bool,
}

/// The fields that a policy reads. Each has a place, by which the policy's programs ask for it.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    fields: Box<[Field]>,
    /// Their places, by ascending id.
    by_id: Box<[(u32, u32)]>,
}

impl Fields {
    fn new(fields: Vec<Field>) -> Self {
        let mut by_id: Vec<(u32, u32)> = fields.iter().map(|field| field.id).zip(0..).collect();
        by_id.sort_unstable();
        Self { fields: fields.into(), by_id: by_id.into() }
    }

    /// Each, by its place.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Field> {
        self.fields.iter()
    }

    /// The field with that id.
    pub fn get(&self, id: u32) -> Option<&Field> {
        self.place(id).and_then(|place| self.fields.get(place))
    }

    /// The field at that place.
    pub(crate) fn at(&self, place: u32) -> Option<&Field> {
        self.fields.get(place as usize)
    }

    /// Those at the given places.
    pub(crate) fn set_at(places: &[u32]) -> FieldSet {
        places.iter().fold(FieldSet::NONE, |set, place| set.with(FieldSet::one(*place as usize)))
    }

    /// Those of the given ids that the policy reads.
    pub fn set(&self, ids: &[u32]) -> FieldSet {
        let places = ids.iter().filter_map(|id| self.place(*id));
        places.fold(FieldSet::NONE, |set, place| set.with(FieldSet::one(place)))
    }

    /// Those that the policy reads of which a test holds: for an engine to make its sets once, for each of its steps.
    pub fn set_of(&self, test: impl Fn(&Field) -> bool) -> FieldSet {
        let places = self.fields.iter().enumerate().filter(|(_, field)| test(field));
        places.fold(FieldSet::NONE, |set, (place, _)| set.with(FieldSet::one(place)))
    }

    fn place(&self, id: u32) -> Option<usize> {
        let at = self.by_id.binary_search_by_key(&id, |(known, _)| *known).ok()?;
        self.by_id.get(at).map(|(_, place)| *place as usize)
    }
}

/// The record's schema, with the fields numbered in the order in which they are first asked for.
#[derive(Default)]
pub(crate) struct Numbering(RefCell<Vec<Field>>);

impl Numbering {
    pub(crate) fn into_fields(self) -> Fields {
        Fields::new(self.0.into_inner())
    }
}

impl Schema for Numbering {
    fn field(&self, name: &str) -> Option<FieldType> {
        let found = RecordSchema.field(name)?;
        let mut fields = self.0.borrow_mut();
        let place = fields.iter().position(|field| field.id == found.id).unwrap_or_else(|| {
            let column = column(name).map(|column| column.id);
            fields.push(Field { id: found.id, name: name.into(), column, list: found.list });
            fields.len() - 1
        });
        Some(FieldType { id: u32::try_from(place).ok()?, ..found })
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Schema::names(&RecordSchema)
    }

    fn alias(&self, name: &str) -> Option<&str> {
        RecordSchema.alias(name)
    }
}

/// How far the inspection of a flow has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Its first packet was seen: who with whom.
    Begun,
    /// What it speaks is known, and stays so; the protocol's fields come in.
    Identified,
    /// Nothing is awaited any more but the counters' growth and the end.
    Read,
    /// It has ended: the record is complete.
    Ended,
}

impl Stage {
    /// How much is known of a column at this stage.
    ///
    /// A protocol's fields are taken as growing lists once the protocol is known: a value that was read stays, that
    /// there is none isn't known before everything is read.
    pub fn knowledge(self, column: Option<ColumnId>) -> Knowledge {
        use Knowledge::{Adding, Final, Nothing, Rising};
        if self == Self::Ended {
            return Final;
        }
        let from = |stage: Self| if self >= stage { Final } else { Nothing };
        match column {
            // Whether it speaks a protocol.
            None => from(Self::Identified),
            Some(ColumnId::Field(_)) if self == Self::Identified => Adding,
            Some(ColumnId::Field(_)) => from(Self::Read),
            Some(ColumnId::Core(core)) => match core {
                Core::Capture
                | Core::Uid
                | Core::Start
                | Core::Transport
                | Core::IpProtocol
                | Core::SrcIp
                | Core::SrcPort
                | Core::DstIp
                | Core::DstPort
                | Core::Vlan
                | Core::Tunnel
                | Core::CommunityId => Final,
                Core::Protocol => from(Self::Identified),
                Core::Application
                | Core::Category
                | Core::Confidence
                | Core::ResolvedName
                | Core::Entropy => from(Self::Read),
                // Others may be found as long as it goes on.
                Core::Risks => Adding,
                Core::End
                | Core::Duration
                | Core::SrcPackets
                | Core::SrcBytes
                | Core::SrcIpBytes
                | Core::SrcPayloadBytes
                | Core::DstPackets
                | Core::DstBytes
                | Core::DstIpBytes
                | Core::DstPayloadBytes
                | Core::MissedBytes
                | Core::Retransmitted
                | Core::OutOfOrder
                | Core::SrcSizeMax
                | Core::SrcGapMax
                | Core::DstSizeMax
                | Core::DstGapMax => Rising,
                Core::RiskSeverity
                | Core::State
                | Core::Reason
                | Core::History
                | Core::SrcSizeMin
                | Core::SrcGapMin
                | Core::DstSizeMin
                | Core::DstGapMin => Nothing,
            },
        }
    }
}

/// A flow's record before its end, as far as it is known at a stage.
#[derive(Clone, Copy, Debug)]
pub struct Early<'a> {
    fields: &'a Fields,
    record: &'a FlowRecord,
    stage: Stage,
}

impl<'a> Early<'a> {
    /// True if a field that holds one value has it, for good.
    fn is_complete(&self, field: &Field) -> bool {
        match field.column {
            Some(ColumnId::Field(_)) => !field.list && Row::values(self.record, field.id).next().is_some(),
            // The name says which it is; an address alone may be overruled by it.
            Some(ColumnId::Core(Core::Application | Core::Category)) => {
                self.record.text(common::HOSTNAME).is_some()
            }
            _ => false,
        }
    }

    /// Of a record, for a policy that reads `fields`.
    pub fn new(fields: &'a Fields, record: &'a FlowRecord, stage: Stage) -> Self {
        Self { fields, record, stage }
    }
}

impl Row for Early<'_> {
    fn values(&self, id: u32) -> impl Iterator<Item = ValueRef<'_>> {
        Row::values(self.record, id)
    }

    fn knowledge(&self, id: u32) -> Knowledge {
        match self.fields.get(id) {
            // Of what there can only be one, there is nothing to wait for once it is there.
            Some(field) if self.is_complete(field) => Knowledge::Final,
            Some(field) => self.stage.knowledge(field.column),
            None if self.stage == Stage::Ended => Knowledge::Final,
            None => Knowledge::Nothing,
        }
    }
}
