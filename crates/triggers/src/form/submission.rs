//! From a submitted form to the input of an execution.

use flux_model::Value;
use flux_model::value::Object;

use super::field::{Field, FieldKind};
use super::{Form, SUBMISSION_BYTES_MAX};
use crate::schema::FieldError;
use crate::urlencoded;

/// How a submission is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-www-form-urlencoded`, as a browser sends it.
    Form,
    /// JSON, as a program sends it.
    Json,
}

/// What is wrong with a submission, and what was submitted, to be shown again.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    /// The answers as far as they could be read.
    pub values: Value,
    /// What is wrong, field by field.
    pub errors: Vec<FieldError>,
}

impl Form {
    /// Reads and checks a submission. In a browser's form an empty answer is none, and an unticked
    /// box is `false`.
    ///
    /// # Errors
    /// What is wrong with it, and the answers.
    pub fn read(&self, encoding: Encoding, body: &[u8]) -> Result<Value, Rejected> {
        let reject =
            |values: Value, message: String| Rejected { values, errors: vec![FieldError::new("", message)] };
        if body.len() > SUBMISSION_BYTES_MAX {
            let message =
                format!("{} bytes are more than {SUBMISSION_BYTES_MAX} (SUBMISSION_BYTES_MAX)", body.len());
            return Err(reject(Value::Null, message));
        }
        let values = match encoding {
            Encoding::Json => Value::from_json(body)
                .map_err(|error| reject(Value::Null, format!("this is not JSON: {error}")))?,
            Encoding::Form => {
                let given = urlencoded::parse(body).map_err(|reason| reject(Value::Null, reason))?;
                self.typed(&given)
            }
        };
        let unknown = values.as_object().into_iter().flat_map(Object::keys);
        let unknown = unknown.filter(|name| !self.fields.iter().any(|field| field.name == ***name));
        let mut errors: Vec<FieldError> =
            unknown.map(|name| FieldError::new(&**name, "is not a field of this form")).collect();
        errors.extend(self.schema.check(&values).err().into_iter().flatten());
        if values.as_object().is_none() {
            errors.push(FieldError::new("", "a submission is an object"));
        }
        if errors.is_empty() { Ok(values) } else { Err(Rejected { values, errors }) }
    }

    /// The texts of a browser's form as the schema wants them. What does not convert stays a text,
    /// and the schema then says what is wrong with it.
    fn typed(&self, given: &Value) -> Value {
        let mut members = given.as_object().cloned().unwrap_or_default();
        for field in &self.fields {
            match convert(field, members.get(field.name.as_str())) {
                Some(value) => members.insert(field.name.as_str().into(), value),
                None => members.shift_remove(field.name.as_str()),
            };
        }
        Value::Object(members.into())
    }
}

fn convert(field: &Field, given: Option<&Value>) -> Option<Value> {
    let text = given.and_then(Value::as_str);
    match &field.kind {
        FieldKind::Tick => match text {
            None if given.is_none() => Some(Value::from(false)),
            Some("true" | "on") => Some(Value::from(true)),
            Some("false") => Some(Value::from(false)),
            Some(_) | None => given.cloned(),
        },
        _ if text == Some("") => None,
        FieldKind::Choice { values } => {
            let chosen = values.iter().find(|value| text.is_some() && value.as_str() == text);
            let chosen =
                chosen.or_else(|| values.iter().find(|value| Some(value.to_json().as_str()) == text));
            chosen.cloned().or_else(|| given.cloned())
        }
        FieldKind::Number { .. } => {
            let number = text.and_then(|text| serde_json::from_str::<serde_json::Number>(text.trim()).ok());
            number.map(Value::Number).or_else(|| given.cloned())
        }
        FieldKind::Line { .. } | FieldKind::Lines { .. } => given.cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::form;
    use super::*;

    fn check(encoding: Encoding, body: &str, expected: Result<&str, &[&str]>) {
        let read = form().read(encoding, body.as_bytes());
        let said = read.map(|value| value.to_json()).map_err(|rejected| rejected.errors);
        match (said, expected) {
            (Ok(json), Ok(expected)) => assert_eq!(json, expected, "{body}"),
            (Err(errors), Err(fields)) => {
                let found: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
                assert_eq!(found, fields, "{body}: {errors:?}");
            }
            (said, _) => panic!("{body}: {said:?}"),
        }
    }

    #[test]
    fn browsers_send_texts() {
        check(
            Encoding::Form,
            "name=Ada&mail=&topic=sales&count=3&price=2.5&agree=true",
            Ok(r#"{"name":"Ada","topic":"sales","count":3,"price":2.5,"agree":true}"#),
        );
        check(Encoding::Form, "", Err(&["name", "topic", "agree"]));
        check(Encoding::Form, "name=A&topic=x&agree=true&mail=no", Err(&["topic", "mail"]));
        check(Encoding::Form, "name=A&topic=sales&agree=true&count=ten", Err(&["count"]));
        check(Encoding::Form, "name=A&name=B&topic=sales&agree=true", Err(&["name"]));
        check(Encoding::Form, "name=A&topic=sales&agree=true&admin=1", Err(&["admin"]));
    }

    #[test]
    fn programs_send_json() {
        let good = r#"{"name":"Ada","topic":"sales","agree":true}"#;
        check(Encoding::Json, good, Ok(good));
        check(Encoding::Json, r#"{"name":"Ada","topic":"sales","agree":"true"}"#, Err(&["agree"]));
        check(Encoding::Json, "{", Err(&[""]));
        check(Encoding::Json, &"[".repeat(100_000), Err(&[""]));
    }

    #[test]
    fn large_submissions_are_refused() {
        let body = "a".repeat(SUBMISSION_BYTES_MAX + 1);
        let rejected = form().read(Encoding::Form, body.as_bytes()).unwrap_err();
        assert!(rejected.errors[0].message.contains("SUBMISSION_BYTES_MAX"));
    }
}
