//! From configuration to what a server is made of: texts become rules, milliseconds durations.

use std::time::Duration;

use flux_egress::vault::ServerKeys;
use flux_egress::{Limits, Policy, Rule};
use flux_engine::EngineSettings;
use flux_http::{BodyLimits, ConnectionLimits, Detail, Network};
use flux_store_sqlite::Options;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Listener, Setup};
use crate::config::{self, Config, Role, SecretText};
use crate::error::CommandError;

impl Setup {
    /// The setup that the configuration asks for; `policy` is what flows may reach beside what it
    /// allows.
    pub(crate) fn of(
        config: &Config,
        server_keys: ServerKeys,
        mut policy: Policy,
    ) -> Result<Self, CommandError> {
        policy.allowed.extend(rules("[egress] allow", &config.egress.allow)?);
        check_roles(&config.process.roles)?;
        let has = |role| config.process.roles.contains(&role);
        let (gateway, console) = (&config.gateway, &config.console);
        let listener = |role, address, connections_max| {
            let limits = ConnectionLimits {
                connections_max,
                head_timeout: Duration::from_millis(gateway.head_timeout_ms),
                ..ConnectionLimits::default()
            };
            has(role).then_some(Listener { address, limits })
        };
        Ok(Self {
            data: config.storage.data.clone(),
            store: Options { query_ms_max: config.storage.query_ms_max, ..Options::default() },
            reopen_pause: Duration::from_millis(config.storage.reopen_pause_ms),
            project: config.access.project.clone(),
            gateway: listener(Role::Gateway, gateway.address, gateway.connections_max),
            console: listener(Role::Console, console.address, console.connections_max),
            console_url: console.url.as_ref().map(|url| url.trim_end_matches('/').to_owned()),
            trusted_proxies: proxies(&gateway.trusted_proxies)?,
            body: BodyLimits {
                bytes_max: gateway.body_bytes_max,
                timeout: Duration::from_millis(gateway.body_timeout_ms),
            },
            policy,
            limits: limits(&config.egress),
            server_keys,
            engine: engine(&config.engine),
            functions: None,
            detail: Detail::Hidden,
            grace: Duration::from_millis(config.process.shutdown_grace_ms),
        })
    }
}

/// The embedded store belongs to one process, so what runs executions cannot be elsewhere.
fn check_roles(roles: &[Role]) -> Result<(), CommandError> {
    if roles.contains(&Role::Engine) && roles.contains(&Role::Scheduler) {
        return Ok(());
    }
    let message = "the roles `engine` and `scheduler` must be among those of this process: \
        with the embedded store one process runs all executions and fires all schedules";
    let hint = "leave out `gateway` or `console` to serve only one of them";
    Err(config::invalid(message).hint(hint))
}

/// Reads rules of the egress policy; `place` says where they are written.
pub(crate) fn rules(place: &str, texts: &[String]) -> Result<Vec<Rule>, CommandError> {
    let read = |text: &String| {
        let invalid = |error| config::invalid(format!("{place}: {error}"));
        text.parse::<Rule>().map_err(invalid)
    };
    texts.iter().map(read).collect()
}

fn proxies(texts: &[String]) -> Result<Vec<Network>, CommandError> {
    let read = |text: &String| {
        let invalid = |error| config::invalid(format!("[gateway] trusted_proxies: {error}"));
        text.parse::<Network>().map_err(invalid)
    };
    texts.iter().map(read).collect()
}

fn limits(egress: &config::Egress) -> Limits {
    Limits {
        connect_timeout: Duration::from_millis(egress.connect_timeout_ms),
        timeout: Duration::from_millis(egress.timeout_ms),
        calls_max: egress.calls_max,
        calls_per_host_max: egress.calls_per_host_max,
        request_bytes_max: egress.request_bytes_max,
        response_bytes_max: egress.response_bytes_max,
        file_bytes_max: egress.file_bytes_max,
        ..Limits::default()
    }
}

