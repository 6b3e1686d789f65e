//! Commands against a running server: keys, secrets, flows, signals, exit codes.

use serde_json::{Value, json};

use crate::harness::{Project, Receiver, eventually};

#[test]
fn nothing_of_that_name_ends_with_3() {
    let project = Project::of_template("hello");
    let _server = project.dev();
    let id = "exec_01k2m3n4p5q6r7s8t9v0w1x2y3";
    for arguments in [
        &["executions", id][..],
        &["trace", id],
        &["trace", "req_unknown"],
        &["logs", "--execution", id],
        &["cancel", id],
        &["signal", id, "paid"],
        &["rerun", id],
        &["run", "nothing"],
        &["flow", "export", "nothing"],
        &["flow", "diff", "nothing"],
        &["review", "show", "rev_01k2m3n4p5q6r7s8t9v0w1x2y3"],
        &["review", "approve", "rev_01k2m3n4p5q6r7s8t9v0w1x2y3"],
        &["secrets", "delete", "nothing"],
        &["keys", "revoke", "key_01k2m3n4p5q6r7s8t9v0w1x2y3"],
    ] {
        let ran = project.run(arguments).exits(3);
        assert!(ran.err().starts_with("error["), "{}", ran.err());
    }
}

#[test]
fn keys_allow_what_they_say_until_they_are_revoked() {
    let project = Project::of_template("hello");
    let _server = project.dev();
    let arguments = ["keys", "create", "ci", "--scope", "executions:read", "--expires", "1d"];
    let made = project.json(&arguments).succeeded().value();
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    project.run(&["executions", "--key", key]).succeeded();
    let refused = project.run(&["flow", "list", "--key", key]).exits(4);
    assert!(refused.err().contains("flows:read"), "{}", refused.err());
    assert!(project.run(&["keys", "list"]).succeeded().out().contains("expires in"));
    project.run(&["keys", "revoke", id]).succeeded();
    project.run(&["executions", "--key", key]).exits(4);
    project.run(&["keys", "create", "x", "--scope", "everything"]).exits(2);
}

