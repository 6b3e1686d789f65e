//! `flux secrets`: names of project secrets, setting and deleting them. Values are never shown.

use std::io::{IsTerminal, Read};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::page::{PageOptions, note_more};
use super::{Ended, Remote};
use crate::client::answers::{Page, When};
use crate::client::{encode, parse};
use crate::error::{CommandError, Exit};
use crate::output::Format;
use crate::output::moment::{now, relative};
use crate::output::table::Table;

/// Bytes of a secret that are read from standard input.
const SECRET_BYTES_MAX: u64 = 1024 * 1024;

/// List, set and delete the secrets of the project
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  flux secrets set chat_token < token.txt")]
pub(crate) struct Secrets {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Set(Set),
    Delete(Delete),
}

/// List the names of secrets
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  flux secrets list")]
struct List {
    #[command(flatten)]
    page: PageOptions,
}

/// Create or replace a secret
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flux secrets set chat_token < token.txt\n  flux secrets set chat_token --host chat.example.com xoxb-123\n\nA value on the command line can end up in the shell's history; standard input does not."
)]
struct Set {
    /// Its name, as templates have it: secrets.<name>
    name: String,
    /// Its value; read from standard input where absent or `-`
    value: Option<String>,
    /// A host it may be sent to; may be given several times [default: any]
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
}

/// Delete a secret
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  flux secrets delete chat_token")]
struct Delete {
    /// Its name
    name: String,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    #[serde(default)]
    hosts: Vec<String>,
    updated_at: When,
}

impl Secrets {
    pub(crate) async fn run(self, remote: &mut Remote) -> Ended {
        match self.action {
            Action::List(List { page }) => list(remote, &page).await,
            Action::Set(set) => set.run(remote).await,
            Action::Delete(delete) => {
                remote.client.delete(&format!("/secrets/{}", encode(&delete.name))).await?;
                done(remote, &delete.name, "deleted");
                Ok(Exit::Success)
            }
        }
    }
}

async fn list(remote: &mut Remote, page: &PageOptions) -> Ended {
    let answer = remote.client.get(&page.query().on("/secrets")).await?;
    if remote.out.format() == Format::Json {
        remote.out.json(&answer);
        return Ok(Exit::Success);
    }
    let page: Page<Listed> = parse(answer)?;
    if page.items.is_empty() {
        remote.out.note("no secrets");
        return Ok(Exit::Success);
    }
    let mut table = Table::new(&["SECRET", "SET", "MAY BE SENT TO"]);
    for secret in page.items {
        let hosts = if secret.hosts.is_empty() { "any host".to_owned() } else { secret.hosts.join(", ") };
        table.row([secret.name.into(), relative(secret.updated_at.0, now()).into(), hosts.into()]);
    }
    table.show(&mut remote.out);
    note_more(&mut remote.out, page.next_cursor.as_deref());
    Ok(Exit::Success)
}

impl Set {
    async fn run(self, remote: &mut Remote) -> Ended {
        let value = match self.value {
            Some(value) if value != "-" => Zeroizing::new(value),
            Some(_) | None => read_value(&self.name)?,
        };
        let body = json!({"value": value.as_str(), "hosts": self.host});
        remote.client.put(&format!("/secrets/{}", encode(&self.name)), &body).await?;
        done(remote, &self.name, "set");
        Ok(Exit::Success)
    }
}

/// The value from standard input, without the line end that most tools add.
fn read_value(name: &str) -> Result<Zeroizing<String>, CommandError> {
    let mut input = std::io::stdin().lock();
    if std::io::stdin().is_terminal() {
        let message = format!("no value for `{name}`");
        return Err(CommandError::usage(message)
            .hint(format!("pipe it in: `flux secrets set {name} < file`, or give it as an argument")));
    }
    let mut text = Zeroizing::new(String::new());
    let read = input.by_ref().take(SECRET_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| CommandError::usage(format!("standard input cannot be read: {error}")))?;
    let value = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text));
    Ok(Zeroizing::new(value.unwrap_or(&text).to_owned()))
}

fn done(remote: &mut Remote, name: &str, what: &str) {
    match remote.out.format() {
        Format::Json => remote.out.json(&json!({"name": name, "status": what})),
        Format::Text => remote.out.line(format!("{name} {what}")),
    }
}
