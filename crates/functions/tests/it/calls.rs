//! What goes into a function, what it asks its host, and what comes out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use flux_functions::{Answer, FunctionError, HostCall, HostError, Invocation, LogLevel, Output};
use flux_model::Value;
use serde_json::{Value as Json, json};

use crate::world::{TestHost, World, call, handler, invoke, json_of, response_of};

#[tokio::test(flavor = "multi_thread")]
async fn values_go_in_and_come_out() {
    let world = World::new().await;
    let echo = world.function("return input;").await;
    let big = "x".repeat(300_000);
    for value in [
        json!(null),
        json!(1.5),
        json!("ü\u{1f600}\u{2028}"),
        json!([1, {"a": [true]}]),
        serde_json::from_str(r#"{"__proto__": {"polluted": 1}, "constructor": {"prototype": 2}}"#).unwrap(),
        json!(big),
    ] {
        assert_eq!(call(&echo, value.clone()).await, Ok(value));
    }
    let pollution = world.function("return [typeof ({}).polluted, typeof input];").await;
    let input = Invocation::new("f", r#"{"__proto__": {"polluted": 1}}"#);
    let output = pollution.invoke(input, TestHost::none()).await.map(json_of);
    assert_eq!(output, Ok(json!(["undefined", "object"])));
    let nothing = pollution.invoke(Invocation::new("f", ""), TestHost::none()).await.map(json_of);
    assert_eq!(nothing, Ok(json!(["undefined", "undefined"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_and_names_that_do_not_exist_are_refused() {
    let world = World::new().await;
    let functions = world.serve(&[("functions/create_order.ts", &handler("return 1;"))]).await;
    let error = invoke(&functions, "create_ordr", json!(1), TestHost::none()).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no function `create_ordr`; did you mean `create_order`?");
    let broken = functions.invoke(Invocation::new("create_order", "{oops"), TestHost::none()).await;
    assert!(
        matches!(&broken, Err(FunctionError::Input(message)) if message.contains("not JSON")),
        "{broken:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctx_carries_what_the_caller_gave() {
    let world = World::new().await;
    let function = world
        .function(
            "return [ctx.requestId, ctx.headers['x-a'], ctx.headers.get('X-A'), ctx.headers.get('no'), ctx.user,
                     ctx.env.MODE, Deno.env.get('MODE'), process.env.MODE, Object.keys(ctx).length];",
        )
        .await;
    let mut invocation = Invocation::new("f", "null");
    invocation.request_id = Arc::from("req-1");
    invocation.headers = vec![("x-a".to_owned(), "1".to_owned())];
    invocation.user = Value::object([("sub", Value::text("u"))]);
    invocation.env = Arc::new(BTreeMap::from([("MODE".to_owned(), "test".to_owned())]));
    let output = function.invoke(invocation, TestHost::none()).await.map(json_of);
    assert_eq!(output, Ok(json!(["req-1", "1", "1", null, {"sub": "u"}, "test", "test", "test", 12])));
}

/// What a line of a handler asks of the host, as the debug text of the call.
#[tokio::test(flavor = "multi_thread")]
async fn every_member_of_ctx_is_a_host_call_with_its_place() {
    let world = World::new().await;
    for (line, expect) in [
        (
            "return await ctx.db.query({table: 'orders', where: {id: 1}});",
            r#"DbQuery { query: {"table":"orders","where":{"id":1}}, transaction: None }"#,
        ),
        ("return await ctx.secrets.get('key');", r#"SecretGet { name: "key" }"#),
        ("return await ctx.functions.other({a: 1});", r#"FunctionCall { name: "other", input: {"a":1} }"#),
        (
            "return await ctx.flows.start('intake', [1], {wait: true, idempotencyKey: 'k'});",
            r#"FlowStart { name: "intake", input: [1], wait: Finished, idempotency_key: Some("k") }"#,
        ),
        (
            "return await ctx.queue.send('mail', {to: 1}, {delayMs: 50, idempotencyKey: 'i', orderingKey: 'o'});",
            r#"QueueSend(QueueSend { function: "mail", payload: {"to":1}, delay_ms: Some(50), idempotency_key: Some("i"), ordering_key: Some("o"), transaction: None })"#,
        ),
    ] {
        let function = world.function(line).await;
        let host = TestHost::value(json!({"answer": [1]}));
        assert_eq!(
            invoke(&function, "f", json!(null), Arc::clone(&host)).await.map(json_of),
            Ok(json!({"answer": [1]}))
        );
        let calls = host.calls.lock().clone();
        assert_eq!(calls.len(), 1, "{line}");
        assert_eq!(calls[0].0, expect);
        let site = calls[0].1.as_deref().unwrap_or_default();
        assert!(site.starts_with("functions/f.ts:2:"), "{line}: {site}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_begin_and_end_and_none_stays_open() {
    let world = World::new().await;
    for (body, last) in [
        ("return await ctx.db.transaction(async (tx) => await tx.query({table: 'a'}));", "DbCommit"),
        ("await ctx.db.transaction(async () => { throw new Error('no'); }).catch(() => {});", "DbRollback"),
        (
            "ctx.db.transaction(() => new Promise(() => {})); await new Promise((r) => setTimeout(r, 20));",
            "DbRollback",
        ),
        ("await ctx.db.transaction(async () => { await 0; Deno.exit(1); });", "DbRollback"),
    ] {
        let function = world.function(body).await;
        let host = TestHost::value(json!([]));
        let _ = invoke(&function, "f", json!(null), Arc::clone(&host)).await;
        let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while !host.calls.lock().last().is_some_and(|(call, _)| call.starts_with(last)) {
            assert!(std::time::Instant::now() < until, "{body}: {:?}", host.calls.lock());
            tokio::task::yield_now().await;
        }
        let calls = host.calls.lock();
        assert!(calls[0].0.starts_with("DbBegin"), "{body}");
        assert!(calls.iter().filter(|(call, _)| call.contains("TransactionId(1)")).count() >= 2, "{calls:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_nest_and_calls_name_theirs() {
    let world = World::new().await;
    let function = world
        .function(
            "return await ctx.trace.span('outer', async () => {
               const inner = ctx.trace.span('inner', async () => { await 0; return await ctx.db.query({}); });
               const other = ctx.db.query({table: 'o'});
               await Promise.all([inner, other]);
               return await ctx.trace.span('bad', () => { throw new Error('x'); }).catch((e) => e.message);
             });",
        )
        .await;
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let host = TestHost::new(move |call| {
        let span = call.span;
        noted.lock().push(if let HostCall::SpanStart { span, parent, name } = call.request {
            format!("start {span} in {parent:?} {name}")
        } else if let HostCall::SpanEnd { span, error } = call.request {
            format!("end {span} {error:?}")
        } else {
            format!("call in {span:?}")
        });
        Box::pin(async { Ok(Answer::Value(Value::Null)) })
    });
    assert_eq!(invoke(&function, "f", json!(null), host).await.map(json_of), Ok(json!("x")));
    let seen = seen.lock();
    let has = |text: &str| assert!(seen.iter().any(|line| line == text), "{text}: {seen:?}");
    has("start 1 in None outer");
    has("start 2 in Some(1) inner");
    has("call in Some(2)");
    has("call in Some(1)");
    has("start 3 in Some(1) bad");
    has("end 3 Some(\"Error: x\")");
    has("end 1 None");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_host_have_code_status_and_place() {
    let world = World::new().await;
    let host = || {
        TestHost::new(|_| {
            let error = HostError { status: Some(409), ..HostError::new("conflict", "somebody was faster") };
            Box::pin(async { Err(error) })
        })
    };
    let caught = world
        .function("try { await ctx.db.query({}); } catch (e) { return [e instanceof Error, e.code, e.status, e.message]; }")
        .await;
    let output = invoke(&caught, "f", json!(null), host()).await.map(json_of);
    assert_eq!(output, Ok(json!([true, "conflict", 409, "somebody was faster"])));
    let uncaught = world.function("const x = 1;\nawait ctx.db.query({});").await;
    let Err(FunctionError::Thrown(thrown)) = invoke(&uncaught, "f", json!(null), host()).await else {
        panic!()
    };
    assert_eq!((thrown.code.as_deref(), thrown.status), (Some("conflict"), Some(409)));
    assert_eq!(thrown.frames[0].site.to_string(), "functions/f.ts:3:14");
    assert!(thrown.code_frame.unwrap().contains("> 3 | await ctx.db.query({});"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_logged_with_level_fields_and_place() {
    let world = World::new().await;
    let function = world
        .function(
            "ctx.log('plain');\nctx.log.warn('careful', {n: 1});\nconsole.error('from console', {a: [1]}, 2);\n\
             ctx.log.info({not: 'a text'});\nconst c: any = {}; c.c = c; ctx.log('cycle', c);",
        )
        .await;
    let host = TestHost::none();
    invoke(&function, "f", json!(null), Arc::clone(&host)).await.unwrap();
    let logs = host.logs.lock();
    let lines: Vec<_> = logs
        .iter()
        .map(|line| (line.level, line.message.as_str(), line.site.as_ref().unwrap().to_string()))
        .collect();
    assert_eq!(lines[0], (LogLevel::Info, "plain", "functions/f.ts:2:5".to_owned()));
    assert_eq!(lines[1], (LogLevel::Warn, "careful", "functions/f.ts:3:9".to_owned()));
    assert_eq!((lines[2].0, lines[2].1), (LogLevel::Error, "from console { a: [ 1 ] } 2"));
    assert_eq!(lines[3].1, "{ not: \"a text\" }");
    assert_eq!(logs[1].fields, Value::from(json!({"n": 1})));
    assert!(logs[4].fields.to_json().contains("not JSON"), "{:?}", logs[4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_keeps_status_headers_and_body() {
    let world = World::new().await;
    for (body, expect) in [
        ("return new Response('hi', {status: 201, headers: {'x-a': 'b'}});", (201, "hi")),
        ("return Response.json({a: 1});", (200, r#"{"a":1}"#)),
        ("return new Response(null, {status: 204});", (204, "")),
        (
            "const parts = ['data: 1\\n\\n', 'data: 2\\n\\n'];
             return new Response(new ReadableStream({async pull(c) {
               await new Promise((r) => setTimeout(r, 5));
               const part = parts.shift();
               part ? c.enqueue(new TextEncoder().encode(part)) : c.close();
             }}), {headers: {'content-type': 'text/event-stream'}});",
            (200, "data: 1\n\ndata: 2\n\n"),
        ),
        ("return new Response('x'.repeat(2_000_000));", (200, "x")),
    ] {
        let function = world.function(body).await;
        let invoked = invoke(&function, "f", json!(null), TestHost::none()).await.unwrap();
        let (status, headers, bytes) = response_of(invoked).await;
        let bytes = bytes.unwrap();
        assert_eq!(status, expect.0, "{body}");
        if expect.1 == "x" {
            assert_eq!(bytes.len(), 2_000_000, "more than any window");
        } else {
            assert_eq!(bytes, expect.1.as_bytes(), "{body}");
        }
        assert!(status != 201 || headers["x-a"] == "b");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_streamed_body_ends_the_function() {
    let world = World::new().await;
    let function = world
        .function(
            "return new Response(new ReadableStream({
               pull(c) { c.enqueue(new Uint8Array(1000)); },
               cancel() { globalThis.cancelled = true; },
             }));",
        )
        .await;
    let asked = world.serve(&[("functions/f.ts", &handler("return 1;"))]).await;
    let invoked = invoke(&function, "f", json!(null), TestHost::none()).await.unwrap();
    let Output::Response { mut body, .. } = invoked.output else { panic!() };
    futures::StreamExt::next(&mut body).await.unwrap().unwrap();
    assert_eq!(function.in_flight(), 1);
    drop(body);
    while function.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(call(&asked, json!(null)).await, Ok(json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_in_one_process_do_not_mix() {
    let world = World::new().await;
    let function = world
        .function(
            "await new Promise((r) => setTimeout(r, Math.random() * 20));
             console.log(ctx.requestId);
             const answer = await ctx.functions.x(input);
             await new Promise((r) => setTimeout(r, Math.random() * 20));
             return [ctx.requestId, answer, Deno.env.get('ID')];",
        )
        .await;
    let calls = (0..60).map(|number| {
        let function = Arc::clone(&function);
        tokio::spawn(async move {
            let host = TestHost::new(move |_| {
                Box::pin(async move { Ok(Answer::Value(Value::from(json!(number)))) })
            });
            let mut invocation = Invocation::new("f", number.to_string());
            invocation.request_id = Arc::from(format!("r{number}"));
            invocation.env = Arc::new(BTreeMap::from([("ID".to_owned(), number.to_string())]));
            let output = function.invoke(invocation, Arc::clone(&host) as _).await.map(json_of);
            assert_eq!(output, Ok(json!([format!("r{number}"), number, number.to_string()])));
            let logs = host.logs.lock();
            assert!(logs.len() == 1 && logs[0].message == format!("r{number}"), "{logs:?}");
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_of_the_default_export_are_reported() {
    let world = World::new().await;
    let source = "export default {
        input: {type: 'object', properties: {n: {type: 'number'}}, required: ['n']},
        output: {type: 'number'},
        handler: (input: {n: number}) => input.n + 1,
    };";
    let function = world.serve(&[("functions/f.ts", source)]).await;
    let info = function.function("f").unwrap();
    assert_eq!(info.output.as_ref().map(Value::to_json).as_deref(), Some(r#"{"type":"number"}"#));
    assert_eq!(info.input.as_ref().unwrap().get("required").unwrap().to_json(), r#"["n"]"#);
    assert_eq!(call(&function, json!({"n": 1})).await, Ok(json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_measured_comes_back() {
    let world = World::new().await;
    let function = world.function("let x = 0; for (let i = 0; i < 3e7; i++) x += i % 7; return x;").await;
    let invoked = invoke(&function, "f", json!(null), TestHost::none()).await.unwrap();
    assert!(invoked.record.cpu.as_micros() > 1_000, "{:?}", invoked.record);
    assert!(invoked.record.duration >= invoked.record.cpu / 2, "{:?}", invoked.record);
    let output: Json = json_of(invoked);
    assert!(output.as_f64().unwrap() > 0.0);
}
