//! Functions: what is deployed. Deploying, which writes them, is not here.

mod deployed;
pub(crate) mod get;
pub(crate) mod list;
