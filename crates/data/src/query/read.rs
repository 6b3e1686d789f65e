//! From JSON to a query, strictly: every member has one type, belongs to the operation, and is known.

use std::sync::Arc;
use std::time::Duration;

use flux_model::Value;
use flux_model::value::Object;

use super::filter::filter;
use super::reader::{count, mistyped, object, text, texts, unknown};
use super::{
    Action, Aggregate, Columns, Delete, Direction, Function, Include, Insert, Measure, Operation, Order,
    Query, Reach, Resolution, Select, Start, Update, Upsert,
};
use crate::DataError;
use crate::limits::{
    CACHE_TTL_MS_MAX, INCLUDE_DEPTH_MAX, OFFSET_MAX, QUERY_BYTES_MAX, QUERY_DEPTH_MAX, ROWS_DEFAULT,
    ROWS_MAX, ROWS_WRITTEN_MAX,
};
use crate::place::Place;

/// Keys that make JavaScript code write to the prototype of every object.
const POLLUTING: [&str; 3] = ["__proto__", "constructor", "prototype"];

const SELECT: &[&str] =
    &["table", "operation", "columns", "where", "order", "limit", "offset", "cursor", "include", "cache"];
const INSERT: &[&str] = &["table", "operation", "values", "returning"];
const UPSERT: &[&str] = &["table", "operation", "values", "onConflict", "returning"];
const UPDATE: &[&str] = &["table", "operation", "set", "where", "all", "returning"];
const DELETE: &[&str] = &["table", "operation", "where", "all", "returning"];
const COUNT: &[&str] = &["table", "operation", "where", "cache"];
const AGGREGATE: &[&str] =
    &["table", "operation", "aggregate", "groupBy", "where", "order", "limit", "cache"];
const INCLUDE: &[&str] = &["table", "via", "columns", "where", "order", "limit", "include"];
const CONFLICT: &[&str] = &["columns", "update"];

pub(super) fn query(value: &Value) -> Result<Query, DataError> {
    let root = Place::root("");
    let members = object(value, &root)?;
    check_size(value, &root)?;
    check_keys(value, &root)?;
    let name = members
        .get("operation")
        .map_or(Ok("select"), |name| Ok(&**text(name, &root.member("operation"))?))?;
    let operation = Operation::ALL.into_iter().find(|operation| operation.as_str() == name);
    let operation = operation.ok_or_else(|| {
        let known = Operation::ALL.iter().map(|operation| operation.as_str());
        unknown(&root.member("operation"), "operation", name, known)
    })?;
    let known = match operation {
        Operation::Select => SELECT,
        Operation::Insert => INSERT,
        Operation::Update => UPDATE,
        Operation::Delete => DELETE,
        Operation::Upsert => UPSERT,
        Operation::Count => COUNT,
        Operation::Aggregate => AGGREGATE,
    };
    let source = Source { members, place: &root };
    source.check_known(known, operation)?;
    let Some(table) = members.get("table") else {
        return Err(DataError::query(root.member("table"), "is missing"));
    };
    let action = match operation {
        Operation::Select => Action::Select(source.select(0)?),
        Operation::Insert => Action::Insert(Insert { rows: source.rows()?, returning: source.returning()? }),
        Operation::Upsert => Action::Upsert(source.upsert()?),
        Operation::Update => Action::Update(source.update()?),
        Operation::Delete => {
            Action::Delete(Delete { reach: source.reach("delete")?, returning: source.returning()? })
        }
        Operation::Count => Action::Count(source.filter()?),
        Operation::Aggregate => Action::Aggregate(source.aggregate()?),
    };
    Ok(Query { table: Arc::clone(text(table, &root.member("table"))?), action, cache: source.cache()? })
}

fn check_size(value: &Value, place: &Place<'_>) -> Result<(), DataError> {
    let bytes = value.weight(QUERY_BYTES_MAX);
    if bytes > QUERY_BYTES_MAX {
        return Err(DataError::limit(place, "QUERY_BYTES_MAX", bytes, QUERY_BYTES_MAX));
    }
    if value.is_deeper_than(QUERY_DEPTH_MAX) {
        return Err(DataError::limit(place, "QUERY_DEPTH_MAX", QUERY_DEPTH_MAX + 1, QUERY_DEPTH_MAX));
    }
    Ok(())
}

