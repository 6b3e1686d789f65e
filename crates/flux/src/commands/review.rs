//! `flux review`: what waits for a person, and the person's decision.

use clap::{Args, Subcommand};
use serde_json::json;

use super::page::{PageOptions, note_more};
use super::{Ended, Remote, input};
use crate::client::answers::{Page, Review as Answer};
use crate::client::{Query, encode, parse};
use crate::error::Exit;
use crate::output::moment::{now, relative};
use crate::output::style::{self, paint};
use crate::output::table::{Cell, Table};
use crate::output::{Format, readable};

/// See what waits for a person, and decide
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  flux review list")]
pub(crate) struct Review {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Show(Show),
    /// Approve, with the content as it is or as edited
    #[command(
        after_help = "Examples:\n  flux review approve rev_01k2m3n4p5q6r7s8t9v0w1x2y3\n  flux review approve rev_01k2m3n4p5q6r7s8t9v0w1x2y3 --content @edited.json --comment 'shortened'"
    )]
    Approve(Decide),
    /// Reject
    #[command(
        after_help = "Example:\n  flux review reject rev_01k2m3n4p5q6r7s8t9v0w1x2y3 --comment 'not this customer'"
    )]
    Reject(Decide),
    /// Send back for another version
    #[command(
        after_help = "Example:\n  flux review revise rev_01k2m3n4p5q6r7s8t9v0w1x2y3 --comment 'friendlier, please'"
    )]
    Revise(Decide),
}

/// List reviews
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flux review list\n  flux review list --status all --json")]
struct List {
    /// Only with this status
    #[arg(long, default_value = "pending", value_parser = ["pending", "approved", "rejected", "revised", "expired", "withdrawn", "all"])]
    status: String,
    #[command(flatten)]
    page: PageOptions,
}

/// Show one review with its content
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  flux review show rev_01k2m3n4p5q6r7s8t9v0w1x2y3")]
struct Show {
    /// The review
    review: String,
}

#[derive(Debug, Args)]
struct Decide {
    /// The review
    review: String,
    /// A remark
    #[arg(long)]
    comment: Option<String>,
    /// The content as you edited it: JSON, `@file`, or `-` for standard input
    #[arg(long, value_name = "JSON")]
    content: Option<String>,
    /// Decide only if the review still has this version [default: the version it has now]
    #[arg(long, value_name = "VERSION")]
    expected_version: Option<u32>,
}

impl Review {
    pub(crate) async fn run(self, remote: &mut Remote) -> Ended {
        match self.action {
            Action::List(list) => list.run(remote).await,
            Action::Show(show) => show.run(remote).await,
            Action::Approve(decide) => decide.run(remote, "approve").await,
            Action::Reject(decide) => decide.run(remote, "reject").await,
            Action::Revise(decide) => decide.run(remote, "revise").await,
        }
    }
}

impl List {
    async fn run(self, remote: &mut Remote) -> Ended {
        let status = Some(self.status).filter(|status| status != "all");
        let query = self.page.of(Query::default().with("status", status));
        let answer = remote.client.get(&query.on("/reviews")).await?;
        if remote.out.format() == Format::Json {
            remote.out.json(&answer);
            return Ok(Exit::Success);
        }
        let page: Page<Answer> = parse(answer)?;
        if page.items.is_empty() {
            remote.out.note("nothing waits for a decision");
            return Ok(Exit::Success);
        }
        let mut table = Table::new(&["REVIEW", "FLOW", "STATUS", "OPENED", "TITLE"]);
        for review in &page.items {
            table.row([
                review.id.as_str().into(),
                review.flow.as_str().into(),
                Cell::styled(status_style(&review.status), review.status.as_str()),
                relative(review.opened_at.0, now()).into(),
                review.title.as_str().into(),
            ]);
        }
        table.show(&mut remote.out);
        note_more(&mut remote.out, page.next_cursor.as_deref());
        Ok(Exit::Success)
    }
}

impl Show {
    async fn run(self, remote: &mut Remote) -> Ended {
        let answer = remote.client.get(&format!("/reviews/{}", encode(&self.review))).await?;
        if remote.out.format() == Format::Json {
            remote.out.json(&answer);
            return Ok(Exit::Success);
        }
        let review: Answer = parse(answer)?;
        let label = |text: &str| paint(style::DIM, format!("{text:<10}"));
        let out = &mut remote.out;
        out.line(paint(style::STRONG, &review.title));
        let status = paint(status_style(&review.status), &review.status);
        out.line(format!("{}{} {status}, version {}", label("review"), review.id, review.version));
        out.line(format!(
            "{}{} of {}, node {}",
            label("asked by"),
            review.execution,
            review.flow,
            review.node
        ));
        out.line(format!("{}{}", label("opened"), relative(review.opened_at.0, now())));
        if let Some(end) = review.expires_at {
            out.line(format!("{}{}", label("expires"), relative(end.0, now())));
        }
        if let Some(decision) = &review.decision {
            let comment = decision.comment.as_deref().map_or_else(String::new, |text| format!(": {text}"));
            out.line(format!("{}{}{comment}", label("decided by"), decision.decided_by));
        }
        for (name, value) in [("content", &review.content), ("context", &review.context)] {
            if !value.is_null() {
                out.line("");
                out.line(paint(style::DIM, name));
                out.line(readable(value));
            }
        }
        Ok(Exit::Success)
    }
}

impl Decide {
    async fn run(self, remote: &mut Remote, action: &str) -> Ended {
        let path = format!("/reviews/{}", encode(&self.review));
        let version = match self.expected_version {
            Some(version) => version,
            None => remote.client.get_as::<Answer>(&path).await?.version,
        };
        let mut body = json!({"action": action, "expected_version": version});
        if let Some(comment) = &self.comment {
            body["comment"] = comment.as_str().into();
        }
        if let Some(content) = &self.content {
            body["content"] = input::json("--content", content)?;
        }
        let answer = remote.client.post(&format!("{path}/decision"), &body).await.map_err(|error| {
            if !error.is_conflict() {
                return error;
            }
            // The server says who was first.
            error.hint(format!("nothing was changed; look at it with `flux review show {}`", self.review))
        })?;
        match remote.out.format() {
            Format::Json => remote.out.json(&answer),
            Format::Text => {
                let done = match action {
                    "approve" => paint(style::GOOD, "approved"),
                    "reject" => paint(style::ERROR, "rejected"),
                    _ => paint(style::WARNING, "sent back"),
                };
                remote.out.line(format!("{} {done}", self.review));
            }
        }
        Ok(Exit::Success)
    }
}

fn status_style(status: &str) -> anstyle::Style {
    match status {
        "pending" => style::WARNING,
        "approved" => style::GOOD,
        "rejected" => style::ERROR,
        _ => style::DIM,
    }
}
