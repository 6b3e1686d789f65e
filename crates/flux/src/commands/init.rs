//! `flux init`: a new project folder from a template, or a server configuration with fresh keys.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use flux_model::ErrorCode;
use serde_json::json;

use super::Ended;
use crate::config::starter;
use crate::error::{CommandError, Exit};
use crate::file::{Secrecy, write_new};
use crate::output::{Format, Out, style};
use crate::project::template::Template;

/// What git shall not see of a project.
const GITIGNORE: &str = ".flux/\n";

/// Make a new project, or a server configuration
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux init hello && cd hello && flux dev\n  flux init shop --template orders\n  flux init --server-config /etc/flux"
)]
pub(crate) struct Init {
    /// The folder; made if it does not exist
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// What to start from
    #[arg(long, value_enum, default_value = "hello")]
    template: Template,
    /// Write a flux-server.toml with fresh keys for `flux serve` instead of a project
    #[arg(long, conflicts_with = "template")]
    server_config: bool,
}

impl Init {
    pub(crate) fn run(self, mut out: Out) -> Ended {
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make the folder {}", self.folder.display()))?;
        let files = if self.server_config { self.write_server()? } else { self.write_project()? };
        match out.format() {
            Format::Json => out.json(&json!({"folder": self.folder, "files": files})),
            Format::Text => self.say(&files, &mut out),
        }
        Ok(Exit::Success)
    }

    fn write_project(&self) -> Result<Vec<PathBuf>, CommandError> {
        let mut files: Vec<(PathBuf, &str)> =
            self.template.files().iter().map(|(path, text)| (PathBuf::from(path), *text)).collect();
        files.push((PathBuf::from(".gitignore"), GITIGNORE));
        // All or nothing: a project in which one file is somebody else's is no start.
        for (path, _) in &files {
            self.refuse_existing(path)?;
        }
        for (path, text) in &files {
            write_new(&self.folder.join(path), text, Secrecy::Public)?;
        }
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }

    fn write_server(&self) -> Result<Vec<PathBuf>, CommandError> {
        let path = PathBuf::from(crate::config::CONFIG_FILE);
        self.refuse_existing(&path)?;
        write_new(&self.folder.join(&path), &starter::text()?, Secrecy::OwnerOnly)?;
        Ok(vec![path])
    }

    fn refuse_existing(&self, path: &Path) -> Result<(), CommandError> {
        let full = self.folder.join(path);
        if !full.exists() {
            return Ok(());
        }
        let message = format!("{} exists already; nothing was written", full.display());
        Err(CommandError::local(ErrorCode::Conflict, message)
            .hint("choose another folder: `flux init <folder>`"))
    }

    fn say(&self, files: &[PathBuf], out: &mut Out) {
        for file in files {
            out.line(format!("  {} {}", style::paint(style::GOOD, "+"), self.folder.join(file).display()));
        }
        out.line("");
        let folder = if self.folder == Path::new(".") { None } else { Some(self.folder.display()) };
        if self.server_config {
            out.line(
                "It holds the key that seals secrets and the first admin key: keep it like a password. Next:",
            );
            let config = self.folder.join(crate::config::CONFIG_FILE);
            out.line(format!("  flux serve --config {}", config.display()));
            return;
        }
        out.line("Next:");
        if let Some(folder) = folder {
            out.line(format!("  cd {folder}"));
        }
        out.line("  flux dev");
        out.line("and in another terminal there:");
        for step in self.template.first_steps() {
            out.line(format!("  {step}"));
        }
    }
}
