//! Every path of the gateway that is nothing else: a request for a function.
//!
//! In this order: project, route, key or token, rate limit, body, the input's schema, and only then
//! the function. A browser's question whether a page may call is answered from the route alone, and
//! pages that may call can read errors too.

mod answer;
mod identity;
mod quota;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use flux_model::Tenant;
use flux_triggers::function::{Call, FunctionRoute, InputError};
use flux_triggers::route::{Found, Method, Route, Target};
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use self::answer::Invocation;
use self::identity::Identity;
pub(crate) use self::quota::Calls;
use self::quota::Quota;
use super::answer::{nothing_here, wrong_method};
use super::project::{SelectError, Selected, select};
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body;
use crate::problem::{FieldProblem, Problem};

/// Why a request belongs to no function.
enum FindError {
    /// No such project or path.
    NothingHere,
    /// The path is there, for other methods.
    Method(Vec<Method>),
    /// The request carries a key that is not valid.
    Refused(Problem),
}

impl From<SelectError> for FindError {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::NoProject => Self::NothingHere,
            SelectError::Key(error) => Self::Refused(error.into()),
        }
    }
}

impl IntoResponse for FindError {
    fn into_response(self) -> Response {
        match self {
            Self::NothingHere => nothing_here().into_response(),
            Self::Method(allowed) => wrong_method("this function", &allowed),
            Self::Refused(problem) => problem.into_response(),
        }
    }
}

impl From<InputError> for Problem {
    fn from(error: InputError) -> Self {
        let field = |error: &flux_triggers::schema::FieldError| FieldProblem {
            field: error.field.clone(),
            message: error.message.clone(),
            suggestion: None,
        };
        let errors = error.fields().iter().map(field).collect();
        Self::new(error.code(), error.to_string()).with_errors(errors)
    }
}

/// Answers a request for a function.
pub(super) async fn call_function(State(app): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let target = match FunctionTarget::find(&app, &parts).await {
        Ok(target) => target,
        Err(error) => return error.into_response(),
    };
    if preflight(&parts).is_some() {
        return target.preflight(&parts);
    }
    let mut response = target.answer(&app, (&parts, body)).await;
    target.allow_origin(&parts, &mut response);
    response
}

/// The method that a page wants to call with, if a browser asks for it (Fetch standard, section
/// 3.3.2).
fn preflight(parts: &Parts) -> Option<&str> {
    let asks = parts.method == http::Method::OPTIONS && parts.headers.contains_key(ORIGIN);
    let wanted = parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|_| asks);
    wanted.and_then(|method| method.to_str().ok())
}

/// The function that a request is for.
struct FunctionTarget {
    tenant: Tenant,
    /// Who sends it, if it carries a key of ours.
    caller: Option<Caller>,
    route: Arc<Route<FunctionRoute>>,
    params: Vec<(String, String)>,
}

impl FunctionTarget {
    async fn find(app: &Shared, parts: &Parts) -> Result<Self, FindError> {
        let Selected { tenant, path, caller } = select(app, &parts.headers, parts.uri.path()).await?;
        let method = preflight(parts).unwrap_or(parts.method.as_str());
        match app.deployments.current().functions.find(tenant.project, method, path) {
            Found::Route { route, params } => Ok(Self { tenant, caller, route, params }),
            Found::MethodNotAllowed { allowed } => Err(FindError::Method(allowed)),
            Found::Nothing => Err(FindError::NothingHere),
        }
    }

    /// Tells a browser whether the page may call.
    fn preflight(&self, parts: &Parts) -> Response {
        let Some((cors, origin)) = self.route.target.cors().zip(parts.headers.get(ORIGIN)) else {
            return wrong_method("this function", self.route.target.methods());
        };
        let mut response = StatusCode::NO_CONTENT.into_response();
        cors.preflight(origin, response.headers_mut());
        response
    }

    /// Tells a browser whether the page may read the answer.
    fn allow_origin(&self, parts: &Parts, response: &mut Response) {
        let Some(cors) = self.route.target.cors() else { return };
        match parts.headers.get(ORIGIN) {
            Some(origin) => cors.answer(origin, response.headers_mut()),
            // A cache must not hand this answer to a page.
            None => {
                response.headers_mut().append(VARY, HeaderValue::from_static("origin"));
            }
        }
    }

