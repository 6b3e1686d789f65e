//! Flows: drafts, published versions, and whether they are switched on.

pub(crate) mod definition;
pub(crate) mod delete;
pub(crate) mod diff;
pub(crate) mod difference;
pub(crate) mod error;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod publish;
pub(crate) mod restore;
pub(crate) mod save;
pub(crate) mod state;
pub(crate) mod summary;
pub(crate) mod validate;
pub(crate) mod versions;