fn check_keys(value: &Value, place: &Place<'_>) -> Result<(), DataError> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => Ok(()),
        Value::Secret(_) => Err(DataError::query(
            place,
            "is a secret, and secrets are not sent to the database; they are for outbound requests",
        )),
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| check_keys(item, &place.element(index)))
        }
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            if POLLUTING.contains(&&**name) {
                return Err(DataError::query(place.member(name), "is not allowed as a key"));
            }
            check_keys(member, &place.member(name))
        }),
    }
}

/// The members of one object and where it is.
struct Source<'a> {
    members: &'a Object,
    place: &'a Place<'a>,
}

impl Source<'_> {
    fn check_known(&self, known: &[&str], operation: Operation) -> Result<(), DataError> {
        let Some(name) = self.members.keys().find(|name| !known.contains(&&***name)) else { return Ok(()) };
        let place = self.place.member(name);
        let elsewhere = [SELECT, INSERT, UPSERT, UPDATE, DELETE, AGGREGATE].concat();
        if elsewhere.contains(&&**name) {
            let message = format!("does not go with operation {}", operation.as_str());
            return Err(DataError::query(place, message));
        }
        Err(unknown(&place, "member", name, known.iter().copied()))
    }

    fn select(&self, depth: u32) -> Result<Select, DataError> {
        Ok(Select {
            columns: self.columns()?,
            filter: self.filter()?,
            order: self.order()?,
            limit: self.limit()?,
            start: self.start()?,
            include: self.include(depth)?,
        })
    }

    fn columns(&self) -> Result<Columns, DataError> {
        self.members
            .get("columns")
            .map_or(Ok(Columns::All), |value| columns(value, &self.place.member("columns")))
    }

    fn returning(&self) -> Result<Option<Columns>, DataError> {
        let place = self.place.member("returning");
        self.members.get("returning").map(|value| columns(value, &place)).transpose()
    }

    fn filter(&self) -> Result<Option<super::Filter>, DataError> {
        let place = self.place.member("where");
        self.members.get("where").map_or(Ok(None), |value| filter(value, &place))
    }

    fn limit(&self) -> Result<u32, DataError> {
        let place = self.place.member("limit");
        let Some(value) = self.members.get("limit") else { return Ok(ROWS_DEFAULT) };
        let limit = count(value, &place, "ROWS_MAX", u64::from(ROWS_MAX))?;
        Ok(u32::try_from(limit).unwrap_or(ROWS_MAX))
    }

    fn start(&self) -> Result<Start, DataError> {
        match (self.members.get("offset"), self.members.get("cursor")) {
            (Some(_), Some(_)) => {
                Err(DataError::query(self.place.member("cursor"), "does not go with offset"))
            }
            (Some(offset), None) => {
                Ok(Start::Offset(count(offset, &self.place.member("offset"), "OFFSET_MAX", OFFSET_MAX)?))
            }
            (None, Some(Value::Null)) | (None, None) => Ok(Start::First),
            (None, Some(cursor)) => {
                Ok(Start::Cursor(Arc::clone(text(cursor, &self.place.member("cursor"))?)))
            }
        }
    }

    fn order(&self) -> Result<Vec<Order>, DataError> {
        let place = self.place.member("order");
        let Some(value) = self.members.get("order") else { return Ok(Vec::new()) };
        let mut orders = Vec::new();
        match value.as_array() {
            None => order(value, &place, &mut orders)?,
            Some(items) => {
                for (index, item) in items.iter().enumerate() {
                    order(item, &place.element(index), &mut orders)?;
                }
            }
        }
        Ok(orders)
    }

    fn include(&self, depth: u32) -> Result<Vec<Include>, DataError> {
        let place = self.place.member("include");
        let Some(value) = self.members.get("include") else { return Ok(Vec::new()) };
        if depth >= INCLUDE_DEPTH_MAX {
            let (measured, max) = (depth as usize + 1, INCLUDE_DEPTH_MAX as usize);
            return Err(DataError::limit(place, "INCLUDE_DEPTH_MAX", measured, max));
        }
        if value.as_object().is_none() {
            let names = texts(value, &place)?;
            return Ok(names.into_iter().map(included_whole).collect());
        }
        let members = object(value, &place)?;
        let read = |(name, value): (&Arc<str>, &Value)| include(name, value, &place.member(name), depth);
        members.iter().filter(|(_, value)| value.as_bool() != Some(false)).map(read).collect()
    }

    fn rows(&self) -> Result<Vec<Arc<Object>>, DataError> {
        let place = self.place.member("values");
        let row = |value: &Value, place: &Place<'_>| match value {
            Value::Object(row) => Ok(Arc::clone(row)),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::Array(_)
            | Value::Secret(_) => Err(mistyped(place, "an object with a member per column", value)),
        };
        match self.members.get("values") {
            None => Err(DataError::query(place, "is missing: the row, or a list of rows")),
            Some(Value::Array(rows)) if rows.is_empty() => Err(DataError::query(place, "holds no row")),
            Some(Value::Array(rows)) if rows.len() > ROWS_WRITTEN_MAX => {
                Err(DataError::limit(place, "ROWS_WRITTEN_MAX", rows.len(), ROWS_WRITTEN_MAX))
            }
            Some(Value::Array(rows)) => {
                rows.iter().enumerate().map(|(index, value)| row(value, &place.element(index))).collect()
            }
            Some(value) => Ok(vec![row(value, &place)?]),
        }
    }

    fn upsert(&self) -> Result<Upsert, DataError> {
        let place = self.place.member("onConflict");
        let (conflict, resolution) = match self.members.get("onConflict") {
            None => (Vec::new(), Resolution::UpdateGiven),
            Some(Value::Object(members)) => conflict(members, &place)?,
            Some(value) => (texts(value, &place)?, Resolution::UpdateGiven),
        };
        Ok(Upsert { rows: self.rows()?, conflict, resolution, returning: self.returning()? })
    }

    fn update(&self) -> Result<Update, DataError> {
        let place = self.place.member("set");
        let set = match self.members.get("set") {
            None => return Err(DataError::query(place, "is missing: an object with new values by column")),
            Some(Value::Object(set)) if set.is_empty() => {
                return Err(DataError::query(place, "names no column"));
            }
            Some(Value::Object(set)) => Arc::clone(set),
            Some(value) => return Err(mistyped(&place, "an object with new values by column", value)),
        };
        Ok(Update { reach: self.reach("update")?, set, returning: self.returning()? })
    }

    fn reach(&self, operation: &str) -> Result<Reach, DataError> {
        let place = self.place.member("all");
        let all = match self.members.get("all") {
            None => false,
            Some(value) => value.as_bool().ok_or_else(|| mistyped(&place, "true or false", value))?,
        };
        match (self.filter()?, all) {
            (Some(filter), false) => Ok(Reach::Where(filter)),
            (None, true) => Ok(Reach::All),
            (Some(_), true) => Err(DataError::query(place, "does not go with where: it means every row")),
            (None, false) => Err(DataError::query(
                self.place.member("where"),
                format!("is missing or empty: to {operation} every row, say \"all\": true"),
            )),
        }
    }

    fn aggregate(&self) -> Result<Aggregate, DataError> {
        let place = self.place.member("aggregate");
        let mut measures = Vec::new();
        if let Some(value) = self.members.get("aggregate") {
            for (name, value) in object(value, &place)? {
                measures.push(measure(name, value, &place.member(name))?);
            }
        }
        let by = self.place.member("groupBy");
        let group_by = self.members.get("groupBy").map_or(Ok(Vec::new()), |value| texts(value, &by))?;
        if measures.is_empty() && group_by.is_empty() {
            return Err(DataError::query(place, "is missing: {\"total\": {\"sum\": \"amount\"}}"));
        }
        if let Some(measure) = measures.iter().find(|measure| group_by.contains(&measure.name)) {
            return Err(DataError::query(place.member(&measure.name), "is also a column of groupBy"));
        }
        let (filter, order, limit) = (self.filter()?, self.order()?, self.limit()?);
        Ok(Aggregate { measures, group_by, filter, order, limit })
    }

    fn cache(&self) -> Result<Option<Duration>, DataError> {
        let place = self.place.member("cache");
        let Some(value) = self.members.get("cache") else { return Ok(None) };
        let members = object(value, &place)?;
        if let Some(name) = members.keys().find(|name| &***name != "ttl_ms") {
            return Err(unknown(&place.member(name), "member", name, ["ttl_ms"]));
        }
        let ttl = members.get("ttl_ms").unwrap_or(&Value::Null);
        let ttl_ms = count(ttl, &place.member("ttl_ms"), "CACHE_TTL_MS_MAX", CACHE_TTL_MS_MAX)?;
        Ok(Some(Duration::from_millis(ttl_ms)))
    }
}