    async fn answer(&self, app: &Shared, (parts, body): (&Parts, Body)) -> Response {
        let identity = match Identity::of(app, self, parts).await {
            Ok(identity) => identity,
            Err(problem) => return problem.into_response(),
        };
        let quota = Quota::count(app, self, &identity);
        let answered = match quota.as_ref().and_then(Quota::refusal) {
            Some(refused) => Err(refused),
            None => self.invoke(app, &identity, (parts, body)).await,
        };
        let mut response = answered.unwrap_or_else(IntoResponse::into_response);
        if let Some(quota) = quota {
            quota.show(response.headers_mut());
        }
        response
    }

    async fn invoke(
        &self,
        app: &Shared,
        identity: &Identity,
        (parts, body): (&Parts, Body),
    ) -> Result<Response, Problem> {
        let headers = &parts.headers;
        let body = body::read(headers, body, app.limits.body).await?;
        let call = Call {
            method: parts.method.as_str(),
            params: &self.params,
            query: parts.uri.query(),
            headers,
            body: &body,
            user: &identity.user,
        };
        let input = self.route.target.input(&call)?;
        Invocation::new(self, identity, parts)?.run(app, input).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::access::scope::Scope;
    use crate::app::{Detail, FunctionSettings};
    use crate::testing::{Call, Options, World, function_flow, function_giving};

    const PAGE: &str = "https://shop.example";

    /// A function at `/f` that gives what its trigger gave, with these members in its config.
    async fn world(config: Json) -> World {
        let world = World::start().await;
        publish(&world, "f", config).await;
        world
    }

    async fn publish(world: &World, name: &str, config: Json) {
        world.publish(function_flow(name, at(name, config))).await;
    }

    /// The config with the route `/name`, unless it has one.
    fn at(name: &str, mut config: Json) -> Json {
        if config.get("route").is_none() {
            config["route"] = format!("/{name}").into();
        }
        config
    }

    async fn caller(world: &World) -> String {
        world.key("caller", &[Scope::FunctionsCall]).await
    }

    #[tokio::test]
    async fn a_function_is_given_the_request_and_its_output_is_the_answer() {
        let world = world(json!({"route": "/orders/{id}", "method": ["POST", "PUT"]})).await;
        let key = caller(&world).await;
        let call = world.gateway("PUT /orders/7%2F8?ignored=1").key(&key).json(json!({"n": 1}));
        let answer = call.header("x-request-id", "mine-1").header("x-shop", "a").send().await.is(200);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("x-request-id"), "mine-1");
        assert_eq!(answer.at("/input"), json!({"n": 1, "id": "7/8"}));
        assert_eq!((answer.at("/method"), answer.at("/headers/x-shop")), ("PUT".into(), "a".into()));
        assert_eq!(answer.at("/headers/authorization"), "[masked]");
        assert_eq!(answer.at("/user/key"), "caller");
        assert!(answer.at("/user/id").as_str().unwrap().starts_with("key_"), "{}", answer.text());
    }

    #[tokio::test]
    async fn its_executions_are_a_functions() {
        let world = world(json!({"auth": "none", "answer": "durable_output"})).await;
        world.gateway("POST /f").header("x-request-id", "mine-2").send().await.is(200);
        for query in ["function=f", "kind=function", "trace=mine-2"] {
            let list = world.console(&format!("GET /executions?{query}")).send().await.is(200);
            assert_eq!(list.at("/items").as_array().map(Vec::len), Some(1), "{query}");
            assert_eq!(
                (list.at("/items/0/kind"), list.at("/items/0/trigger"), list.at("/items/0/flow")),
                ("function".into(), "trigger.function".into(), "f".into())
            );
        }
        let list = world.console("GET /executions?kind=flow").send().await.is(200);
        assert_eq!(list.at("/items"), json!([]));
        let id = world.console("GET /executions").send().await.at("/items/0/id");
        let shown = world.console(&format!("GET /executions/{}", id.as_str().unwrap())).send().await;
        assert_eq!(shown.at("/links/flow"), "/api/v1/functions/f");
    }

