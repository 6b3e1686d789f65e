//! Commands that need no server: init, validate, openapi, completions, version, doctor.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use base64::Engine as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::json;

use crate::harness::{Project, flux};

const BROKEN: &str = r#"{
  "name": "broken",
  "nodes": [
    {"key": "start", "type": "trigger.manual"},
    {"key": "call", "type": "http.request", "config": {"method": "GET", "ulr": "https://example.com"}}
  ],
  "edges": [{"from": "start", "to": "call"}]
}"#;

#[test]
fn init_writes_a_project_that_validates_and_never_overwrites() {
    for template in ["hello", "orders", "github-triage"] {
        let project = Project::of_template(template);
        project.run(&["flow", "validate"]).succeeded();
        let ran = project.run(&["init", ".", "--template", template]).exits(1);
        assert!(ran.err().contains("exists already; nothing was written"), "{}", ran.err());
    }
}

#[test]
fn init_names_its_files_for_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let output = flux().args(["init", "shop", "--json"]).current_dir(folder.path()).output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["folder"], "shop");
    assert!(said["files"].as_array().unwrap().contains(&json!("flows/hello.json")), "{said}");
    assert!(folder.path().join("shop/flux.json").is_file());
}

#[test]
fn a_bad_flow_is_described_with_file_node_field_and_way_out() {
    let project = Project::with(&[("flows/broken.json", BROKEN), ("flows/half.yaml", "name: [")]);
    let text = project.run(&["flow", "validate"]).exits(1).out();
    assert!(text.contains("flows/broken.json"), "{text}");
    assert!(text.contains("node call, config.ulr"), "{text}");
    assert!(text.contains("url"), "the way out: {text}");
    let said = project.json(&["flow", "validate"]).exits(1).value();
    assert_eq!(said["valid"], false);
    let finding = &said["files"][0]["diagnostics"][0];
    assert_eq!((&finding["severity"], &finding["node"]), (&json!("error"), &json!("call")), "{said}");
    assert_eq!(said["files"][1]["diagnostics"][0]["code"], "flow_syntax", "{said}");
}

#[test]
fn a_file_that_is_not_there_is_not_found_and_a_wrong_option_is_usage() {
    let project = Project::with(&[]);
    project.run(&["flow", "validate", "flows/none.json"]).exits(3);
    project.run(&["executions", "--status", "sleeping"]).exits(2);
    project.run(&["run"]).exits(2);
    project.run(&["run", "hello", "--input", "{"]).exits(2);
    project.run(&["dev", "--gateway", "0.0.0.0:0"]).exits(2);
}

#[test]
fn without_a_server_the_exit_code_and_the_hint_say_so() {
    let project = Project::with(&[]);
    let ran = project.run(&["executions", "--server", "http://127.0.0.1:9"]).exits(5);
    assert!(ran.err().contains("no server answers at http://127.0.0.1:9"), "{}", ran.err());
    assert!(ran.err().contains("hint"), "{}", ran.err());
    let ran = project.json(&["executions", "--server", "http://127.0.0.1:9"]).exits(5);
    assert!(ran.out().is_empty());
    let said: serde_json::Value = serde_json::from_str(&ran.err()).unwrap();
    assert_eq!(said["code"], "server_unreachable");
}

#[test]
fn documents_are_printed_without_a_server() {
    let project = Project::with(&[]);
    let openapi = project.run(&["openapi"]).succeeded().value();
    assert!(openapi["paths"].as_object().unwrap().len() > 10, "{openapi}");
    assert_eq!(project.json(&["version"]).succeeded().value()["flow_format"], 1);
    for shell in ["bash", "zsh", "fish"] {
        assert!(project.run(&["completions", shell]).succeeded().out().contains("executions"));
    }
}

#[test]
fn help_goes_without_colours_into_a_pipe() {
    let ran = Project::with(&[]).run(&["review", "approve", "--help"]).succeeded();
    assert!(ran.out().contains("Example") && !ran.out().contains('\u{1b}'), "{}", ran.out());
}