fn columns(value: &Value, place: &Place<'_>) -> Result<Columns, DataError> {
    if value.as_str() == Some("*") {
        return Ok(Columns::All);
    }
    let names = texts(value, place)?;
    if names.is_empty() {
        return Err(DataError::query(place, "names no column; leave it out, or say \"*\", for all"));
    }
    Ok(Columns::Named(names))
}

fn order(value: &Value, place: &Place<'_>, into: &mut Vec<Order>) -> Result<(), DataError> {
    let Some(members) = value.as_object() else {
        let name = text(value, place)?;
        into.push(match name.strip_prefix('-') {
            Some(column) => Order { column: Arc::from(column), direction: Direction::Descending },
            None => Order { column: Arc::clone(name), direction: Direction::Ascending },
        });
        return Ok(());
    };
    for (column, value) in members {
        let place = place.member(column);
        let direction = match &**text(value, &place)? {
            "asc" => Direction::Ascending,
            "desc" => Direction::Descending,
            other => return Err(unknown(&place, "direction", other, ["asc", "desc"])),
        };
        into.push(Order { column: Arc::clone(column), direction });
    }
    Ok(())
}

fn included_whole(name: Arc<str>) -> Include {
    let select = Select {
        columns: Columns::All,
        filter: None,
        order: Vec::new(),
        limit: ROWS_DEFAULT,
        start: Start::First,
        include: Vec::new(),
    };
    Include { name, table: None, via: None, select }
}

