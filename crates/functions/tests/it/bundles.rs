//! Bundles: what is wrong with a project, with place and code frame; packages from a registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flux_functions::{Declared, DeployError, ProjectFault, ProjectFunctions, declarations};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{World, call, deno, handler, project};

async fn faults(world: &World, files: &[(&str, &str)]) -> Vec<ProjectFault> {
    match world.try_serve(files).await {
        Err(DeployError::Project(faults)) => faults,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the project was served"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_shown_in_its_typescript() {
    let world = World::new().await;
    for (files, place, message, marked) in [
        (
            vec![("functions/f.ts", "const a: number = 1;\nexport default (x => {\n  return x +;\n};\n")],
            "functions/f.ts:3:13",
            "Expression expected",
            "> 3 |   return x +;",
        ),
        (
            vec![
                ("functions/f.ts", "import { a } from \"../lib/order.ts\";\nexport default () => a;\n"),
                ("lib/orders.ts", ""),
            ],
            "functions/f.ts:1:19",
            "there is no file `../lib/order.ts`",
            "> 1 | import { a } from",
        ),
        (
            vec![
                ("functions/f.ts", "import \"../lib/b.ts\";\nexport default () => 1;\n"),
                ("lib/b.ts", "export const = 1;\n"),
            ],
            "lib/b.ts:1:14",
            "",
            "> 1 | export const = 1;",
        ),
        (
            vec![("functions/f.ts", "import x from \"https://esm.sh/x\";\nexport default x;\n")],
            "functions/f.ts:1:15",
            "is loaded from the network",
            "> 1 |",
        ),
        (
            vec![("functions/f.ts", "import x from \"jsr:@std/assert\";\nexport default x;\n")],
            "functions/f.ts:1:15",
            "jsr packages are installed as npm packages",
            "> 1 |",
        ),
        (
            vec![(
                "functions/f.ts",
                "const list: string[] = [];\n\nconst first = list[0].length;\nexport default () => first;\n",
            )],
            "functions/f.ts:3:23",
            "TypeError: Cannot read properties of undefined",
            "> 3 | const first",
        ),
    ] {
        let faults = faults(&world, &files).await;
        assert_eq!(faults[0].place, place, "{faults:?}");
        assert!(faults[0].message.contains(message), "{faults:?}");
        let frame = faults[0].code_frame.as_deref().unwrap_or_default();
        assert!(frame.contains(marked), "{frame}");
    }
    let near = faults(
        &world,
        &[("functions/f.ts", "import \"./orderz.ts\";"), ("functions/orders.ts", "export default () => 1;")],
    )
    .await;
    assert_eq!(near[0].suggestion.as_deref(), Some("did you mean `orders.ts`?"));
}

#[tokio::test(flavor = "multi_thread")]
async fn default_exports_that_are_none_are_named() {
    let world = World::new().await;
    for (source, expect) in [
        (
            "export const a = 1;",
            "functions/f.ts has no default export: write `export default async (input, ctx) => …`",
        ),
        ("export default 5;", "the default export of functions/f.ts is a number"),
        ("export default {input: {}};", "has no function `handler`"),
        (
            "export default {handler() {}, ouput: {}};",
            "has a member `ouput`; known are input, output, handler",
        ),
        ("export default {handler() {}, input: 'text'};", "`input` of functions/f.ts is no JSON Schema"),
    ] {
        let faults = faults(&world, &[("functions/f.ts", source)]).await;
        assert!(faults[0].to_string().contains(expect), "{source}: {}", faults[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_is_the_same_bundle() {
    let world = World::new().await;
    let files = [
        (
            "functions/f.ts",
            "import { b } from \"../lib/b.ts\";\nimport d from \"../lib/d.json\" with { type: \"json\" };\nimport { c } from \"@/c.ts\";\nexport default () => [b, c, d];\n",
        ),
        ("lib/b.ts", "export const b = 1;"),
        ("lib/c.ts", "export const c = 2;"),
        ("lib/d.json", "{\"d\": 3}"),
        ("lib/unused.ts", "export const u = ;"),
        ("deno.json", "{\"imports\": {\"@/\": \"./lib/\"}}"),
    ];
    let (first, second) = (project(&files), project(&files));
    let mut ids = Vec::new();
    for folder in [&first, &second] {
        let bundle = world.runtime.bundle(&ProjectFunctions::open(folder.path()).unwrap()).await.unwrap();
        ids.push(bundle.id.clone());
        assert!(!bundle.folder.join("lib/unused.ts").exists(), "only what is imported");
    }
    assert_eq!(ids[0], ids[1]);
    std::fs::write(second.path().join("lib/b.ts"), "export const b = 10;").unwrap();
    let changed = world.runtime.bundle(&ProjectFunctions::open(second.path()).unwrap()).await.unwrap();
    assert_ne!(changed.id, ids[0]);
    let kept = world.runtime.open_bundle(&ids[0].to_string()).unwrap();
    let old = world.runtime.prepare(kept).await.unwrap();
    assert_eq!(call(&old, json!(null)).await, Ok(json!([1, 2, {"d": 3}])));
    for wrong in ["../../etc", "", "00"] {
        assert!(world.runtime.open_bundle(wrong).is_err(), "{wrong}");
    }
}

/// A registry with one package, which counts its visitors.
async fn registry() -> (String, Arc<AtomicUsize>) {
    let folder = project(&[
        ("package/package.json", r#"{"name": "tidy-adder", "version": "1.2.3", "main": "index.cjs"}"#),
        (
            "package/index.cjs",
            "const { format } = require('node:util');\nexports.add = (a, b) => format('%d', a + b);",
        ),
    ]);
    let archive = folder.path().join("a.tgz");
    let tar = std::process::Command::new("tar")
        .arg("-czf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path())
        .arg("package")
        .status();
    assert!(tar.unwrap().success());
    let archive = std::fs::read(archive).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let visits = Arc::new(AtomicUsize::new(0));
    let (own_url, counted) = (url.clone(), Arc::clone(&visits));
    tokio::spawn(async move {
        while let Ok((mut visitor, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let (own_url, archive) = (own_url.clone(), archive.clone());
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let read = visitor.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let (status, body) = if request.starts_with("GET /tidy-adder ") {
                    let dist = json!({"tarball": format!("{own_url}/a.tgz")});
                    let version = json!({"name": "tidy-adder", "version": "1.2.3", "dist": dist});
                    let package = json!({"name": "tidy-adder", "dist-tags": {"latest": "1.2.3"}, "versions": {"1.2.3": version}});
                    ("200 OK", package.to_string().into_bytes())
                } else if request.starts_with("GET /a.tgz ") {
                    ("200 OK", archive)
                } else {
                    ("404 Not Found", b"{}".to_vec())
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = visitor.write_all(&[head.into_bytes(), body].concat()).await;
            });
        }
    });
    (url, visits)
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_locked_and_fetched_once() {
    let world = World::new().await;
    let (url, visits) = registry().await;
    let npmrc = format!("registry={url}/\n");
    let source = "import { add } from \"tidy-adder\";\nexport default (n: number) => add(n, 1);\n";
    let files = [
        (".npmrc", npmrc.as_str()),
        ("package.json", r#"{"dependencies": {"tidy-adder": "^1.0.0"}}"#),
        ("functions/f.ts", source),
    ];
    let function = world.serve(&files).await;
    assert_eq!(call(&function, json!(41)).await, Ok(json!("42")));
    let lock = std::fs::read_to_string(
        std::fs::canonicalize(function.bundle().folder.join("node_modules"))
            .unwrap()
            .with_file_name("deno.lock"),
    );
    assert!(lock.unwrap().contains("tidy-adder@1.2.3"));
    let visited = visits.load(Ordering::Relaxed);
    assert!(visited > 0);
    // Another version of the functions with the same packages asks nobody.
    let changed =
        world.serve(&[files[0], files[1], ("functions/f.ts", &source.replace("n, 1", "n, 2"))]).await;
    assert_eq!(call(&changed, json!(40)).await, Ok(json!("42")));
    assert_eq!(visits.load(Ordering::Relaxed), visited);

    let missing = [
        files[0],
        ("package.json", r#"{"dependencies": {"no-such-adder": "1"}}"#),
        (
            "functions/f.ts",
            &handler("return 1;").replace("export default", "import \"no-such-adder\";\nexport default"),
        ),
    ];
    let error = world.try_serve(&missing).await.unwrap_err();
    assert!(matches!(&error, DeployError::Packages(message) if message.contains("no-such-adder")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clashing_routes_name_both_functions() {
    let config = r#"{"functions": {"a": {"route": "/orders/{id}"}, "b": {"route": "/orders/{other}"}, "c": {"route": "/orders/{id}", "method": "GET"}}}"#;
    let source = "export default () => 1;";
    let folder = project(&[
        ("flux.json", config),
        ("functions/a.ts", source),
        ("functions/b.ts", source),
        ("functions/c.ts", source),
    ]);
    let error = ProjectFunctions::open(folder.path()).unwrap_err();
    let expect = "flux.json: functions.b.route: `a` (functions/a.ts) and `b` (functions/b.ts) both answer POST /orders/{other} \
                  (give one of them a route of its own)";
    assert_eq!(error.to_string(), expect);
}

/// The declarations of a project, checked by Deno together with functions that use them.
#[tokio::test(flavor = "multi_thread")]
async fn functions_are_checked_against_the_declarations_of_their_project() {
    let world = World::new().await;
    let typed = "export default {
        input: {type: 'object', properties: {id: {type: 'number'}}, required: ['id'],
                additionalProperties: false},
        output: {type: 'string'},
        handler: (input: {id: number}) => String(input.id),
    };";
    let plain = "export default (input: { n: number }) => ({ doubled: input.n * 2 });";
    let user = |line: &str| {
        format!("export default (async (input, ctx) => {{ {line} }}) satisfies Handler<{{ a: string }}>;")
    };
    let good = user(
        "const text: string = await ctx.functions.typed({ id: 1 });
         const { doubled } = await ctx.functions.plain({ n: 2 });
         const rows: { id: number }[] = (await ctx.db.query({ table: 'orders' })).rows;
         await ctx.db.transaction(async (tx) => { await tx.queue.send('plain', rows); });
         await ctx.flows.start('intake', input.a.length);
         ctx.log.warn(text, { doubled, id: ctx.headers['x-a'] });
         if (!ctx.user) throw ctx.error(401, 'nobody', 'who?');
         return ctx.user.sub;",
    );
    let files = [("functions/typed.ts", typed), ("functions/plain.ts", plain), ("functions/user.ts", &good)];
    let served = world.serve(&files).await;
    let database = "export interface Queries { query(query: { table: 'orders' }): Promise<{ rows: { id: number }[] }>; }";
    let declared = Declared { functions: served.functions(), flows: &["intake"], database: Some(database) };
    let folder = project(&files);
    std::fs::write(folder.path().join("flux.d.ts"), declarations(declared)).unwrap();
    let config = r#"{"compilerOptions": {"types": ["./flux.d.ts"]}}"#;
    std::fs::write(folder.path().join("deno.json"), config).unwrap();
    let check = || {
        let mut command = std::process::Command::new(deno());
        command.args(["check", "functions/user.ts"]).current_dir(folder.path()).env("NO_COLOR", "1");
        let output = command.env("DENO_DIR", folder.path().join("cache")).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = check();
    assert!(!said.contains("ERROR"), "{said}");
    for (line, expect) in [
        ("await ctx.functions.typed({ id: 'x' });", "TS2322"),
        ("await ctx.functions.plain({});", "TS2345"),
        ("await ctx.functions.missing(1);", "TS2339"),
        ("await ctx.flows.start('intakes');", "TS2345"),
        ("await ctx.db.query({ table: 'ordrs' });", "TS2322"),
        ("return input.b;", "TS2339"),
    ] {
        std::fs::write(folder.path().join("functions/user.ts"), user(line)).unwrap();
        let said = check();
        assert!(said.contains(expect), "{line}: {said}");
    }
}
