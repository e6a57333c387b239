//! What is written is read again, by a reader made after RFC 7011 alone and by one that others made.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use daylight_inspect::{FlowRecord, columns};
use daylight_protocols::web::tls::fields as tls;
use daylight_protocols::{Confidence, ProtocolId, RiskFound, Value, common, risk};
use proptest::prelude::*;

use super::elements::{self, MILLISECONDS, Owner, ntp};
use super::*;
use crate::record::{self, Entry};

/// Two lines can't have one number, and numbers are for ever.
#[test]
fn every_column_has_a_number() {
    let entries: Vec<_> = elements::entries().collect();
    let numbers: BTreeSet<u16> = entries.iter().map(|(_, number)| *number).collect();
    let names: BTreeSet<&str> = entries.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        (numbers.len(), names.len()),
        (entries.len(), entries.len()),
        "a number or a name is there twice"
    );
    assert!(numbers.iter().all(|number| (2..0x8000).contains(number)), "1 is the record's name");
    let next = numbers.last().map_or(2, |last| last + 1);
    let missing: Vec<_> = columns().iter().filter(|column| !names.contains(column.name)).collect();
    let lines: String =
        missing.iter().zip(next..).map(|(column, n)| format!("{n} {}\n", column.name)).collect();
    assert!(missing.is_empty(), "add to the end of elements.txt:\n{lines}");
}
