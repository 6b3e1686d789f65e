//! `flux keys`: API keys. A key is shown once, when it is made.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::page::{PageOptions, note_more};
use super::{Ended, Remote, when};
use crate::client::answers::{Page, When};
use crate::client::{encode, parse};
use crate::error::Exit;
use crate::output::Format;
use crate::output::moment::{now, relative};
use crate::output::style;
use crate::output::table::{Cell, Table};

/// List, create and revoke API keys
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  flux keys create ci --scope flows:write")]
pub(crate) struct Keys {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Create(Create),
    Revoke(Revoke),
}

/// List keys
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  flux keys list")]
struct List {
    #[command(flatten)]
    page: PageOptions,
}

/// Create a key; it is shown once
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux keys create ci --scope flows:write --scope executions:read --expires 90d\n  FLUX_KEY=$(flux keys create reviewer --scope reviews:decide)"
)]
struct Create {
    /// Its name, for people
    name: String,
    /// What it allows, such as executions:read; may be given several times
    #[arg(long, required = true, value_name = "SCOPE")]
    scope: Vec<flux_http::Scope>,
    /// When it stops to work: in 12h, 90d… [default: never]
    #[arg(long, value_name = "LENGTH", value_parser = when::length)]
    expires: Option<Duration>,
}

/// Revoke a key; it stops to work at once
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  flux keys revoke key_01k2m3n4p5q6r7s8t9v0w1x2y3")]
struct Revoke {
    /// The key's id
    id: String,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    name: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    expires_at: Option<When>,
    #[serde(default)]
    revoked_at: Option<When>,
    #[serde(default)]
    last_used_at: Option<When>,
}

#[derive(Deserialize)]
struct Created {
    key: String,
    id: String,
}

impl Keys {
    pub(crate) async fn run(self, remote: &mut Remote) -> Ended {
        match self.action {
            Action::List(List { page }) => list(remote, &page).await,
            Action::Create(create) => create.run(remote).await,
            Action::Revoke(revoke) => {
                remote.client.delete(&format!("/keys/{}", encode(&revoke.id))).await?;
                match remote.out.format() {
                    Format::Json => remote.out.json(&json!({"id": revoke.id, "status": "revoked"})),
                    Format::Text => remote.out.line(format!("{} revoked", revoke.id)),
                }
                Ok(Exit::Success)
            }
        }
    }
}

async fn list(remote: &mut Remote, page: &PageOptions) -> Ended {
    let answer = remote.client.get(&page.query().on("/keys")).await?;
    if remote.out.format() == Format::Json {
        remote.out.json(&answer);
        return Ok(Exit::Success);
    }
    let page: Page<Listed> = parse(answer)?;
    let mut table = Table::new(&["KEY", "NAME", "STATE", "LAST USED", "SCOPES"]);
    for key in &page.items {
        let used = key.last_used_at.map_or_else(|| "never".to_owned(), |at| relative(at.0, now()));
        let state = match (key.revoked_at, key.expires_at) {
            (Some(_), _) => Cell::styled(style::DIM, "revoked"),
            (None, Some(end)) if end.0 <= now() => Cell::styled(style::DIM, "expired"),
            (None, Some(end)) => Cell::styled(style::GOOD, format!("expires {}", relative(end.0, now()))),
            (None, None) => Cell::styled(style::GOOD, "valid"),
        };
        table.row([
            key.id.as_str().into(),
            key.name.as_str().into(),
            state,
            used.into(),
            key.scopes.join(" ").into(),
        ]);
    }
    if table.is_empty() {
        remote.out.note("no keys");
    } else {
        table.show(&mut remote.out);
    }
    note_more(&mut remote.out, page.next_cursor.as_deref());
    Ok(Exit::Success)
}

impl Create {
    async fn run(self, remote: &mut Remote) -> Ended {
        let mut body = json!({"name": self.name, "scopes": self.scope});
        if let Some(length) = self.expires {
            body["expires_at"] = (now() + length).to_string().into();
        }
        let answer = remote.client.post("/keys", &body).await?;
        if remote.out.format() == Format::Json {
            remote.out.json(&answer);
            return Ok(Exit::Success);
        }
        let created: Created = parse(answer)?;
        remote.out.line(&created.key);
        remote.out.note(format!("{}: keep it now, it is not shown again", created.id));
        Ok(Exit::Success)
    }
}
