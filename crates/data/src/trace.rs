//! Reading the mutation history: of a row, and who last changed each of its columns.

use flux_model::{Timestamp, Value};

use crate::compile::{Dialect, Form, Output, Parameter, Statement};
use crate::context::{Access, Context};
use crate::engine::{Backend, Database};
use crate::history::{self, Blame, Change, Mutation};
use crate::limits::HISTORY_ENTRIES_MAX;
use crate::place::Place;
use crate::query::Operation;
use crate::schema::Table;
use crate::{DataError, nearest};

const COLUMNS: [(&str, Form); 9] = [
    ("id", Form::Plain),
    ("operation", Form::Plain),
    ("before", Form::Json),
    ("after", Form::Json),
    ("changed", Form::Plain),
    ("execution", Form::Plain),
    ("request", Form::Plain),
    ("call", Form::Plain),
    ("at", Form::Plain),
];

impl Database {
    /// The changes of one row, newest first, at most `limit`. `key` is the value of the primary key, or an
    /// object with a member per column of it.
    ///
    /// # Errors
    /// [`DataError::Query`] if table or key are not known, [`DataError::Forbidden`] if the caller may not
    /// read the table, or only some of its rows.
    pub async fn history(
        &self,
        context: &Context,
        table: &str,
        key: &Value,
        limit: u32,
    ) -> Result<Vec<Mutation>, DataError> {
        let schema = self.schema().await?;
        let table = known(&schema, table)?;
        let readable = self.readable(context, table)?;
        let statement = self.statement(context, table, key, limit.min(HISTORY_ENTRIES_MAX))?;
        let service = Context { access: Access::Service, ..context.clone() };
        let (rows, _) = match self.backend() {
            Backend::Sqlite(sqlite) => sqlite.select(&service, statement).await?,
            Backend::Postgres(postgres) => postgres.select(&service, statement).await?,
        };
        let mut mutations = Vec::with_capacity(rows.len());
        for row in rows {
            let mutation = mutation(&row).ok_or_else(|| DataError::database("the history is damaged"))?;
            mutations.push(match &readable {
                None => mutation,
                Some(columns) => limited(mutation, columns),
            });
        }
        Ok(mutations)
    }

    /// Who last changed each column of a row, as far as its history goes back.
    ///
    /// # Errors
    /// As [`Database::history`].
    pub async fn blame(&self, context: &Context, table: &str, key: &Value) -> Result<Vec<Blame>, DataError> {
        let mutations = self.history(context, table, key, HISTORY_ENTRIES_MAX).await?;
        let schema = self.schema().await?;
        Ok(history::blame(known(&schema, table)?, &mutations))
    }

    /// The columns that the caller may see; none means all.
    fn readable(
        &self,
        context: &Context,
        table: &Table,
    ) -> Result<Option<Vec<std::sync::Arc<str>>>, DataError> {
        let Access::Claims(claims) = &context.access else { return Ok(None) };
        let policy = &self.options().policy;
        let rule = policy.rule(claims.role(), &table.name, Operation::Select, &Place::root("history"))?;
        if rule.is_some_and(|rule| rule.rows.is_some()) {
            let message = "the caller's role sees only some rows, and history is not kept apart for it";
            return Err(DataError::forbidden("history", message));
        }
        Ok(rule.and_then(|rule| rule.columns.clone()))
    }

    fn statement(
        &self,
        context: &Context,
        table: &Table,
        key: &Value,
        limit: u32,
    ) -> Result<Statement, DataError> {
        let (one, two, three) = match self.dialect() {
            Dialect::Sqlite => ("?1", "?2", "?3"),
            Dialect::Postgres => ("$1::text", "$2::text", "$3::text"),
        };
        let mut parameters =
            vec![Parameter::Text(table.name.clone()), Parameter::Text(canonical(table, key)?.into())];
        let mut tenant = String::new();
        if let (Access::Claims(claims), Some(rule)) = (&context.access, &self.options().policy.tenant)
            && table.column(&rule.column).is_some()
        {
            let Some(value) = claims.get(&rule.claim) else {
                let message = format!("the caller has no claim `{}`, which names the tenant", rule.claim);
                return Err(DataError::forbidden("history", message));
            };
            tenant = format!(" AND tenant = {three}");
            parameters.push(Parameter::Text(value.to_json().into()));
        }
        let shown = COLUMNS.map(|(name, form)| match (self.dialect(), form) {
            (Dialect::Postgres, Form::Json) => format!("{name}::text"),
            (Dialect::Sqlite | Dialect::Postgres, _) => name.to_owned(),
        });
        let sql = format!(
            "SELECT {} FROM {} WHERE \"table\" = {one} AND key = {two}{tenant} ORDER BY id DESC LIMIT {limit}",
            shown.join(", "),
            history::TABLE
        );
        let outputs = COLUMNS.map(|(name, form)| Output { name: name.into(), form }).into();
        Ok(Statement { sql, parameters, outputs })
    }
}

fn known<'a>(schema: &'a crate::schema::Schema, name: &str) -> Result<&'a Table, DataError> {
    schema.table(name).ok_or_else(|| {
        let hint = nearest::suggestion(name, schema.tables().iter().map(|table| &*table.name));
        DataError::query("table", format!("unknown table `{name}`{hint}"))
    })
}

/// The key as the history has it: an object in the order of the primary key.
fn canonical(table: &Table, key: &Value) -> Result<String, DataError> {
    let columns: Vec<_> = table.key().collect();
    let expected = || {
        let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
        let message = format!("expected a value for each column of the primary key: {}", names.join(", "));
        DataError::query("key", message)
    };
    let value = |column: &&crate::schema::Column| match key {
        Value::Object(members) => members.get(&column.name).cloned().ok_or_else(expected),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::Array(_)
        | Value::Secret(_) => {
            if columns.len() == 1 {
                Ok(key.clone())
            } else {
                Err(expected())
            }
        }
    };
    if columns.is_empty() {
        return Err(DataError::query("table", format!("`{}` has no primary key", table.name)));
    }
    let mut members = Vec::with_capacity(columns.len());
    for column in &columns {
        members.push((column.name.clone(), value(column)?));
    }
    Ok(Value::object(members).to_json())
}

fn mutation(row: &[Value]) -> Option<Mutation> {
    let text = |place: usize| row.get(place).and_then(Value::as_str);
    let image = |place: usize| row.get(place).filter(|value| !value.is_null()).cloned();
    Some(Mutation {
        id: row.first()?.as_i64()?,
        change: Change::parse(text(1)?)?,
        before: image(2),
        after: image(3),
        changed: text(4)?.split(',').filter(|name| !name.is_empty()).map(Into::into).collect(),
        execution: text(5).and_then(|text| text.parse().ok()),
        request_id: text(6).map(Into::into),
        call: u32::try_from(row.get(7)?.as_i64()?).ok()?,
        at: Timestamp::from_millis(row.get(8)?.as_i64()?),
    })
}

/// A mutation with the columns that a caller may see.
fn limited(mutation: Mutation, columns: &[std::sync::Arc<str>]) -> Mutation {
    let keep = |row: Option<Value>| {
        let members = row?.as_object()?.clone();
        Some(Value::object(members.into_iter().filter(|(name, _)| columns.contains(name))))
    };
    Mutation {
        before: keep(mutation.before),
        after: keep(mutation.after),
        changed: mutation.changed.into_iter().filter(|name| columns.contains(name)).collect(),
        ..mutation
    }
}
