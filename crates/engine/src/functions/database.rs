//! The database as one run of a function sees it: queries, and transactions by the number that the
//! function gave them.

use std::collections::BTreeMap;
use std::sync::Arc;

use flux_data::{Access, Claims, Context, DataError, Database, Query, Transaction};
use flux_functions::TransactionId;
use flux_model::error::Failure;
use flux_model::{ErrorCode, Timestamp, Value};
use tokio::sync::Mutex;

use super::Runner;

/// The database of one run.
pub(super) struct Databases {
    database: Option<Database>,
    access: Access,
    open: Mutex<BTreeMap<TransactionId, Transaction>>,
}

/// A query, with what its record shows.
pub(super) struct Asked {
    /// `select orders`
    pub(super) target: String,
    /// What the function gets.
    pub(super) result: Result<Value, Failure>,
}

impl Databases {
    /// The claims of the caller decide what the queries see; messages and schedules have none.
    pub(super) fn new(runner: &Runner, user: &Value) -> Self {
        let access = match user.as_object() {
            Some(_) => Access::Claims(Claims::new(user.clone())),
            None => Access::Service,
        };
        Self { database: runner.parts.database.clone(), access, open: Mutex::default() }
    }

    pub(super) async fn query(
        &self,
        context: Context,
        query: &Value,
        transaction: Option<TransactionId>,
    ) -> Asked {
        let parsed = match Query::parse(query) {
            Ok(parsed) => parsed,
            Err(error) => return Asked { target: target(query), result: Err(failure(&error)) },
        };
        let context = Context { access: self.access.clone(), ..context };
        let answer = match transaction {
            None => match self.database() {
                Ok(database) => database.query(&context, &parsed).await.map_err(|error| failure(&error)),
                Err(missing) => Err(missing),
            },
            Some(id) => match self.open.lock().await.get_mut(&id) {
                Some(open) => open.query(&context, &parsed).await.map_err(|error| failure(&error)),
                None => Err(over(id)),
            },
        };
        Asked { target: target(query), result: answer.map(|answer| answer.to_value()) }
    }

    pub(super) async fn begin(&self, context: Context, id: TransactionId) -> Result<Value, Failure> {
        let context = Context { access: self.access.clone(), ..context };
        let begun = self.database()?.begin(&context).await.map_err(|error| failure(&error))?;
        self.open.lock().await.insert(id, begun);
        Ok(Value::Null)
    }

    pub(super) async fn commit(&self, id: TransactionId) -> Result<Value, Failure> {
        let open = self.open.lock().await.remove(&id).ok_or_else(|| over(id))?;
        open.commit().await.map(|()| Value::Null).map_err(|error| failure(&error))
    }

    /// Rolling back what is over already is no error: the function may not know.
    pub(super) async fn roll_back(&self, id: TransactionId) -> Result<Value, Failure> {
        let Some(open) = self.open.lock().await.remove(&id) else { return Ok(Value::Null) };
        open.rollback().await.map(|()| Value::Null).map_err(|error| failure(&error))
    }

    fn database(&self) -> Result<&Database, Failure> {
        self.database.as_ref().ok_or_else(|| {
            let message = "this server has no project database: `database` in flux.json says where it is";
            Failure::permanent(ErrorCode::DatabaseUnavailable, message)
        })
    }
}

/// What a query is made on behalf of, apart from the caller's claims.
pub(super) fn context(runner: &Runner, call: u32, at: Timestamp) -> Context {
    Context {
        execution: Some(runner.facts.id),
        request_id: Some(Arc::from(runner.facts.request_id.as_str())),
        call,
        ..Context::service(at)
    }
}

fn target(query: &Value) -> String {
    let name = |member| query.get(member).and_then(Value::as_str).unwrap_or("?");
    let operation = query.get("operation").and_then(Value::as_str).unwrap_or("select");
    format!("{operation} {}", name("table"))
}

fn over(id: TransactionId) -> Failure {
    let message = format!("transaction {} has ended; its queries belong inside its callback", id.0);
    Failure::permanent(ErrorCode::TransactionOver, message)
}

fn failure(error: &DataError) -> Failure {
    Failure { class: error.class(), ..Failure::permanent(error.code(), error.to_string()) }
}
