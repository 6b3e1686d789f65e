//! The checks of `flux doctor`: each looks at one thing, says what it measured and, where
//! something is wrong, the way out. They change nothing but a file of their own.

mod disk;
mod store;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use serde::Serialize;

use crate::config::{Config, Role};
use crate::error::CommandError;
use crate::project::Project;
use crate::server::dev::SERVER_KEY_FILE;
use crate::server::setup::{rules, server_keys};

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The structure of the database.
    Quick,
    /// Every record.
    Full,
}

/// What is examined.
pub(crate) struct Subject {
    /// The configuration, or why there is none.
    pub(crate) config: Result<Config, CommandError>,
    /// The project that `flux dev` runs with it, where it is not that of a server.
    pub(crate) project: Option<Project>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// It is as it should be.
    Ok,
    /// Flux runs, but not as well as it could.
    Warning,
    /// It keeps Flux from running.
    Error,
}

/// What a check found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    /// The name of the check.
    pub(crate) check: &'static str,
    /// How bad it is.
    pub(crate) level: Level,
    /// What was measured.
    pub(crate) message: String,
    /// The way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

impl Finding {
    fn new(check: &'static str, level: Level, message: impl Into<String>) -> Self {
        Self { check, level, message: message.into(), hint: None }
    }

    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Level::Ok, message)
    }

    fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Level::Warning, message)
    }

    fn error(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Level::Error, message)
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Every check. Where the configuration cannot be read, nothing else can be looked at.
pub(crate) fn examine(subject: &Subject, depth: Depth) -> Vec<Finding> {
    let config = match &subject.config {
        Ok(config) => config,
        Err(error) => return vec![configuration(error)],
    };
    let data = &config.storage.data;
    let mut findings = vec![
        Finding::ok("configuration", format!("is valid; data folder {}", data.display())),
        secret_key(subject, config),
        egress(config, subject.project.as_ref()),
    ];
    findings.extend(disk::examine(data));
    let (running, of_store) = store::examine(data, depth);
    findings.extend(of_store);
    findings.extend(ports(config, running));
    findings
}

/// Whether another process uses the data folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Running {
    /// It does, and holds its ports too.
    Yes,
    /// Nobody does.
    No,
}

fn configuration(error: &CommandError) -> Finding {
    let (message, hint) = error.parts();
    let finding = Finding::error("configuration", message);
    match hint {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

fn secret_key(subject: &Subject, config: &Config) -> Finding {
    const CHECK: &str = "server key";
    if subject.project.is_some() {
        let path = config.storage.data.join(SERVER_KEY_FILE);
        return if path.is_file() {
            readable_by_others(&path)
        } else {
            Finding::ok(CHECK, "is made when `flux dev` starts first")
        };
    }
    match server_keys(&config.secrets) {
        Ok(_) => Finding::ok(CHECK, "is there and has the right form"),
        Err(error) => Finding { check: CHECK, ..configuration(&error) },
    }
}

fn readable_by_others(path: &Path) -> Finding {
    use std::os::unix::fs::PermissionsExt;
    const CHECK: &str = "server key";
    let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o777);
    match mode {
        Ok(mode) if mode & 0o077 == 0 => {
            Finding::ok(CHECK, format!("{} is there, for its owner only", path.display()))
        }
        Ok(mode) => {
            Finding::warning(CHECK, format!("{} can be read by others (mode {mode:o})", path.display()))
                .hint(format!("chmod 600 {}", path.display()))
        }
        Err(error) => Finding::error(CHECK, format!("{} cannot be read: {error}", path.display())),
    }
}

fn egress(config: &Config, project: Option<&Project>) -> Finding {
    const CHECK: &str = "egress";
    let of_project = project.map_or(&[][..], |project| &project.file.egress.allow);
    let mut targets: Vec<&str> = project.map(|_| "loopback").into_iter().collect();
    for (place, allowed) in
        [("[egress] allow", &config.egress.allow[..]), ("flux.json: egress.allow", of_project)]
    {
        if let Err(error) = rules(place, allowed) {
            return Finding { check: CHECK, ..configuration(&error) };
        }
        targets.extend(allowed.iter().map(String::as_str));
    }
    if targets.is_empty() {
        return Finding::ok(CHECK, "flows may call public addresses only");
    }
    Finding::ok(CHECK, format!("flows may call public addresses and {}", targets.join(", ")))
}

fn ports(config: &Config, running: Running) -> Vec<Finding> {
    let listeners = [
        (Role::Gateway, "gateway", config.gateway.address),
        (Role::Console, "console", config.console.address),
    ];
    let used = listeners.into_iter().filter(|(role, _, _)| config.process.roles.contains(role));
    used.map(|(_, name, address)| port(name, address, running)).collect()
}

fn port(name: &'static str, address: SocketAddr, running: Running) -> Finding {
    match (TcpListener::bind(address), running) {
        (Ok(_), _) => Finding::ok(name, format!("{address} is free")),
        (Err(error), Running::Yes) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Finding::ok(name, format!("{address} is in use, as a server runs on this data folder"))
        }
        (Err(error), _) => Finding::error(name, format!("{address} cannot be listened on: {error}"))
            .hint(format!("choose another address with --{name}")),
    }
}
