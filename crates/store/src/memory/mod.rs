//! The store in memory: the model that every other backend is compared with, and what tests and
//! the simulator run on. Nothing survives the process; searching is by walking, not by index.

mod admit;
mod append;
mod queries;
mod settings;
mod state;

use parking_lot::Mutex;

use crate::command::Command;
use crate::outcome::Outcome;
use crate::validation::validate;
use state::State;

/// A store in memory.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn apply(state: &mut State, command: &Command) -> Outcome {
        if let Err(refusal) = validate(command) {
            return Outcome::Refused(refusal);
        }
        match command {
            Command::Accept(accept) => state.accept(accept),
            Command::Append(append) => state.append(append),
            Command::Release(release) => state.release(release),
            Command::Promote(promote) => {
                let executions = state.promote(promote.tenant, &promote.flow, &promote.key, promote.at);
                Outcome::Promoted { executions }
            }
            Command::Retain(retain) => state.retain(retain),
            Command::SaveDraft(draft) => state.save_draft(draft),
            Command::PublishFlow(publish) => state.publish(publish),
            Command::RestoreFlow(restore) => state.restore(restore),
            Command::SetFlowState(set) => state.set_flow_state(set),
            Command::DeleteFlow { tenant, name } => state.delete_flow(*tenant, name),
            Command::PutSecret(secret) => state.put_secret(secret),
            Command::DeleteSecret { tenant, name } => state.delete_secret(*tenant, name),
            Command::PutDataKey(key) => state.put_data_key(key),
            Command::PutKey(key) => state.put_key(key),
            Command::RevokeKey { tenant, key, at } => state.revoke_key(*tenant, *key, *at),
            Command::TouchKey { key, at } => state.touch_key(*key, *at),
            Command::PutTriggerState(put) => state.put_trigger_state(put),
            Command::EnsureProject(project) => state.ensure_project(project),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn it_conforms() {
        crate::conformance::run_all(&mut || Arc::new(MemoryStore::new()));
    }
}
