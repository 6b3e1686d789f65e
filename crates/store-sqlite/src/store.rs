//! The `Store` trait on SQLite: which part answers what.

use std::collections::BTreeSet;

use flux_model::{ExecutionId, ReviewId, Tenant, Timestamp};
use flux_store::access::{DataKeyRow, KeyRow, ProjectRow, SecretName, SecretRow};
use flux_store::executions::{JournalPage, OpenCursor, OpenExecution, Slots, StatusCounts};
use flux_store::flows::{FlowRow, FlowVersionRow};
use flux_store::reviews::{ReviewFilter, ReviewRow};
use flux_store::store::{CheckDepth, CheckReport, StoreSize};
use flux_store::timers::TimerRow;
use flux_store::triggers::TriggerStateRow;
use flux_store::{Command, ExecutionFilter, ExecutionRow, Outcome, Page, PageRequest, Store, StoreError};

use crate::SqliteStore;
use crate::read::{access, check, executions, flows, journal, reviews, timers};

type Result<T> = std::result::Result<T, StoreError>;

impl Store for SqliteStore {
    fn commit_batch(&self, commands: &[Command]) -> Result<Vec<Outcome>> {
        let mut writer = self.writer.lock();
        let outcomes = writer.commit(commands)?;
        if writer.log_check_is_due() {
            writer.shrink_log(self.readers.log_bytes());
        }
        Ok(outcomes)
    }

    fn execution(&self, tenant: Tenant, id: ExecutionId) -> Result<Option<ExecutionRow>> {
        self.readers.query(|connection| executions::get(connection, tenant, id))
    }

    fn executions(
        &self,
        tenant: Tenant,
        filter: &ExecutionFilter,
        page: PageRequest,
    ) -> Result<Page<ExecutionRow>> {
        self.readers.query(|connection| executions::list(connection, tenant, filter, page))
    }

    fn status_counts(&self, tenant: Tenant) -> Result<StatusCounts> {
        self.readers.query(|connection| executions::status_counts(connection, tenant))
    }

    fn slots(&self, tenant: Tenant, flow: &str, key: &str) -> Result<Slots> {
        self.readers.query(|connection| executions::slots(connection, tenant, flow, key))
    }

    fn held(&self, tenant: Tenant, id: ExecutionId) -> Result<Option<Vec<u8>>> {
        self.readers.query(|connection| journal::held(connection, tenant, id))
    }

    fn journal(&self, tenant: Tenant, id: ExecutionId, from_seq: u64) -> Result<JournalPage> {
        self.readers.query(|connection| journal::page(connection, tenant, id, from_seq))
    }

    fn open_executions(&self, after: Option<OpenCursor>, limit: usize) -> Result<Vec<OpenExecution>> {
        self.readers.query(|connection| executions::open(connection, after, limit))
    }

    fn timers_due(&self, until: Timestamp, limit: usize) -> Result<Vec<TimerRow>> {
        self.readers.query(|connection| timers::due(connection, until, limit))
    }

    fn next_timer(&self) -> Result<Option<Timestamp>> {
        self.readers.query(timers::next)
    }

    fn timers_of(&self, tenant: Tenant, id: ExecutionId) -> Result<Vec<TimerRow>> {
        self.readers.query(|connection| timers::of(connection, tenant, id))
    }

    fn reviews(&self, tenant: Tenant, filter: &ReviewFilter, page: PageRequest) -> Result<Page<ReviewRow>> {
        self.readers.query(|connection| reviews::list(connection, tenant, filter, page))
    }

    fn review(&self, tenant: Tenant, id: ReviewId) -> Result<Option<ReviewRow>> {
        self.readers.query(|connection| reviews::get(connection, tenant, id))
    }

    fn flows(&self, tenant: Tenant) -> Result<Vec<FlowRow>> {
        self.readers.query(|connection| flows::list(connection, tenant))
    }

    fn flow(&self, tenant: Tenant, name: &str) -> Result<Option<FlowRow>> {
        self.readers.query(|connection| flows::get(connection, tenant, name))
    }

    fn flow_versions(&self, tenant: Tenant, name: &str) -> Result<Vec<FlowVersionRow>> {
        self.readers.query(|connection| flows::versions(connection, tenant, name))
    }

    fn flow_version(&self, tenant: Tenant, name: &str, hash: &str) -> Result<Option<FlowVersionRow>> {
        self.readers.query(|connection| flows::version(connection, tenant, name, hash))
    }

    fn active_flows(&self) -> Result<Vec<FlowVersionRow>> {
        self.readers.query(flows::active)
    }

    fn secret_names(&self, tenant: Tenant) -> Result<Vec<SecretName>> {
        self.readers.query(|connection| access::secret_names(connection, tenant))
    }

    fn secret(&self, tenant: Tenant, name: &str) -> Result<Option<SecretRow>> {
        self.readers.query(|connection| access::secret(connection, tenant, name))
    }

    fn secrets(&self, tenant: Tenant) -> Result<Vec<SecretRow>> {
        self.readers.query(|connection| access::secrets(connection, tenant))
    }

    fn data_keys(&self, tenant: Tenant) -> Result<Vec<DataKeyRow>> {
        self.readers.query(|connection| access::data_keys(connection, tenant))
    }

    fn all_data_keys(&self) -> Result<Vec<DataKeyRow>> {
        self.readers.query(access::all_data_keys)
    }

    fn key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<KeyRow>> {
        self.readers.query(|connection| access::key_by_hash(connection, hash))
    }

    fn keys(&self, tenant: Tenant) -> Result<Vec<KeyRow>> {
        self.readers.query(|connection| access::keys(connection, tenant))
    }

    fn trigger_state(&self, tenant: Tenant, flow: &str, node: &str) -> Result<Option<TriggerStateRow>> {
        self.readers.query(|connection| flows::trigger_state(connection, tenant, flow, node))
    }

    fn trigger_states(&self, tenant: Tenant) -> Result<Vec<TriggerStateRow>> {
        self.readers.query(|connection| flows::trigger_states(connection, tenant))
    }

    fn objects_referenced(&self, tenant: Tenant, names: &[String]) -> Result<BTreeSet<String>> {
        self.readers.query(|connection| journal::objects_referenced(connection, tenant, names))
    }

    fn projects(&self) -> Result<Vec<ProjectRow>> {
        self.readers.query(access::projects)
    }

    fn check(&self, depth: CheckDepth) -> Result<CheckReport> {
        self.readers.query_unbounded(|connection| check::check(connection, depth))
    }

    fn size(&self) -> Result<StoreSize> {
        let (file_bytes, free_bytes) = self.readers.query(check::size)?;
        Ok(StoreSize { file_bytes, free_bytes, log_bytes: self.readers.log_bytes() })
    }
}
