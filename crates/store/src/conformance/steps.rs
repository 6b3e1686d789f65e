//! Scripts about steps of executions, their timers and reviews, and the end of their keeping.

use std::collections::BTreeSet;

use flux_model::execution::{Wait, WaitOn};
use flux_model::review::{Decision, ReviewAction, ReviewStatus};
use flux_model::{ExecutionStatus, NodePath};

use super::Script;
use super::sample::{
    accepting, append, at, delay, ending, execution, failing, record, request, review, step, tenant, timer,
};
use crate::command::{Append, Command, Retain, SUMMARY_BYTES_MAX, StatusChange, Step};
use crate::outcome::{Outcome, Refusal};
use crate::page::PageRequest;
use crate::reviews::{ReviewChange, ReviewFilter};
use crate::store::CheckDepth;
use crate::timers::TimerName;

pub(super) fn scripts() -> Vec<Script> {
    vec![fence(), waiting(), impossible_steps(), timers(), reviews(), withdrawn_reviews(), retention()]
}

fn started() -> Outcome {
    Outcome::Started { cancel: vec![] }
}

fn appended() -> Outcome {
    Outcome::Appended { promoted: vec![] }
}

fn fence() -> Script {
    let foreign = Append { tenant: tenant(2), execution: execution(1), expected_next_seq: 1, step: step(1) };
    let over = Outcome::WrongStatus { status: ExecutionStatus::Succeeded };
    Script {
        name: "a step commits once, in its place, to its owner's execution",
        steps: vec![
            (accepting(1, |_| {}), started()),
            (append(1, 0, step(0)), Outcome::Conflict { next_seq: 1 }),
            (append(1, 2, step(2)), Outcome::Conflict { next_seq: 1 }),
            (append(1, 1, Step { record: record(1, 3), entries: 3, ..Step::default() }), appended()),
            (append(1, 1, step(1)), Outcome::Conflict { next_seq: 4 }),
            (append(2, 0, step(0)), Outcome::NotFound),
            (Command::Append(Box::new(foreign)), Outcome::NotFound),
            (append(1, 4, ending(4, 5_000)), appended()),
            (append(1, 5, step(5)), over.clone()),
            (append(1, 5, failing(5, 6_000)), over),
        ],
        afterwards: |store| {
            let row =
                store.execution(tenant(1), execution(1)).expect("the store works").expect("it is there");
            assert_eq!((row.status, row.next_seq), (ExecutionStatus::Succeeded, 5));
            assert_eq!((row.ended_at, row.output.as_deref()), (Some(at(5_000)), Some(r#"{"ok":true}"#)));
            let journal = |from| store.journal(tenant(1), execution(1), from).expect("the store works");
            let firsts =
                |from| journal(from).records.iter().map(|record| record.first_seq).collect::<Vec<_>>();
            assert_eq!(firsts(0), [0, 1, 4]);
            assert_eq!(firsts(3), [1, 4], "the record that holds the entry comes whole");
            assert_eq!(firsts(4), [4]);
            assert_eq!(firsts(5), [0; 0]);
            assert_eq!(journal(0).records[1].bytes, record(1, 3));
            assert!(store.journal(tenant(2), execution(1), 0).expect("the store works").records.is_empty());
            let bytes: usize = journal(0).records.iter().map(|record| record.bytes.len()).sum();
            assert_eq!(row.journal_bytes, bytes as u64);
            let report = store.check(CheckDepth::Full).expect("the store works");
            assert_eq!((report.records, report.findings), (3, vec![]));
        },
    }
}

fn waiting() -> Script {
    let wait = |name: &str| {
        let wait = Wait { node: NodePath::root("w"), on: WaitOn::Signal { name: name.into(), until: None } };
        Some(StatusChange::Waiting { waits: vec![wait] })
    };
    Script {
        name: "a waiting execution says what for",
        steps: vec![
            (accepting(1, |accept| accept.first = Some(Step { change: wait("a"), ..step(0) })), started()),
            (append(1, 1, Step { change: wait("b"), ..step(1) }), appended()),
            (accepting(2, |accept| accept.first = Some(Step { change: wait("c"), ..step(0) })), started()),
            (append(2, 1, Step { change: Some(StatusChange::Running), ..step(1) }), appended()),
            (accepting(3, |accept| accept.first = Some(failing(0, 3_000))), started()),
            (accepting(4, |_| {}), started()),
            (
                append(
                    4,
                    1,
                    Step {
                        change: Some(StatusChange::Cancelled { reason: "asked".into(), at: at(4_500) }),
                        ..step(1)
                    },
                ),
                appended(),
            ),
        ],
        afterwards: |store| {
            let row =
                |n| store.execution(tenant(1), execution(n)).expect("the store works").expect("it is there");
            let signal = WaitOn::Signal { name: "b".into(), until: None };
            assert_eq!(row(1).waits, [Wait { node: NodePath::root("w"), on: signal }]);
            assert_eq!((row(2).status, row(2).waits.len()), (ExecutionStatus::Running, 0));
            let error = row(3).error.expect("it failed");
            assert_eq!((error.message.as_str(), error.node), ("too slow", Some(NodePath::root("call"))));
            assert_eq!(row(4).error.map(|error| error.message), Some("asked".to_owned()));
        },
    }
}

fn impossible_steps() -> Script {
    let long = "x".repeat(SUMMARY_BYTES_MAX + 1);
    let too_long = StatusChange::Cancelled { reason: long, at: at(2_000) };
    let too_large = Refusal::TooLarge {
        what: "reason",
        bytes: SUMMARY_BYTES_MAX + 1,
        limit: "SUMMARY_BYTES_MAX",
        max: SUMMARY_BYTES_MAX,
    };
    let nothing = Some(StatusChange::Waiting { waits: vec![] });
    Script {
        name: "contradictions are refused",
        steps: vec![
            (accepting(1, |_| {}), started()),
            (append(1, 1, Step::default()), Outcome::Refused(Refusal::EmptyStep)),
            (append(1, 1, Step { change: nothing, ..step(1) }), Outcome::Refused(Refusal::NoWaits)),
            (append(1, 1, Step { change: Some(too_long), ..step(1) }), Outcome::Refused(too_large)),
            (append(1, 1, step(1)), appended()),
        ],
        afterwards: |_| {},
    }
}

fn timers() -> Script {
    let set = |timers: &[(&str, i64)]| timers.iter().map(|(node, due)| timer(node, *due)).collect();
    Script {
        name: "timers are replaced, forgotten, and gone with their execution",
        steps: vec![
            (
                accepting(1, |accept| {
                    accept.first =
                        Some(Step { set_timers: set(&[("a", 50), ("b", 40), ("c", 30)]), ..step(0) });
                }),
                started(),
            ),
            (
                append(
                    1,
                    1,
                    Step {
                        clear_timers: vec![delay("b"), delay("c"), TimerName::Start],
                        set_timers: set(&[("a", 60), ("c", 70)]),
                        ..step(1)
                    },
                ),
                appended(),
            ),
            (
                accepting(2, |accept| {
                    accept.first = Some(Step { set_timers: set(&[("a", 60)]), ..step(0) });
                }),
                started(),
            ),
            (
                accepting(3, |accept| {
                    accept.first = Some(Step { set_timers: set(&[("a", 10)]), ..step(0) });
                }),
                started(),
            ),
            (append(3, 1, Step { set_timers: set(&[("z", 1)]), ..ending(1, 3_500) }), appended()),
        ],
        afterwards: |store| {
            let due = |until, limit| {
                let rows = store.timers_due(at(until), limit).expect("the store works");
                rows.into_iter().map(|row| (row.execution, row.name, row.due)).collect::<Vec<_>>()
            };
            let expected = [
                (execution(1), delay("a"), at(60)),
                (execution(2), delay("a"), at(60)),
                (execution(1), delay("c"), at(70)),
            ];
            assert_eq!(due(70, 10), expected);
            assert_eq!(due(69, 10), expected[..2]);
            assert_eq!(due(70, 1), expected[..1]);
            assert_eq!(store.next_timer(), Ok(Some(at(60))));
            let own = store.timers_of(tenant(1), execution(1)).expect("the store works");
            assert_eq!(own.iter().map(|row| row.due).collect::<Vec<_>>(), [at(60), at(70)]);
            assert_eq!(store.timers_of(tenant(2), execution(1)), Ok(vec![]));
            let open = store.open_executions(None, 1).expect("the store works");
            assert_eq!((open[0].timers, open[0].next_due), (2, Some(at(60))));
        },
    }
}

fn opening(n: u32) -> ReviewChange {
    ReviewChange::Open { request: request(n), at: at(5) }
}

fn closing(n: u32, expected_version: Option<u32>, status: ReviewStatus) -> ReviewChange {
    let decision = (status == ReviewStatus::Approved).then(|| Decision {
        action: ReviewAction::Approve,
        content: None,
        comment: Some("fine".into()),
        decided_by: "ann".into(),
        expected_version: 1,
    });
    ReviewChange::Close { review: review(n), expected_version, status, decision, at: at(6) }
}

fn changing(n: u32, seq: u64, reviews: Vec<ReviewChange>) -> Command {
    append(n, seq, Step { reviews, ..step(seq) })
}

fn reviews() -> Script {
    let refused = |n| Outcome::Refused(Refusal::Review(review(n)));
    let conflict = |status| Outcome::ReviewConflict { review: review(1), status, version: 1 };
    let pending = ReviewStatus::Pending;
    let approved = ReviewStatus::Approved;
    Script {
        name: "a review is decided once, in the version that was seen",
        steps: vec![
            (
                accepting(1, |accept| {
                    accept.first = Some(Step { reviews: vec![opening(1)], ..step(0) });
                }),
                started(),
            ),
            (accepting(2, |_| {}), started()),
            (changing(1, 1, vec![opening(2), opening(1)]), refused(1)),
            (changing(1, 1, vec![closing(1, Some(2), approved)]), conflict(pending)),
            (changing(1, 1, vec![closing(1, None, pending)]), refused(1)),
            (changing(2, 1, vec![closing(1, Some(1), approved)]), refused(1)),
            (changing(1, 1, vec![closing(9, Some(1), approved)]), refused(9)),
            (changing(1, 1, vec![closing(1, Some(1), approved), opening(3)]), appended()),
            (changing(1, 2, vec![closing(1, Some(1), approved)]), conflict(approved)),
            (changing(1, 2, vec![opening(4), closing(4, None, ReviewStatus::Expired)]), appended()),
            (changing(1, 3, vec![opening(5), opening(5)]), refused(5)),
        ],
        afterwards: |store| {
            let list = |status, limit| {
                let filter = ReviewFilter { status, execution: None };
                let page =
                    store.reviews(tenant(1), &filter, PageRequest::first(limit)).expect("the store works");
                let ids: Vec<_> = page.items.iter().map(|row| row.request.id).collect();
                (ids, page.next)
            };
            assert_eq!(list(None, 9), (vec![review(4), review(3), review(1)], None));
            assert_eq!(list(Some(ReviewStatus::Pending), 9).0, [review(3)]);
            let (first, next) = list(None, 2);
            assert_eq!(first, [review(4), review(3)]);
            let rest = PageRequest { after: next, limit: 2 };
            let rest = store.reviews(tenant(1), &ReviewFilter::default(), rest).expect("the store works");
            assert_eq!((rest.items.len(), rest.next), (1, None));
            assert_eq!(rest.items[0].decision.as_ref().map(|made| made.decided_by.as_str()), Some("ann"));
            assert_eq!(rest.items[0].request, request(1));
            assert_eq!(store.review(tenant(2), review(1)), Ok(None));
            let of_two = ReviewFilter { execution: Some(execution(2)), status: None };
            let page = store.reviews(tenant(1), &of_two, PageRequest::first(9)).expect("the store works");
            assert!(page.items.is_empty());
        },
    }
}

fn withdrawn_reviews() -> Script {
    Script {
        name: "an ending withdraws what is pending",
        steps: vec![
            (
                accepting(1, |accept| {
                    accept.first = Some(Step { reviews: vec![opening(1), opening(2)], ..step(0) });
                }),
                started(),
            ),
            (
                append(
                    1,
                    1,
                    Step {
                        reviews: vec![closing(2, Some(1), ReviewStatus::Approved), opening(3)],
                        ..ending(1, 7)
                    },
                ),
                appended(),
            ),
        ],
        afterwards: |store| {
            let status = |n| {
                let row = store.review(tenant(1), review(n)).expect("the store works").expect("it is there");
                (row.status, row.closed_at)
            };
            assert_eq!(status(1), (ReviewStatus::Withdrawn, Some(at(7))));
            assert_eq!(status(2), (ReviewStatus::Approved, Some(at(6))));
            assert_eq!(status(3), (ReviewStatus::Withdrawn, Some(at(7))));
        },
    }
}

fn retention() -> Script {
    let retain = |flow: Option<&str>, ended_before, limit| {
        let flow = flow.map(str::to_owned);
        Command::Retain(Retain { tenant: tenant(1), flow, ended_before: at(ended_before), limit })
    };
    let ended = |n: u32, flow: &str| {
        let flow = flow.to_owned();
        accepting(n, move |accept| {
            accept.execution.flow = flow;
            accept.idempotency_key = Some(format!("key {n}"));
            accept.first = Some(Step {
                reviews: vec![opening(n)],
                objects: vec![format!("object {n}"), "shared".into()],
                ..ending(0, i64::from(n) * 1_000)
            });
        })
    };
    let deleted = |executions| Outcome::Deleted { executions };
    Script {
        name: "retention deletes a bounded number of old executions with all that is theirs",
        steps: vec![
            (ended(1, "f"), started()),
            (ended(2, "g"), started()),
            (ended(3, "f"), started()),
            (ended(4, "f"), started()),
            (accepting(5, |_| {}), started()),
            (retain(None, 1_000, 10), deleted(0)),
            (retain(Some("f"), 4_000, 1), deleted(1)),
            (retain(Some("f"), 4_000, 10), deleted(1)),
            (retain(Some("f"), 4_000, 10), deleted(0)),
            (retain(None, 3_000, 10), deleted(1)),
            // Its key is free again.
            (ended(1, "f"), started()),
            (retain(None, 2_000, 10), deleted(1)),
        ],
        afterwards: |store| {
            let counts = store.status_counts(tenant(1)).expect("the store works");
            assert_eq!((counts.succeeded, counts.running), (1, 1));
            let names = ["object 1", "object 3", "object 4", "shared"].map(str::to_owned);
            let referenced = store.objects_referenced(tenant(1), &names).expect("the store works");
            assert_eq!(referenced, BTreeSet::from(["object 4".to_owned(), "shared".to_owned()]));
            assert!(store.objects_referenced(tenant(2), &names).expect("the store works").is_empty());
            assert_eq!(store.review(tenant(1), review(1)), Ok(None));
            let report = store.check(CheckDepth::Full).expect("the store works");
            assert_eq!((report.records, report.findings), (2, vec![]));
        },
    }
}
