//! Which server a command talks to, and with which key.
//!
//! What the user says wins; inside a project the server that `flux dev` runs there is next; then
//! the default address. The key of `flux dev` is sent to that server and to no other.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::CommandError;
use crate::project;

/// Where `flux dev` says how it is reached, within the project.
pub(crate) const DEV_FILE: &str = ".flux/dev.json";
/// The default address of the console API.
const SERVER_DEFAULT: &str = "http://127.0.0.1:4001";

/// The server and the key, as options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct TargetOptions {
    /// Address of the console API [default: that of `flux dev` in this project, else http://127.0.0.1:4001]
    #[arg(long, global = true, env = "FLUX_SERVER", value_name = "URL", help_heading = "Server")]
    server: Option<Url>,
    /// API key [default: that of `flux dev` in this project]
    #[arg(
        long,
        global = true,
        env = "FLUX_KEY",
        value_name = "KEY",
        hide_env_values = true,
        help_heading = "Server"
    )]
    key: Option<String>,
}

/// A running `flux dev`, as it says itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DevServer {
    /// The gateway's address.
    pub(crate) gateway: Url,
    /// The console's address.
    pub(crate) console: Url,
    /// The key.
    pub(crate) key: String,
    /// The process.
    pub(crate) pid: u32,
    /// The flows it published from files.
    #[serde(default)]
    pub(crate) flows: Vec<String>,
}

impl DevServer {
    /// What `flux dev` of the project in `folder` said last.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(DEV_FILE)).ok()?).ok()
    }
}

/// A server and the key for it.
#[derive(Clone)]
pub(crate) struct Target {
    /// The console's address.
    pub(crate) server: Url,
    /// The key, if there is one.
    pub(crate) key: Option<zeroize::Zeroizing<String>>,
    /// What to do if it does not answer.
    pub(crate) way_out: &'static str,
}

impl Target {
    /// The server that a command in the current folder talks to.
    pub(crate) fn find(options: &TargetOptions) -> Result<Self, CommandError> {
        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let dev = project::root_of(&here).and_then(|root| DevServer::read(&root));
        Self::choose(options, dev)
    }

    fn choose(options: &TargetOptions, dev: Option<DevServer>) -> Result<Self, CommandError> {
        let default = || Url::parse(SERVER_DEFAULT).expect("the default is a URL");
        let (server, way_out) = match (&options.server, &dev) {
            (Some(server), _) => (server.clone(), "check --server or FLUX_SERVER"),
            (None, Some(dev)) => {
                (dev.console.clone(), "start it with `flux dev`, or name another server with --server")
            }
            (None, None) => (default(), "start one with `flux dev`, or name one with --server"),
        };
        if !matches!(server.scheme(), "http" | "https") {
            let message = format!("--server {server}: write http:// or https:// and an address");
            return Err(CommandError::usage(message));
        }
        let dev_key = dev.filter(|dev| dev.console == server).map(|dev| dev.key);
        let key = options.key.clone().or(dev_key).map(zeroize::Zeroizing::new);
        Ok(Self { server, key, way_out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(server: Option<&str>, key: Option<&str>, expected: (&str, Option<&str>)) {
        let options =
            TargetOptions { server: server.map(|url| url.parse().unwrap()), key: key.map(str::to_owned) };
        let dev = DevServer {
            gateway: "http://127.0.0.1:5000".parse().unwrap(),
            console: "http://127.0.0.1:5001".parse().unwrap(),
            key: "flx_dev".to_owned(),
            pid: 1,
            flows: Vec::new(),
        };
        let target = Target::choose(&options, Some(dev)).unwrap();
        let found = (target.server.as_str(), target.key.as_ref().map(|key| key.as_str()));
        assert_eq!(found, expected, "{server:?} {key:?}");
    }

    #[test]
    fn what_the_user_says_wins_and_the_dev_key_stays_with_its_server() {
        check(None, None, ("http://127.0.0.1:5001/", Some("flx_dev")));
        check(None, Some("flx_mine"), ("http://127.0.0.1:5001/", Some("flx_mine")));
        check(Some("https://flux.example.com"), None, ("https://flux.example.com/", None));
        check(Some("http://127.0.0.1:5001"), None, ("http://127.0.0.1:5001/", Some("flx_dev")));
    }

    #[test]
    fn outside_a_project_the_default_address_is_asked_without_key() {
        let target = Target::choose(&TargetOptions { server: None, key: None }, None).unwrap();
        assert_eq!(target.server.as_str(), "http://127.0.0.1:4001/");
        assert!(target.key.is_none());
    }

    #[test]
    fn only_http_is_spoken() {
        let options = TargetOptions { server: Some("ftp://a".parse().unwrap()), key: None };
        assert!(Target::choose(&options, None).is_err());
    }
}
