//! Scripts about lists of executions, pages and walks.

use flux_model::{ExecutionId, ExecutionKind, ExecutionStatus, NodePath, Timestamp};

use super::Script;
use super::sample::{accepting, append, at, ending, execution, failing, record, step, tenant};
use crate::command::Step;
use crate::executions::{ExecutionFilter, JOURNAL_PAGE_RECORDS_MAX, OpenCursor, Parent};
use crate::outcome::Outcome;
use crate::page::{Cursor, PageRequest};
use crate::store::Store;

pub(super) fn scripts() -> Vec<Script> {
    vec![filters(), pages(), long_journal()]
}

fn started() -> Outcome {
    Outcome::Started { cancel: vec![] }
}

/// What a list holds, by number.
fn check_list(store: &dyn Store, filter: &ExecutionFilter, expected: &[u32]) {
    let page = store.executions(tenant(1), filter, PageRequest::first(200)).expect("the store works");
    let found: Vec<_> = page.items.iter().map(|row| row.id).collect();
    let expected: Vec<_> = expected.iter().map(|n| execution(*n)).collect();
    assert_eq!(found, expected, "{filter:?}");
}

fn filters() -> Script {
    let parent = |awaited| Some(Parent { execution: execution(1), path: NodePath::root("call"), awaited });
    let step_of = |n: u32, accept: &mut crate::command::Accept| match n % 3 {
        0 => accept.first = Some(ending(0, i64::from(n) * 1_000)),
        1 => accept.first = Some(failing(0, i64::from(n) * 1_000)),
        _ => {}
    };
    let steps = (1..=12).map(|n| {
        let command = accepting(n, |accept| {
            step_of(n, accept);
            let new = &mut accept.execution;
            new.flow = if n % 2 == 0 { "even" } else { "odd" }.into();
            new.kind = if n > 10 { ExecutionKind::Function } else { ExecutionKind::Flow };
            new.request_id = format!("trace {}", n / 5);
            new.parent = parent(n % 2 == 0).filter(|_| n > 8);
        });
        (command, started())
    });
    let foreign = accepting(13, |accept| accept.execution.tenant = tenant(2));
    Script {
        name: "lists are filtered, newest first",
        steps: steps.chain([(foreign, started())]).collect(),
        afterwards: check_filters,
    }
}

