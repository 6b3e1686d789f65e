//! `GET /openapi.json`, and how the document is put together: the endpoints describe themselves,
//! the route table adds who may call them, the model its types.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::Components;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Info, OpenApi, PathItem, Ref, ResponseBuilder, Server};

use super::routes::routes;
use super::{
    API, events, executions, flows, functions, keys, node_types, reviews, secrets, status, template_preview,
    traces,
};
use crate::problem::{FieldProblem, ProblemBody};
use crate::route::{Access, Endpoint};
use crate::schema;

/// The name of the way to authenticate.
const KEY: &str = "key";

#[derive(utoipa::OpenApi)]
#[openapi(
    paths(
        get_openapi,
        status::get_status,
        node_types::list_node_types,
        template_preview::preview_template,
        flows::list::list_flows,
        flows::save::save_flow,
        flows::validate::validate_flow,
        flows::get::get_flow,
        flows::delete::delete_flow,
        flows::versions::list_flow_versions,
        flows::diff::diff_flow,
        flows::publish::publish_flow,
        flows::restore::restore_flow,
        flows::state::set_flow_state,
        functions::list::list_functions,
        functions::get::get_function,
        executions::start::start_execution,
        executions::list::list_executions,
        executions::get::get_execution,
        executions::journal::get_journal,
        executions::logs::get_logs,
        executions::cancel::cancel_execution,
        executions::signal::signal_execution,
        executions::rerun::rerun_execution,
        traces::get_trace,
        reviews::list::list_reviews,
        reviews::get::get_review,
        reviews::decide::decide_review,
        secrets::list::list_secrets,
        secrets::put::put_secret,
        secrets::delete::delete_secret,
        keys::list::list_keys,
        keys::create::create_key,
        keys::revoke::revoke_key,
        events::follow_events,
    ),
    components(schemas(ProblemBody<'static>, FieldProblem))
)]
struct Described;

/// Gives this document.
#[utoipa::path(get, path = "/openapi.json", tag = "status",
    responses((status = 200, body = Object, description = "This document")))]
pub(super) async fn get_openapi() -> Response {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    static TEXT: LazyLock<Bytes> =
        LazyLock::new(|| openapi().to_json().expect("the document is text and numbers").into());
    ([(header::CONTENT_TYPE, JSON)], TEXT.clone()).into_response()
}

/// The description of the console API.
pub fn openapi() -> OpenApi {
    let mut document = <Described as utoipa::OpenApi>::openapi();
    let mut info = Info::new("Flux console API", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.to_owned());
    document.info = info;
    document.servers = Some(vec![Server::new(API)]);
    let components = document.components.get_or_insert_with(Components::new);
    schema::add_model(components);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("flx_…").build();
    components.add_security_scheme(KEY, SecurityScheme::Http(bearer));
    for endpoint in routes() {
        if let Some(operation) = operation(&mut document, &endpoint) {
            complete(operation, endpoint.access);
        }
    }
    document
}

const ABOUT: &str = "Flows, functions, executions, reviews, secrets and keys of one project. Every answer has \
    `x-request-id`; every error is `application/problem+json` with a stable code.";

fn operation<'d>(document: &'d mut OpenApi, endpoint: &Endpoint) -> Option<&'d mut Operation> {
    let item: &mut PathItem = document.paths.paths.get_mut(endpoint.path)?;
    match endpoint.method.as_ref()?.as_str() {
        "GET" => item.get.as_mut(),
        "POST" => item.post.as_mut(),
        "PUT" => item.put.as_mut(),
        "DELETE" => item.delete.as_mut(),
        _ => None,
    }
}

/// Adds what every operation has: who may call it, and what errors look like.
fn complete(operation: &mut Operation, access: Access) {
    operation.security = Some(match access {
        Access::Open => Vec::new(),
        Access::Needs(scope) => vec![SecurityRequirement::new(KEY, [scope.as_str()])],
    });
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let error = ResponseBuilder::new()
        .description("What went wrong")
        .content("application/problem+json", problem)
        .build();
    operation.responses.responses.insert("default".to_owned(), error.into());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::World;

    #[test]
    fn the_document_and_the_route_table_are_the_same_set() {
        let mut document = openapi();
        for endpoint in routes() {
            let operation = operation(&mut document, &endpoint);
            assert!(
                operation.is_some_and(|one| one.security.is_some()),
                "{} is not described",
                endpoint.path
            );
        }
        let described: usize = document
            .paths
            .paths
            .values()
            .map(|item| {
                [&item.get, &item.post, &item.put, &item.delete].iter().filter(|one| one.is_some()).count()
            })
            .sum();
        assert_eq!(described, routes().len());
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_id_is_unique() {
        let document = serde_json::to_value(openapi()).unwrap();
        let known: BTreeSet<String> =
            document["components"]["schemas"].as_object().unwrap().keys().cloned().collect();
        let mut seen = BTreeSet::new();
        walk(&document, &mut |name, value| {
            if name == "$ref" {
                let target = value.as_str().unwrap().strip_prefix("#/components/schemas/").unwrap();
                assert!(known.contains(target), "{target} is referred to and not there");
            }
            if name == "operationId" {
                assert!(seen.insert(value.to_string()), "{value} is there twice");
            }
        });
        assert_eq!(seen.len(), routes().len());
    }

    fn walk(value: &serde_json::Value, visit: &mut impl FnMut(&str, &serde_json::Value)) {
        match value {
            serde_json::Value::Object(members) => {
                for (name, member) in members {
                    if member.is_string() {
                        visit(name, member);
                    }
                    walk(member, visit);
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => {}
        }
    }

    #[tokio::test]
    async fn it_is_served_to_everybody() {
        let world = World::start().await;
        let document = world.console("GET /openapi.json").anonymous().send().await.is(200);
        assert_eq!(document.at("/paths/~1flows/post/operationId"), "save_flow");
        assert_eq!(document.at("/paths/~1flows/post/security/0/key/0"), "flows:write");
    }
}
