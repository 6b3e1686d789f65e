//! Scripts about flows, secrets, keys, triggers and projects.

use flux_model::KeyId;

use super::Script;
use super::sample::{at, tenant};
use crate::access::{DataKeyRow, KeyRow, ProjectRow, SecretRow};
use crate::command::Command;
use crate::flows::{FlowState, PublishFlow, RestoreFlow, SaveDraft, SetFlowState};
use crate::outcome::{Outcome, Refusal};
use crate::triggers::PutTriggerState;

pub(super) fn scripts() -> Vec<Script> {
    vec![drafts(), versions(), secrets(), keys(), triggers(), projects()]
}

fn draft(content: &str, expected_revision: Option<u64>) -> SaveDraft {
    SaveDraft {
        tenant: tenant(1),
        name: "f".into(),
        definition: format!("definition {content}"),
        hash: format!("hash {content}"),
        expected_revision,
        at: at(10),
    }
}

fn publishing(content: &str, expected_revision: Option<u64>) -> Command {
    Command::PublishFlow(PublishFlow { draft: draft(content, expected_revision), author: "ann".into() })
}

fn state(state: FlowState) -> Command {
    Command::SetFlowState(SetFlowState { tenant: tenant(1), name: "f".into(), state, at: at(11) })
}

fn deletion() -> Command {
    Command::DeleteFlow { tenant: tenant(1), name: "f".into() }
}

fn drafts() -> Script {
    let save = |content: &str, expected| Command::SaveDraft(draft(content, expected));
    let saved = |revision| Outcome::Saved { revision };
    Script {
        name: "a draft is replaced only by who saw it",
        steps: vec![
            (save("a", Some(1)), Outcome::Stale { revision: 0 }),
            (state(FlowState::Active), Outcome::NotFound),
            (save("a", Some(0)), saved(1)),
            (save("b", Some(0)), Outcome::Stale { revision: 1 }),
            (state(FlowState::Active), Outcome::Refused(Refusal::NotPublished)),
            (save("b", Some(1)), saved(2)),
            (save("c", None), saved(3)),
        ],
        afterwards: |store| {
            let flow = store.flow(tenant(1), "f").expect("the store works").expect("it was saved");
            assert_eq!((flow.draft.as_str(), flow.draft_hash.as_str()), ("definition c", "hash c"));
            assert_eq!((flow.state, flow.active_hash.clone()), (FlowState::Inactive, None));
            assert_eq!(store.flows(tenant(1)), Ok(vec![flow]));
            assert_eq!(store.flows(tenant(2)), Ok(vec![]));
            assert_eq!(store.active_flows(), Ok(vec![]));
        },
    }
}

fn versions() -> Script {
    let published = |number, revision| Outcome::Published { number, revision };
    let restoring = |hash: &str| {
        Command::RestoreFlow(RestoreFlow {
            tenant: tenant(1),
            name: "f".into(),
            hash: hash.into(),
            at: at(12),
        })
    };
    Script {
        name: "versions are numbered, immutable, and outlive their flow",
        steps: vec![
            (publishing("a", Some(0)), published(1, 1)),
            (publishing("b", Some(0)), Outcome::Stale { revision: 1 }),
            (publishing("b", Some(1)), published(2, 2)),
            (publishing("a", None), published(1, 3)),
            (restoring("hash x"), Outcome::NotFound),
            (restoring("hash b"), published(2, 4)),
            (deletion(), Outcome::Done),
            (deletion(), Outcome::NotFound),
            (restoring("hash b"), Outcome::NotFound),
            (publishing("c", Some(0)), published(3, 1)),
            (state(FlowState::Inactive), Outcome::Saved { revision: 2 }),
            (state(FlowState::Active), Outcome::Saved { revision: 3 }),
        ],
        afterwards: |store| {
            let versions = store.flow_versions(tenant(1), "f").expect("the store works");
            let seen: Vec<_> = versions.iter().map(|row| (row.number, row.hash.as_str())).collect();
            assert_eq!(seen, [(3, "hash c"), (2, "hash b"), (1, "hash a")]);
            let first = store.flow_version(tenant(1), "f", "hash a").expect("the store works");
            assert_eq!(
                first.map(|row| (row.definition, row.author)),
                Some(("definition a".into(), "ann".into()))
            );
            assert_eq!(store.flow_version(tenant(2), "f", "hash a"), Ok(None));
            let active = store.active_flows().expect("the store works");
            assert_eq!(active.iter().map(|row| row.number).collect::<Vec<_>>(), [3]);
        },
    }
}

