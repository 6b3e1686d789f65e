//! Functions that misbehave: what their callers are told, and that nobody else is harmed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flux_functions::{FunctionError, Intent, Invocation};
use serde_json::json;

use crate::world::{TestHost, World, call, handler, invoke, json_of, settings};

async fn short_cpu() -> World {
    let mut settings = settings();
    settings.cpu = Duration::from_millis(300);
    World::with(settings).await
}

/// A project of `f` with this body and limits, beside a function `good`.
async fn limited(world: &World, body: &str, limits: &str) -> Arc<flux_functions::Deployment> {
    let config = format!(r#"{{"functions": {{"f": {limits}}}}}"#);
    world
        .serve(&[
            ("flux.json", &config),
            ("functions/f.ts", &handler(body)),
            ("functions/good.ts", &handler("return 'good';")),
        ])
        .await
}

async fn good(deployment: &flux_functions::Deployment) {
    let output = invoke(deployment, "good", json!(null), TestHost::none()).await.map(json_of);
    assert_eq!(output, Ok(json!("good")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_ends_its_process_and_says_why() {
    let world = short_cpu().await;
    for body in [
        "for (;;) {}",
        "await 0; for (;;) {}",
        "return /^(a+)+$/.test('a'.repeat(60) + 'b');",
        "for (;;) console.log('x');",
    ] {
        let looping = limited(&world, body, "{}").await;
        let other = limited(&world, "return 1;", "{}").await;
        let pid = looping.pids()[0];
        let error = call(&looping, json!(null)).await.unwrap_err();
        let FunctionError::Cpu { limit_ms: 300, measured_ms, setting, .. } = error else {
            panic!("{body}: {error}")
        };
        assert!(measured_ms >= 300 && setting.contains("cpu_ms"), "{measured_ms} {setting}");
        assert_eq!(call(&other, json!(null)).await, Ok(json!(1)), "another project is not touched");
        good(&looping).await;
        assert_ne!(looping.pids()[0], pid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_is_also_ended_by_the_time_limit() {
    let world = World::new().await;
    let looping = limited(&world, "for (;;) {}", r#"{"timeout_ms": 200}"#).await;
    let error = call(&looping, json!(null)).await.unwrap_err();
    let FunctionError::Timeout { limit_ms: 200, measured_ms, setting, ref state, .. } = error else {
        panic!("{error}")
    };
    assert!(measured_ms >= 200 && setting.contains("timeout_ms") && state.contains("processor"), "{error}");
    good(&looping).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_had_not_begun_are_given_to_the_replacement() {
    let world = short_cpu().await;
    let looping = limited(&world, "for (;;) {}", "{}").await;
    let loop_call = tokio::spawn({
        let looping = Arc::clone(&looping);
        async move { call(&looping, json!(null)).await }
    });
    while looping.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    // The process is in the loop by the time these arrive; they wait in its socket.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let waiting = (0..5).map(|_| {
        let looping = Arc::clone(&looping);
        tokio::spawn(async move { good(&looping).await })
    });
    for call in waiting.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert!(matches!(loop_call.await.unwrap(), Err(FunctionError::Cpu { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beside_a_loop_fail_with_its_reason() {
    let world = short_cpu().await;
    let body = "if (input) for (;;) {}\nawait new Promise((r) => setTimeout(r, 5000));";
    let function = limited(&world, body, "{}").await;
    let beside = tokio::spawn({
        let function = Arc::clone(&function);
        async move { call(&function, json!(false)).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(matches!(call(&function, json!(true)).await, Err(FunctionError::Cpu { .. })));
    assert!(matches!(beside.await.unwrap(), Err(FunctionError::Cpu { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_on_and_off_the_heap_has_a_limit() {
    let world = World::new().await;
    for body in [
        "const all = []; for (;;) all.push(new Array(1000).fill(input));",
        "const all = []; for (;;) { all.push(new Uint8Array(4e6).fill(1)); await new Promise((r) => setTimeout(r, 2)); }",
    ] {
        let leaking = limited(&world, body, r#"{"memory_mb": 96}"#).await;
        let error = call(&leaking, json!("x")).await.unwrap_err();
        let FunctionError::Memory { limit_mb: 96, measured_mb, setting, .. } = error else {
            panic!("{body}: {error}")
        };
        assert!(measured_mb >= 96 && setting.contains("memory_mb"), "{measured_mb} {setting}");
        good(&leaking).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_thrown_is_described() {
    let world = World::new().await;
    for (body, name, message) in [
        ("throw new TypeError('no');", "TypeError", "no"),
        ("throw 'text';", "a thrown string", "a string was thrown: \"text\""),
        ("throw null;", "a thrown null", "null was thrown: null"),
        ("throw undefined;", "a thrown undefined", "undefined was thrown: undefined"),
        ("throw 42;", "a thrown number", "a number was thrown: 42"),
        ("throw {a: 1};", "a thrown object", "an object was thrown: {\"a\":1}"),
        (
            "throw {get message() { throw 1; }, toJSON() { throw 2; }};",
            "a thrown object",
            "an object was thrown: [object Object]",
        ),
        (
            "throw new Proxy({}, {getPrototypeOf() { throw 1; }});",
            "Error",
            "what was thrown cannot be described",
        ),
        ("await Promise.reject(new RangeError('late'));", "RangeError", "late"),
        (
            "setTimeout(() => { throw new Error('in a timer'); }, 1); await new Promise(() => {});",
            "Error",
            "in a timer",
        ),
        (
            "Promise.reject(new Error('unhandled')); await new Promise((r) => setTimeout(r, 1000));",
            "Error",
            "unhandled",
        ),
    ] {
        let function = world.function(body).await;
        let error = call(&function, json!(null)).await.unwrap_err();
        let FunctionError::Thrown(thrown) = &error else { panic!("{body}: {error}") };
        assert_eq!((thrown.name.as_str(), thrown.message.as_str()), (name, message), "{body}");
        assert_eq!(thrown.intent, Intent::Fault);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_show_the_typescript_they_come_from() {
    let world = World::new().await;
    let library = "type Wide = {\n  a: string;\n};\n\nexport function fail(wide: Wide): never {\n  throw new Error(wide.a, { cause: new Error('deep') });\n}\n";
    let source = "import { fail } from \"../lib/fail.ts\";\n\ninterface Input { a: string }\n\nexport default (input: Input) => fail(input);\n";
    let function = world.serve(&[("functions/f.ts", source), ("lib/fail.ts", library)]).await;
    let Err(FunctionError::Thrown(thrown)) = call(&function, json!({"a": "broken"})).await else { panic!() };
    let frames: Vec<String> = thrown.frames.iter().map(|frame| frame.site.to_string()).collect();
    assert_eq!(frames, ["lib/fail.ts:6:9", "functions/f.ts:5:34"]);
    assert_eq!(thrown.frames[0].function.as_deref(), Some("fail"));
    let expect = "  4 | \n  5 | export function fail(wide: Wide): never {\n> 6 |   throw new Error(wide.a, { cause: new Error('deep') });\n    |         ^\n  7 | }";
    assert_eq!(thrown.code_frame.as_deref(), Some(expect));
    assert_eq!(thrown.causes, ["Error: deep"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctx_error_is_an_answer() {
    let world = World::new().await;
    for body in [
        "throw ctx.error(404, 'no_order', 'there is no order 7');",
        "ctx.error(404, 'no_order', 'there is no order 7');",
    ] {
        let function = world.function(body).await;
        let Err(FunctionError::Thrown(thrown)) = call(&function, json!(null)).await else { panic!() };
        assert_eq!(
            (thrown.status, thrown.code.as_deref(), thrown.intent),
            (Some(404), Some("no_order"), Intent::Answer)
        );
        assert_eq!(thrown.message, "there is no order 7");
    }
    let function = world.function("ctx.error(200, 'x', 'y');").await;
    let error = call(&function, json!(null)).await.unwrap_err();
    assert!(error.to_string().contains("from 400 to 599"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_ends_the_call_and_not_the_process() {
    let world = World::new().await;
    for body in [
        "Deno.exit(3);",
        "process.exit(3);",
        "try { Deno.exit(3); } catch {} return 1;",
        "await 0; process.exit(3)",
    ] {
        let function = limited(&world, body, "{}").await;
        let pid = function.pids()[0];
        let error = call(&function, json!(null)).await;
        assert_eq!(error, Err(FunctionError::Exit { function: "f".to_owned(), code: 3 }), "{body}");
        good(&function).await;
        assert_eq!(function.pids()[0], pid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_logs_is_cut_and_counted() {
    let world = World::new().await;
    let function = world
        .function("for (let i = 0; i < 15_000; i++) ctx.log('line ' + i); console.log('x'.repeat(1e6));")
        .await;
    let host = TestHost::none();
    let invoked = invoke(&function, "f", json!(null), Arc::clone(&host)).await.unwrap();
    assert_eq!(host.logs.lock().len(), 10_000);
    assert_eq!(invoked.record.logs_dropped, 5_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_is_not_json_is_named() {
    let world = World::new().await;
    for (body, expect) in [
        (
            "const o: any = {children: [{}]}; o.children[0].parent = o; return o;",
            "output.children[0].parent refers back to output",
        ),
        ("return {a: {b: 1n}};", "output.a.b is a BigInt"),
        ("return () => 1;", "output is a function"),
        ("return {toJSON() { throw new Error('not me'); }};", "not me"),
        (
            "let o: any = 1; for (let i = 0; i < 1e5; i++) o = [o]; return o;",
            "nested 100000 levels deep, at most 100",
        ),
        ("const r = new Response('x'); await r.text(); return r;", "was read already"),
    ] {
        let function = world.function(body).await;
        let error = call(&function, json!(null)).await.unwrap_err();
        let FunctionError::Unserialisable { reason, .. } = &error else { panic!("{body}: {error}") };
        assert!(reason.contains(expect), "{body}: {reason}");
    }
    let nothing = world.function("return undefined;").await;
    assert_eq!(call(&nothing, json!(null)).await, Ok(json!(null)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_end_says_what_it_waits_for() {
    let world = World::new().await;
    let limits = r#"{"timeout_ms": 150}"#;
    let never = limited(&world, "await new Promise(() => {});", limits).await;
    let pid = never.pids()[0];
    let error = call(&never, json!(null)).await.unwrap_err();
    assert!(matches!(&error, FunctionError::NeverResolved { limit_ms: 150, .. }), "{error}");
    assert!(error.to_string().contains("timeout_ms of the function in flux.json"), "{error}");
    good(&never).await;
    assert_eq!(never.pids()[0], pid, "the process lives on");

    let waiting = limited(&world, "await ctx.db.query({table: 'slow'});", limits).await;
    let host = TestHost::new(|_| Box::pin(std::future::pending()));
    let error = invoke(&waiting, "f", json!(null), host).await.unwrap_err();
    let FunctionError::Timeout { state, .. } = &error else { panic!("{error}") };
    assert!(state.contains("ctx.db.query select slow (functions/f.ts:2:14) for 1"), "{state}");

    let timer = limited(&world, "await new Promise((r) => setTimeout(r, 9e6));", limits).await;
    let error = call(&timer, json!(null)).await.unwrap_err();
    assert!(error.to_string().contains("It waited for 1 timer"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_deadline_counts_as_well() {
    let world = World::new().await;
    let function = world.function("await new Promise(() => {});").await;
    let mut invocation = Invocation::new("f", "null");
    invocation.deadline = Some(Instant::now() + Duration::from_millis(100));
    let error = function.invoke(invocation, TestHost::none()).await.unwrap_err();
    assert!(error.to_string().contains("the deadline of its caller"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_body_has_the_time_limit_of_its_call() {
    let world = World::new().await;
    let body = "return new Response(new ReadableStream({pull: () => new Promise(() => {})}));";
    let function = limited(&world, body, r#"{"timeout_ms": 300}"#).await;
    let invoked = invoke(&function, "f", json!(null), TestHost::none()).await.unwrap();
    let (_, _, end) = crate::world::response_of(invoked).await;
    assert!(matches!(&end, Err(FunctionError::Timeout { limit_ms: 300, .. })), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_fails_its_calls_and_is_replaced() {
    let world = World::new().await;
    let function = limited(&world, "await new Promise(() => {});", "{}").await;
    let pid = function.pids()[0];
    let waiting = tokio::spawn({
        let function = Arc::clone(&function);
        async move { call(&function, json!(null)).await }
    });
    while function.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, FunctionError::Crashed { reason, .. } if reason.contains("signal 9")),
        "{error}"
    );
    good(&function).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_behind_ends_with_its_call() {
    let world = World::new().await;
    let body =
        "if (input) { setInterval(() => { globalThis.ticks = (globalThis.ticks ?? 0) + 1; }, 1); return 0; }
                await new Promise((r) => setTimeout(r, 60));
                return globalThis.ticks ?? 0;";
    let function = world.function(body).await;
    call(&function, json!(true)).await.unwrap();
    assert_eq!(call(&function, json!(false)).await, Ok(json!(0)));
}
