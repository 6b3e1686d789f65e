//! What the values of a column are, in both databases' words.

use flux_model::Value;

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// True or false.
    Bool,
    /// A whole number of 64 bits or fewer.
    Integer,
    /// A double.
    Real,
    /// A decimal that a double holds exactly (up to 15 digits), or SQLite's NUMERIC.
    Decimal,
    /// A decimal of more digits; it travels as text, so that no digit is lost.
    LongDecimal,
    /// Text.
    Text,
    /// JSON.
    Json,
    /// A date and time, as ISO 8601 text.
    Timestamp,
    /// A date, as ISO 8601 text.
    Date,
    /// A time of day, as ISO 8601 text.
    Time,
    /// A UUID, as text.
    Uuid,
    /// Bytes, as lower-case hexadecimal text.
    Bytes,
    /// An array of simple values (PostgreSQL).
    Array,
    /// Something else, as the database writes it as text.
    Other,
}

/// Digits that a double holds exactly.
const EXACT_DIGITS_MAX: i32 = 15;

impl ColumnKind {
    /// The kind of a declared type of SQLite, which accepts any word. The order is that of SQLite's own
    /// rules of affinity, with the words it knows nothing about before them.
    pub(crate) fn of_sqlite(declared: &str) -> Self {
        let word = declared.to_ascii_uppercase();
        let has = |part: &str| word.contains(part);
        match word.split('(').next().unwrap_or_default().trim() {
            "BOOLEAN" | "BOOL" => Self::Bool,
            "JSON" | "JSONB" => Self::Json,
            "UUID" => Self::Uuid,
            "DATE" => Self::Date,
            "TIME" => Self::Time,
            "DATETIME" | "TIMESTAMP" | "TIMESTAMPTZ" => Self::Timestamp,
            _ if has("INT") => Self::Integer,
            _ if has("CHAR") || has("CLOB") || has("TEXT") => Self::Text,
            _ if has("BLOB") || word == "BYTEA" => Self::Bytes,
            _ if has("REAL") || has("FLOA") || has("DOUB") => Self::Real,
            _ if has("NUMERIC") || has("DECIMAL") => Self::Decimal,
            _ => Self::Other,
        }
    }

    /// The kind of a type of PostgreSQL: its name in the catalog, its category, and for `numeric` the
    /// number of digits.
    pub(crate) fn of_postgres(name: &str, category: &str, digits: Option<i32>) -> Self {
        match name {
            "bool" => Self::Bool,
            "int2" | "int4" | "int8" => Self::Integer,
            "float4" | "float8" => Self::Real,
            "numeric" if digits.is_some_and(|digits| digits <= EXACT_DIGITS_MAX) => Self::Decimal,
            "numeric" => Self::LongDecimal,
            "text" | "varchar" | "bpchar" | "name" | "citext" => Self::Text,
            "json" | "jsonb" => Self::Json,
            "timestamptz" | "timestamp" => Self::Timestamp,
            "date" => Self::Date,
            "time" | "timetz" => Self::Time,
            "uuid" => Self::Uuid,
            "bytea" => Self::Bytes,
            _ if category == "A" => Self::Array,
            _ => Self::Other,
        }
    }

