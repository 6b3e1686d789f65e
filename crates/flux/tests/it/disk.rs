//! A disk that takes no more: writes are refused, reads go on, and when there is room again the
//! server goes on by itself, with everything it ever acknowledged.
//!
//! The disk is made full by a limit on the size of files, which can be lifted from outside while
//! the server runs.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{DEV, Project, Server, eventually, flux, request};

/// In the 512-byte blocks of `ulimit`: 4 MiB, which the write-ahead log reaches soon.
const FILE_BLOCKS: u32 = 8_192;
/// Heavy enough to fill the disk soon, light enough to be kept in the journal.
const BODY_BYTES: usize = 50_000;

const FLOW: &str = r#"{
  "name": "keep",
  "nodes": [
    {"key": "hook", "type": "trigger.webhook", "config": {"path": "keep"}},
    {"key": "size", "type": "data.set", "config": {"values": {"size": "{{ len(hook.body.text) }}"}}}
  ],
  "edges": [{"from": "hook", "to": "size"}]
}"#;

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let project = Project::with(&[("flows/keep.json", FLOW)]);
    let server = start_limited(&project);
    let body = json!({"text": "x".repeat(BODY_BYTES)});
    let mut accepted = Vec::new();
    let refused = loop {
        let answer = server.hook("/hooks/keep", &body);
        if answer.status != 202 {
            break answer;
        }
        accepted.push(answer.json()["id"].as_str().unwrap().to_owned());
        assert!(accepted.len() < 10_000, "the disk did not become full");
    };
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("storage_unavailable")));
    assert!(!accepted.is_empty());

    let ready = || request(server.gateway, "GET", "/ready", &[], None).unwrap().status;
    eventually("red health", || (ready() == 503).then_some(()));
    for attempts in 1..=3 {
        eventually("an attempt to open the store", || {
            assert_eq!(ready(), 503, "the disk is still full");
            (attempts_of(&server) >= attempts).then_some(())
        });
    }
    let listed = server.api("GET", "/executions?limit=200", None);
    assert_eq!(listed.status, 200, "reads are served");
    assert!(listed.json()["items"].as_array().unwrap().len() >= accepted.len().min(200));

    let lifted =
        Command::new("prlimit").args(["--pid", &server.pid().to_string(), "--fsize=unlimited"]).status();
    assert!(lifted.unwrap().success());
    eventually("room again", || (server.hook("/hooks/keep", &body).status == 202).then_some(()));
    assert_eq!(ready(), 200);
    accepted.iter().for_each(|id| check_succeeded(&server, id));
    assert!(server.stop().success());

    let sound = project.json(&["doctor", "--full"]);
    let checks = sound.value()["checks"].as_array().unwrap().clone();
    let integrity = checks.iter().find(|check| check["check"] == "integrity").unwrap();
    assert_eq!(integrity["level"], "ok", "{integrity}");
}

fn start_limited(project: &Project) -> Server {
    // Ignoring the signal turns the limit into a failed write, as a full disk is one.
    let script = format!("trap '' XFSZ; ulimit -S -f {FILE_BLOCKS}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_flux")]).args(DEV).current_dir(project.path());
    for (name, _) in flux().get_envs() {
        command.env_remove(name);
    }
    command.env("FLUX_STORAGE_REOPEN_PAUSE_MS", "200");
    Server::start(&mut command)
}

/// How often the store could not be opened again.
fn attempts_of(server: &Server) -> usize {
    let failed = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("again yet"));
    server.log().iter().filter(|line| failed(line)).count()
}

fn check_succeeded(server: &Server, id: &str) {
    let path = format!("/executions/{id}");
    let shown: Value = eventually("the end of an execution", || {
        let shown = server.api("GET", &path, None).json();
        (shown["status"] != "running").then_some(shown)
    });
    assert_eq!(
        (&shown["status"], &shown["output"]["size"]),
        (&json!("succeeded"), &json!(BODY_BYTES)),
        "{shown}"
    );
}
