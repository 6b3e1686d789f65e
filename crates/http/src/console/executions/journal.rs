//! `GET /executions/{id}/journal`: what was recorded, entry by entry, oldest first.

use axum::extract::State;
use flux_model::journal::{Entry, JournalEvent, Record, StoredValue};
use flux_model::{ExecutionId, Value};
use flux_store::executions::JournalPage;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ExecutionError;
use super::get::find;
use crate::access::caller::Caller;
use crate::app::Shared;
use crate::body::Json;
use crate::console::listing::Listing;
use crate::moment::Moment;
use crate::query::{Limit, Named, Query};
use crate::schema;

/// Which part.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JournalQuery {
    /// The number of the first entry; 0 where absent.
    #[serde(default)]
    cursor: u64,
    /// How many entries, 1 to 200; 50 where absent.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    limit: Limit,
}

/// An entry of a journal. Values over 64 KiB are shown as `{"$object": {"hash", "bytes"}}`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JournalEntry {
    /// Its number, from 0 without gaps.
    seq: u64,
    /// When.
    at: Moment,
    /// What: `kind` names it, the other members depend on that.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    event: JournalEvent,
}

/// Shows what was recorded of an execution, oldest first.
#[utoipa::path(get, path = "/executions/{id}/journal", tag = "executions",
    params(("id" = schema::ExecutionId, Path, description = "The execution"), JournalQuery),
    responses((status = 200, body = Listing<JournalEntry>)))]
pub(crate) async fn get_journal(
    caller: Caller,
    State(app): State<Shared>,
    Named(id): Named<ExecutionId>,
    Query(query): Query<JournalQuery>,
) -> Result<Json<Listing<JournalEntry>>, ExecutionError> {
    find(&app, caller.tenant, id).await?;
    let from = query.cursor;
    let page = app.reader().query(move |store| store.journal(caller.tenant, id, from)).await?;
    let entries = read(id, &page)?.into_iter().filter(|entry| entry.seq >= from).take(query.limit.0 + 1);
    let mut entries: Vec<Entry> = entries.collect();
    let next =
        if entries.len() > query.limit.0 { entries.pop().map(|entry| entry.seq) } else { page.next_seq };
    let show = |entry: Entry| JournalEntry { seq: entry.seq, at: entry.at.into(), event: entry.event };
    let items = entries.into_iter().map(show).collect();
    Ok(Json(Listing { items, next_cursor: next.map(|seq| seq.to_string()) }))
}

fn read(execution: ExecutionId, page: &JournalPage) -> Result<Vec<Entry>, ExecutionError> {
    let corrupt = |reason| ExecutionError::Corrupt { execution, reason };
    let mut entries = Vec::new();
    for stored in &page.records {
        let mut record = Record::decode(&stored.bytes).map_err(corrupt)?;
        for value in std::mem::take(&mut record.stored) {
            record.restore(&value, reference(&value)).map_err(corrupt)?;
        }
        entries.append(&mut record.entries);
    }
    Ok(entries)
}

fn reference(stored: &StoredValue) -> Value {
    let object = [("hash", Value::text(&stored.hash)), ("bytes", Value::from(stored.bytes))];
    Value::object([("$object", Value::object(object))])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{World, flow};

    #[tokio::test]
    async fn pages_follow_each_other_without_gap() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        let id = world.run("a").await;
        let whole = world.console(&format!("GET /executions/{id}/journal")).send().await.is(200);
        let all = whole.at("/items").as_array().unwrap().clone();
        assert_eq!((&all[0]["kind"], &all[0]["input"]["event"]), (&json!("input"), &json!("started")));
        let (mut cursor, mut collected) = ("0".to_owned(), Vec::new());
        loop {
            let path = format!("GET /executions/{id}/journal?limit=1&cursor={cursor}");
            let page = world.console(&path).send().await.is(200);
            collected.extend(page.at("/items").as_array().unwrap().clone());
            let Some(next) = page.at("/next_cursor").as_str().map(str::to_owned) else { break };
            cursor = next;
        }
        assert_eq!(collected, all);
    }

    #[tokio::test]
    async fn large_values_are_references() {
        let world = World::start().await;
        world.publish(flow("a")).await;
        let input = json!({"input": {"text": "x".repeat(100_000)}, "wait_ms": 5_000});
        let started = world.console("POST /flows/a/executions").json(input).send().await.is(200);
        let path = format!("GET /executions/{}/journal", started.at("/id").as_str().unwrap());
        let journal = world.console(&path).send().await.is(200);
        assert!(journal.at("/items/0/input/input/$object/bytes").as_u64().unwrap() > 100_000);
    }

    #[tokio::test]
    async fn a_cursor_is_a_number() {
        let world = World::start().await;
        let path = "GET /executions/exec_00000000000000000000000000/journal";
        world.console(path).send().await.is(404);
        world.console(&format!("{path}?cursor=x")).send().await.is(400).says("cursor");
    }
}