fn include(name: &Arc<str>, value: &Value, place: &Place<'_>, depth: u32) -> Result<Include, DataError> {
    if value.as_bool() == Some(true) {
        return Ok(included_whole(Arc::clone(name)));
    }
    let members = object(value, place)?;
    let source = Source { members, place };
    source.check_known(INCLUDE, Operation::Select)?;
    let named = |member: &'static str| {
        members.get(member).map(|value| text(value, &place.member(member)).cloned()).transpose()
    };
    let select = source.select(depth + 1)?;
    Ok(Include { name: Arc::clone(name), table: named("table")?, via: named("via")?, select })
}

fn conflict(members: &Object, place: &Place<'_>) -> Result<(Vec<Arc<str>>, Resolution), DataError> {
    if let Some(name) = members.keys().find(|name| !CONFLICT.contains(&&***name)) {
        return Err(unknown(&place.member(name), "member", name, CONFLICT.iter().copied()));
    }
    let columns =
        members.get("columns").map_or(Ok(Vec::new()), |value| texts(value, &place.member("columns")))?;
    let resolution = match members.get("update") {
        None => Resolution::UpdateGiven,
        Some(Value::Bool(false)) => Resolution::Keep,
        Some(Value::Bool(true)) => Resolution::UpdateGiven,
        Some(value) => Resolution::Update(texts(value, &place.member("update"))?),
    };
    Ok((columns, resolution))
}

