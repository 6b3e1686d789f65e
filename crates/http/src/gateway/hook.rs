//! `ANY /hooks/{path}`: a request to a webhook starts its flow.
//!
//! In this order: project, path and method, address, body, signature over the bytes as received,
//! and only then the body's content.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use flux_engine::{Admission, TriggerKind};
use flux_model::{ErrorCode, Tenant};
use flux_triggers::route::{Found, Method, Route};
use flux_triggers::webhook::{Delivery, InputError, Webhook};
use http::request::Parts;

use super::answer::{nothing_here, start, wrong_method};
use super::client::client;
use super::project::{SelectError, Selected, select};
use super::signature::{SignatureError, verify};
use crate::app::Shared;
use crate::body;
use crate::problem::Problem;
use crate::request_id::RequestId;

/// Why a request did not start a flow.
#[derive(Debug)]
pub(super) enum HookError {
    /// No such project or path.
    NothingHere,
    /// The path is there, for other methods.
    Method(Vec<Method>),
    /// The caller's address is not on the list.
    Address(IpAddr),
    /// The body is too large, too slow, not genuine or not readable, or the flow was not started.
    Refused(Problem),
}

impl From<SelectError> for HookError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::NoProject => Self::NothingHere,
            SelectError::Key(error) => Self::Refused(error.into()),
        }
    }
}

