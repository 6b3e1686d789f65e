//! The flows that the workloads run.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// Nodes in a row, behind a webhook on `path`, answered by the last.
fn chain(name: &str, nodes: Vec<Value>) -> Value {
    let mut all = vec![json!({
        "key": "hook", "type": "trigger.webhook",
        "config": {"path": name, "method": "POST", "respond": "node"}
    })];
    all.extend(nodes);
    let key = |node: &Value| node["key"].as_str().unwrap_or_default().to_owned();
    let edges: Vec<Value> =
        all.windows(2).map(|pair| json!({"from": key(&pair[0]), "to": key(&pair[1])})).collect();
    json!({"flux": 1, "name": name, "nodes": all, "edges": edges})
}

fn respond() -> Value {
    json!({"key": "answer", "type": "flow.respond", "config": {"status": 200, "body": "{{ input }}"}})
}

fn effect(key: &str, receiver: SocketAddr) -> Value {
    json!({"key": key, "type": "http.request", "config": {"method": "GET", "url": format!("http://{receiver}/step")}})
}

/// Webhook, three pure nodes, respond.
pub(crate) fn pure() -> Value {
    let nodes = vec![
        json!({"key": "set", "type": "data.set", "config": {"values": {"total": "{{ hook.body.a + hook.body.b }}"}}}),
        json!({"key": "text", "type": "data.transform", "config": {"expression": "total is {{ set.total }}"}}),
        json!({"key": "out", "type": "data.set", "config": {"values": {"text": "{{ text }}", "total": "{{ set.total }}"}}}),
        respond(),
    ];
    chain("pure", nodes)
}

/// Webhook, three effect steps in sequence, respond.
pub(crate) fn effects(receiver: SocketAddr) -> Value {
    let nodes = vec![effect("one", receiver), effect("two", receiver), effect("three", receiver), respond()];
    chain("effects", nodes)
}

/// Webhook, `count` effect steps in sequence, respond.
pub(crate) fn sequential(receiver: SocketAddr, count: usize) -> Value {
    let mut nodes: Vec<Value> = (0..count).map(|n| effect(&format!("s{n}"), receiver)).collect();
    nodes.push(respond());
    chain("sequential", nodes)
}

/// Webhook, one effect step per element of the body's `items`, respond with their number.
pub(crate) fn each(name: &str, receiver: SocketAddr, concurrency: u32) -> Value {
    let mut step = effect("step", receiver);
    step["for_each"] = json!("{{ hook.body.items }}");
    step["for_each_concurrency"] = json!(concurrency);
    let count =
        json!({"key": "count", "type": "data.transform", "config": {"expression": "{{ len(step) }}"}});
    chain(name, vec![step, count, respond()])
}

/// Webhook that is answered at once, then a review that nobody decides.
pub(crate) fn waiting() -> Value {
    let review = json!({"key": "wait", "type": "human.review", "config": {"title": "wait", "content": "{{ hook.body }}"}});
    let mut flow = chain("waiting", vec![review]);
    flow["nodes"][0]["config"]["respond"] = json!("immediately");
    flow
}
