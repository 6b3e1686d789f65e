//! `fetch` as a host call: both bodies, streams with flow control, redirects, errors, aborts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flux_functions::{
    Answer, Body, FetchRequest, FetchResponse, FunctionError, HostCall, HostError, Redirected,
};
use futures::StreamExt;
use serde_json::json;

use crate::world::{TestHost, World, invoke, json_of};

fn answer(status: u16, body: Body) -> Answer {
    let headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("set-cookie".to_owned(), "a=1".to_owned()),
        ("set-cookie".to_owned(), "b=2".to_owned()),
    ];
    let url = "https://api.example/end".to_owned();
    Answer::Response(FetchResponse { status, headers, url, redirect: Redirected::Yes, body })
}

/// Answers with the request as JSON, its body read to the end.
fn mirror() -> Arc<TestHost> {
    TestHost::new(|call| {
        Box::pin(async move {
            let HostCall::Fetch(FetchRequest { method, url, headers, redirect, body }) = call.request else {
                return Err(HostError::new("not_found", "only fetch"));
            };
            let (form, bytes) = match body {
                Body::Empty => ("empty", Vec::new()),
                Body::Bytes(bytes) => ("bytes", bytes.to_vec()),
                Body::Stream(mut stream) => {
                    let mut all = Vec::new();
                    while let Some(piece) = stream.next().await {
                        all.extend_from_slice(&piece?);
                    }
                    ("stream", all)
                }
            };
            let shown = if bytes.len() > 100 {
                format!("{} bytes", bytes.len())
            } else {
                String::from_utf8_lossy(&bytes).into_owned()
            };
            let said = json!({"method": method, "url": url, "headers": headers, "redirect": format!("{redirect:?}"), "form": form, "body": shown});
            Ok(answer(200, Body::Bytes(Bytes::from(said.to_string()))))
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_arrive_as_they_were_made() {
    let world = World::new().await;
    for (line, expect) in [
        (
            "fetch('https://a.example/x?q=1#f')",
            json!({"method": "GET", "form": "empty", "url": "https://a.example/x?q=1#f"}),
        ),
        (
            "fetch(new URL('https://a.example'), {method: 'post', body: 'hi'})",
            json!({"method": "POST", "form": "bytes", "body": "hi"}),
        ),
        (
            "fetch('https://a.example', {method: 'PUT', body: new URLSearchParams({a: '1'})})",
            json!({"form": "bytes", "body": "a=1"}),
        ),
        ("fetch('https://a.example', {redirect: 'manual'})", json!({"redirect": "Manual"})),
        (
            "fetch(new Request('https://a.example', {method: 'POST', body: 'r'}))",
            json!({"form": "stream", "body": "r"}),
        ),
        (
            "fetch('https://a.example', {method: 'POST', body: new ReadableStream({
               start(c) { for (let i = 0; i < 20; i++) c.enqueue(new Uint8Array(50_000)); c.close(); }})})",
            json!({"form": "stream", "body": "1000000 bytes"}),
        ),
    ] {
        let function = world.function(&format!("return await (await {line}).json();")).await;
        let said = invoke(&function, "f", json!(null), mirror()).await.map(json_of).unwrap();
        for (name, value) in expect.as_object().unwrap() {
            assert_eq!(&said[name], value, "{line}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_what_the_platform_says_they_are() {
    let world = World::new().await;
    let function = world
        .function(
            "const r = await fetch('https://a.example', {headers: {'X-Key': 'v'}});
             return [r instanceof Response, r.status, r.ok, r.url, r.redirected, r.headers.getSetCookie(),
                     await r.clone().text(), (await r.json()).b];",
        )
        .await;
    let host = TestHost::new(|_| {
        Box::pin(async { Ok(answer(404, Body::Bytes(Bytes::from_static(br#"{"b":[1]}"#)))) })
    });
    let output = invoke(&function, "f", json!(null), host).await.map(json_of);
    let expect =
        json!([true, 404, false, "https://api.example/end", true, ["a=1", "b=2"], "{\"b\":[1]}", [1]]);
    assert_eq!(output, Ok(expect));
    let empty =
        world.function("const r = await fetch('https://a.example'); return [r.status, r.body];").await;
    let host = TestHost::new(|_| Box::pin(async { Ok(answer(204, Body::Empty)) }));
    assert_eq!(invoke(&empty, "f", json!(null), host).await.map(json_of), Ok(json!([204, null])));
}

/// Streams `pieces` of 100 kB and counts how many were taken.
fn streaming(pieces: usize, taken: Arc<std::sync::atomic::AtomicUsize>) -> Arc<TestHost> {
    TestHost::new(move |_| {
        let taken = Arc::clone(&taken);
        let stream = futures::stream::iter(0..pieces).map(move |_| {
            taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(Bytes::from(vec![7; 100_000]))
        });
        Box::pin(async move { Ok(answer(200, Body::Stream(stream.boxed()))) })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_stream_with_flow_control() {
    let world = World::new().await;
    let all = world
        .function("let n = 0; for await (const p of (await fetch('https://a.example')).body) n += p.length; return n;")
        .await;
    let taken = Arc::default();
    let output = invoke(&all, "f", json!(null), streaming(30, Arc::clone(&taken))).await.map(json_of);
    assert_eq!(output, Ok(json!(3_000_000)));

    let first = world
        .function(
            "const reader = (await fetch('https://a.example')).body.getReader();
             const {value} = await reader.read();
             await new Promise((r) => setTimeout(r, 100));
             return value.length;",
        )
        .await;
    let taken = Arc::default();
    invoke(&first, "f", json!(null), streaming(1_000, Arc::clone(&taken))).await.unwrap();
    let taken = taken.load(std::sync::atomic::Ordering::Relaxed);
    assert!(taken < 10, "{taken} pieces were taken from the host while nobody read");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_reach_the_function_as_type_errors() {
    let world = World::new().await;
    let function = world
        .function(
            "try { await fetch('https://a.example'); } catch (e) { return [e.name, e.message, e.code]; }",
        )
        .await;
    let host =
        TestHost::new(|_| Box::pin(async { Err(HostError::new("egress_dns", "a.example has no address")) }));
    let output = invoke(&function, "f", json!(null), host).await.map(json_of);
    assert_eq!(output, Ok(json!(["TypeError", "a.example has no address", "egress_dns"])));

    let broken = world
        .function("try { await (await fetch('https://a.example')).text(); } catch (e) { return [e.name, e.message]; }")
        .await;
    let host = TestHost::new(|_| {
        let pieces =
            vec![Ok(Bytes::from_static(b"begin")), Err(HostError::new("egress_connection", "it broke off"))];
        let body = Body::Stream(futures::stream::iter(pieces).boxed());
        Box::pin(async { Ok(answer(200, body)) })
    });
    let output = invoke(&broken, "f", json!(null), host).await.map(json_of);
    assert_eq!(output, Ok(json!(["TypeError", "it broke off"])));

    let relative = world.function("await fetch('/x');").await;
    let error = invoke(&relative, "f", json!(null), TestHost::none()).await.unwrap_err();
    assert!(matches!(&error, FunctionError::Thrown(thrown) if thrown.name == "TypeError"), "{error}");
    let local = world.function("return await (await fetch('data:text/plain,hello')).text();").await;
    assert_eq!(invoke(&local, "f", json!(null), TestHost::none()).await.map(json_of), Ok(json!("hello")));
}

/// Is told when it is dropped.
struct Noted(Arc<tokio::sync::Notify>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aborting_ends_the_call_at_the_host() {
    let world = World::new().await;
    for (body, expect) in [
        (
            "const c = new AbortController(); setTimeout(() => c.abort(), 20);
             try { await fetch('https://a.example', {signal: c.signal}); } catch (e) { return e.name; }",
            "AbortError",
        ),
        (
            "try { await fetch('https://a.example', {signal: AbortSignal.timeout(20)}); } catch (e) { return e.name; }",
            "TimeoutError",
        ),
        ("fetch('https://a.example').catch(() => {}); return 'left';", "left"),
        (
            "return await Promise.race([fetch('https://a.example'), new Promise((r) => setTimeout(r, 20, 'won'))]);",
            "won",
        ),
    ] {
        let function = world.function(body).await;
        let dropped = Arc::new(tokio::sync::Notify::new());
        let noted = Arc::clone(&dropped);
        let host = TestHost::new(move |_| {
            let noted = Noted(Arc::clone(&noted));
            Box::pin(async move {
                std::future::pending::<()>().await;
                drop(noted);
                Err(HostError::new("internal", "unreachable"))
            })
        });
        assert_eq!(invoke(&function, "f", json!(null), host).await.map(json_of), Ok(json!(expect)), "{body}");
        tokio::time::timeout(Duration::from_secs(5), dropped.notified()).await.expect(body);
    }
}
