//! Scripts about accepting executions.

use std::time::Duration;

use flux_model::ExecutionStatus;
use flux_model::flow::Overflow;

use super::Script;
use super::sample::{accepting, append, at, debounce, ending, execution, rate, slots, step, tenant};
use crate::command::{Command, Promote, Release};
use crate::executions::Slots;
use crate::outcome::{Outcome, Refusal};
use crate::store::Store;

pub(super) fn scripts() -> Vec<Script> {
    vec![
        idempotency(),
        queueing(),
        raised_limit(),
        dropping(),
        cancelling_oldest(),
        ended_at_once(),
        rate_limit(),
        debouncing(),
        debouncing_into_a_queue(),
        debouncing_in_place_of_another(),
        without_first_step(),
    ]
}

fn started() -> Outcome {
    Outcome::Started { cancel: vec![] }
}

fn queued() -> Outcome {
    Outcome::Queued { starts_at: None }
}

fn promoted(executions: &[u32]) -> Outcome {
    Outcome::Appended { promoted: executions.iter().map(|n| execution(*n)).collect() }
}

fn status(store: &dyn Store, n: u32) -> ExecutionStatus {
    store.execution(tenant(1), execution(n)).expect("the store works").expect("it was accepted").status
}

fn release(n: u32, millis: i64) -> Command {
    Command::Release(Release { tenant: tenant(1), execution: execution(n), at: at(millis) })
}

fn idempotency() -> Script {
    let keyed = |n, key: &str, flow: &str, project| {
        accepting(n, |accept| {
            accept.idempotency_key = Some(key.into());
            accept.execution.flow = flow.into();
            accept.execution.tenant = tenant(project);
        })
    };
    Script {
        name: "an idempotency key is good for one execution per tenant and flow",
        steps: vec![
            (keyed(1, "a", "f", 1), started()),
            (keyed(2, "a", "f", 1), Outcome::Duplicate { execution: execution(1) }),
            (keyed(3, "a", "g", 1), started()),
            (keyed(4, "a", "f", 2), started()),
            (keyed(5, "b", "f", 1), started()),
            (accepting(5, |_| {}), Outcome::Duplicate { execution: execution(5) }),
        ],
        afterwards: |store| {
            assert_eq!(store.execution(tenant(1), execution(2)), Ok(None));
            assert_eq!(store.execution(tenant(1), execution(4)), Ok(None));
            assert!(store.execution(tenant(2), execution(4)).is_ok_and(|found| found.is_some()));
        },
    }
}

fn queueing() -> Script {
    let limited = |n, priority| {
        accepting(n, |accept| {
            accept.concurrency = slots(1, Overflow::Queue);
            accept.execution.priority = priority;
        })
    };
    let wrong = Outcome::WrongStatus { status: ExecutionStatus::Queued };
    Script {
        name: "a queue gives slots by priority, then in order of acceptance",
        steps: vec![
            (limited(1, 0), started()),
            // Accepted in another order than their ids have.
            (limited(3, 0), queued()),
            (limited(2, 0), queued()),
            (limited(4, 9), queued()),
            (limited(5, 0), queued()),
            (append(3, 0, step(0)), wrong),
            // A queued one may end; that frees no slot.
            (append(5, 0, ending(0, 9_000)), promoted(&[])),
            (append(1, 1, ending(1, 9_000)), promoted(&[4])),
            (append(4, 0, ending(0, 9_001)), promoted(&[3])),
        ],
        afterwards: |store| {
            assert_eq!(status(store, 3), ExecutionStatus::Running);
            assert_eq!(status(store, 2), ExecutionStatus::Queued);
            assert_eq!(store.slots(tenant(1), "f", "k"), Ok(Slots { active: 1, queued: 1 }));
            assert_eq!(store.slots(tenant(2), "f", "k"), Ok(Slots::default()));
            for (n, held) in [(1, None), (2, Some("input 2")), (3, Some("input 3")), (4, None), (5, None)] {
                let found = store.held(tenant(1), execution(n)).expect("the store works");
                assert_eq!(found, held.map(|held| held.as_bytes().to_vec()), "held input of {n}");
            }
            let row =
                store.execution(tenant(1), execution(3)).expect("the store works").expect("it is there");
            assert_eq!((row.next_seq, row.started_at), (0, Some(at(9_001))));
        },
    }
}

