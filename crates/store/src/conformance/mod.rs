//! The suite that every backend passes: that *is* the portability guarantee.
//!
//! A script is a list of commands with the outcome of each, and what the store must answer
//! afterwards. Every script runs twice on an empty store: each command in a batch of its own, and
//! all of them in one batch. [`random`] drives two stores with the same commands; [`dump`] shows
//! everything a store holds, so that two of them can be compared. Only tests depend on this module;
//! it panics where a store does not conform.

mod admission;
mod dump;
mod lists;
pub mod random;
pub mod sample;
mod settings;
mod steps;

use std::sync::Arc;

use crate::command::Command;
use crate::outcome::Outcome;
use crate::store::Store;

pub use dump::dump;

/// Commands, their outcomes, and what is true afterwards.
pub(crate) struct Script {
    name: &'static str,
    steps: Vec<(Command, Outcome)>,
    afterwards: fn(&dyn Store),
}

/// Runs every script on stores that `empty` makes.
///
/// # Panics
/// Where a store does not conform.
pub fn run_all(empty: &mut dyn FnMut() -> Arc<dyn Store>) {
    let suites = [admission::scripts(), steps::scripts(), settings::scripts(), lists::scripts()];
    for script in suites.into_iter().flatten() {
        check_one_by_one(empty().as_ref(), &script);
        check_in_one_batch(empty().as_ref(), &script);
    }
}

fn check_one_by_one(store: &dyn Store, script: &Script) {
    for (index, (command, expected)) in script.steps.iter().enumerate() {
        let outcomes = store.commit_batch(std::slice::from_ref(command)).expect("the store works");
        assert_eq!(outcomes, std::slice::from_ref(expected), "{}, step {index}: {command:?}", script.name);
    }
    (script.afterwards)(store);
}

fn check_in_one_batch(store: &dyn Store, script: &Script) {
    let commands: Vec<_> = script.steps.iter().map(|(command, _)| command.clone()).collect();
    let expected: Vec<_> = script.steps.iter().map(|(_, outcome)| outcome.clone()).collect();
    let outcomes = store.commit_batch(&commands).expect("the store works");
    assert_eq!(outcomes, expected, "{} in one batch", script.name);
    (script.afterwards)(store);
}
