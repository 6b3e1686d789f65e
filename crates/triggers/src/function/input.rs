//! What a function is given of a request: its input, and what `ctx` shows of the caller.

use flux_model::Value;
use flux_model::error::ErrorCode;
use flux_model::value::Object;
use http::HeaderMap;

use super::FunctionRoute;
use crate::schema::FieldError;
use crate::urlencoded;
use crate::webhook::visible;

/// A request for a function, as received.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The method.
    pub method: &'a str,
    /// The values of the path's parameters.
    pub params: &'a [(String, String)],
    /// What follows the `?`.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a [u8],
    /// Who calls, as verified; null for nobody in particular.
    pub user: &'a Value,
}

/// Why a request cannot become the input of a function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The body is not JSON, or nests too deep.
    #[error("the body is not readable as JSON: {0}")]
    Json(String),
    /// The query has too many fields.
    #[error("the query has {0}")]
    Query(String),
    /// The input does not fit the function's schema.
    #[error("the input does not fit the function's schema: {}", list(.0))]
    Schema(Vec<FieldError>),
}

fn list(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl InputError {
    /// The public code.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Json(_) | Self::Query(_) => ErrorCode::RequestInvalid,
            Self::Schema(_) => ErrorCode::InputInvalid,
        }
    }

    /// What is wrong with which field, where a schema says so.
    pub fn fields(&self) -> &[FieldError] {
        match self {
            Self::Schema(fields) => fields,
            Self::Json(_) | Self::Query(_) => &[],
        }
    }
}

impl FunctionRoute {
    /// The trigger's output for a request: `input`, `headers` without credentials, `user`, `method`.
    ///
    /// The input is the body. Without a body it is what the query says, and where it is an object,
    /// the path's parameters are members of it.
    ///
    /// # Errors
    /// [`InputError`] if the body is no JSON or does not fit the schema.
    pub fn input(&self, call: &Call<'_>) -> Result<Value, InputError> {
        let input = match call.body {
            [] => urlencoded::parse(call.query.unwrap_or_default().as_bytes()).map_err(InputError::Query)?,
            body => Value::from_json(body).map_err(|error| InputError::Json(error.to_string()))?,
        };
        let input = with_params(input, call.params);
        if let Some(schema) = &self.schema {
            schema.check(&input).map_err(InputError::Schema)?;
        }
        Ok(Value::object([
            ("input", input),
            ("headers", visible(call.headers)),
            ("user", call.user.clone()),
            ("method", Value::from(call.method)),
        ]))
    }
}

fn with_params(input: Value, params: &[(String, String)]) -> Value {
    if params.is_empty() {
        return input;
    }
    let mut members = match &input {
        Value::Object(members) => Object::clone(members),
        Value::Null => Object::new(),
        Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Secret(_) | Value::Array(_) => {
            return input;
        }
    };
    for (name, value) in params {
        members.insert(name.as_str().into(), Value::text(value));
    }
    Value::Object(std::sync::Arc::new(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(config: &str, body: &str, query: &str, params: &[(&str, &str)]) -> Result<String, InputError> {
        let route = FunctionRoute::parse(&Value::from_json(config.as_bytes()).unwrap()).unwrap();
        let params: Vec<_> = params.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mut headers = HeaderMap::new();
        headers.insert("authorization", http::HeaderValue::from_static("Bearer secret"));
        let call = Call {
            method: "POST",
            params: &params,
            query: Some(query),
            headers: &headers,
            body: body.as_bytes(),
            user: &Value::Null,
        };
        let given = route.input(&call)?;
        assert!(!given.to_json().contains("Bearer"), "{}", given.to_json());
        Ok(given.get("input").unwrap().to_json())
    }

    #[test]
    fn the_body_is_the_input_and_parameters_join_it() {
        let route = r#"{"route": "/a/{id}"}"#;
        assert_eq!(input(route, r#"{"n":1}"#, "x=2", &[("id", "7")]).unwrap(), r#"{"n":1,"id":"7"}"#);
        assert_eq!(input(route, "", "x=2", &[("id", "7")]).unwrap(), r#"{"x":"2","id":"7"}"#);
        assert_eq!(input(route, r#"{"id":1}"#, "", &[("id", "7")]).unwrap(), r#"{"id":"7"}"#);
        assert_eq!(input(route, "[1]", "", &[("id", "7")]).unwrap(), "[1]");
        assert_eq!(input(route, "null", "", &[]).unwrap(), "null");
    }

    #[test]
    fn what_is_wrong_names_its_field() {
        let typed = r#"{"route": "/a", "input_schema": {"type": "object", "required": ["total"],
            "properties": {"total": {"type": "number"}}}}"#;
        let wrong = |body| input(typed, body, "", &[]).unwrap_err();
        assert_eq!(wrong("{}").fields()[0].field, "total");
        assert_eq!(wrong(r#"{"total":"x"}"#).code(), ErrorCode::InputInvalid);
        assert_eq!(wrong("{").code(), ErrorCode::RequestInvalid);
        assert!(matches!(wrong(&"[".repeat(100_000)), InputError::Json(_)));
        assert_eq!(input(typed, r#"{"total":3}"#, "", &[]).unwrap(), r#"{"total":3}"#);
    }
}