    /// What a value of it is called in errors.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Integer => "a whole number",
            Self::Real | Self::Decimal => "a number",
            Self::LongDecimal => "a number, or its digits as text",
            Self::Text => "a text",
            Self::Json => "JSON",
            Self::Timestamp => "a date and time as text",
            Self::Date => "a date as text",
            Self::Time => "a time of day as text",
            Self::Uuid => "a UUID as text",
            Self::Bytes => "bytes as hexadecimal text",
            Self::Array => "a list of texts, numbers or booleans",
            Self::Other => "a text, number or boolean",
        }
    }

    /// The type in TypeScript.
    pub(crate) const fn typescript(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Integer | Self::Real | Self::Decimal => "number",
            Self::LongDecimal
            | Self::Text
            | Self::Timestamp
            | Self::Date
            | Self::Time
            | Self::Uuid
            | Self::Bytes => "string",
            Self::Json => "Json",
            Self::Array => "Json[]",
            Self::Other => "string | number | boolean",
        }
    }

    /// Whether a value, which is not null, can be one of this kind. What only the database can judge,
    /// such as whether a text is a date, is left to it.
    pub(crate) fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Secret(_)) => false,
            (Self::Json, _) => true,
            (Self::Bool, Value::Bool(_)) => true,
            (Self::Integer, Value::Number(number)) => number.as_i64().is_some() || is_whole(number),
            (Self::Real | Self::Decimal | Self::LongDecimal, Value::Number(_)) => true,
            (Self::LongDecimal, Value::Text(text)) => is_decimal(text),
            (Self::Text | Self::Timestamp | Self::Date | Self::Time | Self::Uuid, Value::Text(_)) => true,
            (Self::Bytes, Value::Text(text)) => {
                text.len() % 2 == 0 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
            }
            (Self::Array, Value::Array(items)) => items
                .iter()
                .all(|item| !matches!(item, Value::Array(_) | Value::Object(_) | Value::Secret(_))),
            (Self::Other, Value::Text(_) | Value::Number(_) | Value::Bool(_)) => true,
            (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_)) => false,
            (_, Value::Array(_) | Value::Object(_)) => false,
        }
    }

    /// Whether values can be compared and sorted.
    pub(crate) const fn is_ordered(self) -> bool {
        !matches!(self, Self::Json | Self::Array)
    }

    /// Whether values can be added up.
    pub(crate) const fn is_number(self) -> bool {
        matches!(self, Self::Integer | Self::Real | Self::Decimal | Self::LongDecimal)
    }
}

/// A double without fraction that fits into 64 bits exactly.
fn is_whole(number: &serde_json::Number) -> bool {
    number.as_f64().is_some_and(|double| double.fract() == 0.0 && double.abs() <= 9_007_199_254_740_992.0)
}

/// An optional sign, digits, at most one point.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_made_of_digits = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_made_of_digits && digits.bytes().any(|byte| byte.is_ascii_digit()) && digits.matches('.').count() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_have_a_kind() {
        for (declared, kind) in [
            ("INTEGER", ColumnKind::Integer),
            ("bigint", ColumnKind::Integer),
            ("VARCHAR(20)", ColumnKind::Text),
            ("boolean", ColumnKind::Bool),
            ("DATETIME", ColumnKind::Timestamp),
            ("DECIMAL(10,2)", ColumnKind::Decimal),
            ("double precision", ColumnKind::Real),
            ("json", ColumnKind::Json),
            ("BLOB", ColumnKind::Bytes),
            ("", ColumnKind::Other),
        ] {
            assert_eq!(ColumnKind::of_sqlite(declared), kind, "{declared}");
        }
        assert_eq!(ColumnKind::of_postgres("numeric", "N", Some(12)), ColumnKind::Decimal);
        assert_eq!(ColumnKind::of_postgres("numeric", "N", None), ColumnKind::LongDecimal);
        assert_eq!(ColumnKind::of_postgres("_text", "A", None), ColumnKind::Array);
        assert_eq!(ColumnKind::of_postgres("mood", "E", None), ColumnKind::Other);
    }

    #[test]
    fn kinds_take_what_they_hold() {
        let check = |kind: ColumnKind, json: &str, taken: bool| {
            let value = Value::from_json(json.as_bytes()).unwrap();
            assert_eq!(kind.takes(&value), taken, "{kind:?} {json}");
        };
        check(ColumnKind::Integer, "1", true);
        check(ColumnKind::Integer, "1.0", true);
        check(ColumnKind::Integer, "1.5", false);
        check(ColumnKind::Integer, "18446744073709551615", false);
        check(ColumnKind::Integer, "\"1\"", false);
        check(ColumnKind::Bool, "1", false);
        check(ColumnKind::Text, "1", false);
        check(ColumnKind::LongDecimal, "\"12.50\"", true);
        check(ColumnKind::LongDecimal, "\"1e5\"", false);
        check(ColumnKind::LongDecimal, "\".\"", false);
        check(ColumnKind::Bytes, "\"00ff\"", true);
        check(ColumnKind::Bytes, "\"0\"", false);
        check(ColumnKind::Json, "{\"a\":[1]}", true);
        check(ColumnKind::Array, "[1,\"a\",null]", true);
        check(ColumnKind::Array, "[[1]]", false);
        check(ColumnKind::Other, "{}", false);
    }
}
