//! How a listener's routes are written down and mounted: one line each, with who may use it.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, on};
use flux_model::ErrorCode;
use http::{Method, Uri};

use crate::access::caller::authorize;
use crate::access::scope::Scope;
use crate::app::Shared;
use crate::envelope::{EnvelopeLayer, Listener};
use crate::problem::Problem;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody. The list of these routes is compared in a test.
    Open,
    /// Callers whose key has this scope.
    Needs(Scope),
}

/// A route: what is asked, who may ask, who answers.
pub(crate) struct Endpoint {
    /// The method; `None` stands for all.
    pub(crate) method: Option<Method>,
    /// The path, parameters in braces.
    pub(crate) path: &'static str,
    /// Who may use it.
    pub(crate) access: Access,
    handler: MethodRouter<Shared>,
}

impl Endpoint {
    /// A route for one method.
    pub(crate) fn new<H, T>(method: Method, path: &'static str, access: Access, handler: H) -> Self
    where
        H: axum::handler::Handler<T, Shared>,
        T: 'static,
    {
        let filter =
            MethodFilter::try_from(method.clone()).expect("route tables name methods of the standard");
        Self { method: Some(method), path, access, handler: on(filter, handler) }
    }

    /// A route for every method.
    pub(crate) fn any<H, T>(path: &'static str, access: Access, handler: H) -> Self
    where
        H: axum::handler::Handler<T, Shared>,
        T: 'static,
    {
        Self { method: None, path, access, handler: axum::routing::any(handler) }
    }

    /// `GET /flows`, for lists.
    #[cfg(test)]
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method.as_ref().map_or("ANY", Method::as_str), self.path)
    }
}

/// Everything that a listener answers to.
pub(crate) struct Table {
    /// What the paths of the endpoints begin with.
    pub(crate) prefix: &'static str,
    /// The endpoints.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Who answers at every other path.
    pub(crate) otherwise: MethodRouter<Shared>,
}

/// The router of a listener.
pub(crate) fn mount(app: Shared, listener: Listener, table: Table) -> Router {
    let Table { prefix, endpoints, otherwise } = table;
    let mut router = Router::new();
    for endpoint in endpoints {
        let handler = match endpoint.access {
            Access::Open => endpoint.handler,
            Access::Needs(scope) => {
                endpoint.handler.route_layer(from_fn_with_state((app.clone(), scope), authorize))
            }
        };
        router = router.route(&format!("{prefix}{}", endpoint.path), handler);
    }
    router
        .fallback(otherwise)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app.clone())
        .layer(EnvelopeLayer { app, listener })
}

/// The answer to a path that leads nowhere.
pub(crate) async fn nothing_here() -> Problem {
    Problem::not_found("there is nothing at this path")
}

/// The header `Allow` is set by the router.
async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{method} is not allowed on {}", uri.path());
    Problem::new(ErrorCode::MethodNotAllowed, detail)
}