fn raised_limit() -> Script {
    let limited = |n, limit| accepting(n, move |accept| accept.concurrency = slots(limit, Overflow::Queue));
    let key = |flow: &str| {
        Command::Promote(Promote { tenant: tenant(1), flow: flow.into(), key: "k".into(), at: at(9_000) })
    };
    Script {
        name: "each execution keeps the limit it came with",
        steps: vec![
            (limited(1, 1), started()),
            (limited(2, 2), started()),
            (limited(3, 1), queued()),
            (limited(4, 2), queued()),
            (append(1, 1, ending(1, 9_000)), promoted(&[])),
            (key("f"), Outcome::Promoted { executions: vec![] }),
            (append(2, 1, ending(1, 9_000)), promoted(&[3, 4])),
            (key("unknown"), Outcome::Promoted { executions: vec![] }),
        ],
        afterwards: |store| {
            assert_eq!(store.slots(tenant(1), "f", "k"), Ok(Slots { active: 2, queued: 0 }));
        },
    }
}

fn dropping() -> Script {
    let limited = |n| {
        accepting(n, |accept| {
            accept.concurrency = slots(1, Overflow::Drop);
            accept.idempotency_key = Some(format!("key {n}"));
            accept.held = None;
        })
    };
    Script {
        name: "what is dropped leaves nothing behind",
        steps: vec![
            (limited(1), started()),
            (limited(2), Outcome::Dropped),
            (append(1, 1, ending(1, 9_000)), promoted(&[])),
            (limited(2), started()),
        ],
        afterwards: |store| assert_eq!(status(store, 2), ExecutionStatus::Running),
    }
}

fn cancelling_oldest() -> Script {
    let limited = |n| accepting(n, |accept| accept.concurrency = slots(2, Overflow::CancelOldest));
    let cancelling = |ns: &[u32]| Outcome::Started { cancel: ns.iter().map(|n| execution(*n)).collect() };
    Script {
        name: "the newest runs, the oldest are named until they are gone",
        steps: vec![
            (limited(2), started()),
            (limited(1), started()),
            (limited(3), cancelling(&[2])),
            (limited(4), cancelling(&[2, 1])),
            (append(2, 1, ending(1, 9_000)), promoted(&[])),
            (limited(5), cancelling(&[1, 3])),
        ],
        afterwards: |store| {
            assert_eq!(store.slots(tenant(1), "f", "k"), Ok(Slots { active: 4, queued: 0 }));
            for (n, by) in [(1, Some(4)), (2, Some(3)), (3, Some(5)), (4, None), (5, None)] {
                let row = store.execution(tenant(1), execution(n)).expect("the store works");
                let replaced = row.expect("it was accepted").replaced_by;
                assert_eq!(replaced, by.map(execution), "what replaces {n}");
            }
        },
    }
}

fn ended_at_once() -> Script {
    let quick = |n| {
        accepting(n, move |accept| {
            accept.concurrency = slots(1, Overflow::Queue);
            accept.first = Some(ending(0, i64::from(n) * 1_000));
        })
    };
    Script {
        name: "an execution that ends in its first step takes no slot",
        steps: vec![(quick(1), started()), (quick(2), started())],
        afterwards: |store| {
            assert_eq!(status(store, 2), ExecutionStatus::Succeeded);
            assert_eq!(store.slots(tenant(1), "f", "k"), Ok(Slots::default()));
        },
    }
}

fn rate_limit() -> Script {
    let limited = |n, millis| {
        accepting(n, move |accept| {
            accept.rate = rate(1_000);
            accept.at = at(millis);
        })
    };
    let retry_after = Duration::from_millis(300);
    Script {
        name: "a rate refuses what comes too early and says when to come back",
        steps: vec![
            (limited(1, 1_000), started()),
            (limited(2, 1_700), Outcome::RateLimited { retry_after }),
            (limited(2, 2_000), started()),
            (accepting(3, |accept| accept.at = at(2_001)), started()),
        ],
        afterwards: |store| assert_eq!(status(store, 2), ExecutionStatus::Running),
    }
}

