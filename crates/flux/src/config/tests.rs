//! What is refused and how, and that the documentation has every field.

use std::path::PathBuf;

use super::*;

fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, CommandError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(CONFIG_FILE);
    std::fs::write(&path, file).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(Some(&path), variables)
}

fn check_refused(file: &str, variables: &[(&str, &str)], message: &str, way_out: Option<&str>) {
    let CommandError::Local { message: found, hint, .. } = load(file, variables).unwrap_err() else {
        panic!("a configuration error is local");
    };
    assert!(found.contains(message), "{found}");
    assert_eq!(hint.as_deref(), way_out, "{found}");
}

#[test]
fn variables_win_over_the_file_and_the_file_over_defaults() {
    let file = "[gateway]\naddress = \"127.0.0.1:1\"\nconnections_max = 7\n";
    let config = load(
        file,
        &[
            ("FLUX_GATEWAY_ADDRESS", "127.0.0.1:2"),
            ("FLUX_EGRESS_ALLOW", "10.0.0.0/8, crm.internal"),
            ("FLUX_PROCESS_ROLES", "engine,gateway"),
            ("FLUX_ENGINE_RETENTION_DAYS", "7"),
            ("FLUX_LOG_FORMAT", "json"),
            ("FLUX_KEY", "flx_of_the_client"),
            ("HOME", "/home/somebody"),
        ],
    );
    let config = config.unwrap();
    assert_eq!(config.gateway.address.port(), 2);
    assert_eq!(config.gateway.connections_max, 7);
    assert_eq!(config.egress.allow, ["10.0.0.0/8", "crm.internal"]);
    assert_eq!(config.process.roles, [Role::Engine, Role::Gateway]);
    assert_eq!((config.engine.retention_days, config.log.format), (7, LogFormat::Json));
    assert_eq!(config.storage.data, PathBuf::from("flux-data"));
}

#[test]
fn what_does_not_exist_or_does_not_fit_is_refused_with_the_way_out() {
    check_refused("[gatevay]\n", &[], "there is no section [gatevay]", Some("write [gateway]"));
    check_refused(
        "[gateway]\nadress = \"x\"\n",
        &[],
        "[gateway] adress: unknown field `adress`",
        Some("write `address`"),
    );
    check_refused(
        "[gateway]\nconnections_max = \"many\"\n",
        &[],
        "[gateway] connections_max: invalid type",
        None,
    );
    check_refused("[gateway", &[], "is not TOML", None);
    let variable = [("FLUX_GATEWAY_ADRESS", "127.0.0.1:2")];
    check_refused("", &variable, "FLUX_GATEWAY_ADRESS sets nothing", Some("write FLUX_GATEWAY_ADDRESS"));
    check_refused("", &[("FLUX_ENGINE_RUNNING_MAX", "-1")], "`-1` is not a whole number", None);
    check_refused(
        "",
        &[("FLUX_GATEWAY_ADDRESS", "localhost")],
        "`localhost` is not an address and port",
        None,
    );
    check_refused(
        "",
        &[("FLUX_PROCESS_ROLES", "engin")],
        "[process] roles[0]: unknown variant `engin`",
        None,
    );
}

#[test]
fn secrets_are_never_shown() {
    let config = load("[access]\nbootstrap_key = \"flx_visible\"\n", &[]).unwrap();
    assert!(!format!("{config:?}").contains("visible"));
    assert_eq!(config.access.bootstrap_key.unwrap().reveal(), "flx_visible");
}

/// The tables of `docs/operating/configuration.md`, as the sections have them.
fn documentation() -> String {
    let defaults = Config::default_tables();
    let mut text = String::new();
    for (section, fields) in SECTIONS {
        text.push_str(&format!(
            "## `[{section}]`\n\n| Field | Variable | Default | Meaning |\n|---|---|---|---|\n"
        ));
        for field in *fields {
            let default = defaults.get(*section).and_then(|table| table.get(field.name));
            let default = default.map_or_else(|| "–".to_owned(), |value| format!("`{value}`"));
            let (name, doc) = (field.name, field.doc.trim());
            let variable = variable(section, name);
            text.push_str(&format!("| `{name}` | `{variable}` | {default} | {doc} |\n"));
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_documentation_has_every_field_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating/configuration.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    let expected = documentation();
    assert!(page.contains(expected.trim_end()), "{path} must contain:\n\n{expected}");
}
