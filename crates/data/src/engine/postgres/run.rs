//! Statements on one connection.

use std::pin::pin;
use std::sync::Arc;

use futures::TryStreamExt;
use tokio_postgres::error::SqlState;

use super::bind::{Bound, Raw, value};
use super::session::{AsyncWork, Entry};
use super::{Bounds, Session, failed};
use crate::DataError;
use crate::compile::{Parameter, Statement};
use crate::context::Context;
use crate::engine::answer::Row;
use crate::engine::steps::{Done, Steps};
use crate::engine::{DatabaseRole, History};
use crate::history::{Image, Record, TABLE};
use crate::limits::ANSWER_BYTES_MAX;

/// A select on behalf of somebody.
pub(super) fn select<'a>(entry: &'a Entry, statement: &'a Statement) -> Selecting<'a> {
    Selecting { entry, statement }
}

pub(super) struct Selecting<'a> {
    entry: &'a Entry,
    statement: &'a Statement,
}

impl AsyncWork<Vec<Row>> for Selecting<'_> {
    async fn run(self, session: &mut Session) -> Result<Vec<Row>, DataError> {
        session.enter(self.entry).await?;
        match rows(session, self.statement).await {
            // The schema changed since it was prepared.
            Err(Unread::Postgres(error)) if error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED) => {
                session.forget_statements();
                rows(session, self.statement).await.map_err(|error| error.about("the query"))
            }
            done => done.map_err(|error| error.about("the query")),
        }
    }
}

/// A change in a transaction of its own.
pub(super) fn change<'a>(bounds: Bounds, steps: &'a Steps, context: &'a Context) -> Changing<'a> {
    Changing { bounds, steps, context }
}

pub(super) struct Changing<'a> {
    bounds: Bounds,
    steps: &'a Steps,
    context: &'a Context,
}

impl AsyncWork<Done> for Changing<'_> {
    async fn run(self, session: &mut Session) -> Result<Done, DataError> {
        session.enter(&self.bounds.entry(self.context)).await?;
        execute(session, "BEGIN").await?;
        match change_within(session, self.bounds, self.steps, self.context).await {
            Ok(done) => commit(session).await.map(|()| done),
            Err(error) => {
                roll_back(session).await;
                Err(error)
            }
        }
    }
}

/// A change in the transaction that is open.
pub(super) async fn change_within(
    session: &mut Session,
    bounds: Bounds,
    steps: &Steps,
    context: &Context,
) -> Result<Done, DataError> {
    let table = &*steps.table;
    let before = match &steps.before {
        Some(statement) => rows(session, statement).await.map_err(|error| error.about(table))?,
        None => Vec::new(),
    };
    steps.check_reach(before.len())?;
    let after = match steps.has_work(&before) {
        true => {
            let change = steps.change_of(&before);
            rows(session, &change).await.map_err(|error| error.about(table))?
        }
        false => Vec::new(),
    };
    let done = steps.conclude(before, after)?;
    if bounds.history == History::Kept && !done.images.is_empty() {
        if bounds.database_role == DatabaseRole::OfClaims {
            // The caller's role needs no right to the history, and so cannot change it.
            execute(session, "SET LOCAL ROLE NONE").await?;
            session.forget_entry();
        }
        let record = record(&done.images, context);
        rows(session, &record).await.map_err(|error| error.about(TABLE))?;
    }
    Ok(done)
}

/// Commits. If the connection breaks meanwhile, nobody here knows whether it happened.
pub(super) async fn commit(session: &mut Session) -> Result<(), DataError> {
    let done = session.client.batch_execute("COMMIT").await;
    done.map_err(|error| {
        let error = failed("the transaction", &error);
        if let DataError::Unavailable { reason } = error {
            DataError::OutcomeUnknown { reason }
        } else {
            error
        }
    })
}

pub(super) async fn roll_back(session: &mut Session) {
    session.forget_entry();
    if let Err(error) = session.client.batch_execute("ROLLBACK").await {
        // The server has rolled back by itself when the connection is gone.
        tracing::debug!(%error, "a transaction could not be rolled back");
    }
}

pub(super) async fn execute(session: &mut Session, sql: &str) -> Result<(), DataError> {
    session.client.batch_execute(sql).await.map_err(|error| failed("the transaction", &error))
}

/// The statement that records images: each column of the history is one list.
fn record(images: &[Image], context: &Context) -> Statement {
    let records: Vec<Record> = images.iter().map(|image| Record::of(image, context)).collect();
    let list = |column: fn(&Record) -> Option<&str>| {
        Parameter::Texts(records.iter().map(|record| column(record).map(Arc::from)).collect())
    };
    let text = |text: Option<&str>| text.map_or(Parameter::Null, |text| Parameter::Text(Arc::from(text)));
    let first = records.first();
    Statement {
        sql: r#"INSERT INTO _flux_mutations
            ("table", key, tenant, operation, before, after, changed, execution, request, call, at)
            SELECT $1::text, key, $2::text, operation, before::json, after::json, changed, $3::text, $4::text,
                   $5::int8, $6::int8
            FROM unnest($7::text[], $8::text[], $9::text[], $10::text[], $11::text[])
                 WITH ORDINALITY AS r (key, operation, before, after, changed, place) ORDER BY place"#
            .to_owned(),
        parameters: vec![
            text(first.map(|record| &*record.table)),
            text(first.and_then(|record| record.tenant.as_deref())),
            text(first.and_then(|record| record.execution.as_deref())),
            text(first.and_then(|record| record.request.as_deref())),
            Parameter::Integer(first.map_or(0, |record| record.call)),
            Parameter::Integer(first.map_or(0, |record| record.at)),
            list(|record| Some(&record.key)),
            list(|record| Some(record.operation)),
            list(|record| record.before.as_deref()),
            list(|record| record.after.as_deref()),
            list(|record| Some(&record.changed)),
        ],
        outputs: Vec::new(),
    }
}

/// Why rows could not be read.
pub(super) enum Unread {
    Postgres(tokio_postgres::Error),
    Data(DataError),
}

impl Unread {
    pub(super) fn about(self, table: &str) -> DataError {
        match self {
            Self::Postgres(error) => failed(table, &error),
            Self::Data(error) => error,
        }
    }
}

impl From<tokio_postgres::Error> for Unread {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

/// The rows of a statement.
pub(super) async fn rows(session: &mut Session, statement: &Statement) -> Result<Vec<Row>, Unread> {
    let prepared = session.prepared(&statement.sql).await?;
    let mut source = pin!(session.client.query_raw(&prepared, statement.parameters.iter().map(Bound)).await?);
    let mut rows = Vec::new();
    let mut bytes = 0;
    while let Some(row) = source.try_next().await? {
        let mut values = Vec::with_capacity(statement.outputs.len());
        for (place, output) in statement.outputs.iter().enumerate() {
            let raw: Raw<'_> = row.try_get(place)?;
            bytes += raw.0.map_or(8, |raw| raw.len() + 8);
            let column = row.columns().get(place).map(tokio_postgres::Column::type_);
            let ty = column.unwrap_or(&tokio_postgres::types::Type::TEXT);
            values.push(value(output, ty, &raw).map_err(Unread::Data)?);
        }
        if bytes > ANSWER_BYTES_MAX {
            let error = DataError::limit("rows", "ANSWER_BYTES_MAX", bytes, ANSWER_BYTES_MAX);
            return Err(Unread::Data(error));
        }
        rows.push(values);
    }
    Ok(rows)
}
