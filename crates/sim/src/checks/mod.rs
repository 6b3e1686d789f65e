//! The promises, one module each. Every check has a test that shows it finding what it is for.

pub(crate) mod acknowledged;
pub(crate) mod durable;
pub(crate) mod effects;
pub(crate) mod elements;
pub(crate) mod ending;
pub(crate) mod graph;
pub(crate) mod once;
pub(crate) mod replay;
pub(crate) mod retries;
pub(crate) mod slots;
pub(crate) mod stuck;

#[cfg(test)]
pub(crate) mod sample;