    #[tokio::test]
    async fn values_are_json_and_responses_are_themselves() {
        let world = World::start().await;
        let check = async |name: &str, expression: &str, status: u16, content_type: &str, body: &str| {
            let config = at(name, json!({"auth": "none"}));
            world.publish(function_giving(name, config, &format!("{{{{ {expression} }}}}"))).await;
            let answer = world.gateway(&format!("POST /{name}")).send().await.is(status);
            assert_eq!(
                (answer.header("content-type"), answer.text().as_str()),
                (content_type, body),
                "{name}"
            );
            answer
        };
        check("null", "{output: null}", 200, "application/json", "null").await;
        check("text", "{output: 'hi'}", 200, "application/json", "\"hi\"").await;
        let page = "{output: '<a/>', response: {status: 201, headers: [['content-type', 'text/html'], \
            ['set-cookie', 'a=1'], ['x-request-id', 'forged'], ['content-length', '99']]}}";
        let answer = check("page", page, 201, "text/html", "<a/>").await;
        assert_eq!(answer.header("set-cookie"), "a=1");
        assert_ne!(answer.header("x-request-id"), "forged");
        let empty = "{output: null, response: {status: 204, headers: []}}";
        check("empty", empty, 204, "", "").await;
        let world = World::start().await;
        world.publish(function_giving("odd", at("odd", json!({"auth": "none"})), "{{ 1 }}")).await;
        world.gateway("POST /odd").send().await.is(500).has_code("function_output").says("gave no `output`");
    }

    #[tokio::test]
    async fn a_key_needs_the_scope() {
        let world = world(json!({})).await;
        let anonymous = world.gateway("POST /f").send().await.is(401).has_code("unauthenticated");
        assert_eq!(anonymous.header("www-authenticate"), "Bearer");
        world.gateway("POST /f").key("flx_cut").send().await.is(401);
        world.gateway("POST /f").key("not.a.token").send().await.is(401);
        world.gateway("POST /f").header("authorization", "Basic dGVzdDp0ZXN0").send().await.is(401);
        let reader = world.key("reader", &[Scope::FlowsWrite, Scope::ExecutionsWrite]).await;
        let refused = world.gateway("POST /f").key(&reader).send().await.is(403);
        refused.has_code("forbidden").says("`functions:call`");
        let admin = world.key("admin", &[Scope::Admin]).await;
        for key in [caller(&world).await, admin] {
            world.gateway("POST /f").key(&key).send().await.is(200);
        }
        world.gateway("POST /f").key(&world.stranger).send().await.is(404);
    }

