//! A transaction that several queries share. Its connection is used again only if it ends by a word; one
//! that is dropped takes its connection along, and the server rolls back.

use std::time::Instant;

use deadpool::managed::Object;

use super::run::{change_within, commit, execute, roll_back, rows};
use super::session::{AsyncWork, Connector};
use super::{Bounds, Session};
use crate::DataError;
use crate::compile::Statement;
use crate::context::Context;
use crate::engine::answer::Row;
use crate::engine::steps::{Done, Steps};

/// An open transaction.
pub(crate) struct PostgresTransaction {
    session: Object<Connector>,
    bounds: Bounds,
    deadline: Instant,
    ended: Option<&'static str>,
}

impl PostgresTransaction {
    pub(super) async fn begin(
        mut session: Object<Connector>,
        bounds: Bounds,
        context: &Context,
    ) -> Result<Self, DataError> {
        session.bounded(bounds.deadline(context.timeout), bounds, Beginning { bounds, context }).await?;
        session.begin_work();
        Ok(Self { session, bounds, deadline: Instant::now() + bounds.transaction_time_max, ended: None })
    }

    pub(crate) async fn select(
        &mut self,
        context: &Context,
        statement: Statement,
    ) -> Result<(Vec<Row>, Statement), DataError> {
        let step = Step { bounds: self.bounds, context, work: Work::Select(&statement) };
        let Product::Rows(rows) = self.step(context, step).await? else {
            return Err(DataError::database("a select changed rows"));
        };
        Ok((rows, statement))
    }

    pub(crate) async fn change(&mut self, context: &Context, steps: Steps) -> Result<Done, DataError> {
        let step = Step { bounds: self.bounds, context, work: Work::Change(&steps) };
        match self.step(context, step).await? {
            Product::Done(done) => Ok(done),
            Product::Rows(_) => Err(DataError::database("a change only read rows")),
        }
    }

    pub(crate) async fn commit(mut self) -> Result<(), DataError> {
        self.check_open()?;
        let done = self.session.bounded(self.bounds.deadline(None), self.bounds, Committing).await;
        if done.is_err() {
            self.session.forget_entry();
        }
        done
    }

    pub(crate) async fn rollback(mut self) -> Result<(), DataError> {
        if self.ended.is_none() {
            self.session.bounded(self.bounds.deadline(None), self.bounds, RollingBack).await?;
        }
        Ok(())
    }

    async fn step(&mut self, context: &Context, step: Step<'_>) -> Result<Product, DataError> {
        self.check_open()?;
        let deadline = self.bounds.deadline(context.timeout).min(self.deadline);
        let done = self.session.bounded(deadline, self.bounds, step).await;
        match &done {
            Ok(_) => self.session.begin_work(),
            Err(error) => {
                // After a failure PostgreSQL only takes a rollback; the handle says so from now on.
                self.ended = Some("an earlier query in it failed, it was rolled back");
                if !matches!(error, DataError::Timeout { .. }) {
                    self.session.bounded(self.bounds.deadline(None), self.bounds, RollingBack).await?;
                }
            }
        }
        done
    }

    fn check_open(&mut self) -> Result<(), DataError> {
        if self.ended.is_none() && Instant::now() >= self.deadline {
            self.ended = Some("its time (transaction_time_max) is over, it was rolled back");
        }
        self.ended.map_or(Ok(()), |reason| Err(DataError::TransactionOver { reason }))
    }
}

struct Beginning<'a> {
    bounds: Bounds,
    context: &'a Context,
}

impl AsyncWork<()> for Beginning<'_> {
    async fn run(self, session: &mut Session) -> Result<(), DataError> {
        session.enter(&self.bounds.entry(self.context)).await?;
        execute(session, "BEGIN ISOLATION LEVEL SERIALIZABLE").await
    }
}

struct Step<'a> {
    bounds: Bounds,
    context: &'a Context,
    work: Work<'a>,
}

enum Work<'a> {
    Select(&'a Statement),
    Change(&'a Steps),
}

enum Product {
    Rows(Vec<Row>),
    Done(Done),
}

impl AsyncWork<Product> for Step<'_> {
    async fn run(self, session: &mut Session) -> Result<Product, DataError> {
        session.enter(&self.bounds.entry(self.context)).await?;
        match self.work {
            Work::Select(statement) => {
                let rows = rows(session, statement).await;
                rows.map(Product::Rows).map_err(|error| error.about("the query"))
            }
            Work::Change(steps) => {
                change_within(session, self.bounds, steps, self.context).await.map(Product::Done)
            }
        }
    }
}

struct Committing;

impl AsyncWork<()> for Committing {
    async fn run(self, session: &mut Session) -> Result<(), DataError> {
        commit(session).await
    }
}

struct RollingBack;

impl AsyncWork<()> for RollingBack {
    async fn run(self, session: &mut Session) -> Result<(), DataError> {
        roll_back(session).await;
        Ok(())
    }
}
