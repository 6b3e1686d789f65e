//! The values that flow between nodes: JSON whose parts are shared, not copied.
//!
//! Cloning a [`Value`] costs one reference count whatever its size, so a 5 MB webhook body can be
//! read by a hundred expressions without being copied. A value may also be a *secret reference*:
//! it names a project secret and carries no plaintext. Secrets never come out of deserialised
//! JSON, so outside data cannot forge one, and they serialise masked.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The members of an object, in the order they were written.
pub type Object = IndexMap<Arc<str>, Value>;

/// A JSON value, or a reference to a secret.
#[derive(Clone, PartialEq, Default)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number: 64-bit integer where it is one, else a double.
    Number(serde_json::Number),
    /// A text.
    Text(Arc<str>),
    /// An array.
    Array(Arc<Vec<Value>>),
    /// An object.
    Object(Arc<Object>),
    /// Text with secrets in it, resolved by egress and nowhere else.
    Secret(Arc<Vec<SecretPart>>),
}

/// A piece of a text that mentions secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPart {
    /// Literal text.
    Text(Arc<str>),
    /// The name of a project secret.
    Secret(Arc<str>),
}

impl Value {
    /// A text value.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(Arc::from(text.as_ref()))
    }

    /// An array value.
    pub fn array(items: Vec<Self>) -> Self {
        Self::Array(Arc::new(items))
    }

    /// An object of these members; a later one wins over an earlier one of the same name.
    pub fn object<K: AsRef<str>>(members: impl IntoIterator<Item = (K, Self)>) -> Self {
        let members = members.into_iter().map(|(name, value)| (Arc::from(name.as_ref()), value));
        Self::Object(Arc::new(members.collect()))
    }

    /// A reference to the project secret `name`.
    pub fn secret(name: &str) -> Self {
        Self::Secret(Arc::new(vec![SecretPart::Secret(Arc::from(name))]))
    }

    /// Parses JSON text.
    ///
    /// # Errors
    /// The parser's error, with line and column; nesting deeper than 128 levels is refused.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// JSON text, secrets masked.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "null".to_owned())
    }

    /// The member `name` of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_object().and_then(|members| members.get(name))
    }

    /// The element `index` of an array.
    pub fn at(&self, index: usize) -> Option<&Self> {
        self.as_array().and_then(|items| items.get(index))
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The number as a double, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        if let Self::Number(number) = self { number.as_f64() } else { None }
    }

    /// The number as an integer, if it is one and has no fraction.
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Number(number) = self { number.as_i64() } else { None }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    /// The members, if it is an object.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// What a condition makes of it: `null`, `false`, zero, the empty text, array and object are
    /// false; everything else is true.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Number(number) => number.as_f64() != Some(0.0),
            Self::Text(text) => !text.is_empty(),
            Self::Array(items) => !items.is_empty(),
            Self::Object(members) => !members.is_empty(),
            Self::Secret(_) => true,
        }
    }

    /// The name of its type, as diagnostics say it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Array(_) => "array",
            Self::Object(_) => "object",
            Self::Secret(_) => "secret",
        }
    }

    /// Whether a secret reference is anywhere inside.
    pub fn holds_secret(&self) -> bool {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => false,
            Self::Array(items) => items.iter().any(Self::holds_secret),
            Self::Object(members) => members.values().any(Self::holds_secret),
            Self::Secret(_) => true,
        }
    }

    /// About how many bytes its JSON text has; never walks further than `stop_at` bytes.
    pub fn weight(&self, stop_at: usize) -> usize {
        let mut total = 0;
        self.add_weight(&mut total, stop_at);
        total
    }

    fn add_weight(&self, total: &mut usize, stop_at: usize) {
        if *total > stop_at {
            return;
        }
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => *total += 5,
            Self::Text(text) => *total += text.len() + 2,
            Self::Array(items) => {
                *total += 2 + items.len();
                items.iter().for_each(|item| item.add_weight(total, stop_at));
            }
            Self::Object(members) => {
                *total += 2;
                for (name, value) in members.iter() {
                    *total += name.len() + 4;
                    value.add_weight(total, stop_at);
                }
            }
            Self::Secret(parts) => *total += 16 * parts.len(),
        }
    }

    /// Whether more than `max` arrays and objects are within each other. Looks no deeper than that.
    pub fn is_deeper_than(&self, max: usize) -> bool {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::Secret(_) => false,
            Self::Array(_) | Self::Object(_) if max == 0 => true,
            Self::Array(items) => items.iter().any(|item| item.is_deeper_than(max - 1)),
            Self::Object(members) => members.values().any(|member| member.is_deeper_than(max - 1)),
        }
    }

    /// How many arrays and objects are within each other: 0 for a text, 1 for a list of texts. Goes
    /// through the value level by level; to refuse one, ask [`Value::is_deeper_than`] first.
    pub fn depth<'a>(&'a self) -> usize {
        let mut depth = 0;
        let mut level = vec![self];
        loop {
            level.retain(|value| matches!(value, Self::Array(_) | Self::Object(_)));
            if level.is_empty() {
                return depth;
            }
            depth += 1;
            let parts = |value: &'a Self| {
                let members = value.as_object().into_iter().flat_map(Object::values);
                value.as_array().unwrap_or_default().iter().chain(members)
            };
            level = level.into_iter().flat_map(parts).collect();
        }
    }

    /// The value as `serde_json` has it, secrets masked.
    pub fn to_serde(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or(serde_json::Value::Null)
    }

    /// Reads a typed value out of it.
    ///
    /// # Errors
    /// Where the shape differs, with the field's name.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_value(self.to_serde())
    }

    /// The value that `source` serialises to.
    pub fn from_serialize(source: &impl Serialize) -> Self {
        serde_json::to_value(source).map_or(Self::Null, Self::from)
    }
}

