//! Cells: how often which verdict, for a target on a network, by its resolver's network and layer, in an hour.

use daylight_verdict::record::{Layer, State};

use crate::rows::{Row, Rows};

/// What a cell is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey {
    /// The target's number.
    pub target: u32,
    /// The network's number.
    pub network: u32,
    /// The resolver's autonomous system, 0 if not known.
    pub resolver: u32,
    /// The layer of the verdict; nothing where none decided, as with `ok`.
    pub layer: Option<Layer>,
    /// The hour, counted since 1970.
    pub hour: u32,
}

impl CellKey {
    fn of(row: &Row) -> Self {
        Self {
            target: row.target,
            network: row.network,
            resolver: row.resolver,
            layer: row.layer,
            hour: row.hour(),
        }
    }
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What it is of.
    pub key: CellKey,
    /// How many measurements, by state and mechanism's number (`u32::MAX` for none).
    pub histogram: Vec<((State, u32), u32)>,
    /// How many different probes.
    pub probes: u32,
}

/// All cells, in the order of their keys. They are made one after the other and take no memory together.
pub fn cells(rows: &Rows) -> impl Iterator<Item = Cell> {
    // A target on a network lies together already; within it, by key.
    rows.pairs().flat_map(|pair| {
        let mut pair: Vec<&Row> = pair.iter().collect();
        pair.sort_by_key(|row| CellKey::of(row));
        let cells: Vec<Cell> =
            pair.chunk_by(|a, b| CellKey::of(a) == CellKey::of(b)).filter_map(cell).collect();
        cells
    })
}

fn cell(rows: &[&Row]) -> Option<Cell> {
    let mut verdicts: Vec<(State, u32)> = rows.iter().map(|row| (row.state, row.mechanism)).collect();
    verdicts.sort_unstable();
    let histogram = verdicts
        .chunk_by(|a, b| a == b)
        .filter_map(|same| Some((*same.first()?, same.len() as u32)))
        .collect();
    let mut probes: Vec<u32> = rows.iter().map(|row| row.probe).collect();
    probes.sort_unstable();
    probes.dedup();
    Some(Cell { key: CellKey::of(rows.first()?), histogram, probes: probes.len() as u32 })
}
