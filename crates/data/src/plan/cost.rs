//! What a query costs before it is run, and the bound on it.

use crate::DataError;
use crate::limits::{INCLUDE_ROWS_MAX, QUERY_COST_MAX};
use crate::place::Place;

const TEST: u32 = 2;
const LISTED_PER_COST: usize = 100;
const SORTED: u32 = 1;
const INCLUDED: u32 = 10;

/// The cost of one query so far.
#[derive(Debug)]
pub(super) struct Cost(u32);

impl Default for Cost {
    fn default() -> Self {
        Self(1)
    }
}

impl Cost {
    /// A test of a column against so many values.
    pub(super) fn test(&mut self, values: usize) {
        self.add(TEST + u32::try_from(values / LISTED_PER_COST).unwrap_or(u32::MAX));
    }

    /// A column that is sorted or grouped by.
    pub(super) fn sort(&mut self) {
        self.add(SORTED);
    }

    /// An include, the outermost having depth 1.
    pub(super) fn include(&mut self, depth: u32) {
        self.add(INCLUDED.saturating_mul(1 << (depth - 1).min(20)));
    }

    pub(super) fn check(&self, place: &Place<'_>) -> Result<(), DataError> {
        if self.0 > QUERY_COST_MAX {
            let (measured, max) = (self.0 as usize, QUERY_COST_MAX as usize);
            return Err(DataError::limit(place.member("cost"), "QUERY_COST_MAX", measured, max));
        }
        Ok(())
    }

    fn add(&mut self, cost: u32) {
        self.0 = self.0.saturating_add(cost);
    }
}

/// How many rows a branch of includes may bring: the limits along it, multiplied.
pub(super) fn branch(rows: u64, limit: u32, place: &Place<'_>) -> Result<u64, DataError> {
    let rows = rows.saturating_mul(u64::from(limit));
    if rows > INCLUDE_ROWS_MAX {
        return Err(DataError::Limit {
            place: place.member("limit").to_string(),
            limit: "INCLUDE_ROWS_MAX",
            measured: rows,
            max: INCLUDE_ROWS_MAX,
        });
    }
    Ok(rows)
}
