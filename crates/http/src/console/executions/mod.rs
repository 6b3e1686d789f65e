//! Executions: started, looked at, cancelled, signalled, run again.

pub(crate) mod cancel;
pub(crate) mod error;
pub(crate) mod get;
pub(crate) mod journal;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod node_run;
pub(crate) mod rerun;
pub(crate) mod signal;
pub(crate) mod start;
pub(crate) mod view;
