//! Human decisions: what waits for one, and making it. Looking never decides.

pub(crate) mod decide;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod view;
