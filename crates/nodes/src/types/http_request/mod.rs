//! `http.request`: asks an HTTP server, page by page where the answer has pages.
//!
//! This executor composes requests and judges answers. Which addresses may be reached, what a
//! secret is and how an answer is read is the business of egress.

mod compose;
mod config;
mod pagination;
#[cfg(test)]
mod tests;
mod text;

use flux_model::error::Failure;
use flux_model::event::TaskOutput;
use flux_model::node_type::{NodeKind, Ports};
use flux_model::{Purity, Shape};
use futures::future::BoxFuture;

use self::config::Config;
use super::open_object;
use crate::attempt::{Attempt, Sent};
use crate::definition::{Executor, NodeDefinition};

pub(crate) struct HttpRequest;

impl NodeDefinition for HttpRequest {
    const NAME: &'static str = "http.request";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Sends an HTTP request; the output is the answer.";
    const KIND: NodeKind = NodeKind::Task;
    const PURITY: Purity = Purity::Effect;
    const EXECUTOR: Executor<Self::Config> = Executor::Effect(run);
    const SECRET_FIELDS: &'static [&'static str] = &["url", "query.*", "headers.*", "auth.*", "body.**"];

    type Config = Config;

    fn ports() -> Ports {
        Ports::Main
    }

    fn output() -> Shape {
        Shape::object([("status", Shape::Number), ("headers", open_object()), ("body", Shape::Any)])
    }
}

fn run<'a>(config: Config, attempt: &'a Attempt<'a>) -> BoxFuture<'a, Result<TaskOutput, Failure>> {
    Box::pin(async move {
        let request = compose::request(&config, attempt.call())?;
        let response = match &config.pagination {
            Some(pagination) => pagination::run(pagination, &config, request, attempt).await?,
            None => judge(&config, attempt.send(&request).await?)?.response,
        };
        Ok(TaskOutput::main(response.to_value()))
    })
}

/// Lets an answer pass unless its status counts as a failure.
fn judge(config: &Config, sent: Sent) -> Result<Sent, Failure> {
    if config.fail_on_status.counts(sent.response.status) {
        return Err(Failure { call: Some(sent.call), ..sent.response.failure() });
    }
    Ok(sent)
}
