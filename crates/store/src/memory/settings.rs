//! Flows, secrets, keys, trigger states and projects.

use flux_model::{KeyId, Tenant, Timestamp};

use super::state::{State, named, nested};
use crate::access::{DataKeyRow, KeyRow, ProjectRow, SecretRow};
use crate::flows::{FlowRow, FlowState, FlowVersionRow, PublishFlow, RestoreFlow, SaveDraft, SetFlowState};
use crate::outcome::{Outcome, Refusal};
use crate::triggers::{PutTriggerState, TriggerStateRow};

impl State {
    pub(super) fn save_draft(&mut self, draft: &SaveDraft) -> Outcome {
        match self.replace_draft(draft) {
            Ok(revision) => Outcome::Saved { revision },
            Err(revision) => Outcome::Stale { revision },
        }
    }

    /// The new revision, or the one that was not expected.
    fn replace_draft(&mut self, draft: &SaveDraft) -> Result<u64, u64> {
        let key = named(draft.tenant, &draft.name);
        let revision = self.flows.get(&key).map_or(0, |flow| flow.revision);
        if draft.expected_revision.is_some_and(|expected| expected != revision) {
            return Err(revision);
        }
        let flow = self.flows.entry(key).or_insert_with(|| FlowRow {
            tenant: draft.tenant,
            name: draft.name.clone(),
            state: FlowState::Inactive,
            active_hash: None,
            draft: String::new(),
            draft_hash: String::new(),
            revision: 0,
            created_at: draft.at,
            updated_at: draft.at,
        });
        flow.draft.clone_from(&draft.definition);
        flow.draft_hash.clone_from(&draft.hash);
        Ok(touch(flow, draft.at))
    }

    pub(super) fn publish(&mut self, publish: &PublishFlow) -> Outcome {
        let draft = &publish.draft;
        let revision = match self.replace_draft(draft) {
            Ok(revision) => revision,
            Err(revision) => return Outcome::Stale { revision },
        };
        let key = named(draft.tenant, &draft.name);
        let versions = self.versions.entry(key.clone()).or_default();
        let known = versions.iter().find(|version| version.hash == draft.hash).map(|version| version.number);
        let number = known.unwrap_or(versions.len() as u64 + 1);
        if known.is_none() {
            versions.push(FlowVersionRow {
                tenant: draft.tenant,
                flow: draft.name.clone(),
                number,
                hash: draft.hash.clone(),
                definition: draft.definition.clone(),
                author: publish.author.clone(),
                published_at: draft.at,
            });
        }
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.state = FlowState::Active;
            flow.active_hash = Some(draft.hash.clone());
        }
        Outcome::Published { number, revision }
    }

    pub(super) fn restore(&mut self, restore: &RestoreFlow) -> Outcome {
        let key = named(restore.tenant, &restore.name);
        let versions = self.versions.get(&key).map_or(&[][..], Vec::as_slice);
        let version = versions.iter().find(|version| version.hash == restore.hash);
        let (Some(flow), Some(version)) = (self.flows.get_mut(&key), version) else {
            return Outcome::NotFound;
        };
        flow.draft.clone_from(&version.definition);
        flow.draft_hash.clone_from(&version.hash);
        flow.active_hash = Some(version.hash.clone());
        Outcome::Published { number: version.number, revision: touch(flow, restore.at) }
    }

    pub(super) fn set_flow_state(&mut self, set: &SetFlowState) -> Outcome {
        let Some(flow) = self.flows.get_mut(&named(set.tenant, &set.name)) else {
            return Outcome::NotFound;
        };
        if set.state == FlowState::Active && flow.active_hash.is_none() {
            return Outcome::Refused(Refusal::NotPublished);
        }
        flow.state = set.state;
        Outcome::Saved { revision: touch(flow, set.at) }
    }

    pub(super) fn delete_flow(&mut self, tenant: Tenant, name: &str) -> Outcome {
        self.triggers.retain(|(project, flow, _), _| *project != tenant.project || flow != name);
        done_if(self.flows.remove(&named(tenant, name)).is_some())
    }

    pub(super) fn put_secret(&mut self, secret: &SecretRow) -> Outcome {
        self.secrets.insert(named(secret.tenant, &secret.name), secret.clone());
        Outcome::Done
    }

    pub(super) fn delete_secret(&mut self, tenant: Tenant, name: &str) -> Outcome {
        done_if(self.secrets.remove(&named(tenant, name)).is_some())
    }

    pub(super) fn put_data_key(&mut self, key: &DataKeyRow) -> Outcome {
        self.data_keys.insert((key.tenant.project, key.version), key.clone());
        Outcome::Done
    }

    pub(super) fn put_key(&mut self, key: &KeyRow) -> Outcome {
        if self.keys.values().any(|known| known.id == key.id || known.hash == key.hash) {
            return Outcome::Exists;
        }
        self.keys.insert(key.id, key.clone());
        Outcome::Done
    }

    pub(super) fn revoke_key(&mut self, tenant: Tenant, key: KeyId, at: Timestamp) -> Outcome {
        let key = self.keys.get_mut(&key).filter(|key| key.tenant.project == tenant.project);
        done_if(key.map(|key| key.revoked_at.get_or_insert(at)).is_some())
    }

    pub(super) fn touch_key(&mut self, key: KeyId, at: Timestamp) -> Outcome {
        let key = self.keys.get_mut(&key);
        done_if(key.map(|key| key.last_used_at = key.last_used_at.max(Some(at))).is_some())
    }

    pub(super) fn put_trigger_state(&mut self, put: &PutTriggerState) -> Outcome {
        let key = nested(put.tenant, &put.flow, &put.node);
        let version = self.triggers.get(&key).map_or(0, |row| row.version);
        if version != put.expected_version {
            return Outcome::Stale { revision: version };
        }
        let row = TriggerStateRow {
            tenant: put.tenant,
            flow: put.flow.clone(),
            node: put.node.clone(),
            state: put.state.clone(),
            version: version + 1,
            updated_at: put.at,
        };
        self.triggers.insert(key, row);
        Outcome::Saved { revision: version + 1 }
    }

    pub(super) fn ensure_project(&mut self, project: &ProjectRow) -> Outcome {
        if self.projects.contains_key(&project.tenant.project) {
            return Outcome::Exists;
        }
        self.projects.insert(project.tenant.project, project.clone());
        Outcome::Done
    }
}

/// Notes a change of a flow and gives its new revision.
fn touch(flow: &mut FlowRow, at: Timestamp) -> u64 {
    flow.revision += 1;
    flow.updated_at = at;
    flow.revision
}

fn done_if(found: bool) -> Outcome {
    if found { Outcome::Done } else { Outcome::NotFound }
}
