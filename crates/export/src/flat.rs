//! A line read again: its columns and their values.

use std::collections::HashMap;
use std::sync::OnceLock;

use daylight_inspect::{Column, columns};
use serde_json::Value;

use crate::record::Entry;

/// What a record holds, in the line's order.
pub(crate) struct Flat {
    /// `record_id` and `sensor`.
    pub(crate) record_id: String,
    pub(crate) sensor: String,
    /// Columns by their place in [`columns`].
    pub(crate) values: Vec<(usize, Value)>,
}

/// A column's place by its name.
fn places() -> &'static HashMap<&'static str, usize> {
    static PLACES: OnceLock<HashMap<&'static str, usize>> = OnceLock::new();
    PLACES.get_or_init(|| columns().iter().enumerate().map(|(place, column)| (column.name, place)).collect())
}

/// The column of this place.
pub(crate) fn at(place: usize) -> Option<&'static Column> {
    columns().get(place)
}

impl Flat {
    /// `None` if it is no record.
    pub(crate) fn read(entry: &Entry) -> Option<Self> {
        let Value::Object(members) = serde_json::from_slice(&entry.line).ok()? else { return None };
        let mut flat = Self { record_id: String::new(), sensor: String::new(), values: Vec::new() };
        for (name, value) in members {
            match (&*name, value) {
                ("record_id", Value::String(id)) => flat.record_id = id,
                ("sensor", Value::String(sensor)) => flat.sensor = sensor,
                (name, Value::Object(fields)) => {
                    for (field, value) in fields {
                        flat.push(&format!("{name}.{field}"), value);
                    }
                }
                (name, value) => flat.push(name, value),
            }
        }
        Some(flat)
    }

    fn push(&mut self, name: &str, value: Value) {
        if let Some(place) = places().get(name) {
            self.values.push((*place, value));
        }
    }

    /// The value of a column that belongs to no protocol.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        let place = places().get(name)?;
        self.values.iter().find(|(p, _)| p == place).map(|(_, value)| value)
    }
}
