//! Every bound of the data engine, by name, with its unit last. An error about one names the
//! constant, what was measured and what is allowed.

use std::time::Duration;

/// Rows of a select, an include or an aggregate where the query does not say.
pub const ROWS_DEFAULT: u32 = 100;
/// Rows of a select, an include or an aggregate.
pub const ROWS_MAX: u32 = 5_000;
/// Rows that one update or delete may change.
pub const ROWS_CHANGED_MAX: usize = 5_000;
/// Rows in `values`.
pub const ROWS_WRITTEN_MAX: usize = 1_000;
/// Rows that may be skipped with `offset`; a cursor goes further and is faster.
pub const OFFSET_MAX: u64 = 100_000;
/// Bytes of the rows of one answer.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of one query object.
pub const QUERY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Arrays and objects within each other in one query object.
pub const QUERY_DEPTH_MAX: usize = 64;
/// Cost of one query: one, two per test, one per column that is ordered or grouped by, ten times two to
/// the depth per include.
pub const QUERY_COST_MAX: u32 = 1_000;
/// Includes within includes.
pub const INCLUDE_DEPTH_MAX: u32 = 6;
/// Rows that the limits of a select and its includes allow, multiplied along each branch.
pub const INCLUDE_ROWS_MAX: u64 = 1_000_000;
/// `and`, `or` and `not` within each other.
pub const FILTER_DEPTH_MAX: u32 = 16;
/// Elements of one `in` or `nin`.
pub const LIST_MAX: usize = 5_000;
/// Bytes of a pattern of `like` or `ilike`.
pub const PATTERN_BYTES_MAX: usize = 1_000;
/// Parameters of one statement; SQLite takes 32,766, PostgreSQL 65,535.
pub const PARAMETERS_MAX: usize = 32_000;
/// Bytes of one text or JSON value in a before or after image; larger ones are named by their size.
pub const HISTORY_VALUE_BYTES_MAX: usize = 16 * 1024;
/// Entries that one look at the history of a row returns.
pub const HISTORY_ENTRIES_MAX: u32 = 1_000;
/// How long one query may take where neither the options nor the context say.
pub const QUERY_TIME_DEFAULT: Duration = Duration::from_secs(10);
/// How long a transaction may stay open where the options do not say.
pub const TRANSACTION_TIME_DEFAULT: Duration = Duration::from_secs(30);
/// Queries that wait for the writer or a reader of one SQLite file.
pub const QUEUE_MAX: usize = 1_024;
/// Statements that stay prepared on one connection.
pub const STATEMENTS_CACHED_MAX: usize = 256;
/// Answers in the read cache.
pub const CACHE_ENTRIES_MAX: usize = 4_096;
/// Bytes of one answer in the read cache.
pub const CACHE_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How long an answer may be served from the read cache, in milliseconds.
pub const CACHE_TTL_MS_MAX: u64 = 3_600_000;
/// Bytes of one migration file.
pub const MIGRATION_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Calls of a workload that advice looks at.
pub const WORKLOAD_CALLS_MAX: usize = 100_000;
/// Index candidates that are tried with a proof in one advice.
pub const CANDIDATES_MAX: usize = 32;
/// Rows copied or counted to estimate what an index would do.
pub const SAMPLE_ROWS_MAX: u32 = 10_000;
