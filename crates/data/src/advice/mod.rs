//! Advice from observed calls: queries in loops, slow ones, scans of whole tables, indexes that would help
//! or do not. Nothing is ever created: an index is suggested as text, with a proof.

mod batch;
mod call;
mod candidate;
mod loops;
mod postgres;
mod spare;
mod sqlite;

pub use call::{CallSite, ObservedCall};
pub use loops::{NPlusOne, n_plus_one};
pub use spare::{SpareIndex, SpareReason};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::DataError;
use crate::compile::{self, Statement};
use crate::engine::{Backend, Database};
use crate::limits::{CANDIDATES_MAX, WORKLOAD_CALLS_MAX};
use crate::plan::{Plan, Scene, plan};
use crate::schema::Schema;
use crate::shape::QueryShape;
use candidate::Candidate;

/// A query is slow from here on, unless the caller says otherwise.
pub const SLOW_DEFAULT: Duration = Duration::from_millis(100);
/// Tables with fewer rows may be scanned: an index would not be faster.
pub const SCAN_ROWS_MIN: u64 = 1_000;
/// A suggestion must make a plan at least this many times cheaper.
const GAIN_MIN: f64 = 1.5;

/// What could be better.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Advice {
    /// Queries that run in a loop.
    pub n_plus_one: Vec<NPlusOne>,
    /// Shapes that are slow, the one that takes most time first.
    pub slow: Vec<SlowQuery>,
    /// Tables that are read whole.
    pub scans: Vec<FullScan>,
    /// Indexes that would help, the one that helps most first.
    pub indexes: Vec<IndexSuggestion>,
    /// Indexes that help nobody.
    pub spare: Vec<SpareIndex>,
}

/// A shape some of whose calls were slow.
#[derive(Debug, Clone, PartialEq)]
pub struct SlowQuery {
    /// The shape.
    pub shape: QueryShape,
    /// Its table.
    pub table: Arc<str>,
    /// Where it was called from.
    pub site: Option<CallSite>,
    /// How many calls were slow.
    pub slow: u64,
    /// How many calls there were.
    pub calls: u64,
    /// The slowest.
    pub worst: Duration,
    /// All of them together.
    pub total: Duration,
}

/// A table that a query reads whole.
#[derive(Debug, Clone, PartialEq)]
pub struct FullScan {
    /// The shape of the query.
    pub shape: QueryShape,
    /// The table that is read whole.
    pub table: Arc<str>,
    /// About how many rows it has.
    pub rows: Option<u64>,
    /// How often the query was observed.
    pub calls: u64,
    /// The line of the plan that says so.
    pub plan: String,
}

/// An index that would help.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexSuggestion {
    /// The table.
    pub table: Arc<str>,
    /// The columns in order.
    pub columns: Vec<Arc<str>>,
    /// The statement that would create it.
    pub sql: String,
    /// Observed calls that it would help.
    pub calls: u64,
    /// The time they took.
    pub total: Duration,
    /// Observed writes to the table, each of which it would make a little slower.
    pub writes: u64,
    /// What shows that it helps.
    pub proof: Proof,
}

/// The plan of a query without and with an index.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// How it was tried.
    pub method: ProofMethod,
    /// The shape of the query that was planned.
    pub shape: QueryShape,
    /// The plan without it.
    pub before: PlanCost,
    /// The plan with it.
    pub after: PlanCost,
}

/// How an index was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofMethod {
    /// A hypothetical index of PostgreSQL's extension HypoPG.
    HypoPg,
    /// A real index on a sample of the rows, in a schema that was rolled back.
    Scratch,
    /// A real index in an empty copy of the schema with the statistics of the real one.
    Shadow,
}

/// A plan and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanCost {
    /// The plan as the database says it.
    pub plan: String,
    /// PostgreSQL's own unit; on SQLite the rows that are expected to be read.
    pub cost: f64,
}

impl Proof {
    /// How many times cheaper the plan becomes.
    pub fn gain(&self) -> Option<f64> {
        (self.after.cost > 0.0).then(|| self.before.cost / self.after.cost)
    }
}

/// The calls of one shape, with one of them to plan.
pub(crate) struct Group<'a> {
    pub shape: QueryShape,
    pub example: &'a ObservedCall,
    pub calls: u64,
    pub total: Duration,
}

