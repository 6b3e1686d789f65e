//! Project secrets: their names, and how they are put and deleted. Values are never shown.

pub(crate) mod delete;
pub(crate) mod list;
pub(crate) mod put;