fn measure(name: &Arc<str>, value: &Value, place: &Place<'_>) -> Result<Measure, DataError> {
    let members = object(value, place)?;
    let [(function, column)] = members.iter().collect::<Vec<_>>()[..] else {
        return Err(DataError::query(place, "needs one function: {\"sum\": \"amount\"}"));
    };
    let known = Function::ALL.iter().map(|function| function.as_str());
    let place = place.member(function);
    let found = Function::ALL.into_iter().find(|known| known.as_str() == &**function);
    let function = found.ok_or_else(|| unknown(&place, "function", function, known))?;
    let column = match &**text(column, &place)? {
        "*" if function == Function::Count => None,
        "*" => return Err(DataError::query(place, "only count takes \"*\"")),
        column => Some(Arc::from(column)),
    };
    Ok(Measure { name: Arc::clone(name), function, column })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Query, DataError> {
        query(&Value::from_json(json.as_bytes()).unwrap())
    }

    fn check_refused(json: &str, expected: &str) {
        let error = parse(json).map(|query| format!("{query:?}")).unwrap_err().to_string();
        assert_eq!(error, expected, "{json}");
    }

    const REFUSED: &[(&str, &str)] = &[
        ("[]", "query: expected an object, found array "),
        ("{}", "table: is missing"),
        (r#"{"table":7}"#, "table: expected a text, found number 7"),
        (
            r#"{"table":"a","operation":"selct"}"#,
            "operation: unknown operation `selct`; did you mean `select`?",
        ),
        (r#"{"table":"a","were":{}}"#, "were: unknown member `were`; did you mean `where`?"),
        (r#"{"table":"a","set":{}}"#, "set: does not go with operation select"),
        (
            r#"{"table":"a","where":{"total":{"gtt":1}}}"#,
            "where.total.gtt: unknown operator `gtt`; did you mean `gt`?",
        ),
        (r#"{"table":"a","where":{"total":{}}}"#, "where.total: names no operator; write {\"eq\": value}"),
        (
            r#"{"table":"a","where":{"id":[1]}}"#,
            "where.id: a list is not one value; write {\"id\": {\"in\": […]}}",
        ),
        (r#"{"table":"a","where":{"id":{"in":3}}}"#, "where.id.in: expected a list, found number 3"),
        (
            r#"{"table":"a","where":{"id":{"in":[1,null]}}}"#,
            "where.id.in[1]: null is in no list; use isNull beside it",
        ),
        (
            r#"{"table":"a","where":{"id":{"between":[1]}}}"#,
            "where.id.between: expected a list of two values, found array ",
        ),
        (
            r#"{"table":"a","where":{"id":{"gt":null}}}"#,
            "where.id.gt: null is neither greater, less nor contained; use isNull",
        ),
        (
            r#"{"table":"a","where":{"id":{"isNull":1}}}"#,
            "where.id.isNull: expected true or false, found number 1",
        ),
        (r#"{"table":"a","where":{"or":[]}}"#, "where.or: needs at least one condition"),
        (r#"{"table":"a","where":{"or":[{}]}}"#, "where.or[0]: is an empty condition"),
        (r#"{"table":"a","where":{"not":{}}}"#, "where.not: an empty condition cannot be negated"),
        (r#"{"table":"a","limit":5001}"#, "limit: 5001 is over ROWS_MAX = 5000"),
        (
            r#"{"table":"a","limit":-1}"#,
            "limit: expected a whole number that is not negative, found number -1",
        ),
        (
            r#"{"table":"a","limit":"1; DROP TABLE a"}"#,
            "limit: expected a whole number that is not negative, found string 1; DROP TABLE a",
        ),
        (r#"{"table":"a","offset":1,"cursor":"x"}"#, "cursor: does not go with offset"),
        (r#"{"table":"a","columns":["id","id"]}"#, "columns[1]: `id` is there twice"),
        (r#"{"table":"a","order":{"id":"up"}}"#, "order.id: unknown direction `up`; known are asc, desc"),
        (
            r#"{"table":"a","operation":"update","set":{"b":1}}"#,
            "where: is missing or empty: to update every row, say \"all\": true",
        ),
        (
            r#"{"table":"a","operation":"delete","where":{}}"#,
            "where: is missing or empty: to delete every row, say \"all\": true",
        ),
        (
            r#"{"table":"a","operation":"delete","where":{"b":1},"all":true}"#,
            "all: does not go with where: it means every row",
        ),
        (r#"{"table":"a","operation":"insert","values":[]}"#, "values: holds no row"),
        (
            r#"{"table":"a","operation":"insert","values":[{},3]}"#,
            "values[1]: expected an object with a member per column, found number 3",
        ),
        (r#"{"table":"a","where":{"__proto__":{"eq":1}}}"#, "where.__proto__: is not allowed as a key"),
        (
            r#"{"table":"a","operation":"insert","values":{"data":{"constructor":1}}}"#,
            "values.data.constructor: is not allowed as a key",
        ),
        (
            r#"{"table":"a","operation":"aggregate","aggregate":{"t":{"smu":"b"}}}"#,
            "aggregate.t.smu: unknown function `smu`; did you mean `sum`?",
        ),
        (
            r#"{"table":"a","operation":"aggregate","aggregate":{"t":{"sum":"*"}}}"#,
            "aggregate.t.sum: only count takes \"*\"",
        ),
        (r#"{"table":"a","cache":{"ttl":5}}"#, "cache.ttl: unknown member `ttl`; known are ttl_ms"),
    ];

    #[test]
    fn errors_name_the_place_the_value_and_the_nearest_name() {
        REFUSED.iter().for_each(|(json, expected)| check_refused(json, expected));
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let mut include = "{}".to_owned();
        for _ in 0..7 {
            include = format!(r#"{{"include":{{"b":{include}}}}}"#);
        }
        let json = include.replacen('{', r#"{"table":"a","#, 1);
        let place = format!("include{}", ".b.include".repeat(6));
        check_refused(&json, &format!("{place}: 7 is over INCLUDE_DEPTH_MAX = 6"));
        let filter = r#"{"not":"#.repeat(17) + r#"{"b":1}"# + &"}".repeat(17);
        let error = parse(&format!(r#"{{"table":"a","where":{filter}}}"#)).unwrap_err().to_string();
        assert!(error.ends_with("17 is over FILTER_DEPTH_MAX = 16"), "{error}");
        let deep = "[".repeat(80) + &"]".repeat(80);
        check_refused(
            &format!(r#"{{"table":"a","where":{deep}}}"#),
            "query: 65 is over QUERY_DEPTH_MAX = 64",
        );
        let long = Value::object([("table", Value::from("a".repeat(9 << 20)))]);
        assert!(query(&long).unwrap_err().to_string().ends_with("is over QUERY_BYTES_MAX = 8388608"));
        let rows = vec![Value::object([("a", Value::Null)]); 1_001];
        let insert = [("table", "a".into()), ("operation", "insert".into()), ("values", Value::array(rows))];
        let error = query(&Value::object(insert)).unwrap_err().to_string();
        assert_eq!(error, "values: 1001 is over ROWS_WRITTEN_MAX = 1000");
    }

    #[test]
    fn secrets_are_not_sent_to_the_database() {
        let filter = Value::object([("token", Value::secret("crm"))]);
        let error = query(&Value::object([("table", "a".into()), ("where", filter)])).unwrap_err();
        assert!(error.to_string().starts_with("where.token: is a secret"), "{error}");
    }

    #[test]
    fn short_and_long_forms_mean_the_same() {
        let same = |left: &str, right: &str| assert_eq!(parse(left).unwrap(), parse(right).unwrap());
        same(
            r#"{"table":"a"}"#,
            r#"{"table":"a","operation":"select","columns":"*","where":{},"limit":100}"#,
        );
        same(r#"{"table":"a","where":{"b":1}}"#, r#"{"table":"a","where":{"b":{"eq":1}}}"#);
        same(r#"{"table":"a","where":{"b":null}}"#, r#"{"table":"a","where":{"b":{"isNull":true}}}"#);
        same(
            r#"{"table":"a","where":{"b":{"neq":null}}}"#,
            r#"{"table":"a","where":{"b":{"isNull":false}}}"#,
        );
        same(r#"{"table":"a","order":"-b"}"#, r#"{"table":"a","order":[{"b":"desc"}]}"#);
        same(r#"{"table":"a","include":["b"]}"#, r#"{"table":"a","include":{"b":true,"c":false}}"#);
        same(r#"{"table":"a","include":{"b":{}}}"#, r#"{"table":"a","include":"b"}"#);
        same(
            r#"{"table":"a","operation":"upsert","values":{"b":1},"onConflict":["b"]}"#,
            r#"{"table":"a","operation":"upsert","values":[{"b":1}],"onConflict":{"columns":["b"],"update":true}}"#,
        );
    }
}