#[test]
fn secrets_reach_the_wire_and_nothing_else() {
    let receiver = Receiver::start();
    let flow = json!({
        "name": "tell",
        "nodes": [
            {"key": "start", "type": "trigger.manual"},
            {"key": "tell", "type": "http.request", "config": {
                "method": "POST", "url": format!("http://{}/tell", receiver.address),
                "headers": {"x-token": "{{ secrets.token }}"}, "body": {"json": {"a": 1}}}}
        ],
        "edges": [{"from": "start", "to": "tell"}]
    });
    let project = Project::with(&[("flows/tell.json", &flow.to_string())]);
    let server = project.dev();
    project.run(&["secrets", "set", "token", "s3cr3t-value"]).succeeded();
    let ran = project.json(&["run", "tell", "--wait"]).succeeded().value();
    let first = &receiver.received()[0];
    assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", "/tell"));
    assert_eq!(first.headers["x-token"], "s3cr3t-value");
    let id = ran["id"].as_str().unwrap();
    let journal = server.api("GET", &format!("/executions/{id}/journal"), None);
    assert!(!String::from_utf8_lossy(&journal.body).contains("s3cr3t"), "the journal is masked");
    assert_eq!(project.json(&["secrets", "list"]).succeeded().value()["items"][0]["name"], "token");
    assert!(server.stop().success());

    // Sealed at rest, and opened again with the same server key.
    let server = project.dev();
    project.run(&["run", "tell", "--wait"]).succeeded();
    assert_eq!(receiver.received().len(), 2);
    project.run(&["secrets", "set", "token", "another"]).succeeded();
    project.run(&["run", "tell", "--wait"]).succeeded();
    assert_eq!(receiver.received()[2].headers["x-token"], "another");
    project.run(&["secrets", "delete", "token"]).succeeded();
    let failed = project.json(&["run", "tell", "--wait"]).exits(1).value();
    assert_eq!(failed["error"]["code"], "secret_missing", "{failed}");
    assert!(server.stop().success());
    let database = std::fs::read(project.path().join(".flux/flux.db")).unwrap();
    assert!(!contains(&database, b"s3cr3t-value"));
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn flows_are_published_compared_and_exported() {
    let project = Project::of_template("hello");
    let _server = project.dev();
    let path = project.path().join("flows/hello.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let published = project.json(&["flow", "publish"]).succeeded().value();
    assert_eq!(published["items"][0]["published"], true, "{published}");
    let exported = project.run(&["flow", "export", "hello"]).succeeded().value();
    let written: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(exported["nodes"], written["nodes"]);
    project.run(&["flow", "diff", "hello"]).succeeded();
    project.write("flows/hello.json", &text.replace("Hello, ", "Good day, "));
    eventually("version 2", || {
        project
            .run(&["flow", "diff", "hello", "--from", "1", "--to", "2"])
            .output
            .status
            .code()
            .filter(|code| *code == 1)
    });
    let said = project.run(&["flow", "diff", "hello", "--from", "1", "--to", "2"]).exits(1).out();
    assert!(said.contains("~ node greeting") && said.contains("- \"Hello,"), "{said}");
    let broken =
        project.write("broken.json", r#"{"name": "b", "nodes": [{"key": "a", "type": "trigger.manul"}]}"#);
    let refused = project.run(&["flow", "publish", broken.to_str().unwrap()]).exits(1);
    assert!(refused.out().contains("trigger.manual"), "{}", refused.out());
}

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let webhook = r#"{"flux":1,"name":"zwei","description":"ä","nodes":[
        {"key":"hook","type":"trigger.webhook","name":"In","config":{"path":"zwei","method":["PUT","POST"]},
         "position":{"x":1.5,"y":-2},"notes":"first"},
        {"key":"next","type":"data.set","config":{"values":{"z":1,"a":0.1,"big":9007199254740993,"n":null}},
         "retry":{"attempts":3}}],
        "edges":[{"from":"hook","to":"next"}],"settings":{"priority":3,"vars":{"b":1,"a":2}}}"#;
    let old = Project::with(&[("flows/one.json", MANUAL), ("flows/two.json", webhook)]);
    let new = Project::with(&[]);
    let (_first, _second) = (old.dev(), new.dev());
    for (arguments, file) in
        [(&["flow", "export", "one"][..], "one.json"), (&["flow", "export", "--all"], "all.json")]
    {
        let exported = old.run(arguments).succeeded().out();
        let path = new.write(file, &exported);
        new.run(&["flow", "import", path.to_str().unwrap()]).succeeded();
        assert_eq!(new.run(arguments).succeeded().out(), exported, "{arguments:?}");
    }
    let bundle: Value = serde_json::from_str(&old.run(&["flow", "export", "--all"]).out()).unwrap();
    let names: Vec<&Value> = bundle["flows"].as_array().unwrap().iter().map(|flow| &flow["name"]).collect();
    assert_eq!((&bundle["flux"], names), (&json!(1), vec![&json!("one"), &json!("zwei")]));
    let hashes = |project: &Project| {
        let listed = project.json(&["flow", "list"]).succeeded().value();
        let mut flows = listed["items"].as_array().unwrap().clone();
        flows.sort_by_key(|flow| flow["name"].to_string());
        flows.iter().map(|flow| flow["active_hash"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(hashes(&new), hashes(&old));
}

const MANUAL: &str = r#"{"name":"one","nodes":[{"key":"start","type":"trigger.manual"}]}"#;

#[test]
fn an_import_comes_from_anywhere_and_may_stay_a_draft() {
    let project = Project::with(&[]);
    let server = project.dev();
    let imported = project.with_input(&["flow", "import", "-", "--json"], MANUAL).succeeded().value();
    assert_eq!(
        imported["items"][0],
        json!({"file": "standard input", "flow": "one", "state": "active", "version": 1, "diagnostics": []})
    );
    let yaml = "name: two\nnodes:\n  - key: start\n    type: trigger.manual\n";
    let said = project.with_input(&["flow", "import", "-", "--draft"], yaml).succeeded().out();
    assert_eq!(said.trim(), "✓ two is saved as draft");
    assert_eq!(server.api("GET", "/flows/two", None).json()["state"], "draft");
    let changed = MANUAL.replace("start", "begin");
    project.with_input(&["flow", "import", "-"], &changed).succeeded();
    let versions = server.api("GET", "/flows/one/versions", None).json();
    assert_eq!(versions["items"].as_array().unwrap().len(), 2, "the version before is kept");
    // Importing makes active: what is switched off is not exported.
    let off = project.run(&["flow", "export", "--all"]).succeeded();
    assert!(
        !off.out().contains("two") && off.err().contains("two is left out: it is draft"),
        "{}",
        off.err()
    );
}

#[test]
fn of_a_bundle_with_one_bad_flow_nothing_is_imported() {
    let project = Project::with(&[]);
    let server = project.dev();
    let bad = r#"{"name":"bad","nodes":[{"key":"a","type":"trigger.manul"}]}"#;
    let path = project.write("all.json", &format!(r#"{{"flux":1,"flows":[{MANUAL},{bad},{{"nodez":1}}]}}"#));
    let ran = project.run(&["flow", "import", path.to_str().unwrap()]).exits(1);
    for part in
        ["all.json: flows[1] (bad) was not imported", "node a, type", "did you mean `trigger.manual`?"]
    {
        assert!(ran.out().contains(part), "{part}: {}", ran.out());
    }
    assert!(ran.out().contains("flows[2]") && ran.out().contains("write `nodes`"), "{}", ran.out());
    assert!(ran.err().contains("nothing was imported"), "{}", ran.err());
    assert_eq!(server.api("GET", "/flows", None).json()["items"], json!([]));
    let said = project.json(&["flow", "import", "all.json"]).exits(1).value();
    let states: Vec<&Value> = said["items"].as_array().unwrap().iter().map(|item| &item["state"]).collect();
    assert_eq!(states, ["untouched", "refused", "refused"]);
    project.run(&["flow", "import", "none.json"]).exits(3);
    project.run(&["flow", "import"]).exits(2);
    project.run(&["flow", "export"]).exits(2);
    project.run(&["flow", "export", "one", "--all"]).exits(2);
    project.run(&["flow", "import", "all.json", "--server", "http://127.0.0.1:9"]).exits(5);
}

#[test]
fn long_lists_have_pages() {
    let project = Project::with(&[]);
    let _server = project.dev();
    for name in ["a", "b", "c"] {
        project.run(&["secrets", "set", name, "value"]).succeeded();
        project.run(&["keys", "create", name, "--scope", "flows:read"]).succeeded();
    }
    for list in ["secrets", "keys"] {
        let first = project.run(&[list, "list", "--limit", "2"]).succeeded();
        let cursor = first.err().trim().strip_prefix("more with --cursor ").unwrap().to_owned();
        let rest = project.run(&[list, "list", "--cursor", &cursor]).succeeded();
        assert_eq!(first.out().lines().count(), 3, "{}", first.out());
        assert!(rest.err().is_empty() && rest.out().lines().count() >= 2, "{}{}", rest.out(), rest.err());
    }
}

#[test]
fn a_signal_is_waited_for_and_delivered_once() {
    let flow = json!({
        "name": "waits",
        "nodes": [
            {"key": "start", "type": "trigger.manual"},
            {"key": "pause", "type": "logic.delay", "config": {"ms": 3_600_000}}
        ],
        "edges": [{"from": "start", "to": "pause"}]
    });
    let project = Project::with(&[("flows/waits.json", &flow.to_string())]);
    let _server = project.dev();
    let id = project.run(&["run", "waits"]).succeeded().out().trim().to_owned();
    eventually("the wait", || {
        let shown = project.json(&["executions", &id]).succeeded().value();
        (shown["status"] == "waiting" && shown["waits"][0]["on"] == "timer").then_some(())
    });
    let first = project.json(&["signal", &id, "paid", "--payload", "7", "--id", "p-1"]).succeeded().value();
    let second = project.json(&["signal", &id, "paid", "--payload", "7", "--id", "p-1"]).succeeded().value();
    assert_eq!((&first["duplicate"], &second["duplicate"]), (&json!(false), &json!(true)));
    project.run(&["cancel", &id, "--reason", "enough"]).succeeded();
    let end = eventually("the end", || {
        let shown = project.json(&["executions", &id]).succeeded().value();
        (shown["status"] == "cancelled").then_some(shown)
    });
    assert_eq!(end["error"]["message"], "enough", "{end}");
    assert!(project.run(&["executions"]).succeeded().out().contains("cancelled"));
}

#[test]
fn an_idempotency_key_gives_the_same_execution() {
    let project = Project::of_template("hello");
    let _server = project.dev();
    let start = || project.run(&["run", "hello", "--idempotency-key", "k"]).succeeded().out();
    assert_eq!(start(), start());
}

#[test]
fn a_file_goes_through_objects_from_one_call_to_the_next() {
    let receiver = Receiver::start();
    let url = format!("http://{}", receiver.address);
    let flow = json!({
        "name": "copy",
        "nodes": [
            {"key": "start", "type": "trigger.manual"},
            {"key": "get", "type": "http.request", "config": {
                "method": "GET", "url": format!("{url}/report.pdf"), "response": "file"}},
            {"key": "put", "type": "http.request", "config": {
                "method": "PUT", "url": format!("{url}/copy"), "body": {"file": "{{ get.body }}"}}}
        ],
        "edges": [{"from": "start", "to": "get"}, {"from": "get", "to": "put"}]
    });
    let project = Project::with(&[("flows/copy.json", &flow.to_string())]);
    let _server = project.dev();
    project.run(&["run", "copy", "--wait"]).succeeded();
    let received = receiver.received();
    assert_eq!((received[1].path.as_str(), received[1].body.as_slice()), ("/copy", &b"{}"[..]));
}

#[test]
fn the_log_of_an_execution_is_shown_page_by_page() {
    const LINES: usize = 450;
    let numbers: Vec<String> = (0..LINES).map(|n| n.to_string()).collect();
    let flow = json!({"name": "noisy", "nodes": [
        {"key": "start", "type": "trigger.manual"},
        {"key": "each", "type": "data.transform", "on_error": "continue", "for_each": "{{ start.items }}",
         "config": {"expression": "{{ parse_json(item) }}"}}],
        "edges": [{"from": "start", "to": "each"}]});
    let project = Project::with(&[("flows/noisy.json", &flow.to_string())]);
    let _server = project.dev();
    let input = json!({"items": numbers.iter().map(|n| format!("{{{n}")).collect::<Vec<_>>()}).to_string();
    let ran = project.json(&["run", "noisy", "--input", &input, "--wait"]).succeeded().value();
    let id = ran["id"].as_str().unwrap();
    for follow in [&[][..], &["-f"]] {
        let arguments: Vec<&str> = ["logs", "--execution", id].iter().chain(follow).copied().collect();
        let shown = project.json(&arguments).succeeded().out();
        let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), LINES, "{follow:?}");
        assert!(lines.windows(2).all(|pair| pair[0]["seq"].as_u64() < pair[1]["seq"].as_u64()));
    }
}