/// The certificate of 127.0.0.1 is not what is asked for here, so every handshake fails; why tells
/// whether its authority is trusted.
#[test]
fn authorities_of_the_machine_are_trusted() {
    const AUTHORITY: &[u8] = include_bytes!("../../../egress/tests/it/tls/authority.der");
    let address = tls_server();
    let project = Project::with(&[]);
    let encoded = base64::engine::general_purpose::STANDARD.encode(AUTHORITY);
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let text = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    let file = project.write("authority.pem", &text);
    let ask = |variables: &[(&str, &str)]| {
        let mut command = flux();
        command.args(["executions", "--server", &format!("https://{address}")]).current_dir(project.path());
        let output = command.envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(5));
        String::from_utf8(output.stderr).unwrap()
    };
    let unknown = ask(&[]);
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let known = ask(&[("SSL_CERT_FILE", file.to_str().unwrap())]);
    assert!(known.contains("not valid for name"), "{known}");
}

/// A server with a certificate for `tls.test` that ends after each handshake.
fn tls_server() -> SocketAddr {
    const SERVER: &[u8] = include_bytes!("../../../egress/tests/it/tls/server.der");
    const SERVER_KEY: &[u8] = include_bytes!("../../../egress/tests/it/tls/server-key.der");
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(SERVER)], PrivatePkcs8KeyDer::from(SERVER_KEY).into())
            .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            // The client refuses: that is what is looked at.
            let _ = session.complete_io(&mut stream);
        }
    });
    address
}

#[test]
fn the_doctor_knows_what_a_project_allows() {
    let examine = |file: &str| {
        let project = Project::with(&[]);
        project.write("flux.json", file);
        let said = project.json(&["doctor"]).value();
        let found = said["checks"].as_array().unwrap().iter();
        let found = found.filter(|one| ["configuration", "egress"].contains(&one["check"].as_str().unwrap()));
        found.map(|one| one["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join("; ")
    };
    assert!(examine(r#"{"name": "a"}"#).ends_with("public addresses and loopback"));
    assert!(examine(r#"{"egress": {"allow": ["10.0.0.0/8"]}}"#).ends_with("loopback, 10.0.0.0/8"));
    assert!(examine(r#"{"egress": {"allow": ["10.0.0.0/99"]}}"#).contains("flux.json: egress.allow"));
    assert!(examine(r#"{"egres": {}}"#).contains("unknown field `egres`"));
}

#[test]
fn the_doctor_measures_a_project_before_its_first_start() {
    let project = Project::with(&[]);
    let variables = [("FLUX_GATEWAY_ADDRESS", "127.0.0.1:0"), ("FLUX_CONSOLE_ADDRESS", "127.0.0.1:0")];
    let examine = |extra: &[(&str, &str)]| {
        let mut command = flux();
        command.args(["doctor", "--json"]).current_dir(project.path()).envs(variables);
        command.envs(extra.iter().copied()).output().unwrap()
    };
    let said: serde_json::Value = serde_json::from_slice(&examine(&[]).stdout).unwrap();
    assert_eq!(said["ok"], true, "{said}");
    let checks: Vec<&str> =
        said["checks"].as_array().unwrap().iter().filter_map(|one| one["check"].as_str()).collect();
    for check in ["configuration", "data folder", "free disk", "clock", "store", "gateway", "console"] {
        assert!(checks.contains(&check), "{check}: {checks:?}");
    }
    let wrong = examine(&[("FLUX_GATEWAY_ADRESS", "127.0.0.1:0")]);
    assert_eq!(wrong.status.code(), Some(1));
    let said: serde_json::Value = serde_json::from_slice(&wrong.stdout).unwrap();
    assert_eq!(said["checks"][0]["hint"], "write FLUX_GATEWAY_ADDRESS", "{said}");
}
