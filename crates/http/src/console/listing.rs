//! The form of every list: some items and where the next page begins.

use flux_store::{Cursor, Page, PageRequest};
use serde::Serialize;
use utoipa::ToSchema;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listing<T> {
    /// The items, newest first unless the list says otherwise.
    pub(crate) items: Vec<T>,
    /// What to send as `cursor` for the next page; absent on the last one.
    pub(crate) next_cursor: Option<String>,
}

impl<T> Listing<T> {
    /// A page of the store, row by row.
    pub(crate) fn of<R>(page: Page<R>, view: impl FnMut(R) -> T) -> Self {
        let next_cursor = page.next.map(|cursor| cursor.to_string());
        Self { items: page.items.into_iter().map(view).collect(), next_cursor }
    }

    /// A page cut out of a list that is short enough to be read whole. The cursor is the number of
    /// rows before the page.
    pub(crate) fn cut<R>(rows: Vec<R>, page: PageRequest, view: impl FnMut(R) -> T) -> Self {
        let start = page.after.map_or(0, |cursor| usize::try_from(cursor.0).unwrap_or(usize::MAX));
        let end = start.saturating_add(page.rows());
        let next_cursor = (end < rows.len()).then(|| Cursor(end as u128).to_string());
        Self { items: rows.into_iter().skip(start).take(page.rows()).map(view).collect(), next_cursor }
    }

    /// A list that is always given whole.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_list_goes_on_where_it_ended() {
        let page =
            |after, limit| Listing::cut((0..5).collect(), PageRequest { after, limit }, |row: i32| row);
        let first = page(None, 3);
        assert_eq!(first.items, [0, 1, 2]);
        let cursor = first.next_cursor.unwrap().parse().ok();
        let second = page(cursor, 3);
        assert_eq!((second.items, second.next_cursor), (vec![3, 4], None));
        assert_eq!(page(Some(Cursor(u128::MAX)), 3).items, Vec::<i32>::new());
        assert_eq!(page(None, 5).next_cursor, None);
    }
}
