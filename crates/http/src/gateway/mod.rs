//! The public listener: functions, webhooks, forms and the two probes.
//!
//! A caller here is nobody in particular: what it may start is what the published flows say. This
//! module reads and answers; it starts nothing but executions.

pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod deployed;
pub(crate) mod form_page;
pub(crate) mod form_submission;
pub(crate) mod function;
pub(crate) mod health;
pub(crate) mod hook;
pub(crate) mod project;
pub(crate) mod rate;
pub(crate) mod ready;
mod routes;
mod signature;

use std::sync::Arc;

use axum::Router;
use axum::routing::any;

use crate::app::App;
use crate::envelope::Listener;
use crate::route::{Table, mount};

/// The router of the gateway.
pub fn gateway_router(app: Arc<App>) -> Router {
    let table = Table { prefix: "", endpoints: routes::routes(), otherwise: any(function::call_function) };
    mount(app, Listener::Gateway, table)
}
