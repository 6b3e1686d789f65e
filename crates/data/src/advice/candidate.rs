//! Which index a query would like to have: the columns it tests for equality, then one that it compares
//! or those that it sorts by.

use std::sync::Arc;

use super::call::ObservedCall;
use crate::context::Access;
use crate::policy::Policy;
use crate::query::{Action, Filter, Include, Op, Order, Reach};
use crate::schema::{RelationDirection, Schema, Table, quoted, relations};

/// An index that may help.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    pub table: Arc<str>,
    pub columns: Vec<Arc<str>>,
}

impl Candidate {
    /// The name that the index would have.
    pub(crate) fn name(&self) -> String {
        let name = format!("{}_{}_idx", self.table, self.columns.join("_"));
        // PostgreSQL cuts names at 63 bytes.
        name.chars().filter(char::is_ascii).take(63).collect()
    }

    /// The statement that would create it.
    pub(crate) fn sql(&self, schema: &Schema) -> String {
        let table = schema.table(&self.table).map_or_else(|| quoted(&self.table), |table| table.sql.clone());
        self.sql_on(&table)
    }

    /// The same on a copy of the table.
    pub(crate) fn sql_on(&self, table: &str) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(column).into()).collect();
        format!("CREATE INDEX {} ON {table} ({})", quoted(&self.name()), columns.join(", "))
    }
}

/// The indexes that a call would like to have and that are not there.
pub(crate) fn candidates(schema: &Schema, policy: &Policy, call: &ObservedCall) -> Vec<Candidate> {
    let Some(table) = schema.table(&call.query.table) else { return Vec::new() };
    let tenant = match &call.access {
        Access::Claims(_) => policy.tenant.as_ref().map(|rule| &*rule.column),
        Access::Service => None,
    };
    let mut found = Vec::new();
    let mut wish = Wish { schema, tenant, found: &mut found };
    match &call.query.action {
        Action::Select(select) => {
            wish.table(table, &[], select.filter.as_ref(), &select.order);
            wish.includes(table, &select.include);
        }
        Action::Count(filter) => wish.table(table, &[], filter.as_ref(), &[]),
        Action::Aggregate(aggregate) => wish.table(table, &[], aggregate.filter.as_ref(), &[]),
        Action::Update(update) => wish.reach(table, &update.reach),
        Action::Delete(delete) => wish.reach(table, &delete.reach),
        // Inserts look for nothing; upserts by a key that is unique already.
        Action::Insert(_) | Action::Upsert(_) => {}
    }
    found
}

struct Wish<'a> {
    schema: &'a Schema,
    tenant: Option<&'a str>,
    found: &'a mut Vec<Candidate>,
}

impl Wish<'_> {
    fn reach(&mut self, table: &Table, reach: &Reach) {
        if let Reach::Where(filter) = reach {
            self.table(table, &[], Some(filter), &[]);
        }
    }

    fn includes(&mut self, table: &Table, includes: &[Include]) {
        for include in includes {
            let meant = relations(self.schema, table).find(|relation| {
                let by_table = include.table.as_ref().is_none_or(|wanted| relation.table.name == *wanted);
                let by_via = include.via.as_ref().is_none_or(|via| relation.goes_along(via));
                let is_said = include.table.is_some() || include.via.is_some();
                by_table && by_via && (is_said || relation.answers_to(&include.name))
            });
            let Some(relation) = meant else { continue };
            let theirs: Vec<&str> = match relation.direction {
                RelationDirection::ToOne => relation.key.references.iter().map(|name| &**name).collect(),
                RelationDirection::ToMany => relation.key.columns.iter().map(|name| &**name).collect(),
            };
            let select = &include.select;
            self.table(relation.table, &theirs, select.filter.as_ref(), &select.order);
            self.includes(relation.table, &select.include);
        }
    }

    /// What a look at one table would like, `joined` being the columns it is joined by.
    fn table(&mut self, table: &Table, joined: &[&str], filter: Option<&Filter>, order: &[Order]) {
        let mut tests = Vec::new();
        collect(filter, &mut tests);
        let mut columns: Vec<Arc<str>> = Vec::new();
        let add = |name: &str, into: &mut Vec<Arc<str>>| {
            let column = table.column(name).filter(|column| column.kind.is_ordered());
            into.extend(column.map(|column| Arc::clone(&column.name)).filter(|name| !into.contains(name)));
        };
        for name in self.tenant.iter().chain(joined) {
            add(name, &mut columns);
        }
        let is_equality = |op: Op| matches!(op, Op::Eq | Op::In);
        tests.iter().filter(|(_, op)| is_equality(*op)).for_each(|(name, _)| add(name, &mut columns));
        let useful = columns.len() > usize::from(self.tenant.is_some());
        let is_range = |op: Op| matches!(op, Op::Gt | Op::Gte | Op::Lt | Op::Lte | Op::Between | Op::Like);
        let range = tests.iter().find(|(_, op)| is_range(*op));
        match (range, order) {
            (Some((name, _)), _) => add(name, &mut columns),
            (None, [first, rest @ ..]) if rest.iter().all(|order| order.direction == first.direction) => {
                order.iter().for_each(|order| add(&order.column, &mut columns));
            }
            (None, _) if !useful => return,
            (None, _) => {}
        }
        let is_there = !columns.is_empty() && is_indexed(table, &columns);
        if !columns.is_empty() && !is_there {
            self.found.push(Candidate { table: Arc::clone(&table.name), columns });
        }
    }
}