fn debouncing() -> Script {
    let event = |n, millis| {
        accepting(n, move |accept| {
            accept.debounce = debounce(100, 250);
            accept.at = at(millis);
            accept.idempotency_key = Some(format!("event {n}"));
            accept.first = None;
        })
    };
    let joined = |starts_at| Outcome::Debounced { execution: execution(1), starts_at: at(starts_at) };
    Script {
        name: "events of a key join until they stop, or for the longest time",
        steps: vec![
            (event(1, 1_000), Outcome::Queued { starts_at: Some(at(1_100)) }),
            (event(2, 1_090), joined(1_190)),
            (event(2, 1_091), Outcome::Duplicate { execution: execution(1) }),
            (event(1, 1_092), Outcome::Duplicate { execution: execution(1) }),
            (release(1, 1_189), Outcome::NotDue { starts_at: at(1_190) }),
            (event(3, 1_180), joined(1_250)),
            (release(2, 1_250), Outcome::NotFound),
            (release(1, 1_250), started()),
            (release(1, 1_250), Outcome::WrongStatus { status: ExecutionStatus::Running }),
            (event(4, 4_000), Outcome::Queued { starts_at: Some(at(4_100)) }),
        ],
        afterwards: |store| {
            assert_eq!(store.held(tenant(1), execution(1)), Ok(Some(b"input 3".to_vec())));
            assert_eq!(store.next_timer(), Ok(Some(at(4_100))));
            let row =
                store.execution(tenant(1), execution(1)).expect("the store works").expect("it is there");
            assert_eq!((row.input.as_str(), row.request_id.as_str()), (r#"{"n":3}"#, "req-3"));
            let open = store.open_executions(None, 10).expect("the store works");
            let seen: Vec<_> = open.iter().map(|open| (open.row.id, open.held, open.debounced)).collect();
            assert_eq!(seen, [(execution(1), true, false), (execution(4), true, true)]);
        },
    }
}

fn debouncing_into_a_queue() -> Script {
    let running = |n, flow: &str| {
        let flow = flow.to_owned();
        accepting(n, move |accept| {
            accept.concurrency = slots(1, Overflow::Queue);
            accept.execution.flow = flow;
        })
    };
    let event = |n, flow: &str, overflow| {
        let flow = flow.to_owned();
        accepting(n, move |accept| {
            accept.debounce = debounce(100, 100);
            accept.concurrency = slots(1, overflow);
            accept.execution.flow = flow;
        })
    };
    let waits = |starts_at| Outcome::Queued { starts_at: Some(at(starts_at)) };
    Script {
        name: "a debounced execution takes its slot when it is released, and not before",
        steps: vec![
            (running(1, "f"), started()),
            (event(2, "f", Overflow::Queue), waits(2_100)),
            (running(3, "g"), started()),
            (event(4, "g", Overflow::Drop), waits(4_100)),
            (append(1, 1, ending(1, 3_000)), promoted(&[])),
            (running(5, "f"), started()),
            (release(2, 5_000), queued()),
            (release(4, 5_000), Outcome::Dropped),
            (append(5, 1, ending(1, 6_000)), promoted(&[2])),
            (append(4, 0, ending(0, 6_000)), promoted(&[])),
            (event(6, "g", Overflow::Drop), waits(6_100)),
        ],
        afterwards: |store| {
            assert_eq!(status(store, 2), ExecutionStatus::Running);
            assert_eq!(store.next_timer(), Ok(Some(at(6_100))));
        },
    }
}

fn debouncing_in_place_of_another() -> Script {
    let limited = |n| accepting(n, |accept| accept.concurrency = slots(1, Overflow::CancelOldest));
    let event = accepting(2, |accept| {
        accept.debounce = debounce(100, 100);
        accept.concurrency = slots(1, Overflow::CancelOldest);
    });
    let cancelling = |n| Outcome::Started { cancel: vec![execution(n)] };
    Script {
        name: "a debounced execution replaces the oldest when it is released",
        steps: vec![
            (limited(1), started()),
            (event, Outcome::Queued { starts_at: Some(at(2_100)) }),
            (limited(3), cancelling(1)),
            (append(1, 1, ending(1, 4_000)), promoted(&[])),
            (release(2, 5_000), cancelling(3)),
        ],
        afterwards: |store| {
            let by = |n| {
                let row = store.execution(tenant(1), execution(n)).expect("the store works");
                row.expect("it was accepted").replaced_by
            };
            assert_eq!((by(1), by(2), by(3)), (Some(execution(3)), None, Some(execution(2))));
        },
    }
}

fn without_first_step() -> Script {
    Script {
        name: "without a first step the input is held",
        steps: vec![
            (accepting(1, |accept| accept.first = None), started()),
            (
                accepting(2, |accept| (accept.first, accept.held) = (None, None)),
                Outcome::Refused(Refusal::NothingHeld),
            ),
            (accepting(3, |accept| accept.held = None), started()),
        ],
        afterwards: |store| {
            assert_eq!(status(store, 1), ExecutionStatus::Running);
            assert_eq!(store.held(tenant(1), execution(1)), Ok(Some(b"input 1".to_vec())));
            assert_eq!(store.held(tenant(2), execution(1)), Ok(None));
        },
    }
}
