//! `[log]`: the log of the process.

use serde::{Deserialize, Serialize};

use super::section::{Setting, section};

/// In which form log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people, to standard error.
    Text,
    /// One JSON object per line, to standard output.
    Json,
}

impl Setting for LogFormat {
    fn read(text: &str) -> Result<toml::Value, String> {
        String::read(text)
    }
}

section! {
    /// The log of the process.
    Log {
        /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as
        /// `info,flux_engine=debug`.
        level: String = "info".to_owned();
        /// `text` for people on standard error, `json` for machines on standard output.
        format: LogFormat = LogFormat::Text;
    }
}
