//! Which part of a list a command shows.

use clap::Args;

use crate::client::Query;
use crate::output::Out;

/// Which part of a list.
#[derive(Debug, Args)]
pub(super) struct PageOptions {
    /// How many, at most 200
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
    limit: u16,
    /// Go on where an earlier list ended
    #[arg(long)]
    cursor: Option<String>,
}

impl PageOptions {
    /// The query that asks for it.
    pub(super) fn query(&self) -> Query {
        self.of(Query::default())
    }

    /// The query, asking for this part.
    pub(super) fn of(&self, query: Query) -> Query {
        query.with("limit", Some(self.limit)).with("cursor", self.cursor.as_deref())
    }
}

/// Says how to see the rest, if there is one.
pub(super) fn note_more(out: &mut Out, next_cursor: Option<&str>) {
    if let Some(cursor) = next_cursor {
        out.note(format!("more with --cursor {cursor}"));
    }
}
