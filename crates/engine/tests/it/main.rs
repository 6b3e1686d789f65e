//! The engine from outside, on the store in memory and on SQLite, with a clock that tests move.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod admission;
mod cancelling;
mod children;
mod churn;
mod clock;
mod damage;
mod direct;
mod durability;
mod lost;
mod probe;
mod reading;
mod recovery;
mod reruns;
mod reviews;
mod running;
mod schedules;
mod stores;
mod sweeping;
mod timers;
mod world;
