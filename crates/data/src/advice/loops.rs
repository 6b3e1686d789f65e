//! N+1: the same query from the same place again and again within one execution, with other values.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flux_model::{ExecutionId, Value};

use super::batch::batched;
use super::call::{CallSite, ObservedCall};
use crate::shape::QueryShape;

/// So many calls of one shape from one place in one execution are a loop.
pub(super) const LOOP_CALLS_MIN: usize = 5;

/// A query that runs in a loop.
#[derive(Debug, Clone, PartialEq)]
pub struct NPlusOne {
    /// The execution.
    pub execution: Option<ExecutionId>,
    /// Where the loop calls it.
    pub site: CallSite,
    /// The shape.
    pub shape: QueryShape,
    /// The table.
    pub table: Arc<str>,
    /// How often it ran.
    pub calls: usize,
    /// How long all of them took.
    pub total: Duration,
    /// The one query to write instead, where there is one.
    pub instead: Option<Value>,
}

/// The loops in observed calls, the most expensive first. Calls whose place is not known do not count:
/// they may come from different code.
pub fn n_plus_one(calls: &[ObservedCall]) -> Vec<NPlusOne> {
    let mut runs: BTreeMap<(Option<ExecutionId>, &CallSite, QueryShape), Vec<&ObservedCall>> =
        BTreeMap::new();
    for call in calls {
        if let Some(site) = &call.site {
            runs.entry((call.execution, site, call.shape)).or_default().push(call);
        }
    }
    let mut found: Vec<NPlusOne> = Vec::new();
    for ((execution, site, shape), calls) in runs {
        // The same values again are a repeated query, which the cache is for.
        let differs = calls.iter().any(|call| call.source != calls[0].source);
        if calls.len() < LOOP_CALLS_MIN || !differs {
            continue;
        }
        found.push(NPlusOne {
            execution,
            site: site.clone(),
            shape,
            table: Arc::clone(&calls[0].query.table),
            calls: calls.len(),
            total: calls.iter().map(|call| call.took).sum(),
            instead: batched(&calls),
        });
    }
    found.sort_by_key(|found| std::cmp::Reverse((found.total, found.calls)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(objects: impl IntoIterator<Item = String>, line: u32) -> Vec<ObservedCall> {
        let call = |json: String| {
            let source = Value::from_json(json.as_bytes()).unwrap();
            let site = CallSite { file: "functions/a.ts".into(), line, column: 9 };
            ObservedCall { site: Some(site), ..ObservedCall::new(source, Duration::from_millis(2)).unwrap() }
        };
        objects.into_iter().map(call).collect()
    }

    fn check(object: &dyn Fn(i64) -> String, expected: Option<&str>) {
        let found = n_plus_one(&calls((1..=5).map(object), 12));
        let [found] = found.as_slice() else { panic!("found {found:?}") };
        assert_eq!((found.site.to_string().as_str(), found.calls), ("functions/a.ts:12:9", 5));
        assert_eq!(found.instead.as_ref().map(Value::to_json).as_deref(), expected);
    }

    #[test]
    fn loops_are_found_with_the_query_to_write_instead() {
        check(
            &|id| format!(r#"{{"table":"customers","where":{{"id":{id},"active":true}},"limit":1}}"#),
            Some(r#"{"table":"customers","where":{"id":{"in":[1,2,3,4,5]},"active":true},"limit":100}"#),
        );
        check(
            &|id| format!(r#"{{"table":"items","where":{{"order_id":{{"eq":{id}}}}}}}"#),
            Some(r#"{"table":"items","where":{"order_id":{"in":[1,2,3,4,5]}}}"#),
        );
        check(
            &|id| format!(r#"{{"table":"items","operation":"count","where":{{"order_id":{id}}}}}"#),
            Some(
                r#"{"table":"items","operation":"aggregate","groupBy":["order_id"],"aggregate":{"count":{"count":"*"}},"where":{"order_id":{"in":[1,2,3,4,5]}}}"#,
            ),
        );
        check(
            &|id| format!(r#"{{"table":"items","operation":"insert","values":{{"id":{id}}}}}"#),
            Some(
                r#"{"table":"items","operation":"insert","values":[{"id":1},{"id":2},{"id":3},{"id":4},{"id":5}]}"#,
            ),
        );
        check(
            &|id| format!(r#"{{"table":"items","operation":"delete","where":{{"id":{id}}}}}"#),
            Some(r#"{"table":"items","operation":"delete","where":{"id":{"in":[1,2,3,4,5]}}}"#),
        );
        // Two values that differ have no single list.
        check(&|id| format!(r#"{{"table":"a","where":{{"x":{id},"y":{id}}}}}"#), None);
        check(&|id| format!(r#"{{"table":"a","where":{{"x":{{"gt":{id}}}}}}}"#), None);
        check(
            &|id| format!(r#"{{"table":"a","operation":"update","where":{{"x":{id}}},"set":{{"y":{id}}}}}"#),
            None,
        );
    }

    #[test]
    fn repetitions_few_calls_and_other_places_are_no_loop() {
        let of = |id: i64| format!(r#"{{"table":"a","where":{{"id":{id}}}}}"#);
        assert_eq!(n_plus_one(&calls((1..=4).map(of), 1)), []);
        assert_eq!(n_plus_one(&calls((1..=9).map(|_| of(1)), 1)), []);
        let mut spread = calls((1..=3).map(of), 1);
        spread.extend(calls((4..=6).map(of), 2));
        assert_eq!(n_plus_one(&spread), []);
        let mut unknown = calls((1..=9).map(of), 1);
        unknown.iter_mut().for_each(|call| call.site = None);
        assert_eq!(n_plus_one(&unknown), []);
    }
}