fn engine(engine: &config::Engine) -> EngineSettings {
    EngineSettings {
        running_max: engine.running_max,
        admission_pending_max: engine.admission_pending_max,
        retry_after: Duration::from_millis(engine.retry_after_ms),
        retention_days: engine.retention_days,
        journal_read_bytes_max: engine.journal_read_bytes_max,
        ..EngineSettings::default()
    }
}

/// The server keys of the configuration: the present one wraps, the earlier ones only unwrap.
pub(crate) fn server_keys(secrets: &config::Secrets) -> Result<ServerKeys, CommandError> {
    let from_file = secrets.server_key_file.as_ref().map(|path| {
        let unreadable =
            |error| config::invalid(format!("[secrets] server_key_file {}: {error}", path.display()));
        std::fs::read_to_string(path).map(SecretText::from).map_err(unreadable)
    });
    let present = match (&secrets.server_key, from_file.transpose()?) {
        (Some(key), None) => key.clone(),
        (None, Some(key)) => key,
        (Some(_), Some(_)) => {
            return Err(config::invalid("[secrets] has both server_key and server_key_file; keep one"));
        }
        (None, None) => {
            let message = "no server key is configured: it seals the secrets of projects";
            let hint = "write a configuration with fresh keys with `flux init --server-config`, \
                or set FLUX_SECRETS_SERVER_KEY to what `openssl rand -base64 32` prints";
            return Err(config::invalid(message).hint(hint));
        }
    };
    keys_of(present.reveal(), secrets.previous_server_keys.iter().map(SecretText::reveal))
}

/// Keys under ids that follow from them, so that nobody has to think ids out.
pub(crate) fn keys_of<'k>(
    present: &'k str,
    previous: impl Iterator<Item = &'k str>,
) -> Result<ServerKeys, CommandError> {
    let named = |text: &'k str| (id_of(text), text.trim());
    let present = named(present);
    let all: Vec<(String, &str)> = std::iter::once(present.clone()).chain(previous.map(named)).collect();
    let keys = all.iter().map(|(id, text)| (id.as_str(), *text));
    ServerKeys::new(&present.0, keys).map_err(|error| {
        config::invalid(format!("[secrets] {error}")).hint("make one with `openssl rand -base64 32`")
    })
}

/// The first digits of a hash: tells keys apart and gives nothing away.
fn id_of(key: &str) -> String {
    let hash = Zeroizing::new(Sha256::digest(key.trim()).to_vec());
    hex::encode(&hash[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SecretText {
        ServerKeys::generate().unwrap().to_string().into()
    }

    #[test]
    fn a_server_key_is_needed_and_its_way_out_is_named() {
        let CommandError::Local { message, hint, .. } = server_keys(&config::Secrets::default()).unwrap_err()
        else {
            panic!("a configuration error is local");
        };
        assert!(message.contains("no server key"), "{message}");
        assert!(hint.unwrap().contains("flux init --server-config"));
    }

    #[test]
    fn keys_come_from_the_field_or_the_file_but_not_from_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, format!("{}\n", key().reveal())).unwrap();
        let file = config::Secrets { server_key_file: Some(path), ..config::Secrets::default() };
        server_keys(&file).unwrap();
        let both = config::Secrets { server_key: Some(key()), ..file };
        assert!(server_keys(&both).is_err());
        let rotated = config::Secrets {
            server_key: Some(key()),
            previous_server_keys: vec![key()],
            ..config::Secrets::default()
        };
        server_keys(&rotated).unwrap();
        let short =
            config::Secrets { server_key: Some("c2hvcnQ=".to_owned().into()), ..config::Secrets::default() };
        assert!(server_keys(&short).is_err());
    }

    #[test]
    fn the_engine_cannot_be_left_out() {
        assert!(check_roles(&[Role::Gateway, Role::Console]).is_err());
        assert!(check_roles(&[Role::Engine, Role::Scheduler]).is_ok());
        assert!(check_roles(&Role::ALL).is_ok());
    }

    #[test]
    fn a_wrong_rule_names_its_place() {
        let error = rules("flux.json: egress.allow", &["10.0.0.0/99".to_owned()]).unwrap_err();
        assert!(format!("{error:?}").contains("flux.json: egress.allow"), "{error:?}");
    }
}
