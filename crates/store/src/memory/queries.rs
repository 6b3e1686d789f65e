//! The queries of the store in memory.

use std::collections::BTreeSet;
use std::ops::Bound;

use flux_model::journal::Record;
use flux_model::{ExecutionId, ExecutionStatus, ReviewId, Tenant, Timestamp};

use super::MemoryStore;
use super::state::{Kept, named, nested};
use crate::access::{DataKeyRow, KeyRow, ProjectRow, SecretName, SecretRow};
use crate::command::Command;
use crate::executions::{
    ExecutionFilter, ExecutionRow, JOURNAL_PAGE_BYTES_MAX, JOURNAL_PAGE_RECORDS_MAX, JournalPage, OpenCursor,
    OpenExecution, Slots, StatusCounts,
};
use crate::flows::{FlowRow, FlowState, FlowVersionRow};
use crate::outcome::Outcome;
use crate::page::{Page, PageRequest};
use crate::reviews::{ReviewFilter, ReviewRow};
use crate::store::{CheckDepth, CheckReport, FINDINGS_MAX, Finding, Store, StoreError, StoreSize};
use crate::timers::TimerRow;
use crate::triggers::TriggerStateRow;

type Result<T> = std::result::Result<T, StoreError>;

impl Store for MemoryStore {
    fn commit_batch(&self, commands: &[Command]) -> Result<Vec<Outcome>> {
        let mut state = self.state.lock();
        Ok(commands.iter().map(|command| Self::apply(&mut state, command)).collect())
    }

    fn execution(&self, tenant: Tenant, id: ExecutionId) -> Result<Option<ExecutionRow>> {
        Ok(self.state.lock().owned(tenant, id).map(|kept| kept.row.clone()))
    }

    fn executions(
        &self,
        tenant: Tenant,
        filter: &ExecutionFilter,
        page: PageRequest,
    ) -> Result<Page<ExecutionRow>> {
        let state = self.state.lock();
        let rows = state
            .executions
            .values()
            .rev()
            .map(|kept| &kept.row)
            .filter(|row| row.tenant.project == tenant.project && matches(row, filter))
            .filter(|row| page.after.is_none_or(|after| row.id.bits() < after.0));
        let rows = rows.take(page.rows() + 1).cloned().collect();
        Ok(Page::cut(rows, page.rows(), |row| row.id.bits()))
    }

    fn status_counts(&self, tenant: Tenant) -> Result<StatusCounts> {
        let mut counts = StatusCounts::default();
        for kept in self.state.lock().executions.values() {
            if kept.row.tenant.project == tenant.project {
                *counts.of(kept.row.status) += 1;
            }
        }
        Ok(counts)
    }

    fn slots(&self, tenant: Tenant, flow: &str, key: &str) -> Result<Slots> {
        let state = self.state.lock();
        let active = state.active(tenant, flow, key).len() as u64;
        let queued = state
            .sharing(tenant, flow, key)
            .filter(|(kept, _)| kept.row.status == ExecutionStatus::Queued && kept.debounce_key.is_none())
            .count() as u64;
        Ok(Slots { active, queued })
    }

    fn held(&self, tenant: Tenant, id: ExecutionId) -> Result<Option<Vec<u8>>> {
        Ok(self.state.lock().owned(tenant, id).and_then(|kept| kept.held.clone()))
    }

    fn journal(&self, tenant: Tenant, id: ExecutionId, from_seq: u64) -> Result<JournalPage> {
        let state = self.state.lock();
        let records = state.owned(tenant, id).map_or(&[][..], |kept| kept.journal.as_slice());
        let mut page = JournalPage::default();
        let mut bytes = 0;
        for record in records.iter().filter(|record| record.first_seq + u64::from(record.entries) > from_seq)
        {
            if page.records.len() == JOURNAL_PAGE_RECORDS_MAX || bytes >= JOURNAL_PAGE_BYTES_MAX {
                page.next_seq = Some(record.first_seq);
                break;
            }
            bytes += record.bytes.len();
            page.records.push(record.clone());
        }
        Ok(page)
    }

