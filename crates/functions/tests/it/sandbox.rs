//! What functions cannot do, and what they are told instead. Each hole that was ever found has its
//! line here.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flux_functions::{DeployError, FunctionError, ProjectFunctions, User};
use serde_json::{Value as Json, json};
use tokio::io::AsyncReadExt;

use crate::world::{World, call, deno, handler, project, settings};

/// Runs an expression; gives what it threw, or `reached: …`.
async fn attempt(world: &World, expression: &str) -> String {
    let body = format!(
        "try {{ const got = await (async () => {{ return {expression}; }})(); return 'reached: ' + String(got); }}
         catch (e) {{ return `${{e.name}}: ${{e.message}}`; }}"
    );
    let function = world.function(&body).await;
    match call(&function, json!(null)).await {
        Ok(Json::String(text)) => text,
        other => panic!("{expression}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_cannot_be_read_by_import() {
    let world = World::new().await;
    // Deno does not check the static graph of the module it is started with; it is started with ours.
    let literal = "import text from \"/etc/hostname\" with { type: \"text\" };\nexport default () => text;\n";
    let error = world.try_serve(&[("functions/f.ts", literal)]).await.unwrap_err();
    assert!(error.to_string().contains("outside of the project"), "{error}");
    for expression in [
        "(await import('/etc/hostname', {with: {type: 'text'}})).default",
        "(await import('/etc/' + 'hostname', {with: {type: 'text'}})).default",
        "(await import('data:' + 'text/javascript,import t from \"file:///etc/hostname\" with {type: \"text\"}; export default t')).default",
        "(await import(URL.createObjectURL(new Blob(['import t from \"file:///etc/hostname\" with {type: \"text\"}; export default t'], {type: 'text/javascript'})))).default",
        "await (0, eval)('import(\"/etc/hostname\", {with: {type: \"text\"}})')",
    ] {
        // A literal path is refused when the bundle is made, a computed one by the process.
        let body = format!("try {{ return 'reached ' + ({expression}); }} catch (e) {{ return e.message; }}");
        match world.try_serve(&[("functions/f.ts", &handler(&body))]).await {
            Err(error) => {
                assert!(error.to_string().contains("outside of the project"), "{expression}: {error}")
            }
            Ok(function) => {
                let said = call(&function, json!(null)).await.unwrap().to_string();
                assert!(said.contains("Requires read access"), "{expression}: {said}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fetched_by_import() {
    // Every registry is this listener, which counts who comes.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    tokio::spawn(async move {
        while let Ok((mut visitor, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = visitor.read(&mut [0; 100]).await;
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let wrapper = folder.path().join("deno");
    let script = format!(
        "#!/bin/sh\nexport NPM_CONFIG_REGISTRY=http://127.0.0.1:{port}/ JSR_URL=http://127.0.0.1:{port}/\nexec {} \"$@\"\n",
        deno().display()
    );
    std::fs::write(&wrapper, script).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut settings = settings();
    settings.deno = wrapper;
    let world = World::with(settings).await;
    for specifier in [
        "npm:left-pad@1",
        "jsr:@std/assert@1",
        "left-pad",
        &format!("http://127.0.0.1:{port}/x.js"),
        "https://esm.sh/x",
    ] {
        let said = attempt(&world, &format!("await import({specifier:?} + '')")).await;
        assert!(!said.starts_with("reached"), "{specifier}: {said}");
    }
    assert_eq!(visits.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unsupported_apis_say_what_to_use() {
    let world = World::new().await;
    for (expression, expect) in [
        (
            "await Deno.connect({port: 80})",
            "Deno.connect is not available in functions: sockets cannot be opened; use `fetch`",
        ),
        ("Deno.serve(() => {})", "every function has a route of its own already"),
        ("Deno.listen({port: 1})", "every function has a route of its own already"),
        ("await Deno.resolveDns('a', 'A')", "use `fetch`"),
        ("new Deno.Command('ls')", "programs cannot be started"),
        ("Deno.dlopen('x', {})", "use WebAssembly"),
        ("await Deno.readTextFile('/etc/hostname')", "use `ctx.db`"),
        ("Deno.writeTextFileSync('/tmp/x', '')", "use `ctx.db`"),
        ("await Deno.permissions.request({name: 'net'})", "permissions"),
        ("Deno.hostname()", "functions cannot look at the machine they run on"),
        ("Deno.env.set('A', 'b')", "the environment belongs to the project's configuration"),
        (
            "new WebSocket('ws://a.example')",
            "WebSocket is not available in functions: sockets cannot be opened; use `fetch`",
        ),
        ("new EventSource('https://a.example')", "as a stream"),
        ("new Worker('data:text/javascript,1', {type: 'module'})", "threads cannot be started"),
        ("new BroadcastChannel('x')", "ctx.functions"),
        ("await caches.open('x')", "use `ctx.db`"),
        ("localStorage.getItem('x')", "use `ctx.db`"),
        ("prompt('?')", "human.review"),
        ("close()", "a function ends by returning"),
        ("Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)", "use a promise"),
        ("process.kill(1)", "functions cannot act on their process"),
        ("process.abort()", "functions cannot act on their process"),
        ("process.chdir('/')", "functions cannot act on their process"),
        ("process.getBuiltinModule('vm').runInNewContext('1')", "cannot be replayed"),
        (
            "new (process.getBuiltinModule('worker_threads').Worker)('1', {eval: true})",
            "threads cannot be started",
        ),
        (
            "process.getBuiltinModule('fs').readFileSync('/etc/hostname')",
            "functions have no files beyond their own bundle",
        ),
        ("throw process.getBuiltinModule('child_process').spawnSync('ls').error", "spawnSync ls ENOENT"),
        (
            "await new Promise((_, no) => process.getBuiltinModule('net').connect(80, '127.0.0.1').on('error', no))",
            "use `fetch`",
        ),
        (
            "await new Promise((_, no) => process.getBuiltinModule('http').get('http://127.0.0.1/').on('error', no))",
            "use `fetch`",
        ),
        (
            "await crypto.subtle.generateKey({name: 'ECDSA', namedCurve: 'P-256'}, true, ['sign'])",
            "ctx.secrets.get",
        ),
    ] {
        let body = format!("return await (async () => {{ {expression}; return 'reached'; }})();");
        let function = world.function(&body).await;
        let error = match call(&function, json!(null)).await {
            Err(FunctionError::Thrown(thrown)) => thrown.message,
            other => panic!("{expression}: {other:?}"),
        };
        assert!(error.contains(expect), "{expression}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_of_node_that_cannot_work_are_named_when_the_bundle_is_made() {
    let world = World::new().await;
    for (module, expect) in [
        ("node:net", "use `fetch`"),
        ("node:http", "use `fetch`"),
        ("node:child_process", "programs cannot be started"),
        ("node:vm", "cannot be replayed"),
        ("node:worker_threads", "threads cannot be started"),
        ("node:sqlite", "use `ctx.db`"),
    ] {
        let source = format!("const a = 1;\nimport x from \"{module}\";\nexport default () => x;\n");
        let Err(DeployError::Project(faults)) = world.try_serve(&[("functions/f.ts", &source)]).await else {
            panic!("{module} was accepted")
        };
        assert_eq!(faults[0].place, "functions/f.ts:2:15");
        assert!(faults[0].message.contains(module) && faults[0].message.contains(expect), "{}", faults[0]);
        assert!(faults[0].code_frame.as_ref().unwrap().contains("> 2 | import x"), "{}", faults[0]);
    }
    let fine = "import { Buffer } from \"node:buffer\";\nimport { createHash } from \"node:crypto\";\nimport path from \"node:path\";
        export default () => [Buffer.from('a').toString('hex'), path.join('a', 'b'), createHash('sha256').update('a').digest('hex').slice(0, 4)];";
    let function = world.serve(&[("functions/f.ts", fine)]).await;
    assert_eq!(call(&function, json!(null)).await, Ok(json!(["61", "a/b", "ca97"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_internals_of_deno_and_of_the_worker_give_nothing_away() {
    let world = World::new().await;
    for expression in [
        "Object.keys(Deno).includes('internal') || typeof Deno.internal === 'symbol' || Deno[Deno.internal]?.core",
        "(() => { const seen = Object.getOwnPropertySymbols(Deno).length; return seen || undefined; })()",
    ] {
        let said = attempt(&world, expression).await;
        assert!(said == "reached: undefined" || said == "reached: false", "{expression}: {said}");
    }
    // Its modules can be imported, since they are loaded; what they hold cannot be reached by it.
    let runtime = std::fs::read_dir(settings().data).unwrap();
    let folder =
        runtime.flatten().find(|entry| entry.file_name().to_string_lossy().starts_with("runtime-")).unwrap();
    let clock = folder.path().join("clock.ts").display().to_string();
    let said = attempt(&world, &format!("(await import({clock:?} + '')).createRealClock()()")).await;
    let reads = attempt(&world, "Date.now()").await;
    assert!(said.starts_with("reached: ") && reads.starts_with("reached: "), "{said} {reads}");
    let main = folder.path().join("main.ts").display().to_string();
    let said = attempt(&world, &format!("Object.keys(await import({main:?} + '')).length")).await;
    assert_eq!(said, "reached: 0");
    // The socket is gone and the permission for it as well.
    let said = attempt(
        &world,
        "await new Promise((_, no) => process.getBuiltinModule('net').connect('/tmp/x').on('error', no))",
    )
    .await;
    assert!(said.contains("Requires"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_project_cannot_read_another() {
    let world = World::new().await;
    let victim = world.serve(&[("functions/f.ts", &handler("return 'secret';"))]).await;
    let path = victim.bundle().folder.join("functions/f.ts").display().to_string();
    let said =
        attempt(&world, &format!("(await import({path:?} + '', {{with: {{type: 'text'}}}})).default")).await;
    assert!(said.contains("Requires read access"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_out_of_a_project_are_not_followed() {
    let world = World::new().await;
    for name in ["functions/f.ts", "lib/secret.json", "package.json"] {
        let source = "import \"../lib/secret.json\" with { type: \"json\" };\nimport \"left-pad\";\nexport default () => 1;\n";
        let folder =
            project(&[("functions/f.ts", source), ("lib/secret.json", "{}"), ("package.json", "{}")]);
        let outside = folder.path().with_extension("outside");
        std::fs::write(&outside, if name.ends_with(".ts") { source } else { "{}" }).unwrap();
        std::fs::remove_file(folder.path().join(name)).unwrap();
        std::os::unix::fs::symlink(&outside, folder.path().join(name)).unwrap();
        let functions = ProjectFunctions::open(folder.path()).unwrap();
        let error = world.runtime.bundle(&functions).await.unwrap_err();
        std::fs::remove_file(outside).unwrap();
        assert!(error.to_string().contains("leads out of the project"), "{name}: {error}");
    }
}

/// Where the tests may change users, processes run as another one.
#[tokio::test(flavor = "multi_thread")]
async fn processes_run_as_the_user_that_is_set() {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    std::fs::set_permissions(data.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut settings = settings();
    settings.data = data.path().to_owned();
    settings.user = Some(User { uid: 65_534, gid: 65_534 });
    let world = World::with(settings).await;
    let function = world.function("return input;").await;
    assert_eq!(call(&function, json!(1)).await, Ok(json!(1)));
    let process = std::fs::metadata(format!("/proc/{}", function.pids()[0])).unwrap();
    assert_eq!((process.uid(), process.gid()), (65_534, 65_534));
}
