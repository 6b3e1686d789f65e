//! Flows, their versions, and what their triggers remember.

use flux_model::Tenant;
use flux_store::flows::{FlowState, PublishFlow, RestoreFlow, SaveDraft, SetFlowState};
use flux_store::triggers::PutTriggerState;
use flux_store::{Outcome, Refusal};
use rusqlite::{Connection, OptionalExtension, params};

use super::{done_if, execute};
use crate::column::{self, Columns};

pub(super) fn save_draft(connection: &Connection, draft: &SaveDraft) -> rusqlite::Result<Outcome> {
    Ok(match replace_draft(connection, draft)? {
        Ok(revision) => Outcome::Saved { revision },
        Err(revision) => Outcome::Stale { revision },
    })
}

/// The new revision, or the one that was not expected.
fn replace_draft(connection: &Connection, draft: &SaveDraft) -> rusqlite::Result<Result<u64, u64>> {
    let revision = revision(connection, draft.tenant, &draft.name)?.unwrap_or(0);
    if draft.expected_revision.is_some_and(|expected| expected != revision) {
        return Ok(Err(revision));
    }
    let sql = "INSERT INTO flows (project, name, organization, active, draft, draft_hash, revision,
            created_at, updated_at)
        VALUES (?1, ?2, ?3, 0, ?4, ?5, 1, ?6, ?6)
        ON CONFLICT DO UPDATE SET draft = excluded.draft, draft_hash = excluded.draft_hash,
            revision = revision + 1, updated_at = excluded.updated_at";
    let parameters = params![
        column::project(draft.tenant),
        draft.name,
        column::organization(draft.tenant),
        draft.definition,
        draft.hash,
        draft.at.millis(),
    ];
    execute(connection, sql, parameters)?;
    Ok(Ok(revision + 1))
}

pub(super) fn publish(connection: &Connection, publish: &PublishFlow) -> rusqlite::Result<Outcome> {
    let draft = &publish.draft;
    let revision = match replace_draft(connection, draft)? {
        Ok(revision) => revision,
        Err(revision) => return Ok(Outcome::Stale { revision }),
    };
    let sql = "INSERT INTO flow_versions (project, flow, number, hash, organization, definition, author,
            published_at)
        SELECT ?1, ?2, 1 + (SELECT ifnull(max(number), 0) FROM flow_versions
            WHERE project = ?1 AND flow = ?2), ?3, ?4, ?5, ?6, ?7
        WHERE NOT EXISTS (SELECT 1 FROM flow_versions WHERE project = ?1 AND flow = ?2 AND hash = ?3)";
    let parameters = params![
        column::project(draft.tenant),
        draft.name,
        draft.hash,
        column::organization(draft.tenant),
        draft.definition,
        publish.author,
        draft.at.millis(),
    ];
    execute(connection, sql, parameters)?;
    let sql = "UPDATE flows SET active = 1, active_hash = ?3 WHERE project = ?1 AND name = ?2";
    execute(connection, sql, params![column::project(draft.tenant), draft.name, draft.hash])?;
    let number = version(connection, draft.tenant, &draft.name, &draft.hash)?.map_or(0, |(number, _)| number);
    Ok(Outcome::Published { number, revision })
}

pub(super) fn restore(connection: &Connection, restore: &RestoreFlow) -> rusqlite::Result<Outcome> {
    let revision = revision(connection, restore.tenant, &restore.name)?;
    let version = version(connection, restore.tenant, &restore.name, &restore.hash)?;
    let (Some(revision), Some((number, definition))) = (revision, version) else {
        return Ok(Outcome::NotFound);
    };
    let sql = "UPDATE flows SET draft = ?3, draft_hash = ?4, active_hash = ?4, revision = revision + 1,
        updated_at = ?5 WHERE project = ?1 AND name = ?2";
    let parameters =
        params![column::project(restore.tenant), restore.name, definition, restore.hash, restore.at.millis()];
    execute(connection, sql, parameters)?;
    Ok(Outcome::Published { number, revision: revision + 1 })
}

pub(super) fn set_state(connection: &Connection, set: &SetFlowState) -> rusqlite::Result<Outcome> {
    let sql = "SELECT revision, active_hash IS NOT NULL FROM flows WHERE project = ?1 AND name = ?2";
    let found = connection
        .prepare_cached(sql)?
        .query_row(params![column::project(set.tenant), set.name], |row| {
            let mut columns = Columns::of(row);
            Ok((columns.count::<u64>()?, columns.get::<bool>()?))
        })
        .optional()?;
    let Some((revision, published)) = found else { return Ok(Outcome::NotFound) };
    if set.state == FlowState::Active && !published {
        return Ok(Outcome::Refused(Refusal::NotPublished));
    }
    let sql = "UPDATE flows SET active = ?3, revision = revision + 1, updated_at = ?4
        WHERE project = ?1 AND name = ?2";
    let active = set.state == FlowState::Active;
    execute(connection, sql, params![column::project(set.tenant), set.name, active, set.at.millis()])?;
    Ok(Outcome::Saved { revision: revision + 1 })
}

pub(super) fn delete(connection: &Connection, tenant: Tenant, name: &str) -> rusqlite::Result<Outcome> {
    let sql = "DELETE FROM trigger_states WHERE project = ?1 AND flow = ?2";
    execute(connection, sql, params![column::project(tenant), name])?;
    let sql = "DELETE FROM flows WHERE project = ?1 AND name = ?2";
    Ok(done_if(execute(connection, sql, params![column::project(tenant), name])? > 0))
}

pub(super) fn put_trigger_state(connection: &Connection, put: &PutTriggerState) -> rusqlite::Result<Outcome> {
    let sql = "SELECT version FROM trigger_states WHERE project = ?1 AND flow = ?2 AND node = ?3";
    let found = connection
        .prepare_cached(sql)?
        .query_row(params![column::project(put.tenant), put.flow, put.node], |row| Columns::of(row).count())
        .optional()?
        .unwrap_or(0);
    if found != put.expected_version {
        return Ok(Outcome::Stale { revision: found });
    }
    let sql = "INSERT INTO trigger_states (project, flow, node, organization, state, version, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
        ON CONFLICT DO UPDATE SET state = excluded.state, version = excluded.version,
            updated_at = excluded.updated_at";
    let parameters = params![
        column::project(put.tenant),
        put.flow,
        put.node,
        column::organization(put.tenant),
        put.state,
        column::number(found + 1),
        put.at.millis(),
    ];
    execute(connection, sql, parameters)?;
    Ok(Outcome::Saved { revision: found + 1 })
}

fn revision(connection: &Connection, tenant: Tenant, name: &str) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT revision FROM flows WHERE project = ?1 AND name = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_row(params![column::project(tenant), name], |row| Columns::of(row).count()).optional()
}

/// Number and definition of a version.
fn version(
    connection: &Connection,
    tenant: Tenant,
    flow: &str,
    hash: &str,
) -> rusqlite::Result<Option<(u64, String)>> {
    let sql = "SELECT number, definition FROM flow_versions WHERE project = ?1 AND flow = ?2 AND hash = ?3";
    let read = |row: &rusqlite::Row<'_>| {
        let mut columns = Columns::of(row);
        Ok((columns.count()?, columns.get()?))
    };
    connection.prepare_cached(sql)?.query_row(params![column::project(tenant), flow, hash], read).optional()
}