    fn open_executions(&self, after: Option<OpenCursor>, limit: usize) -> Result<Vec<OpenExecution>> {
        let state = self.state.lock();
        let start = after.map_or(Bound::Unbounded, |cursor| Bound::Excluded(cursor.0));
        let open = state.executions.range((start, Bound::Unbounded)).map(|(_, kept)| kept);
        let open = open.filter(|kept| !kept.row.status.is_terminal()).map(|kept| OpenExecution {
            row: kept.row.clone(),
            timers: u32::try_from(kept.timers.len()).unwrap_or(u32::MAX),
            next_due: kept.timers.values().min().copied(),
            held: kept.held.is_some(),
            debounced: kept.debounce_key.is_some(),
        });
        Ok(open.take(limit).collect())
    }

    fn timers_due(&self, until: Timestamp, limit: usize) -> Result<Vec<TimerRow>> {
        let state = self.state.lock();
        let mut due: Vec<_> = state.executions.values().flat_map(timer_rows).collect();
        due.retain(|timer| timer.due <= until);
        due.sort_by_key(|timer| (timer.due, timer.execution, timer.name.encode()));
        due.truncate(limit);
        Ok(due)
    }

    fn next_timer(&self) -> Result<Option<Timestamp>> {
        let state = self.state.lock();
        Ok(state.executions.values().flat_map(|kept| kept.timers.values()).min().copied())
    }

    fn timers_of(&self, tenant: Tenant, id: ExecutionId) -> Result<Vec<TimerRow>> {
        let state = self.state.lock();
        let mut timers: Vec<_> = state.owned(tenant, id).map(timer_rows).into_iter().flatten().collect();
        timers.sort_by_key(|timer| (timer.due, timer.name.encode()));
        Ok(timers)
    }

    fn reviews(&self, tenant: Tenant, filter: &ReviewFilter, page: PageRequest) -> Result<Page<ReviewRow>> {
        let state = self.state.lock();
        let rows = state
            .reviews
            .values()
            .rev()
            .filter(|row| row.tenant.project == tenant.project)
            .filter(|row| filter.status.is_none_or(|status| row.status == status))
            .filter(|row| filter.execution.is_none_or(|execution| row.execution == execution))
            .filter(|row| page.after.is_none_or(|after| row.request.id.bits() < after.0));
        let rows = rows.take(page.rows() + 1).cloned().collect();
        Ok(Page::cut(rows, page.rows(), |row: &ReviewRow| row.request.id.bits()))
    }

    fn review(&self, tenant: Tenant, id: ReviewId) -> Result<Option<ReviewRow>> {
        let state = self.state.lock();
        Ok(state.reviews.get(&id).filter(|row| row.tenant.project == tenant.project).cloned())
    }

    fn flows(&self, tenant: Tenant) -> Result<Vec<FlowRow>> {
        let state = self.state.lock();
        Ok(state.flows.values().filter(|row| row.tenant.project == tenant.project).cloned().collect())
    }

    fn flow(&self, tenant: Tenant, name: &str) -> Result<Option<FlowRow>> {
        Ok(self.state.lock().flows.get(&named(tenant, name)).cloned())
    }

    fn flow_versions(&self, tenant: Tenant, name: &str) -> Result<Vec<FlowVersionRow>> {
        let state = self.state.lock();
        let versions = state.versions.get(&named(tenant, name));
        Ok(versions.into_iter().flatten().rev().cloned().collect())
    }

    fn flow_version(&self, tenant: Tenant, name: &str, hash: &str) -> Result<Option<FlowVersionRow>> {
        let state = self.state.lock();
        let mut versions = state.versions.get(&named(tenant, name)).into_iter().flatten();
        Ok(versions.find(|version| version.hash == hash).cloned())
    }

    fn active_flows(&self) -> Result<Vec<FlowVersionRow>> {
        let state = self.state.lock();
        let active = state.flows.iter().filter(|(_, flow)| flow.state == FlowState::Active);
        let versions = active.filter_map(|(key, flow)| {
            let hash = flow.active_hash.as_ref()?;
            state.versions.get(key)?.iter().find(|version| version.hash == *hash)
        });
        Ok(versions.cloned().collect())
    }

    fn secret_names(&self, tenant: Tenant) -> Result<Vec<SecretName>> {
        let name =
            |row: SecretRow| SecretName { name: row.name, hosts: row.hosts, updated_at: row.updated_at };
        Ok(self.secrets(tenant)?.into_iter().map(name).collect())
    }