/// The tests that all must hold.
fn collect<'a>(filter: Option<&'a Filter>, into: &mut Vec<(&'a str, Op)>) {
    match filter {
        Some(Filter::All(inner)) => inner.iter().for_each(|inner| collect(Some(inner), into)),
        Some(Filter::Test(test)) => into.push((&test.column, test.op)),
        Some(Filter::Any(_) | Filter::Not(_)) | None => {}
    }
}

/// Whether an index begins with these columns, or some of them are unique already.
fn is_indexed(table: &Table, columns: &[Arc<str>]) -> bool {
    let begins = |index: &[Arc<str>]| index.starts_with(columns);
    let key: Vec<Arc<str>> = table.key().map(|column| Arc::clone(&column.name)).collect();
    let whole = table.indexes.iter().filter(|index| !index.partial);
    table.is_unique(columns.iter().map(|name| &**name))
        || begins(&key)
        || whole.into_iter().any(|index| begins(&index.columns))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flux_model::Value;

    use super::*;
    use crate::context::Claims;
    use crate::schema::tests::shop;

    fn check(json: &str, expected: &[&str]) {
        let call = ObservedCall::new(Value::from_json(json.as_bytes()).unwrap(), Duration::ZERO).unwrap();
        let found = candidates(&shop(), &Policy::default(), &call);
        let found: Vec<String> =
            found.iter().map(|c| format!("{}({})", c.table, c.columns.join(","))).collect();
        assert_eq!(found, expected, "{json}");
    }

    #[test]
    fn equal_columns_come_first_then_a_range_or_the_order() {
        check(r#"{"table":"orders","where":{"customer_id":1}}"#, &["orders(customer_id)"]);
        check(
            r#"{"table":"orders","where":{"total":{"gt":1},"customer_id":1}}"#,
            &["orders(customer_id,total)"],
        );
        check(
            r#"{"table":"orders","where":{"customer_id":1},"order":"-total"}"#,
            &["orders(customer_id,total)"],
        );
        check(r#"{"table":"orders","order":["total","-note"]}"#, &[]);
        check(r#"{"table":"orders","where":{"id":1}}"#, &[]);
        check(r#"{"table":"orders","where":{"or":[{"note":"a"},{"total":1}]}}"#, &[]);
        check(r#"{"table":"customers","where":{"data":{"contains":1}}}"#, &[]);
        check(r#"{"table":"orders","include":{"items":{"where":{"sku":"a"}}}}"#, &["items(order_id,sku)"]);
        check(r#"{"table":"items","include":["orders"]}"#, &[]);
        check(r#"{"table":"items","operation":"delete","where":{"sku":"a"}}"#, &["items(sku)"]);
    }

    #[test]
    fn the_tenant_comes_first_for_callers() {
        let source = Value::from_json(br#"{"table":"orders","where":{"customer_id":1}}"#).unwrap();
        let claims = Claims::new(Value::object([("tenant", "a".into())]));
        let call = ObservedCall {
            access: Access::Claims(claims),
            ..ObservedCall::new(source, Duration::ZERO).unwrap()
        };
        let policy = Policy::parse("p.json", r#"{"tenant":{"column":"tenant","claim":"tenant"}}"#).unwrap();
        let [found] = &candidates(&shop(), &policy, &call)[..] else { panic!("one is found") };
        assert_eq!(
            found.sql(&shop()),
            r#"CREATE INDEX "orders_tenant_customer_id_idx" ON "orders" ("tenant", "customer_id")"#
        );
    }
}
