//! `flux dev` from an empty folder to an answered webhook, through restarts.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{DEV, Project, Server, eventually, flux};

fn order(id: &str, total: u64) -> Value {
    json!({"id": id, "customer": "Ada", "items": [{"name": "Thing", "price": total}]})
}

fn pending_review(project: &Project) -> String {
    eventually("a review", || {
        let listed = project.json(&["review", "list"]).succeeded().value();
        listed["items"][0]["id"].as_str().map(str::to_owned)
    })
}

fn status_of(project: &Project, execution: &str) -> String {
    let shown = project.json(&["executions", execution]).succeeded().value();
    shown["status"].as_str().unwrap_or_default().to_owned()
}

/// Sends a request from another thread: it is answered once the order is decided.
fn send(server: &Server, body: Value) -> std::thread::JoinHandle<crate::harness::Answer> {
    let gateway = server.gateway;
    std::thread::spawn(move || {
        crate::harness::request(gateway, "POST", "/hooks/orders", &[], Some(&body)).unwrap()
    })
}

#[test]
fn an_order_waits_for_its_approval_and_is_answered() {
    let project = Project::of_template("orders");
    let server = project.dev();
    let small = server.hook("/hooks/orders", &order("A-1", 12));
    assert_eq!(
        (small.status, small.json()["status"].clone()),
        (201, json!("confirmed")),
        "{:?}",
        small.json()
    );
    let waiting = send(&server, order("A-2", 5_000));
    let review = pending_review(&project);
    let shown = project.run(&["review", "show", &review]).succeeded().out();
    assert!(shown.contains("Order A-2 of Ada"), "{shown}");
    project
        .run(&["review", "approve", &review, "--comment", "fine", "--content", r#"{"discount": 100}"#])
        .succeeded();
    let answer = waiting.join().unwrap();
    assert_eq!((answer.status, answer.json()["total"].clone()), (201, json!(4_900)), "{:?}", answer.json());
    let late = project.run(&["review", "reject", &review]).exits(1);
    assert!(late.err().contains("approved it"), "who was first: {}", late.err());

    let listed =
        project.json(&["executions", "--flow", "orders", "--status", "succeeded"]).succeeded().value();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "{listed}");
    let id = listed["items"][0]["id"].as_str().unwrap();
    let trace = project.run(&["trace", id]).succeeded().out();
    assert!(trace.contains("Sign-off") && trace.contains('█') && !trace.contains('\u{1b}'), "{trace}");
    assert!(trace.lines().all(|line| line.chars().count() <= 80), "{trace}");
    let request = answer.headers["x-request-id"].clone();
    let spans = project.json(&["trace", &request]).succeeded().value();
    assert!(spans["spans"].as_array().unwrap().len() > 4, "{spans}");
    assert!(server.stop().success());
}

#[test]
fn what_waits_survives_a_stop_and_a_kill() {
    let project = Project::of_template("orders");
    let server = project.dev();
    let _first = send(&server, order("B-1", 5_000));
    let review = pending_review(&project);
    let execution = project.json(&["review", "show", &review]).succeeded().value()["execution"]
        .as_str()
        .unwrap()
        .to_owned();
    let key = server.key.clone();
    server.kill();
    project.run(&["executions"]).exits(5);

    let server = project.dev();
    assert_eq!(server.key, key, "the key stays");
    assert_eq!(status_of(&project, &execution), "waiting");
    assert!(server.stop().success());

    let server = project.dev();
    project.run(&["review", "approve", &review]).succeeded();
    eventually("the end", || (status_of(&project, &execution) == "succeeded").then_some(()));
    let logged = project.run(&["logs", "--execution", &execution]).succeeded();
    assert!(!logged.err().contains("error"), "{}", logged.err());
    assert!(server.stop().success());
}

#[test]
fn a_second_process_on_the_same_folder_is_refused_by_name() {
    let project = Project::of_template("hello");
    let server = project.dev();
    let second = project.run(&["dev", "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"]).exits(1);
    let said = second.err();
    assert!(said.contains("data_folder_locked") && said.contains(&format!("pid {}", server.pid())), "{said}");
    let doctor = project.json(&["doctor"]).value();
    assert!(doctor["checks"].to_string().contains("is not checked"), "{doctor}");
}

#[test]
fn saved_flows_are_published_wrong_ones_described_and_missing_ones_switched_off() {
    let project = Project::of_template("hello");
    let server = project.dev();
    let run = |name: &str| project.json(&["run", name, "--input", r#"{"name": " Ada "}"#, "--wait"]);
    assert_eq!(run("hello").succeeded().value()["output"]["text"], "Hello, Ada!");

    let text = std::fs::read_to_string(project.path().join("flows/hello.json")).unwrap();
    project.write("flows/hello.json", &text.replace("Hello, ", "Good day, "));
    eventually("the new version", || {
        (run("hello").value()["output"]["text"] == "Good day, Ada!").then_some(())
    });

    project.write("flows/hello.json", &text.replace("data.set", "data.sett"));
    let said = server.logged(|line| line["code"] == "unknown_node_type");
    assert_eq!((&said["file"], &said["node"]), (&json!("flows/hello.json"), &json!("greeting")), "{said}");
    assert!(said["suggestion"].as_str().unwrap().contains("data.set"), "{said}");
    assert_eq!(run("hello").value()["output"]["text"], "Good day, Ada!", "the version before stays");

    std::fs::remove_file(project.path().join("flows/hello.json")).unwrap();
    let refused = eventually("the end of the flow", || {
        let ran = run("hello");
        (ran.output.status.code() == Some(1)).then_some(ran)
    });
    assert!(refused.err().contains("flow_inactive"), "{}", refused.err());
}

#[test]
fn the_ready_line_has_exactly_what_is_documented_and_the_log_follows() {
    let project = Project::of_template("hello");
    let server = project.dev();
    let names: Vec<&String> = server.ready.as_object().unwrap().keys().collect();
    assert_eq!(names, ["ready", "gateway", "console", "key", "project"]);
    assert_eq!(server.ready["ready"], true);
    assert!(server.key.starts_with("flx_"));
    server.logged(|line| line["flow"] == "hello");
    let mode = |path: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(project.path().join(path)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(".flux/dev.json"), mode(".flux/server.key")), (0o600, 0o600));
    // Generous: builds for tests are slow, and machines that run them are busy.
    assert!(server.started_in < Duration::from_secs(5), "{:?}", server.started_in);
}

#[test]
fn a_project_is_reached_by_its_name_and_by_default() {
    let hook = r#"{"name":"a","nodes":[{"key":"hook","type":"trigger.webhook","config":{"path":"x"}}]}"#;
    let project = Project::with(&[("flows/a.json", hook)]);
    let server = project.dev();
    for (path, status) in [("/hooks/x", 202), ("/p/test/hooks/x", 202), ("/p/other/hooks/x", 404)] {
        assert_eq!(server.hook(path, &json!({})).status, status, "{path}");
    }
}

#[test]
fn variables_reach_the_development_server() {
    let project = Project::of_template("hello");
    let mut command = flux();
    command.args(DEV).current_dir(project.path()).env("FLUX_STORAGE_DATA", "elsewhere");
    let server = Server::start(command.env("FLUX_ACCESS_PROJECT", "named"));
    assert_eq!(server.ready["project"], "named");
    assert!(project.path().join("elsewhere/flux.db").is_file());
    assert!(!project.path().join(".flux/flux.db").exists());
}

#[test]
fn a_failed_execution_ends_the_command_with_1_and_names_the_node() {
    let flow = r#"{
      "name": "fails",
      "nodes": [
        {"key": "start", "type": "trigger.manual"},
        {"key": "call", "type": "http.request", "config": {"method": "GET", "url": "http://10.1.2.3/"}}
      ],
      "edges": [{"from": "start", "to": "call"}]
    }"#;
    let project = Project::with(&[("flows/fails.json", flow)]);
    let _server = project.dev();
    let ran = project.run(&["run", "fails", "--wait"]).exits(1);
    assert!(ran.err().contains("egress_refused") && ran.err().contains("node call"), "{}", ran.err());
    let said = project.json(&["run", "fails", "--wait"]).exits(1).value();
    assert_eq!((&said["status"], &said["error"]["node"]), (&json!("failed"), &json!("call")), "{said}");
    let id = said["id"].as_str().unwrap();
    let again = project.json(&["rerun", id, "--wait"]).exits(1).value();
    assert_ne!(again["id"], said["id"]);
    project.run(&["cancel", id]).exits(1);
}

#[test]
fn variables_of_the_client_reach_another_server() {
    let project = Project::of_template("hello");
    let server = project.dev();
    let elsewhere = tempfile::tempdir().unwrap();
    let list = |key: Option<&str>| {
        let mut command = flux();
        command.args(["flow", "list", "--json"]).current_dir(elsewhere.path());
        command.env("FLUX_SERVER", format!("http://{}", server.console));
        if let Some(key) = key {
            command.env("FLUX_KEY", key);
        }
        command.output().unwrap()
    };
    assert_eq!(list(None).status.code(), Some(4), "without a key nothing is shown");
    let listed: Value = serde_json::from_slice(&list(Some(&server.key)).stdout).unwrap();
    assert_eq!(listed["items"][0]["name"], "hello");
}

#[test]
fn flows_that_change_places_in_one_save_are_both_published() {
    let flow = |name: &str, path: &str| {
        let hook = json!({"key": "hook", "type": "trigger.webhook", "config": {"path": path}});
        json!({"name": name, "nodes": [hook], "edges": []}).to_string()
    };
    let project = Project::with(&[("flows/a.json", &flow("a", "one")), ("flows/b.json", &flow("b", "two"))]);
    let server = project.dev();
    // Between the end of one flow and the start of the next there is nothing at a path.
    let starts = |path: &str| {
        let accepted = server.hook(path, &json!({}));
        let id = (accepted.status == 202).then(|| accepted.json()["id"].as_str().unwrap().to_owned())?;
        project.json(&["executions", &id]).succeeded().value()["flow"].as_str().map(str::to_owned)
    };
    let starts_soon = |path: &str, flow: &str| {
        eventually("the flow at its path", || (starts(path).as_deref() == Some(flow)).then_some(()));
    };
    assert_eq!(starts("/hooks/one").as_deref(), Some("a"));
    assert_eq!(starts("/hooks/two").as_deref(), Some("b"));
    // Renamed: the new flow takes the path of the one that is gone.
    project.write("flows/a.json", &flow("c", "one"));
    starts_soon("/hooks/one", "c");
    // Moved: the first takes the path that the second is leaving.
    project.write("flows/b.json", &flow("b", "three"));
    project.write("flows/a.json", &flow("c", "two"));
    starts_soon("/hooks/three", "b");
    starts_soon("/hooks/two", "c");
}
