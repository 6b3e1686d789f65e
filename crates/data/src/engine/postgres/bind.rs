//! Parameters and values in PostgreSQL's binary format.

use std::error::Error;

use bytes::BytesMut;
use flux_model::Value;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::DataError;
use crate::compile::{Form, Output, Parameter};

/// A parameter. The compiler has cast its place to the type that it is sent as.
#[derive(Debug)]
pub(super) struct Bound<'a>(pub &'a Parameter);

impl ToSql for Bound<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            Parameter::Null => Ok(IsNull::Yes),
            Parameter::Bool(value) => value.to_sql(ty, out),
            Parameter::Integer(value) => value.to_sql(ty, out),
            Parameter::Real(value) => value.to_sql(ty, out),
            Parameter::Text(text) => (&**text).to_sql(ty, out),
            Parameter::Texts(texts) => texts.iter().map(Option::as_deref).collect::<Vec<_>>().to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A value as it came.
pub(super) struct Raw<'a>(pub Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The value of a column of an answer.
pub(super) fn value(output: &Output, ty: &Type, raw: &Raw<'_>) -> Result<Value, DataError> {
    let Some(bytes) = raw.0 else { return Ok(Value::Null) };
    let unreadable = |error: Box<dyn Error + Sync + Send>| {
        DataError::database(format!("column `{}` cannot be read: {error}", output.name))
    };
    let integer = |number: i64| Value::from(number);
    let double = |number: f64| serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number);
    match *ty {
        Type::BOOL => bool::from_sql(ty, bytes).map(Value::Bool).map_err(unreadable),
        Type::INT8 => i64::from_sql(ty, bytes).map(integer).map_err(unreadable),
        Type::INT4 => i32::from_sql(ty, bytes).map(|number| integer(number.into())).map_err(unreadable),
        Type::INT2 => i16::from_sql(ty, bytes).map(|number| integer(number.into())).map_err(unreadable),
        Type::FLOAT8 => f64::from_sql(ty, bytes).map(double).map_err(unreadable),
        Type::FLOAT4 => f32::from_sql(ty, bytes).map(|number| double(shortest(number))).map_err(unreadable),
        _ if output.form == Form::Json => Value::from_json(bytes).map_err(|error| unreadable(error.into())),
        _ => std::str::from_utf8(bytes).map(Value::text).map_err(|error| unreadable(error.into())),
    }
}

/// The double that is written like the float: 0.1 and not 0.10000000149.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| f64::from(number))
}