/// A query to be planned by the database, and an index to be tried with it.
#[derive(Clone)]
pub(crate) struct Trial {
    pub shape: QueryShape,
    pub statement: Statement,
    /// The tables it reads, by name.
    pub tables: Vec<Arc<str>>,
    pub candidate: Candidate,
}

impl Database {
    /// What could be better, judged by observed calls; `slow_from` says what slow means.
    ///
    /// # Errors
    /// [`DataError::Limit`] if there are too many calls; else if the database cannot be asked.
    pub async fn advise(&self, calls: &[ObservedCall], slow_from: Duration) -> Result<Advice, DataError> {
        if calls.len() > WORKLOAD_CALLS_MAX {
            return Err(DataError::limit("calls", "WORKLOAD_CALLS_MAX", calls.len(), WORKLOAD_CALLS_MAX));
        }
        // Anew, because row estimates grow old.
        let schema = self.read_schema().await?;
        let groups = groups(calls);
        let reads: Vec<&Group<'_>> = groups.iter().filter(|group| group.example.query.is_read()).collect();
        let mut advice =
            Advice { n_plus_one: n_plus_one(calls), slow: slow(calls, slow_from), ..Advice::default() };
        let mut used = BTreeSet::new();
        for group in &reads {
            // A query that no longer fits the schema has nothing to say about it.
            let Ok((statement, _)) = self.compiled(&schema, group.example) else { continue };
            let lines = match self.backend() {
                Backend::Sqlite(database) => sqlite::explain(database, &statement).await?,
                Backend::Postgres(database) => postgres::explain(database, &statement).await?,
            };
            advice.scans.extend(lines.scans(&schema, &statement, group));
            used.extend(lines.indexes);
        }
        advice.indexes = self.suggestions(&schema, &groups, calls).await?;
        let counted = match self.backend() {
            Backend::Sqlite(_) => None,
            Backend::Postgres(database) => Some(postgres::never_used(database).await?),
        };
        let touched: BTreeSet<&str> = reads.iter().map(|group| &*group.example.query.table).collect();
        advice.spare = spare::spare(&schema, &touched, |index| match &counted {
            Some(never_used) => never_used.contains(index),
            None => !used.contains(index),
        });
        Ok(advice)
    }

