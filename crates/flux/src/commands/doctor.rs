//! `flux doctor`: whether the configuration and everything it points at is fit to run.

use std::path::PathBuf;

use clap::Args;

use super::Ended;
use crate::config::Config;
use crate::doctor::{self, Depth, Level, Subject};
use crate::error::Exit;
use crate::output::style::{self, paint};
use crate::output::{Format, Out, Progress};
use crate::project::{self, Project};

/// Check the configuration and everything it points at
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux doctor\n  flux doctor --config /etc/flux/flux-server.toml --full --json\n\nExits with 1 if something keeps Flux from running. In a project without flux-server.toml it checks what `flux dev` uses."
)]
pub(crate) struct Doctor {
    /// The configuration [default: flux-server.toml in this folder, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Read every journal record and every index
    #[arg(long)]
    full: bool,
}

impl Doctor {
    pub(crate) fn run(self, mut out: Out) -> Ended {
        let depth = if self.full { Depth::Full } else { Depth::Quick };
        let progress = Progress::start(&out, "reading");
        let report = doctor::examine(&self.subject(), depth);
        drop(progress);
        let sound = report.iter().all(|finding| finding.level != Level::Error);
        match out.format() {
            Format::Json => out.json(&serde_json::json!({"ok": sound, "checks": report})),
            Format::Text => {
                for finding in &report {
                    let mark = match finding.level {
                        Level::Ok => paint(style::GOOD, "✓"),
                        Level::Warning => paint(style::WARNING, "!"),
                        Level::Error => paint(style::ERROR, "✗"),
                    };
                    out.line(format!("{mark} {:<14} {}", finding.check, finding.message));
                    if let Some(hint) = &finding.hint {
                        out.line(format!("    {}hint{}: {hint}", style::HINT, style::RESET));
                    }
                }
            }
        }
        Ok(if sound { Exit::Success } else { Exit::Failed })
    }

    fn subject(self) -> Subject {
        let here = std::env::current_dir().unwrap_or_default();
        let serves = self.config.is_some() || PathBuf::from(crate::config::CONFIG_FILE).is_file();
        let root = project::root_of(&here).filter(|_| !serves);
        let (mut config, project) = match root.map(|root| Project::open(&root)) {
            Some(Ok(project)) => (Config::of_project(&project), Some(project)),
            Some(Err(error)) => (Err(error), None),
            None => (Config::find(self.config.as_deref()), None),
        };
        if let (Ok(config), Some(data)) = (&mut config, self.data) {
            config.storage.data = data;
        }
        Subject { config, project }
    }
}
