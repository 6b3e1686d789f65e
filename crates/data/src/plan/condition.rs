//! Conditions with their columns found and their values checked.

use std::sync::Arc;

use flux_model::Value;

use super::Planner;
use super::access::Ground;
use crate::DataError;
use crate::context::{Access, Claims};
use crate::limits::PATTERN_BYTES_MAX;
use crate::place::Place;
use crate::query::{Filter, Op, Test};
use crate::schema::{Column, ColumnKind, Table};

/// What a claim is called in row conditions of a policy file.
const CLAIM_PREFIX: &str = "$claims.";

/// A condition on a row of one table.
#[derive(Debug, Clone)]
pub(crate) enum Condition<'a> {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Test { column: &'a Column, operand: Operand },
}

/// How a column is compared, and with what.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    Eq(Value),
    Neq(Value),
    Gt(Value),
    Gte(Value),
    Lt(Value),
    Lte(Value),
    In(Arc<Vec<Value>>),
    Nin(Arc<Vec<Value>>),
    Like(Arc<str>),
    Ilike(Arc<str>),
    IsNull,
    IsNotNull,
    Between(Value, Value),
    Contains(Value),
}

impl<'a> Condition<'a> {
    /// All of them; one stands for itself.
    pub(crate) fn all(mut conditions: Vec<Self>) -> Option<Self> {
        match conditions.len() {
            0 | 1 => conditions.pop(),
            _ => Some(Self::All(conditions)),
        }
    }

    /// The columns that must equal a value for the whole to hold.
    pub(crate) fn pinned(&self) -> Vec<&'a str> {
        match self {
            Self::All(inner) => inner.iter().flat_map(Self::pinned).collect(),
            Self::Test { column, operand: Operand::Eq(_) } => vec![&*column.name],
            Self::Test { .. } | Self::Any(_) | Self::Not(_) => Vec::new(),
        }
    }
}

/// Where the values of a condition come from.
#[derive(Clone, Copy)]
enum Trust<'c> {
    /// A client's query: every value is a value, and only readable columns count.
    Client,
    /// A policy file: `$claims.x` stands for a claim, every column counts.
    Policy(&'c Claims),
}

impl<'a> Planner<'a> {
    /// A client's condition.
    pub(super) fn condition(
        &mut self,
        filter: &Filter,
        ground: &Ground<'a>,
        place: &Place<'_>,
    ) -> Result<Condition<'a>, DataError> {
        self.resolve(filter, ground, Trust::Client, place)
    }

    /// A row condition of the policy file. Its cost is not the client's.
    pub(super) fn rule_condition(
        &self,
        filter: &Filter,
        ground: &Ground<'a>,
        place: &Place<'_>,
    ) -> Result<Condition<'a>, DataError> {
        let Access::Claims(claims) = self.scene.access else {
            return Err(DataError::forbidden(place, "a row condition needs the caller's claims"));
        };
        let mut uncounted = Planner { scene: self.scene, cost: super::cost::Cost::default() };
        uncounted.resolve(filter, ground, Trust::Policy(claims), place)
    }

    fn resolve(
        &mut self,
        filter: &Filter,
        ground: &Ground<'a>,
        trust: Trust<'_>,
        place: &Place<'_>,
    ) -> Result<Condition<'a>, DataError> {
        match filter {
            Filter::All(inner) => Ok(Condition::All(self.resolve_each(inner, ground, trust, place)?)),
            Filter::Any(inner) => Ok(Condition::Any(self.resolve_each(inner, ground, trust, place)?)),
            Filter::Not(inner) => {
                let inner = self.resolve(inner, ground, trust, &place.member("not"))?;
                Ok(Condition::Not(Box::new(inner)))
            }
            Filter::Test(test) => {
                let place = place.member(&test.column);
                let column = match trust {
                    Trust::Client => ground.readable(&test.column, &place)?,
                    Trust::Policy(_) => ground.column(&test.column, &place)?,
                };
                self.cost.test(test.value.as_array().map_or(1, <[Value]>::len));
                let value = match trust {
                    Trust::Client => test.value.clone(),
                    Trust::Policy(claims) => claimed(&test.value, claims, &place)?,
                };
                let operand = operand(test, value, ground.table, column, &place)?;
                Ok(Condition::Test { column, operand })
            }
        }
    }

    fn resolve_each(
        &mut self,
        filters: &[Filter],
        ground: &Ground<'a>,
        trust: Trust<'_>,
        place: &Place<'_>,
    ) -> Result<Vec<Condition<'a>>, DataError> {
        filters.iter().map(|filter| self.resolve(filter, ground, trust, place)).collect()
    }
}