    async fn suggestions(
        &self,
        schema: &Schema,
        groups: &[Group<'_>],
        calls: &[ObservedCall],
    ) -> Result<Vec<IndexSuggestion>, DataError> {
        let policy = &self.options().policy;
        let mut wanted: BTreeMap<Candidate, Vec<&Group<'_>>> = BTreeMap::new();
        for group in groups {
            for candidate in candidate::candidates(schema, policy, group.example) {
                wanted.entry(candidate).or_default().push(group);
            }
        }
        let mut wanted: Vec<(Candidate, Vec<&Group<'_>>)> = wanted.into_iter().collect();
        let time = |groups: &[&Group<'_>]| groups.iter().map(|group| group.total).sum::<Duration>();
        wanted.sort_by_key(|(_, groups)| std::cmp::Reverse(time(groups)));
        wanted.truncate(CANDIDATES_MAX);
        let mut suggestions: Vec<IndexSuggestion> = Vec::new();
        for (candidate, groups) in wanted {
            let Some(example) = groups.iter().max_by_key(|group| group.total) else { continue };
            let Ok((statement, tables)) = self.compiled(schema, example.example) else { continue };
            let trial = Trial { shape: example.shape, statement, tables, candidate: candidate.clone() };
            let proof = match self.backend() {
                Backend::Sqlite(database) => sqlite::prove(database, trial).await?,
                Backend::Postgres(database) => postgres::prove(database, schema, &trial).await?,
            };
            let Some(proof) = proof.filter(|proof| proof.gain().is_some_and(|gain| gain >= GAIN_MIN)) else {
                continue;
            };
            let writes = |call: &&ObservedCall| !call.query.is_read() && call.query.table == candidate.table;
            suggestions.push(IndexSuggestion {
                sql: candidate.sql(schema),
                calls: groups.iter().map(|group| group.calls).sum(),
                total: time(&groups),
                writes: calls.iter().filter(writes).count() as u64,
                table: candidate.table,
                columns: candidate.columns,
                proof,
            });
        }
        Ok(without_prefixes(suggestions))
    }

    /// The statement of an observed read, and the tables it reads.
    fn compiled(
        &self,
        schema: &Schema,
        call: &ObservedCall,
    ) -> Result<(Statement, Vec<Arc<str>>), DataError> {
        let policy = &self.options().policy;
        let scene = Scene { schema, policy, access: &call.access, cursors: self.cursors() };
        let dialect = self.dialect();
        let one = |table: &crate::schema::Table| vec![Arc::clone(&table.name)];
        Ok(match plan(scene, &call.query, call.shape)? {
            Plan::Rows(plan) => (compile::rows(dialect, &plan), crate::engine::tables(&plan)),
            Plan::Count(plan) => (compile::count(dialect, &plan), one(plan.table)),
            Plan::Aggregate(plan) => (compile::aggregate(dialect, &plan), one(plan.table)),
            Plan::Write(plan) => (compile::write(dialect, &plan).0, one(plan.table)),
        })
    }
}

/// What a plan says: its lines, the indexes it uses, the aliases or tables it reads whole.
pub(crate) struct Explained {
    pub text: String,
    pub indexes: Vec<String>,
    /// An alias of the statement or the name of a table, and the line that says so.
    pub whole: Vec<(String, String)>,
}

impl Explained {
    fn scans(&self, schema: &Schema, statement: &Statement, group: &Group<'_>) -> Vec<FullScan> {
        let mut scans = Vec::new();
        for (name, line) in &self.whole {
            let is_meant = |table: &&crate::schema::Table| {
                *table.name == **name
                    || statement.sql.contains(&format!(" {} {name} ", table.sql))
                    || statement.sql.ends_with(&format!(" {} {name}", table.sql))
            };
            let Some(table) = schema.tables().iter().find(is_meant) else { continue };
            // Unless it is known to be small.
            if table.row_estimate.is_none_or(|rows| rows >= SCAN_ROWS_MIN) {
                scans.push(FullScan {
                    shape: group.shape,
                    table: Arc::clone(&table.name),
                    rows: table.row_estimate,
                    calls: group.calls,
                    plan: line.clone(),
                });
            }
        }
        scans
    }
}

fn groups(calls: &[ObservedCall]) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<QueryShape, Group<'_>> = BTreeMap::new();
    for call in calls {
        let empty = Group { shape: call.shape, example: call, calls: 0, total: Duration::ZERO };
        let group = groups.entry(call.shape).or_insert(empty);
        group.calls += 1;
        group.total += call.took;
        if call.took > group.example.took {
            group.example = call;
        }
    }
    groups.into_values().collect()
}

fn slow(calls: &[ObservedCall], slow_from: Duration) -> Vec<SlowQuery> {
    let mut slow: BTreeMap<QueryShape, SlowQuery> = BTreeMap::new();
    for call in calls {
        let entry = slow.entry(call.shape).or_insert_with(|| SlowQuery {
            shape: call.shape,
            table: Arc::clone(&call.query.table),
            site: None,
            slow: 0,
            calls: 0,
            worst: Duration::ZERO,
            total: Duration::ZERO,
        });
        entry.calls += 1;
        entry.total += call.took;
        entry.slow += u64::from(call.took >= slow_from);
        if call.took >= entry.worst {
            entry.worst = call.took;
            entry.site.clone_from(&call.site);
        }
    }
    let mut slow: Vec<SlowQuery> = slow.into_values().filter(|query| query.slow > 0).collect();
    slow.sort_by_key(|query| std::cmp::Reverse(query.total));
    slow
}

/// An index also serves what an index on its first columns would.
fn without_prefixes(suggestions: Vec<IndexSuggestion>) -> Vec<IndexSuggestion> {
    let is_served = |one: &IndexSuggestion| {
        suggestions.iter().any(|other| {
            other.table == one.table
                && other.columns.len() > one.columns.len()
                && other.columns.starts_with(&one.columns)
        })
    };
    let served: Vec<bool> = suggestions.iter().map(is_served).collect();
    suggestions.into_iter().zip(served).filter(|(_, served)| !served).map(|(one, _)| one).collect()
}