/// What a text with secrets looks like wherever people can see it.
pub fn mask(parts: &[SecretPart]) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            SecretPart::Text(literal) => text.push_str(literal),
            SecretPart::Secret(name) => {
                text.push_str("[secret:");
                text.push_str(name);
                text.push(']');
            }
        }
    }
    text
}

impl fmt::Debug for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.to_json())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.to_json())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Array(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                for item in items.iter() {
                    sequence.serialize_element(item)?;
                }
                sequence.end()
            }
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members.iter() {
                    map.serialize_entry(&**name, value)?;
                }
                map.end()
            }
            Self::Secret(parts) => match parts.as_slice() {
                [SecretPart::Secret(name)] => {
                    let mut map = serializer.serialize_map(Some(1))?;
                    map.serialize_entry("$secret", &**name)?;
                    map.end()
                }
                parts => serializer.serialize_str(&mask(parts)),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Reads an optional member that is there: `null` is the value null, not the absence of a value.
/// For `deserialize_with` beside `default` and `skip_serializing_if = "Option::is_none"`.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::with_capacity(access.size_hint().unwrap_or(0).min(1024));
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Object::with_capacity(access.size_hint().unwrap_or(0).min(1024));
        while let Some((name, value)) = access.next_entry::<std::borrow::Cow<'de, str>, Value>()? {
            members.insert(Arc::from(&*name), value);
        }
        Ok(Value::Object(Arc::new(members)))
    }
}

impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::Number(number) => Self::Number(number),
            serde_json::Value::String(text) => Self::text(text),
            serde_json::Value::Array(items) => Self::array(items.into_iter().map(Self::from).collect()),
            serde_json::Value::Object(members) => {
                Self::object(members.into_iter().map(|(name, value)| (name, Self::from(value))))
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Number(value.into())
    }
}

impl schemars::JsonSchema for Value {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        true.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_round_trip(json: &str) {
        let value = Value::from_json(json.as_bytes()).unwrap();
        assert_eq!(value.to_json(), json);
    }

    #[test]
    fn json_round_trips_in_order() {
        check_round_trip(r#"{"b":1,"a":[null,true,-3,2.5,"ä\n"],"big":18446744073709551615,"o":{}}"#);
        check_round_trip("[]");
        // Every digit of a double survives: a journal that is read back must give the same values.
        check_round_trip("[-2.140873863797507e-147,1.388786224825648e+307]");
    }

    #[test]
    fn deep_nesting_is_refused() {
        let bomb = "[".repeat(100_000);
        assert!(Value::from_json(bomb.as_bytes()).is_err());
    }

    #[test]
    fn secrets_are_masked_and_cannot_be_forged() {
        let text = Value::Secret(Arc::new(vec![
            SecretPart::Text("Bearer ".into()),
            SecretPart::Secret("token".into()),
        ]));
        assert_eq!(text.to_json(), r#""Bearer [secret:token]""#);
        assert_eq!(Value::secret("token").to_json(), r#"{"$secret":"token"}"#);
        let forged = Value::from_json(br#"{"$secret":"token"}"#).unwrap();
        assert!(!forged.holds_secret() && Value::secret("token").holds_secret());
    }

    #[test]
    fn depth_counts_arrays_and_objects_within_each_other() {
        let check = |json: &str, depth: usize| {
            let value = Value::from_json(json.as_bytes()).unwrap();
            assert_eq!(value.depth(), depth, "{json}");
            assert!(!value.is_deeper_than(depth), "{json}");
            assert_eq!(value.is_deeper_than(depth.saturating_sub(1)), depth > 0, "{json}");
        };
        check("1", 0);
        check(r#""[[]]""#, 0);
        check("[]", 1);
        check(r#"{"a": [1, 2], "b": 3}"#, 2);
        check(r#"[1, {"a": {}}, [[]], 2]"#, 3);
        check(&format!("{}{}", "[".repeat(127), "]".repeat(127)), 127);
    }

    #[test]
    fn weight_stops_early() {
        let big = Value::array(vec![Value::text("x".repeat(1000)); 1000]);
        assert!(big.weight(usize::MAX) > 1_000_000);
        assert!(big.weight(5_000) < 10_000);
    }
}
