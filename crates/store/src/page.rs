//! Lists in pages: requests, answers and opaque cursors.

use std::fmt;
use std::str::FromStr;

/// Most rows that one page of a list for people holds.
pub const PAGE_ROWS_MAX: usize = 200;

/// Where the next page of a list begins: the last row that was given. Opaque to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub u128);

/// A text that is not a cursor of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a cursor: use the `next_cursor` of the previous page, or none")]
pub struct InvalidCursor(String);

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let invalid = || InvalidCursor(text.chars().take(64).collect());
        if text.len() != 32 {
            return Err(invalid());
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| invalid())
    }
}

/// Which page of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// Begin after this row; at the newest if absent.
    pub after: Option<Cursor>,
    /// At most this many rows; held to 1–[`PAGE_ROWS_MAX`].
    pub limit: usize,
}

impl PageRequest {
    /// The first page.
    pub const fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }

    /// How many rows to give.
    pub fn rows(&self) -> usize {
        self.limit.clamp(1, PAGE_ROWS_MAX)
    }
}

/// Some rows of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows, newest first.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last one.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Makes a page of rows that were fetched one beyond what was asked for.
    pub fn cut(mut items: Vec<T>, rows: usize, cursor: impl Fn(&T) -> u128) -> Self {
        let more = items.len() > rows;
        items.truncate(rows);
        let next = items.last().filter(|_| more).map(|last| Cursor(cursor(last)));
        Self { items, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_and_refuse_noise() {
        let cursor = Cursor(u128::MAX / 3);
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for noise in ["", "xyz", &"g".repeat(32), &"0".repeat(31), &"é".repeat(16)] {
            assert!(noise.parse::<Cursor>().is_err(), "{noise}");
        }
    }

    #[test]
    fn a_page_has_a_next_only_if_a_row_is_left() {
        assert_eq!(Page::cut(vec![3_u128, 2], 2, |row| *row).next, None);
        assert_eq!(Page::cut(vec![3_u128, 2, 1], 2, |row| *row).next, Some(Cursor(2)));
    }
}