/// The value, with claims put in. A claim that is not there lets nothing pass.
fn claimed(value: &Value, claims: &Claims, place: &Place<'_>) -> Result<Value, DataError> {
    match value {
        Value::Text(text) => match text.strip_prefix(CLAIM_PREFIX) {
            None => Ok(value.clone()),
            Some(path) => claims.get(path).cloned().ok_or_else(|| {
                DataError::forbidden(place, format!("the caller has no claim `{path}`, the policy needs it"))
            }),
        },
        Value::Array(items) => {
            items.iter().map(|item| claimed(item, claims, place)).collect::<Result<_, _>>().map(Value::array)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::Secret(_) => {
            Ok(value.clone())
        }
    }
}

fn operand(
    test: &Test,
    value: Value,
    table: &Table,
    column: &Column,
    place: &Place<'_>,
) -> Result<Operand, DataError> {
    let place = place.member(test.op.as_str());
    let checked = |value: Value| check_value(table, column, &value, &place).map(|()| value);
    let ordered = |value: Value| match column.kind.is_ordered() {
        true => checked(value),
        false => Err(unsuited(test.op, table, column, &place)),
    };
    let is_text = column.kind == ColumnKind::Text;
    match test.op {
        Op::IsNull if value.as_bool() == Some(true) => Ok(Operand::IsNull),
        Op::IsNull => Ok(Operand::IsNotNull),
        Op::Eq => ordered(value).map(Operand::Eq),
        Op::Neq => ordered(value).map(Operand::Neq),
        Op::Gt => ordered(value).map(Operand::Gt),
        Op::Gte => ordered(value).map(Operand::Gte),
        Op::Lt => ordered(value).map(Operand::Lt),
        Op::Lte => ordered(value).map(Operand::Lte),
        Op::In | Op::Nin if column.kind.is_ordered() => {
            let Value::Array(items) = value else {
                return Err(DataError::query(place, "expected a list"));
            };
            for (index, item) in items.iter().enumerate() {
                check_value(table, column, item, &place.element(index))?;
            }
            Ok(if test.op == Op::In { Operand::In(items) } else { Operand::Nin(items) })
        }
        Op::Between => match value.as_array() {
            Some([low, high]) => Ok(Operand::Between(ordered(low.clone())?, ordered(high.clone())?)),
            Some(_) | None => Err(DataError::query(place, "expected a list of two values")),
        },
        Op::Like | Op::Ilike if is_text => {
            let Value::Text(pattern) = checked(value)? else {
                return Err(DataError::query(place, "expected a text"));
            };
            if pattern.len() > PATTERN_BYTES_MAX {
                return Err(DataError::limit(place, "PATTERN_BYTES_MAX", pattern.len(), PATTERN_BYTES_MAX));
            }
            Ok(if test.op == Op::Like { Operand::Like(pattern) } else { Operand::Ilike(pattern) })
        }
        Op::Contains => contained(value, table, column, &place).map(Operand::Contains),
        Op::In | Op::Nin | Op::Like | Op::Ilike => Err(unsuited(test.op, table, column, &place)),
    }
}

fn contained(value: Value, table: &Table, column: &Column, place: &Place<'_>) -> Result<Value, DataError> {
    let is_scalar = matches!(value, Value::Bool(_) | Value::Number(_) | Value::Text(_));
    match column.kind {
        ColumnKind::Text => check_value(table, column, &value, place).map(|()| value),
        ColumnKind::Json | ColumnKind::Array if is_scalar => check_text(&value, place).map(|()| value),
        ColumnKind::Json | ColumnKind::Array => {
            Err(DataError::query(place, "expected one text, number or boolean that the list holds"))
        }
        ColumnKind::Bool
        | ColumnKind::Integer
        | ColumnKind::Real
        | ColumnKind::Decimal
        | ColumnKind::LongDecimal
        | ColumnKind::Timestamp
        | ColumnKind::Date
        | ColumnKind::Time
        | ColumnKind::Uuid
        | ColumnKind::Bytes
        | ColumnKind::Other => Err(unsuited(Op::Contains, table, column, place)),
    }
}

fn unsuited(op: Op, table: &Table, column: &Column, place: &Place<'_>) -> DataError {
    let (op, declared) = (op.as_str(), &column.declared);
    DataError::query(place, format!("`{op}` does not go with {}.{} ({declared})", table.name, column.name))
}

/// Whether a value, which may not be null, fits its column.
pub(super) fn check_value(
    table: &Table,
    column: &Column,
    value: &Value,
    place: &Place<'_>,
) -> Result<(), DataError> {
    if !column.kind.takes(value) {
        let expected = column.kind.describe();
        let found = match value {
            Value::Text(text) => {
                format!("text `{}`", text.chars().take(40).collect::<String>().escape_debug())
            }
            Value::Bool(_) | Value::Number(_) => format!("{} {}", value.type_name(), value.to_json()),
            Value::Null | Value::Array(_) | Value::Object(_) | Value::Secret(_) => {
                value.type_name().to_owned()
            }
        };
        let (table, name, declared) = (&table.name, &column.name, &column.declared);
        let message = format!("expected {expected} for {table}.{name} ({declared}), found {found}");
        return Err(DataError::query(place, message));
    }
    check_text(value, place)
}

/// PostgreSQL stores no NUL character; the other database follows, so that both behave the same.
fn check_text(value: &Value, place: &Place<'_>) -> Result<(), DataError> {
    match value {
        Value::Text(text) if text.contains('\0') => {
            Err(DataError::query(place, "holds a NUL character, which no database column takes"))
        }
        Value::Array(items) => items.iter().try_for_each(|item| check_text(item, place)),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            check_text(&Value::Text(Arc::clone(name)), place)?;
            check_text(member, place)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Secret(_) => Ok(()),
    }
}