    fn secret(&self, tenant: Tenant, name: &str) -> Result<Option<SecretRow>> {
        Ok(self.state.lock().secrets.get(&named(tenant, name)).cloned())
    }

    fn secrets(&self, tenant: Tenant) -> Result<Vec<SecretRow>> {
        let state = self.state.lock();
        Ok(state.secrets.values().filter(|row| row.tenant.project == tenant.project).cloned().collect())
    }

    fn data_keys(&self, tenant: Tenant) -> Result<Vec<DataKeyRow>> {
        let state = self.state.lock();
        let keys = state.data_keys.values().rev();
        Ok(keys.filter(|row| row.tenant.project == tenant.project).cloned().collect())
    }

    fn all_data_keys(&self) -> Result<Vec<DataKeyRow>> {
        Ok(self.state.lock().data_keys.values().cloned().collect())
    }

    fn key_by_hash(&self, hash: &[u8; 32]) -> Result<Option<KeyRow>> {
        Ok(self.state.lock().keys.values().find(|key| key.hash == *hash).cloned())
    }

    fn keys(&self, tenant: Tenant) -> Result<Vec<KeyRow>> {
        let state = self.state.lock();
        let keys = state.keys.values().rev();
        Ok(keys.filter(|key| key.tenant.project == tenant.project).cloned().collect())
    }

    fn trigger_state(&self, tenant: Tenant, flow: &str, node: &str) -> Result<Option<TriggerStateRow>> {
        Ok(self.state.lock().triggers.get(&nested(tenant, flow, node)).cloned())
    }

    fn trigger_states(&self, tenant: Tenant) -> Result<Vec<TriggerStateRow>> {
        let state = self.state.lock();
        Ok(state.triggers.values().filter(|row| row.tenant.project == tenant.project).cloned().collect())
    }

    fn objects_referenced(&self, tenant: Tenant, names: &[String]) -> Result<BTreeSet<String>> {
        let state = self.state.lock();
        let own = state.executions.values().filter(|kept| kept.row.tenant.project == tenant.project);
        let referenced: BTreeSet<&String> = own.flat_map(|kept| &kept.objects).collect();
        Ok(names.iter().filter(|name| referenced.contains(name)).cloned().collect())
    }

    fn projects(&self) -> Result<Vec<ProjectRow>> {
        Ok(self.state.lock().projects.values().cloned().collect())
    }

    fn check(&self, depth: CheckDepth) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        if depth == CheckDepth::Quick {
            return Ok(report);
        }
        for kept in self.state.lock().executions.values() {
            for record in &kept.journal {
                report.records += 1;
                let finding = Record::decode(&record.bytes).err().map(|error| Finding::JournalUnreadable {
                    execution: kept.row.id,
                    seq: record.first_seq,
                    reason: error.to_string(),
                });
                report.findings.extend(finding.filter(|_| report.findings.len() < FINDINGS_MAX));
            }
        }
        Ok(report)
    }

    fn size(&self) -> Result<StoreSize> {
        let state = self.state.lock();
        let file_bytes = state.executions.values().map(|kept| kept.row.journal_bytes).sum();
        Ok(StoreSize { file_bytes, ..StoreSize::default() })
    }
}

fn timer_rows(kept: &Kept) -> impl Iterator<Item = TimerRow> {
    let (tenant, execution) = (kept.row.tenant, kept.row.id);
    kept.timers.iter().map(move |(name, due)| TimerRow { tenant, execution, name: name.clone(), due: *due })
}

fn matches(row: &ExecutionRow, filter: &ExecutionFilter) -> bool {
    let created = row.id.made_at();
    (filter.statuses.is_empty() || filter.statuses.contains(&row.status))
        && filter.kind.is_none_or(|kind| row.kind == kind)
        && filter.flow.as_ref().is_none_or(|flow| row.flow == *flow)
        && filter.request_id.as_ref().is_none_or(|request| row.request_id == *request)
        && filter.parent.is_none_or(|parent| row.parent.as_ref().is_some_and(|own| own.execution == parent))
        && filter.since.is_none_or(|since| created >= since)
        && filter.until.is_none_or(|until| created < until)
}