impl From<SignatureError> for HookError {
    fn from(error: SignatureError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<InputError> for HookError {
    fn from(error: InputError) -> Self {
        Self::Refused(Problem::new(error.code(), error.to_string()))
    }
}

impl From<Problem> for HookError {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl IntoResponse for HookError {
    fn into_response(self) -> Response {
        match self {
            Self::NothingHere => nothing_here().into_response(),
            Self::Refused(problem) => problem.into_response(),
            Self::Address(address) => {
                let detail = format!("the address {address} may not call this webhook");
                Problem::new(ErrorCode::AddressRefused, detail).into_response()
            }
            Self::Method(allowed) => wrong_method("this webhook", &allowed),
        }
    }
}

pub(super) async fn receive_hook(State(app): State<Shared>, request: Request) -> Result<Response, HookError> {
    let (parts, body) = request.into_parts();
    let Selected { tenant, path, .. } = select(&app, &parts.headers, parts.uri.path()).await?;
    let (route, params) = find(&app, tenant, &parts, path)?;
    let address = client(&parts, &app.trusted_proxies);
    if !route.target.allows(address) {
        return Err(HookError::Address(address));
    }
    let body = body::read(&parts.headers, body, app.limits.body).await?;
    verify(&app, tenant, route.target.signature(), (&parts.headers, &body)).await?;
    let admission = admission(tenant, &route, &params, (&parts, &body))?;
    Ok(start(&app, admission, &route.target).await?)
}

type Params = Vec<(String, String)>;

fn find(
    app: &Shared,
    tenant: Tenant,
    parts: &Parts,
    path: &str,
) -> Result<(Arc<Route<Webhook>>, Params), HookError> {
    let path = path.strip_prefix("/hooks/").ok_or(HookError::NothingHere)?;
    match app.deployments.current().hooks.find(tenant.project, parts.method.as_str(), path) {
        Found::Route { route, params } => Ok((route, params)),
        Found::MethodNotAllowed { allowed } => Err(HookError::Method(allowed)),
        Found::Nothing => Err(HookError::NothingHere),
    }
}

fn admission(
    tenant: Tenant,
    route: &Route<Webhook>,
    params: &[(String, String)],
    (parts, body): (&Parts, &[u8]),
) -> Result<Admission, InputError> {
    let headers = &parts.headers;
    let delivery =
        Delivery { method: parts.method.as_str(), params, query: parts.uri.query(), headers, body };
    let input = route.target.input(&delivery)?;
    let key = route.target.idempotency_key(&route.flow, &route.node, headers, &input);
    let mut admission = Admission::new(tenant, &route.flow, TriggerKind::Webhook, input);
    admission.idempotency_key = key;
    admission.request_id = RequestId::in_parts(parts).as_str().to_owned();
    Ok(admission)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::testing::{World, hook_flow};

    async fn world(config: Json) -> World {
        let world = World::start().await;
        world.publish(hook_flow("a", config)).await;
        world
    }

    #[tokio::test]
    async fn a_request_starts_the_flow() {
        let world = world(json!({"path": "shops/{shop}/orders"})).await;
        let call = world.gateway("POST /hooks/shops/7%2F8/orders?x=1").json(json!({"a": [1]}));
        let started = call.header("x-request-id", "mine-1").send().await.is(202);
        assert_eq!(started.header("x-request-id"), "mine-1");
        let ended = world.settled(started.at("/id").as_str().unwrap()).await;
        assert_eq!(
            ended.at("/output"),
            json!({"body": {"a": [1]}, "params": {"shop": "7/8"}, "query": {"x": "1"}})
        );
        assert_eq!(
            (ended.at("/trigger"), ended.at("/request_id")),
            ("trigger.webhook".into(), "mine-1".into())
        );
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_named() {
        let world = world(json!({"path": "x"})).await;
        for line in ["POST /hooks/y", "POST /hooks/", "POST /hooks/x/y", "POST /p/none/hooks/x", "GET /"] {
            let refused = world.gateway(line).send().await.is(404);
            assert_eq!(refused.at("/detail"), "there is nothing at this path", "{line}");
        }
        world.gateway("POST /p/other/hooks/x").send().await.is(404);
        world.gateway("POST /hooks/x").key(&world.stranger).send().await.is(404);
    }

    #[tokio::test]
    async fn only_its_methods_are_answered() {
        let world = world(json!({"path": "x", "method": ["PUT", "POST"]})).await;
        for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PATCH"] {
            let refused = world.gateway(&format!("{method} /hooks/x")).send().await.is(405);
            assert_eq!(refused.header("allow"), "POST,PUT", "{method}");
        }
        world.gateway("PUT /hooks/x").send().await.is(202);
    }

    #[tokio::test]
    async fn get_and_head_are_answered_where_the_list_says_so() {
        let world = world(json!({"path": "x", "method": ["GET", "HEAD"], "respond": "last"})).await;
        world.gateway("GET /hooks/x").send().await.is(200);
        world.gateway("HEAD /hooks/x").send().await.is(200);
    }

    #[tokio::test]
    async fn only_listed_addresses_may_call() {
        let world = world(json!({"path": "x", "allow_ips": ["198.51.100.0/24"]})).await;
        let call = || world.gateway("POST /hooks/x");
        call().send().await.is(403).has_code("address_refused");
        call().peer("198.51.100.9").send().await.is(202);
        let forged = call().header("x-forwarded-for", "198.51.100.9");
        forged.send().await.is(403);
        let proxied = call().peer("10.0.0.1").header("x-forwarded-for", "198.51.100.9");
        proxied.send().await.is(202);
        let chained = call().peer("10.0.0.1").header("x-forwarded-for", "198.51.100.9, 203.0.113.1");
        chained.send().await.is(403);
    }

    fn signature(secret: &str, body: &str) -> String {
        use hmac::{Hmac, KeyInit, Mac};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    #[tokio::test]
    async fn a_signature_is_checked_over_the_bytes_as_received() {
        let config = json!({"path": "x", "signature": {"scheme": "github", "secret": "{{ secrets.hook }}"}});
        let world = world(config).await;
        let call = |body: &str, signature: &str| {
            world.gateway("POST /hooks/x").body(body).header("x-hub-signature-256", signature)
        };
        let body = r#"{"a" : 1}"#;
        call(body, &signature("s3cret", body)).send().await.is(500).has_code("secret_missing");
        world.console("PUT /secrets/hook").json(json!({"value": "s3cret"})).send().await.is(204);
        call(body, &signature("s3cret", body)).send().await.is(202);
        call(r#"{"a":1}"#, &signature("s3cret", body)).send().await.is(401).has_code("signature_invalid");
        call(body, &signature("other", body)).send().await.is(401);
        world.gateway("POST /hooks/x").body(body).send().await.is(401).says("is missing");
    }

    #[tokio::test]
    async fn a_repeated_delivery_is_one_execution() {
        let world = world(json!({"path": "x"})).await;
        let send = async |id: &str| {
            let call = world.gateway("POST /hooks/x").json(json!({})).header("webhook-id", id);
            call.send().await.is(202).at("/id")
        };
        let first = send("msg_1").await;
        assert_eq!(send("msg_1").await, first);
        assert_ne!(send("msg_2").await, first);
    }

    #[tokio::test]
    async fn a_delivery_replayed_with_its_signature_starts_nothing_and_a_late_one_is_refused() {
        use base64::Engine as _;
        use hmac::{Hmac, KeyInit, Mac};
        let signature = json!({"scheme": "standard", "secret": "{{ secrets.hook }}"});
        let world = world(json!({"path": "x", "signature": signature})).await;
        world.console("PUT /secrets/hook").json(json!({"value": "whsec_c2VjcmV0"})).send().await.is(204);
        let seconds = (world.app.clock.now().millis() / 1_000).to_string();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"secret").unwrap();
        mac.update(format!("msg_1.{seconds}.{{}}").as_bytes());
        let signed = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        let send = async |id: &str| {
            let call = world.gateway("POST /hooks/x").body("{}").header("webhook-id", id);
            let call = call.header("webhook-timestamp", &seconds);
            call.header("webhook-signature", &format!("v1,{signed}")).send().await
        };
        let first = send("msg_1").await.is(202).at("/id");
        assert_eq!(send("msg_1").await.is(202).at("/id"), first, "a replay is the same execution");
        send("msg_2").await.is(401).has_code("signature_invalid").says("does not match");
        world.clock.advance(301_000);
        send("msg_1").await.is(401).has_code("signature_invalid").says("301 s away; 300 s are tolerated");
        let all = world.console("GET /executions").send().await.is(200);
        assert_eq!(all.at("/items").as_array().map(Vec::len), Some(1));
    }

    #[tokio::test]
    async fn the_last_nodes_output_is_the_answer() {
        let world = world(json!({"path": "x", "respond": "last"})).await;
        let answer = world.gateway("POST /hooks/x").json(json!({"n": 7})).send().await.is(200);
        assert_eq!((answer.at("/body/n"), answer.header("content-type")), (7.into(), "application/json"));
    }

    #[tokio::test]
    async fn a_respond_node_composes_the_answer() {
        let world = World::start().await;
        let mut flow = hook_flow("a", json!({"path": "x", "respond": "node"}));
        let body = json!("{{ hook.body.name }} ä");
        let config =
            json!({"status": 201, "headers": {"x-flow": "1", "x-request-id": "forged"}, "body": body});
        flow["nodes"][1] = json!({"key": "next", "type": "flow.respond", "config": config});
        world.publish(flow).await;
        let answer = world.gateway("POST /hooks/x").json(json!({"name": "Ada"})).send().await.is(201);
        assert_eq!((answer.text().as_str(), answer.header("x-flow")), ("Ada ä", "1"));
        assert_ne!(answer.header("x-request-id"), "forged");
    }

    #[tokio::test]
    async fn a_slow_flow_is_answered_with_the_place_to_look() {
        let world = World::start().await;
        let mut flow = hook_flow("a", json!({"path": "x", "respond": "last", "timeout_ms": 20}));
        flow["nodes"][1] = json!({"key": "next", "type": "flow.signal", "config": {"name": "go"}});
        world.publish(flow).await;
        let answer = world.gateway("POST /hooks/x").send().await.is(202);
        let id = answer.at("/id").as_str().unwrap().to_owned();
        assert_eq!(answer.header("location"), format!("http://console/api/v1/executions/{id}"));
    }

    #[tokio::test]
    async fn a_failed_flow_says_no_more_than_that() {
        let world = World::start().await;
        let mut flow = hook_flow("a", json!({"path": "x", "respond": "last"}));
        flow["nodes"][1] = json!({"key": "next", "type": "data.transform", "config": {"expression": "{{ parse_json('{') }}"}});
        world.publish(flow).await;
        let answer = world.gateway("POST /hooks/x").send().await.is(500).has_code("template_failed");
        assert!(!answer.text().contains("next") && answer.text().contains("exec_"), "{}", answer.text());
    }

    #[tokio::test]
    async fn bad_bodies_are_refused() {
        let world = world(json!({"path": "x"})).await;
        let check = async |body: &[u8], status: u16| {
            world.gateway("POST /hooks/x").body(body).send().await.is(status);
        };
        check(b"{", 400).await;
        check(b"\xff\xfe", 400).await;
        check("[".repeat(1_000_000).as_bytes(), 400).await;
        check(&vec![b' '; 10_000_000], 413).await;
        let huge = world.gateway("POST /hooks/x").header("content-length", "99999999999");
        huge.send().await.is(413).says("BODY_BYTES_MAX");
        let plain = world.gateway("POST /hooks/x").body("{").header("content-type", "text/plain");
        plain.send().await.is(202);
        let zipped = world.gateway("POST /hooks/x").body("\x1f").header("content-encoding", "gzip");
        let refused =
            zipped.send().await.is(415).has_code("media_type_unsupported").says("encoded as `gzip`");
        assert_eq!(refused.header("accept-encoding"), "identity");
    }

    #[tokio::test]
    async fn a_full_flow_says_when_to_come_again() {
        let world = World::start().await;
        let mut flow = hook_flow("a", json!({"path": "x"}));
        flow["settings"] = json!({"rate_limit": {"limit": 1, "period_ms": 60_000}});
        world.publish(flow).await;
        world.gateway("POST /hooks/x").send().await.is(202);
        let refused = world.gateway("POST /hooks/x").send().await.is(429).has_code("rate_limited");
        assert_eq!(refused.header("retry-after"), "60");
        assert_eq!(refused.at("/retry_after"), 60);
    }
}
