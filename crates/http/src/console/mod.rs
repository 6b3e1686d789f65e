//! The console API, `/api/v1`: one file per endpoint, one table of routes.

pub(crate) mod events;
pub(crate) mod executions;
pub(crate) mod flows;
pub(crate) mod functions;
pub(crate) mod keys;
pub(crate) mod listing;
mod node_types;
mod openapi;
pub(crate) mod reviews;
mod routes;
pub(crate) mod secrets;
mod status;
mod template_preview;
mod traces;

use std::sync::Arc;

use axum::Router;
use axum::routing::any;

pub use self::openapi::openapi;
use crate::app::App;
use crate::envelope::Listener;
use crate::route::{Table, mount, nothing_here};

/// Where the API begins.
pub(crate) const API: &str = "/api/v1";

/// The router of the console.
pub fn console_router(app: Arc<App>) -> Router {
    let table = Table { prefix: API, endpoints: routes::routes(), otherwise: any(nothing_here) };
    mount(app, Listener::Console, table)
}
