//! The same seed and the same clock reads give the same run, whichever way time and randomness are
//! asked for.

use std::sync::Arc;

use flux_functions::{ClockReads, Deployment, Invocation};
use serde_json::{Value as Json, json};

use crate::world::{TestHost, World, handler, json_of};

/// Every source of time and randomness that a function can reach.
const SOURCES: &[&str] = &[
    "Date.now()",
    "new Date().toISOString()",
    "Date()",
    "new (class extends Date {})().getTime()",
    "new (new Date(0).constructor)().getTime()",
    "new (Object.getPrototypeOf(new Date(0)).constructor)().getTime()",
    "performance.now()",
    "performance.timeOrigin",
    "performance.mark('a').startTime",
    "performance.toJSON().timeOrigin",
    "new Intl.DateTimeFormat('en', {dateStyle: 'full', timeStyle: 'full', timeZone: 'UTC'}).format()",
    "new Intl.DateTimeFormat('en', {fractionalSecondDigits: 3, second: 'numeric'}).formatToParts()",
    "Temporal.Now.instant().epochMilliseconds",
    "Temporal.Now.zonedDateTimeISO().toString()",
    "Temporal.Now.plainDateTimeISO().toString()",
    "Temporal.Now.plainTimeISO().toString()",
    "Temporal.Now.timeZoneId()",
    "new File([], 'x').lastModified",
    "new Date(0).getTimezoneOffset()",
    "new Date(1e12).toLocaleString()",
    "Math.random()",
    "crypto.randomUUID()",
    "Array.from(crypto.getRandomValues(new Uint8Array(16)))",
    "Array.from(new Uint8Array(await crypto.subtle.exportKey('raw', await crypto.subtle.generateKey({name: 'AES-GCM', length: 256}, true, ['encrypt']))))",
    "Array.from(new Uint8Array(await crypto.subtle.exportKey('raw', await crypto.subtle.generateKey({name: 'HMAC', hash: 'SHA-256'}, true, ['sign']))))",
    "process.hrtime()",
    "String(process.hrtime.bigint())",
    "process.uptime()",
    "process.getBuiltinModule('crypto').randomUUID()",
    "process.getBuiltinModule('crypto').randomBytes(8).toString('hex')",
    "process.getBuiltinModule('crypto').randomInt(1e9)",
    "process.getBuiltinModule('perf_hooks').performance.now()",
    "eval('Math.random() + Date.now()')",
    "new Function('return Math.random() + Date.now()')()",
    "new WeakRef({a: 1}).deref().a",
    "new Error('x').stack",
    "navigator.hardwareConcurrency",
];

async fn run(function: &Deployment, seed: u8, clock: Option<ClockReads>) -> (Json, ClockReads) {
    let mut invocation = Invocation::new("f", "null");
    invocation.seed = [seed; 32];
    invocation.clock = clock;
    let invoked = function.invoke(invocation, TestHost::none()).await.unwrap();
    let clock = invoked.record.clock.clone();
    (json_of(invoked), clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_repeats_from_its_seed_and_clock() {
    let world = World::new().await;
    let lines: Vec<String> = SOURCES.iter().map(|source| format!("async () => ({source})")).collect();
    let body = format!(
        "const all = [{}]; const out = [];
         for (const one of all) {{ out.push(await one()); await new Promise((r) => setTimeout(r, 2)); }}
         return out;",
        lines.join(",\n")
    );
    let first = world.function(&body).await;
    let (recorded, clock) = run(&first, 7, None).await;
    assert!(clock.deltas_us.len() > 15 && clock.dropped == 0, "{clock:?}");
    // Another process, later.
    let second = world.serve(&[("functions/f.ts", &handler(&body))]).await;
    assert_ne!(first.pids(), second.pids());
    let (replayed, again) = run(&second, 7, Some(clock.clone())).await;
    for ((source, left), right) in
        SOURCES.iter().zip(recorded.as_array().unwrap()).zip(replayed.as_array().unwrap())
    {
        assert_eq!(left, right, "{source}");
    }
    assert_eq!(again, clock);
    let (other, _) = run(&second, 8, Some(clock)).await;
    let random = SOURCES.iter().position(|source| *source == "Math.random()").unwrap();
    assert_ne!(other[random], recorded[random]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clock_reads_are_near_the_truth_and_bounded() {
    let world = World::new().await;
    let function = world.function("for (let i = 0; i < 10_050; i++) Date.now(); return Date.now();").await;
    let before =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let (now, clock) = run(&function, 1, None).await;
    let now = now.as_i64().unwrap();
    assert!((before - 1_000..before + 10_000).contains(&now), "{now} {before}");
    assert_eq!((clock.deltas_us.len(), clock.dropped), (10_000, 51));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_calls_do_not_share_randomness() {
    let world = World::new().await;
    let body =
        "const out = []; for (let i = 0; i < 20; i++) { out.push(Math.random()); await 0; } return out;";
    let function = world.function(body).await;
    let alone = run(&function, 3, None).await.0;
    let calls: Vec<_> = (0..8)
        .map(|seed| {
            let function = Arc::clone(&function);
            tokio::spawn(async move { run(&function, seed, None).await.0 })
        })
        .collect();
    for (seed, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap() == alone, seed == 3, "seed {seed}");
    }
    assert_ne!(alone, json!([]));
}
