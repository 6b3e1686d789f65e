//! `kill -9` at random moments under load, with effects counted by an outside receiver.
//!
//! A flow of three HTTP steps in sequence and one of five steps side by side are posted to by
//! several senders while the server is killed again and again. What holds afterwards:
//!
//! - every execution whose acceptance was acknowledged is there, and succeeded;
//! - no step that was completed runs again: once the receiver saw step n + 1 of an execution, it
//!   never sees step n of it again;
//! - the calls of a step carry the same idempotency key, whatever happened in between;
//! - nothing is stuck: without any outside help every execution comes to its end.
//!
//! `FLUX_KILLS` says how often (50 in CI, `make kill N=1000` for more).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Project, Received, Receiver, Server, request};

const KILLS_DEFAULT: usize = 50;
const SENDERS: usize = 6;
/// Long enough for a slow machine; reached only by a stuck execution.
const END_WITHIN: Duration = Duration::from_secs(120);

#[test]
fn killing_the_server_loses_nothing_and_repeats_nothing() {
    let kills = std::env::var("FLUX_KILLS").ok().map_or(KILLS_DEFAULT, |text| text.parse().unwrap());
    let receiver = Receiver::start();
    let project = project(receiver.address);
    let mut random = fastrand::Rng::with_seed(0xF1);
    let mut acknowledged = Vec::new();
    for round in 0..kills {
        let server = project.dev();
        let load = Load::start(server.gateway, round);
        thread::sleep(Duration::from_millis(random.u64(20..400)));
        server.kill();
        acknowledged.extend(load.stop());
    }
    assert!(acknowledged.len() > kills, "the load was too light: {} accepted", acknowledged.len());
    let server = project.dev();
    wait_for_the_end(&server);
    check_executions(&server, &acknowledged);
    let hits: Vec<Hit> = receiver.received().iter().map(Hit::of).collect();
    check_hits(&hits);
    println!("{kills} kills, {} acknowledged executions, {} calls", acknowledged.len(), hits.len());
}

/// An accepted order.
struct Accepted {
    execution: String,
    order: String,
}

/// One call of a step, as the receiver saw it.
struct Hit {
    order: String,
    step: u64,
    /// Which element, where the step runs once per element.
    element: Value,
    idempotency_key: String,
}

impl Hit {
    fn of(received: &Received) -> Self {
        let body: Value = serde_json::from_slice(&received.body).unwrap();
        Self {
            order: body["order"].as_str().unwrap().to_owned(),
            step: body["step"].as_u64().unwrap(),
            element: body["element"].clone(),
            idempotency_key: received.headers["idempotency-key"].clone(),
        }
    }
}

/// Senders that post orders as fast as they are answered.
struct Load {
    stop: Arc<AtomicBool>,
    senders: Vec<JoinHandle<Vec<Accepted>>>,
}

impl Load {
    fn start(gateway: SocketAddr, round: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |sender| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || send(gateway, &format!("{round}-{sender}"), &stop))
        };
        Self { senders: (0..SENDERS).map(spawn).collect(), stop }
    }

    /// Ends it; gives everything that was acknowledged.
    fn stop(self) -> Vec<Accepted> {
        self.stop.store(true, Ordering::Relaxed);
        self.senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    }
}

fn send(gateway: SocketAddr, name: &str, stop: &AtomicBool) -> Vec<Accepted> {
    let mut accepted = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let order = format!("{name}-{number}");
        let path = if number % 4 == 3 { "/hooks/fan" } else { "/hooks/sequence" };
        // An error means that the server was killed before it answered: nothing was promised.
        let Ok(answer) = request(gateway, "POST", path, &[], Some(&json!({"order": order}))) else { break };
        match answer.status {
            202 => {
                let execution = answer.json()["id"].as_str().unwrap().to_owned();
                accepted.push(Accepted { execution, order });
            }
            // More than the server takes: it says so, and nothing was accepted.
            429 | 503 => {}
            status => panic!("answered {status}: {:?}", answer.json()),
        }
    }
    accepted
}

fn project(receiver: SocketAddr) -> Project {
    let hook = |path: &str| {
        json!({"key": "hook", "type": "trigger.webhook",
            "config": {"path": path, "method": "POST", "respond": "immediately"}})
    };
    let step = |key: &str, number: u32| {
        json!({"key": key, "type": "http.request",
            "retry": {"attempts": 10, "initial_ms": 20, "factor": 1.5, "max_ms": 500},
            "config": {"method": "POST", "url": format!("http://{receiver}/step"),
                "body": {"json": {"order": "{{ hook.body.order }}", "step": number}}}})
    };
    let edge = |from: &str, to: &str| json!({"from": from, "to": to});
    let sequence = json!({"name": "sequence",
        "nodes": [hook("sequence"), step("one", 1), step("two", 2), step("three", 3)],
        "edges": [edge("hook", "one"), edge("one", "two"), edge("two", "three")]});
    let mut each = step("each", 1);
    each["for_each"] = json!("{{ [1, 2, 3, 4, 5] }}");
    each["config"]["body"]["json"]["element"] = json!("{{ item }}");
    let fan = json!({"name": "fan",
        "nodes": [hook("fan"), each, step("last", 2)],
        "edges": [edge("hook", "each"), edge("each", "last")]});
    Project::with(&[("flows/sequence.json", &sequence.to_string()), ("flows/fan.json", &fan.to_string())])
}

/// Waits until no execution is queued, running or waiting.
fn wait_for_the_end(server: &Server) {
    let deadline = Instant::now() + END_WITHIN;
    loop {
        let open = server.api("GET", "/executions?status=queued,running,waiting&limit=5", None).json();
        if open["items"].as_array().is_some_and(Vec::is_empty) {
            return;
        }
        assert!(Instant::now() < deadline, "executions are stuck: {open}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn check_executions(server: &Server, acknowledged: &[Accepted]) {
    for Accepted { execution, order } in acknowledged {
        let found = server.api("GET", &format!("/executions/{execution}"), None);
        assert_eq!(found.status, 200, "order {order}: execution {execution} was acknowledged and is lost");
        let found = found.json();
        assert_eq!(found["status"], "succeeded", "order {order}, execution {execution}: {found}");
    }
}

fn check_hits(hits: &[Hit]) {
    let mut furthest: BTreeMap<&str, u64> = BTreeMap::new();
    let mut keys: BTreeMap<(&str, u64, String), &str> = BTreeMap::new();
    for Hit { order, step, element, idempotency_key } in hits {
        let furthest = furthest.entry(order).or_insert(*step);
        assert!(step >= furthest, "order {order}: step {step} ran again after step {furthest} had begun");
        *furthest = *step;
        let key = keys.entry((order, *step, element.to_string())).or_insert(idempotency_key);
        assert_eq!(key, idempotency_key, "order {order}, step {step}: another idempotency key");
    }
}