fn check_filters(store: &dyn Store) {
    use ExecutionStatus::{Failed, Queued, Running, Succeeded};
    let any = ExecutionFilter::default;
    let even = || ExecutionFilter { flow: Some("even".into()), ..any() };
    let child = || ExecutionFilter { parent: Some(execution(1)), ..any() };
    let trace = |n: u32| ExecutionFilter { request_id: Some(format!("trace {n}")), ..any() };
    let between = |since, until| ExecutionFilter { since: Some(at(since)), until: Some(at(until)), ..any() };
    check_list(store, &any(), &[12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    check_list(store, &ExecutionFilter { statuses: vec![Failed], ..any() }, &[10, 7, 4, 1]);
    check_list(
        store,
        &ExecutionFilter { statuses: vec![Succeeded, Running, Queued], ..any() },
        &[12, 11, 9, 8, 6, 5, 3, 2],
    );
    check_list(store, &ExecutionFilter { kind: Some(ExecutionKind::Function), ..any() }, &[12, 11]);
    check_list(store, &ExecutionFilter { kind: Some(ExecutionKind::Captured), ..any() }, &[]);
    check_list(store, &even(), &[12, 10, 8, 6, 4, 2]);
    check_list(store, &ExecutionFilter { statuses: vec![Failed], ..even() }, &[10, 4]);
    check_list(store, &ExecutionFilter { kind: Some(ExecutionKind::Flow), ..even() }, &[10, 8, 6, 4, 2]);
    check_list(store, &child(), &[12, 11, 10, 9]);
    let narrow = ExecutionFilter { flow: Some("odd".into()), statuses: vec![Succeeded], ..child() };
    check_list(store, &narrow, &[9]);
    check_list(store, &ExecutionFilter { kind: Some(ExecutionKind::Flow), ..child() }, &[10, 9]);
    check_list(store, &ExecutionFilter { request_id: Some("trace 2".into()), ..child() }, &[12, 11, 10]);
    check_list(store, &trace(1), &[9, 8, 7, 6, 5]);
    let narrow = ExecutionFilter {
        statuses: vec![Running],
        flow: Some("odd".into()),
        kind: Some(ExecutionKind::Flow),
        ..trace(1)
    };
    check_list(store, &narrow, &[5]);
    check_list(store, &between(3_000, 6_000), &[5, 4, 3]);
    check_list(store, &ExecutionFilter { flow: Some("odd".into()), ..between(3_000, 6_000) }, &[5, 3]);
    check_list(store, &between(-5, 0), &[]);
    check_list(store, &ExecutionFilter { since: Some(Timestamp::MAX), ..any() }, &[]);
    check_list(store, &ExecutionFilter { until: Some(Timestamp::MAX), ..trace(0) }, &[4, 3, 2, 1]);
    let counts = store.status_counts(tenant(1)).expect("the store works");
    assert_eq!((counts.running, counts.succeeded, counts.failed, counts.queued), (4, 4, 4, 0));
    let mine = |n| store.execution(tenant(1), execution(n)).expect("the store works");
    assert!(mine(12).is_some() && mine(13).is_none());
    assert_eq!(mine(12).and_then(|row| row.parent).map(|parent| parent.path), Some(NodePath::root("call")));
}

fn pages() -> Script {
    Script {
        name: "pages follow each other without gap or repetition",
        steps: (1..=9).map(|n| (accepting(n, |_| {}), started())).collect(),
        afterwards: |store| {
            for limit in [1, 2, 3, 4, 9, 10] {
                let mut seen: Vec<ExecutionId> = Vec::new();
                let mut after = None;
                loop {
                    let request = PageRequest { after, limit };
                    let page = store.executions(tenant(1), &ExecutionFilter::default(), request);
                    let page = page.expect("the store works");
                    assert!(page.items.len() <= limit);
                    seen.extend(page.items.iter().map(|row| row.id));
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(seen, (1..=9).rev().map(execution).collect::<Vec<_>>(), "limit {limit}");
            }
            let beyond = PageRequest { after: Some(Cursor(0)), limit: 5 };
            let page = store.executions(tenant(1), &ExecutionFilter::default(), beyond);
            assert_eq!(page.map(|page| page.items.len()), Ok(0));
            let walk = |after: Option<u32>, limit| {
                let cursor = after.map(|n| OpenCursor(execution(n)));
                let open = store.open_executions(cursor, limit).expect("the store works");
                open.into_iter().map(|open| open.row.id).collect::<Vec<_>>()
            };
            assert_eq!(walk(None, 2), [execution(1), execution(2)]);
            assert_eq!(walk(Some(7), 9), [execution(8), execution(9)]);
        },
    }
}

fn long_journal() -> Script {
    let appends = (1..=JOURNAL_PAGE_RECORDS_MAX as u64).map(|seq| {
        let two = Step { record: record(2 * seq - 1, 2), entries: 2, ..step(0) };
        (append(1, 2 * seq - 1, two), Outcome::Appended { promoted: vec![] })
    });
    Script {
        name: "a long journal comes in pages",
        steps: std::iter::once((accepting(1, |_| {}), started())).chain(appends).collect(),
        afterwards: |store| {
            let page = store.journal(tenant(1), execution(1), 0).expect("the store works");
            assert_eq!(page.records.len(), JOURNAL_PAGE_RECORDS_MAX);
            let next = page.next_seq.expect("there is one record more");
            assert_eq!(next, 2 * JOURNAL_PAGE_RECORDS_MAX as u64 - 1);
            let page = store.journal(tenant(1), execution(1), next).expect("the store works");
            assert_eq!((page.records.len(), page.next_seq), (1, None));
        },
    }
}
