//! Reading the schema from the database.

pub(crate) mod postgres;
pub(crate) mod sqlite;
