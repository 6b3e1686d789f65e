//! Versions and their processes: switching, draining, recycling, waiting for a place.

use std::sync::Arc;
use std::time::Duration;

use flux_functions::{FunctionError, Invocation, ProjectFunctions, Spare};
use flux_model::{ProjectId, Timestamp};
use serde_json::json;

use crate::world::{TestHost, World, call, handler, json_of, project, settings};

fn project_id(number: u128) -> ProjectId {
    ProjectId::new(Timestamp::from_millis(1), number)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_switches_at_once_and_calls_in_flight_finish_on_theirs() {
    let world = World::new().await;
    let id = project_id(1);
    let missing = world.runtime.invoke(id, Invocation::new("f", "1"), TestHost::none()).await;
    assert!(matches!(missing, Err(FunctionError::NotDeployed)));
    let old = world.function("await new Promise((r) => setTimeout(r, 300)); return 'old';").await;
    let pid = old.pids()[0];
    world.runtime.activate(id, old);
    let running = {
        let active = world.runtime.active(id).unwrap();
        tokio::spawn(async move { call(&active, json!(1)).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    let new = world.function("return 'new';").await;
    drop(world.runtime.activate(id, new));
    let output = world.runtime.invoke(id, Invocation::new("f", "1"), TestHost::none()).await.map(json_of);
    assert_eq!(output, Ok(json!("new")));
    assert_eq!(running.await.unwrap(), Ok(json!("old")));
    until_ended(pid).await;
    world.runtime.shutdown().await;
}

async fn until_ended(pid: u32) {
    let is_there = || std::path::Path::new(&format!("/proc/{pid}")).exists();
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        while is_there() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    ended.await.expect("the process of the old version ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_version_leaves_the_old_one_serving() {
    let world = World::new().await;
    let id = project_id(2);
    let folder = project(&[("functions/f.ts", &handler("return 'old';"))]);
    let read = || ProjectFunctions::open(folder.path()).unwrap();
    let bundle = world.runtime.bundle(&read()).await.unwrap();
    world.runtime.deploy(id, bundle.clone()).await.unwrap();
    for broken in [
        "export default (",
        "export const a = 1;",
        "throw new Error('at load');",
        "import './none.ts'; export default () => 1;",
    ] {
        std::fs::write(folder.path().join("functions/f.ts"), broken).unwrap();
        let deployed = match world.runtime.bundle(&read()).await {
            Ok(bundle) => world.runtime.deploy(id, bundle).await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(deployed.is_err(), "{broken}");
        let output = world.runtime.invoke(id, Invocation::new("f", "1"), TestHost::none()).await.map(json_of);
        assert_eq!(output, Ok(json!("old")), "{broken}");
    }
    let again = world.runtime.open_bundle(&bundle.id.to_string()).unwrap();
    assert_eq!(again, bundle, "kept for rolling back");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_recycled_by_count_and_by_age() {
    for by_count in [true, false] {
        let mut settings = settings();
        match by_count {
            true => settings.recycle_calls = 20,
            false => settings.recycle_age = Duration::from_millis(100),
        }
        let world = World::with(settings).await;
        let function = world.function("await new Promise((r) => setTimeout(r, 5)); return input;").await;
        let first = function.pids()[0];
        let mut calls = 0;
        while function.pids().first() == Some(&first) {
            calls += 1;
            assert_eq!(call(&function, json!(calls)).await, Ok(json!(calls)));
            assert!(calls < 5_000, "the process is replaced");
        }
        assert_eq!(call(&function, json!("after")).await, Ok(json!("after")));
        until_ended(first).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_takes_over_at_once() {
    let mut settings = settings();
    settings.spare = Spare::Kept;
    let world = World::with(settings).await;
    let function = world.function("return input;").await;
    while function.pids().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pids = function.pids();
    assert_eq!(call(&function, json!(1)).await, Ok(json!(1)));
    std::process::Command::new("kill").args(["-9", &pids[0].to_string()]).status().unwrap();
    until_ended(pids[0]).await;
    assert_eq!(call(&function, json!(2)).await, Ok(json!(2)));
    assert_eq!(function.pids()[0], pids[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_for_a_place_and_too_many_are_refused() {
    let mut settings = settings();
    settings.calls_per_process = 2;
    settings.queue_max = 3;
    let world = World::with(settings).await;
    let function = world.function("await new Promise((r) => setTimeout(r, 150)); return input;").await;
    let calls = (0..8).map(|number| {
        let function = Arc::clone(&function);
        tokio::spawn(async move { call(&function, json!(number)).await })
    });
    let (mut served, mut refused) = (0, 0);
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(_) => served += 1,
            Err(FunctionError::Overloaded { limit: 3, measured, .. }) if measured > 3 => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((served, refused), (5, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_helps_when_the_first_is_full() {
    let mut settings = settings();
    (settings.calls_per_process, settings.processes_max) = (1, 2);
    let world = World::with(settings).await;
    let function = world.function("await new Promise((r) => setTimeout(r, 500)); return input;").await;
    let both = [1, 2].map(|number| {
        let function = Arc::clone(&function);
        tokio::spawn(async move { call(&function, json!(number)).await })
    });
    for call in both {
        call.await.unwrap().unwrap();
    }
    assert_eq!(function.pids().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_ends_its_call() {
    let world = World::new().await;
    let function = world.function("await ctx.functions.slow(); await new Promise(() => {});").await;
    let host = TestHost::new(|_| Box::pin(std::future::pending()));
    let future = function.invoke(Invocation::new("f", "1"), host);
    tokio::time::timeout(Duration::from_millis(80), future).await.unwrap_err();
    let gone = tokio::time::timeout(Duration::from_secs(5), async {
        while function.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    });
    gone.await.expect("the worker gives the call up");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_lets_calls_finish_and_ends_every_process() {
    let world = World::new().await;
    let function = world.function("await new Promise((r) => setTimeout(r, 200)); return 'done';").await;
    let pid = function.pids()[0];
    let running = tokio::spawn({
        let function = Arc::clone(&function);
        async move { call(&function, json!(1)).await }
    });
    while function.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    // The version is still held here; that must not hold anything up.
    world.runtime.shutdown().await;
    assert_eq!(running.await.unwrap(), Ok(json!("done")));
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert!(matches!(call(&function, json!(1)).await, Err(FunctionError::Cancelled(_))));
}
