//! Many executions at once that wait and go on all the time, with everybody talking to them: no
//! message is lost between an owner who lets go and the next one, and nothing happens twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flux_engine::SignalSent;
use flux_model::ExecutionId;
use flux_model::execution::ExecutionStatus;

use crate::world::{World, admission, on_each, probe, sequence, tenant};

const EXECUTIONS: usize = 120;
const SIGNALS: usize = 6;

/// `wait` and `work` by turns, then a delay.
fn publish(world: &World) {
    let wait = r#""config":{"name":"go"}"#;
    let work = probe("");
    let mut nodes = Vec::new();
    let keys: Vec<_> = (0..SIGNALS).map(|n| (format!("wait{n}"), format!("work{n}"))).collect();
    for (waits, works) in &keys {
        nodes.push((waits.as_str(), "flow.signal", wait));
        nodes.push((works.as_str(), "test.probe", work.as_str()));
    }
    nodes.push(("delay", "logic.delay", r#""config":{"ms":5}"#));
    nodes.push(("last", "test.probe", work.as_str()));
    world.publish(&sequence("churn", "{}", &nodes));
}

/// Sends the execution all its signals, one of them twice, whether it waits for them or not.
async fn signal(engine: flux_engine::Engine, id: ExecutionId) {
    for n in (0..SIGNALS - 1).chain([0, SIGNALS - 1]) {
        let signal = SignalSent { name: "go".to_owned(), payload: Default::default(), id: n.to_string() };
        engine.signal(tenant(), id, signal).await.unwrap();
        if id.bits().is_multiple_of(3) {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn no_message_is_lost_and_nothing_happens_twice() {
    on_each(|world| {
        publish(&world);
        let running = Arc::new(AtomicBool::new(true));
        let (clock, ticking) = (world.clock.clone(), running.clone());
        let ticks = std::thread::spawn(move || {
            while ticking.load(Ordering::SeqCst) {
                clock.advance(Duration::from_millis(2));
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let admitted = (0..EXECUTIONS).map(|_| {
            let engine = world.engine().clone();
            world.spawn(async move {
                let id = engine.admit(admission("churn", "{}")).await.unwrap().id;
                signal(engine, id).await;
                id
            })
        });
        let admitted: Vec<_> = admitted.collect();
        let ids: Vec<ExecutionId> = admitted.into_iter().map(|task| world.on(task).unwrap()).collect();
        for id in &ids {
            world.reaches(*id, ExecutionStatus::Succeeded);
        }
        running.store(false, Ordering::SeqCst);
        ticks.join().unwrap();
        for n in 0..SIGNALS {
            assert_eq!(world.probe.count(&format!("work{n}")), EXECUTIONS);
        }
        assert_eq!(world.probe.count("last"), EXECUTIONS);
        world.is_idle();
        assert_eq!(world.engine().stats().timers, 0);
    });
}