fn secrets() -> Script {
    let put = |name: &str, sealed: &[u8]| {
        Command::PutSecret(SecretRow {
            tenant: tenant(1),
            name: name.into(),
            sealed: sealed.to_vec(),
            hosts: vec!["api.example.com".into()],
            updated_at: at(13),
        })
    };
    let delete = |project| Command::DeleteSecret { tenant: tenant(project), name: "a".into() };
    let data_key = |version, wrapped: &[u8]| {
        let (wrapped, updated_at) = (wrapped.to_vec(), at(14));
        Command::PutDataKey(DataKeyRow { tenant: tenant(1), version, wrapped, updated_at })
    };
    Script {
        name: "secrets and data keys are replaced whole",
        steps: vec![
            (put("b", &[1]), Outcome::Done),
            (put("a", &[2]), Outcome::Done),
            (put("b", &[3]), Outcome::Done),
            (delete(2), Outcome::NotFound),
            (delete(1), Outcome::Done),
            (delete(1), Outcome::NotFound),
            (put("c", &[4]), Outcome::Done),
            (data_key(1, &[1]), Outcome::Done),
            (data_key(2, &[2]), Outcome::Done),
            (data_key(1, &[9]), Outcome::Done),
        ],
        afterwards: |store| {
            let names = store.secret_names(tenant(1)).expect("the store works");
            let names: Vec<_> = names.iter().map(|row| (row.name.as_str(), row.hosts.len())).collect();
            assert_eq!(names, [("b", 1), ("c", 1)]);
            let sealed = store.secret(tenant(1), "b").expect("the store works");
            assert_eq!(sealed.map(|row| row.sealed), Some(vec![3]));
            assert_eq!(store.secret(tenant(2), "b"), Ok(None));
            assert_eq!(store.secrets(tenant(1)).map(|rows| rows.len()), Ok(2));
            let keys = store.data_keys(tenant(1)).expect("the store works");
            let keys: Vec<_> = keys.into_iter().map(|row| (row.version, row.wrapped)).collect();
            assert_eq!(keys, [(2, vec![2]), (1, vec![9])]);
            assert_eq!(store.all_data_keys().map(|rows| rows.len()), Ok(2));
        },
    }
}

fn keys() -> Script {
    let key = |n: u8, hash: u8| {
        Command::PutKey(KeyRow {
            id: KeyId::from_bits(u128::from(n)),
            tenant: tenant(1),
            hash: [hash; 32],
            name: format!("key {n}"),
            scopes: vec!["read".into(), "write".into()],
            created_at: at(15),
            expires_at: Some(at(99)),
            revoked_at: None,
            last_used_at: None,
        })
    };
    let id = KeyId::from_bits(1);
    let revoke = |project, millis| Command::RevokeKey { tenant: tenant(project), key: id, at: at(millis) };
    let touch = |millis| Command::TouchKey { key: id, at: at(millis) };
    Script {
        name: "keys are unique, revoked once, and remember their last use",
        steps: vec![
            (touch(20), Outcome::NotFound),
            (key(1, 1), Outcome::Done),
            (key(1, 2), Outcome::Exists),
            (key(2, 1), Outcome::Exists),
            (key(2, 2), Outcome::Done),
            (touch(20), Outcome::Done),
            (touch(19), Outcome::Done),
            (revoke(2, 30), Outcome::NotFound),
            (revoke(1, 31), Outcome::Done),
            (revoke(1, 32), Outcome::Done),
        ],
        afterwards: |store| {
            let found = store.key_by_hash(&[1; 32]).expect("the store works").expect("it was put");
            assert_eq!((found.revoked_at, found.last_used_at), (Some(at(31)), Some(at(20))));
            assert_eq!((found.scopes.len(), found.expires_at), (2, Some(at(99))));
            assert_eq!(store.key_by_hash(&[3; 32]), Ok(None));
            let list = store.keys(tenant(1)).expect("the store works");
            assert_eq!(list.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["key 2", "key 1"]);
            assert_eq!(store.keys(tenant(2)), Ok(vec![]));
        },
    }
}

fn triggers() -> Script {
    let put = |node: &str, state: &str, expected_version| {
        Command::PutTriggerState(PutTriggerState {
            tenant: tenant(1),
            flow: "f".into(),
            node: node.into(),
            state: state.into(),
            expected_version,
            at: at(16),
        })
    };
    Script {
        name: "trigger states change by their version and go with their flow",
        steps: vec![
            (put("n", "1", 1), Outcome::Stale { revision: 0 }),
            (put("n", "1", 0), Outcome::Saved { revision: 1 }),
            (put("n", "2", 0), Outcome::Stale { revision: 1 }),
            (deletion(), Outcome::NotFound),
            (put("n", "3", 0), Outcome::Saved { revision: 1 }),
            (put("n", "4", 1), Outcome::Saved { revision: 2 }),
            (put("m", "5", 0), Outcome::Saved { revision: 1 }),
        ],
        afterwards: |store| {
            let found = store.trigger_state(tenant(1), "f", "n").expect("the store works");
            assert_eq!(found.map(|row| (row.state, row.version)), Some(("4".into(), 2)));
            assert_eq!(store.trigger_state(tenant(2), "f", "n"), Ok(None));
            let all = store.trigger_states(tenant(1)).expect("the store works");
            assert_eq!(all.iter().map(|row| row.node.as_str()).collect::<Vec<_>>(), ["m", "n"]);
        },
    }
}

fn projects() -> Script {
    let project = |n, name: &str| {
        Command::EnsureProject(ProjectRow { tenant: tenant(n), name: name.into(), created_at: at(17) })
    };
    Script {
        name: "a project is made once",
        steps: vec![
            (project(2, "two"), Outcome::Done),
            (project(1, "one"), Outcome::Done),
            (project(2, "three"), Outcome::Exists),
        ],
        afterwards: |store| {
            let all = store.projects().expect("the store works");
            assert_eq!(all.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
        },
    }
}
