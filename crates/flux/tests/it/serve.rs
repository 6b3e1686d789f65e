//! `flux serve`: refuses to start half configured, runs with what `flux init --server-config` writes.

use std::path::Path;

use crate::harness::{Server, flux};

fn serve(folder: &Path, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = flux();
    command.args(["serve", "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"]).current_dir(folder);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn check_refused(variables: &[(&str, &str)], message: &str, way_out: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = serve(folder.path(), variables);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("configuration_invalid") && said.contains(message) && said.contains(way_out),
        "{said}"
    );
}

#[test]
fn without_secrets_nothing_starts_and_the_way_out_is_named() {
    let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    check_refused(&[], "no server key is configured", "flux init --server-config");
    check_refused(
        &[("FLUX_SECRETS_SERVER_KEY", key)],
        "no bootstrap key is configured",
        "FLUX_ACCESS_BOOTSTRAP_KEY",
    );
    check_refused(&[("FLUX_SECRETS_SERVER_KEY", "c2hvcnQ=")], "32 bytes", "openssl rand");
    let made_up = [("FLUX_SECRETS_SERVER_KEY", key), ("FLUX_ACCESS_BOOTSTRAP_KEY", "flx_made_up")];
    check_refused(&made_up, "is not a key of Flux", "flux init --server-config");
    check_refused(
        &[("FLUX_EGRESS_ALLOW", "10.0.0.0/99"), ("FLUX_SECRETS_SERVER_KEY", key)],
        "10.0.0.0/99",
        "egress",
    );
    check_refused(
        &[("FLUX_PROCESS_ROLES", "gateway"), ("FLUX_SECRETS_SERVER_KEY", key)],
        "`engine`",
        "leave out",
    );
}

#[test]
fn a_fresh_configuration_serves_and_its_bootstrap_key_opens_it() {
    let folder = tempfile::tempdir().unwrap();
    let init = flux().args(["init", "--server-config", "."]).current_dir(folder.path()).output().unwrap();
    assert!(init.status.success());
    let text = std::fs::read_to_string(folder.path().join("flux-server.toml")).unwrap();
    let key = text
        .lines()
        .find_map(|line| line.strip_prefix("bootstrap_key = "))
        .unwrap()
        .trim_matches('"')
        .to_owned();
    let start = |variables: &[(&str, &str)]| {
        let mut command = flux();
        command.args(["serve", "--json", "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"]);
        Server::start(command.current_dir(folder.path()).envs(variables.iter().copied()))
    };
    let list = |server: &Server, key: &str| {
        let url = format!("http://{}", server.console);
        let output =
            flux().args(["keys", "list", "--json", "--server", &url, "--key", key]).output().unwrap();
        output.status.code()
    };
    let server = start(&[]);
    assert_eq!(list(&server, &key), Some(0));
    assert_eq!(list(&server, "flx_wrong"), Some(4));
    assert!(server.stop().success());

    // Once a key with all rights is stored, the bootstrap key need not be configured any more.
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("bootstrap_key")).collect();
    std::fs::write(folder.path().join("flux-server.toml"), without.join("\n")).unwrap();
    let server = start(&[]);
    assert_eq!(list(&server, &key), Some(0));
    assert!(server.stop().success());

    // Roles: only what is asked for is served.
    let server = start(&[("FLUX_PROCESS_ROLES", "console,engine,scheduler")]);
    assert!(server.ready["gateway"].is_null() && server.ready["console"].is_string(), "{}", server.ready);
    assert!(server.stop().success());
}

#[test]
fn the_doctor_examines_a_server_and_finds_damage() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| flux().args(arguments).current_dir(folder.path()).output().unwrap();
    assert!(run(&["init", "--server-config", "."]).status.success());
    let start = || {
        let mut command = flux();
        command.args(["serve", "--json", "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"]);
        Server::start(command.current_dir(folder.path()))
    };
    assert!(start().stop().success());
    let examine = || {
        let mut command = flux();
        command.args(["doctor", "--full", "--json"]).current_dir(folder.path());
        command.envs([("FLUX_GATEWAY_ADDRESS", "127.0.0.1:0"), ("FLUX_CONSOLE_ADDRESS", "127.0.0.1:0")]);
        command.output().unwrap()
    };
    let sound = examine();
    assert_eq!(sound.status.code(), Some(0), "{}", String::from_utf8_lossy(&sound.stdout));

    let database = folder.path().join("flux-data/flux.db");
    let mut bytes = std::fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4_096].fill(0xA5);
    std::fs::write(&database, bytes).unwrap();
    let damaged = examine();
    assert_eq!(damaged.status.code(), Some(1), "{}", String::from_utf8_lossy(&damaged.stdout));
}

#[test]
fn a_rotated_server_key_opens_old_secrets_and_a_wrong_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("flux-server.toml");
    let init = flux().args(["init", "--server-config", "."]).current_dir(folder.path()).output().unwrap();
    assert!(init.status.success());
    let text = std::fs::read_to_string(&config).unwrap();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = ")).unwrap();
        line.trim_matches('"').to_owned()
    };
    let (old, bootstrap) = (value("server_key"), value("bootstrap_key"));
    let new = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let start = |variables: &[(&str, &str)]| {
        let mut command = flux();
        command.args(["serve", "--json", "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"]);
        Server::start(command.current_dir(folder.path()).envs(variables.iter().copied()))
    };
    let server = start(&[]);
    let url = format!("http://{}", server.console);
    let set = ["secrets", "set", "token", "value", "--server", &url, "--key", &bootstrap];
    assert!(flux().args(set).output().unwrap().status.success());
    assert!(server.stop().success());

    let (code, said) = serve(folder.path(), &[("FLUX_SECRETS_SERVER_KEY", new)]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("previous_server_keys"), "{said}");

    let rotated = [("FLUX_SECRETS_SERVER_KEY", new), ("FLUX_SECRETS_PREVIOUS_SERVER_KEYS", old.as_str())];
    assert!(start(&rotated).stop().success());
    // Everything is wrapped with the new key now: the old one is not needed any more.
    assert!(start(&[("FLUX_SECRETS_SERVER_KEY", new)]).stop().success());
}
