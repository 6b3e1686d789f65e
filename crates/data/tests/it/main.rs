//! The data engine against real databases: the same cases on SQLite and on a PostgreSQL that is started
//! here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod advice;
mod faults;
mod history;
mod includes;
mod migrations;
mod paging;
mod policies;
mod reads;
mod server;
mod stage;
mod tenants;
mod transactions;
mod types;
mod writes;
