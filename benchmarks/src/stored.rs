//! Fills a store with ended executions, as a deployment has after months.

use std::path::Path;

use anyhow::{Context, Result, bail};
use flux_model::ids::ExecutionId;
use flux_model::{ExecutionKind, Timestamp};
use flux_store::{
    Accept, Command, ExecutionFilter, NewExecution, Outcome, PageRequest, StatusChange, Step, Store,
};
use flux_store_sqlite::SqliteStore;

const BATCH: usize = 256;

/// Adds `count` copies of an execution that the server has run, under ids and times of their own.
pub(crate) fn fill(data: &Path, count: usize) -> Result<()> {
    let store = SqliteStore::open(data, &flux_store_sqlite::Options::default())?;
    let tenant = store.projects()?.first().context("the server made no project")?.tenant;
    let page = store.executions(tenant, &ExecutionFilter::default(), PageRequest::first(1))?;
    let sample = page.items.first().context("the server ran nothing yet")?.clone();
    let journal = store.journal(tenant, sample.id, 0)?;
    let record = journal.records.first().context("the execution has no journal")?.clone();
    let year_ago = Timestamp::from_millis(1_760_000_000_000);
    let made = (0..count).map(|number| {
        let at = Timestamp::from_millis(year_ago.millis() + number as i64 * 30);
        let step = Step {
            record: record.bytes.clone(),
            entries: record.entries,
            change: Some(StatusChange::Succeeded { output: sample.output.clone(), at }),
            ..Step::default()
        };
        let execution = NewExecution {
            id: ExecutionId::new(at, number as u128),
            tenant,
            kind: ExecutionKind::Flow,
            flow: sample.flow.clone(),
            version: sample.version.clone(),
            trigger: sample.trigger.clone(),
            request_id: format!("stored-{number}"),
            parent: None,
            depth: 0,
            priority: 0,
            input: sample.input.clone(),
        };
        Command::Accept(Box::new(Accept {
            execution,
            idempotency_key: None,
            debounce: None,
            rate: None,
            concurrency: None,
            first: Some(step),
            held: None,
            at,
        }))
    });
    let mut batch = Vec::with_capacity(BATCH);
    for command in made {
        batch.push(command);
        if batch.len() == BATCH {
            commit(&store, &mut batch)?;
        }
    }
    commit(&store, &mut batch)
}

fn commit(store: &SqliteStore, batch: &mut Vec<Command>) -> Result<()> {
    for outcome in store.commit_batch(batch)? {
        if !matches!(outcome, Outcome::Started { .. }) {
            bail!("the store answered {outcome:?}");
        }
    }
    batch.clear();
    Ok(())
}