    #[tokio::test]
    async fn an_open_function_asks_nobody() {
        let world = world(json!({"auth": "none"})).await;
        let reader = world.key("reader", &[Scope::FlowsRead]).await;
        assert_eq!(world.gateway("POST /f").send().await.is(200).at("/user"), json!(null));
        assert_eq!(world.gateway("POST /f").key("not.a.token").send().await.is(200).at("/user"), json!(null));
        assert_eq!(world.gateway("POST /f").key(&reader).send().await.is(200).at("/user/key"), "reader");
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_named() {
        let world = world(json!({"method": ["POST", "PUT"]})).await;
        for line in ["POST /g", "POST /f/g", "POST /", "POST /p/none/f", "POST /p/other/f", "OPTIONS /g"] {
            let refused = world.gateway(line).send().await.is(404).has_code("not_found");
            assert_eq!(refused.at("/detail"), "there is nothing at this path", "{line}");
        }
        for method in ["GET", "DELETE", "OPTIONS", "TRACE"] {
            let refused = world.gateway(&format!("{method} /f")).send().await.is(405);
            assert_eq!(refused.header("allow"), "POST,PUT", "{method}");
        }
    }

    #[tokio::test]
    async fn a_project_is_reached_by_its_name() {
        let world = World::start().await;
        let flow = function_flow("f", json!({"route": "/f", "auth": "none"}));
        world.console("POST /flows").key(&world.stranger).json(flow).send().await.is(201);
        world.console("POST /flows/f/publish").key(&world.stranger).send().await.is(200);
        world.gateway("POST /p/other/f").send().await.is(200);
        world.gateway("POST /f").send().await.is(404);
        world.gateway("POST /f").key(&world.stranger).send().await.is(200);
    }

    fn asks(world: &World, origin: &str, method: &str) -> Call {
        let call = world.gateway("OPTIONS /f").header("origin", origin);
        call.header("access-control-request-method", method)
    }

    #[tokio::test]
    async fn a_browser_is_told_without_a_key() {
        let cors = json!({"origins": [PAGE], "headers": ["X-Shop"], "max_age_s": 60});
        let world = world(json!({"method": ["PUT"], "cors": cors, "rate_limit": {"limit": 1}})).await;
        for _ in 0..3 {
            let told = asks(&world, PAGE, "PUT").send().await.is(204).body_is("");
            assert_eq!(told.header("access-control-allow-origin"), PAGE);
            assert_eq!(told.header("access-control-allow-methods"), "PUT");
            assert!(told.header("access-control-allow-headers").contains("x-shop"));
            assert_eq!((told.header("access-control-max-age"), told.header("vary")), ("60", "origin"));
        }
        let other = asks(&world, "https://evil.example", "PUT").send().await.is(204);
        assert_eq!((other.header("access-control-allow-origin"), other.header("vary")), ("", "origin"));
        asks(&world, PAGE, "DELETE").send().await.is(405);
        publish(&world, "f", json!({"method": ["PUT"]})).await;
        asks(&world, PAGE, "PUT").send().await.is(405);
    }

    #[tokio::test]
    async fn pages_can_read_errors_too() {
        let world = world(json!({"cors": {"origins": [PAGE]}, "rate_limit": {"limit": 2}})).await;
        let key = caller(&world).await;
        let call = |origin: &str| world.gateway("POST /f").header("origin", origin);
        for answer in [
            call(PAGE).send().await.is(401),
            call(PAGE).key(&key).send().await.is(200),
            call(PAGE).key(&key).body("{").send().await.is(400),
            call(PAGE).key(&key).send().await.is(429),
        ] {
            assert_eq!(answer.header("access-control-allow-origin"), PAGE, "{}", answer.text());
            assert!(answer.header("access-control-expose-headers").contains("ratelimit"));
            assert_eq!(answer.header("vary"), "origin");
        }
        let other = call("https://evil.example").send().await.is(401);
        assert_eq!((other.header("access-control-allow-origin"), other.header("vary")), ("", "origin"));
        let plain = world.gateway("POST /f").send().await.is(401);
        assert_eq!((plain.header("access-control-allow-origin"), plain.header("vary")), ("", "origin"));
    }

    #[tokio::test]
    async fn a_burst_is_let_through_and_then_the_limit_holds() {
        let limit = json!({"limit": 6, "period_ms": 60_000, "burst": 2});
        let world = world(json!({"rate_limit": limit})).await;
        publish(&world, "g", json!({"rate_limit": limit})).await;
        let (first, second) = (caller(&world).await, caller(&world).await);
        let call = |path: &str, key: &str| world.gateway(&format!("POST /{path}")).key(key);
        for left in ["r=1;t=10", "r=0;t=20"] {
            let answer = call("f", &first).send().await.is(200);
            assert_eq!(answer.header("ratelimit-policy"), r#""caller";q=6;w=60"#);
            assert_eq!(answer.header("ratelimit"), format!(r#""caller";{left}"#));
        }
        let refused = call("f", &first).send().await.is(429).has_code("rate_limited");
        assert_eq!((refused.header("retry-after"), refused.at("/retry_after")), ("10", 10.into()));
        assert_eq!(refused.header("ratelimit"), r#""caller";r=0;t=20"#);
        refused.says("6 calls in 60000 ms from one caller, 2 of them at once");
        call("f", &second).send().await.is(200);
        call("g", &first).send().await.is(200);
        world.clock.advance(10_000);
        call("f", &first).send().await.is(200);
        call("f", &first).send().await.is(429);
    }

    #[tokio::test]
    async fn bad_requests_count_and_unknown_callers_do_not() {
        let world = world(json!({"rate_limit": {"limit": 2}})).await;
        let key = caller(&world).await;
        for _ in 0..5 {
            world.gateway("POST /f").body(vec![b' '; 10_000_000]).send().await.is(401);
        }
        world.gateway("POST /f").key(&key).body("{").send().await.is(400);
        let refused = world.gateway("POST /f").key(&key).body(vec![b' '; 10_000_000]).send().await.is(413);
        assert_eq!(refused.header("ratelimit"), r#""caller";r=0;t=60"#);
        world.gateway("POST /f").key(&key).body("{").send().await.is(429);
    }

    #[tokio::test]
    async fn callers_of_open_functions_are_addresses_and_the_server_may_limit_all() {
        let rate_limit = Some(crate::RateLimit { limit: 1, period_ms: 60_000, burst: None });
        let functions = FunctionSettings { rate_limit, ..FunctionSettings::default() };
        let world = World::with(Options { functions, ..Options::default() }).await;
        publish(&world, "f", json!({"auth": "none"})).await;
        publish(&world, "wide", json!({"auth": "none", "rate_limit": {"limit": 100}})).await;
        let call = |peer: &str| world.gateway("POST /f").peer(peer);
        call("192.0.2.1").send().await.is(200);
        call("192.0.2.1").send().await.is(429);
        call("192.0.2.2").send().await.is(200);
        call("2001:db8::1").send().await.is(200);
        call("2001:db8::2").send().await.is(429);
        call("10.0.0.1").header("x-forwarded-for", "192.0.2.3").send().await.is(200);
        call("10.0.0.1").header("x-forwarded-for", "192.0.2.2").send().await.is(429);
        for _ in 0..3 {
            world.gateway("POST /wide").send().await.is(200);
        }
    }

    #[tokio::test]
    async fn input_that_does_not_fit_is_refused_by_field() {
        let schema = json!({"type": "object", "required": ["total"], "properties": {
            "total": {"type": "number"}, "lines": {"type": "array", "items": {"type": "object"}}}});
        let world = world(json!({"auth": "none", "input_schema": schema})).await;
        let refused = world.gateway("POST /f").json(json!({"lines": [{}, 7]})).send().await.is(422);
        let refused = refused.has_code("input_invalid");
        let fields: Vec<Json> =
            refused.at("/errors").as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
        assert_eq!(fields, ["total", "lines.1"]);
        for body in ["{", "", "\u{feff}"] {
            let status = if body.is_empty() { 422 } else { 400 };
            world.gateway("POST /f").body(body).send().await.is(status);
        }
        world.gateway("POST /f").body("[".repeat(100_000)).send().await.is(400).has_code("request_invalid");
        world.gateway("POST /f").json(json!({"total": 7})).send().await.is(200);
        let list = world.console("GET /executions").send().await.is(200);
        assert_eq!(list.at("/items").as_array().map(Vec::len), Some(1), "nothing ran for the others");
    }

    #[tokio::test]
    async fn what_is_only_accepted_answers_with_the_id() {
        let world = world(json!({"auth": "none", "answer": "accepted"})).await;
        let accepted = world.gateway("POST /f").json(json!({"n": 1})).send().await.is(202);
        let ended = world.settled(accepted.at("/id").as_str().unwrap()).await;
        assert_eq!((ended.at("/status"), ended.at("/output/output/input/n")), ("succeeded".into(), 1.into()));
    }

    #[tokio::test]
    async fn an_idempotency_key_is_the_callers_own() {
        let world = World::start().await;
        publish(&world, "accepted", json!({"answer": "accepted"})).await;
        publish(&world, "durable", json!({"answer": "durable_output"})).await;
        let (first, second) = (caller(&world).await, caller(&world).await);
        let call = |path: &str, key: &str, idempotency_key: &str| {
            let call = world.gateway(&format!("POST /{path}")).key(key);
            call.header("idempotency-key", idempotency_key)
        };
        let id = call("accepted", &first, "k").send().await.is(202).at("/id");
        assert_eq!(call("accepted", &first, "k").send().await.is(202).at("/id"), id);
        assert_ne!(call("accepted", &first, "l").send().await.is(202).at("/id"), id);
        assert_ne!(call("accepted", &second, "k").send().await.is(202).at("/id"), id);
        let output = |n: u8, key: &str| call("durable", key, "k").json(json!({"n": n})).send();
        assert_eq!(output(1, &first).await.is(200).at("/input/n"), 1);
        assert_eq!(output(2, &first).await.is(200).at("/input/n"), 1, "the first call answers");
        assert_eq!(output(3, &second).await.is(200).at("/input/n"), 3);
        let long = call("durable", &first, &"x".repeat(256)).send().await.is(400);
        long.says("256 characters are not between 1 and 255 (IDEMPOTENCY_KEY_BYTES_MAX)");
    }

    #[tokio::test]
    async fn a_slow_function_is_answered_with_the_place_to_look() {
        let world = World::start().await;
        for (name, answer) in [("fast", "output"), ("durable", "durable_output")] {
            let config = json!({"auth": "none", "answer": answer, "timeout_ms": 20});
            let mut flow = function_flow(name, at(name, config));
            flow["nodes"][1] = json!({"key": "next", "type": "flow.signal", "config": {"name": "go"}});
            world.publish(flow).await;
            let answer = world.gateway(&format!("POST /{name}")).send().await.is(202);
            let id = answer.at("/id").as_str().unwrap().to_owned();
            assert_eq!(answer.header("location"), format!("http://console/api/v1/executions/{id}"));
        }
    }

    #[tokio::test]
    async fn a_failure_inside_stays_inside_unless_the_developer_asks() {
        let check = async |detail: Detail, shown: bool| {
            let functions = FunctionSettings { detail, ..FunctionSettings::default() };
            let world = World::with(Options { functions, ..Options::default() }).await;
            let config = at("f", json!({"auth": "none"}));
            world.publish(function_giving("f", config, "{{ parse_json('{') }}")).await;
            let answer = world.gateway("POST /f").send().await.is(500).has_code("template_failed");
            let answer = answer.says("execution exec_").says(" failed");
            assert_eq!(answer.text().contains("parse_json"), shown, "{}", answer.text());
        };
        check(Detail::Hidden, false).await;
        check(Detail::Shown, true).await;
    }

    #[tokio::test]
    async fn two_functions_cannot_have_one_route() {
        let world = world(json!({"route": "/x/{id}", "method": ["POST", "PUT"]})).await;
        let save = async |name: &str, config: Json| {
            world.console("POST /flows").json(function_flow(name, config)).send().await
        };
        let refused = save("g", json!({"route": "x/{name}/", "method": "PUT"})).await.is(422);
        refused.says("the functions `f` and `g` both answer to PUT /x/{name}");
        save("g", json!({"route": "/x/{name}", "method": "GET"})).await.is(201);
        save("h", json!({"route": "/y"})).await.is(201);
        save("i", json!({"route": "/y"})).await.is(201);
        world.console("POST /flows/h/publish").send().await.is(200);
        let refused = world.console("POST /flows/i/publish").send().await.is(422).has_code("config_invalid");
        let refused = refused.says("the functions `h` and `i` both answer to POST /y; change the route");
        assert_eq!(refused.at("/diagnostics/0/field"), "config.route");
        publish(&world, "f", json!({"route": "/z"})).await;
        save("g", json!({"route": "/x/{name}", "method": "PUT"})).await.is(200);
    }

    #[tokio::test]
    async fn routes_that_lead_elsewhere_are_refused() {
        let world = World::start().await;
        for route in ["/hooks/x", "forms", "/health", "/ready/", "/p/x", "/v1/executions"] {
            let flow = function_flow("f", json!({"route": route}));
            let refused = world.console("POST /flows").json(flow).send().await.is(422);
            let first = route.trim_matches('/').split('/').next().unwrap();
            let refused = refused.says(&format!("begins with `/{first}`, which is not for functions"));
            assert_eq!(refused.at("/diagnostics/0/field"), "config.route");
        }
        publish(&world, "health_of", json!({"auth": "none"})).await;
        world.gateway("POST /health_of").send().await.is(200);
    }
}
