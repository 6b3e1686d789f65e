//! The world outside the driver: what tasks call, and the people and programs that ask for things.

mod client;
pub(crate) mod task;
mod visitor;

pub(crate) use client::Request;
