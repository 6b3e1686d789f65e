//! Reading paths and query strings: typed, with errors that name the parameter.

use std::borrow::Cow;
use std::str::FromStr;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use flux_store::page::PAGE_ROWS_MAX;
use flux_store::{Cursor, PageRequest};
use http::request::Parts;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use utoipa::IntoParams;

use crate::app::Shared;
use crate::body::field_problem;
use crate::problem::Problem;

/// Rows of a page where the caller does not say.
const PAGE_ROWS_DEFAULT: usize = 50;
/// Characters of a name in a path.
const NAME_CHARS_MAX: usize = 256;

/// The query string, as a struct that denies unknown fields.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Shared> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        parse(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let source = serde_urlencoded::Deserializer::new(url::form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(source)
        .map_err(|error| field_problem(&error.path().to_string(), &error.inner().to_string()))
}

/// An id or a name in the path.
#[derive(Debug)]
pub(crate) struct Named<T>(pub(crate) T);

impl<T> FromRequestParts<Shared> for Named<T>
where
    T: FromStr + Send,
    T::Err: std::fmt::Display,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Problem> {
        let text: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, app).await;
        let Ok(Path(text)) = text else { return Err(Problem::invalid("the path is not valid UTF-8")) };
        if text.chars().count() > NAME_CHARS_MAX {
            let detail =
                format!("a name in the path has more than {NAME_CHARS_MAX} characters (NAME_CHARS_MAX)");
            return Err(Problem::invalid(detail));
        }
        text.parse().map(Self).map_err(|error| Problem::invalid(error.to_string()))
    }
}

/// How many rows of a list: 1 to 200, 50 where absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) usize);

impl Default for Limit {
    fn default() -> Self {
        Self(PAGE_ROWS_DEFAULT)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = usize::deserialize(deserializer)?;
        if (1..=PAGE_ROWS_MAX).contains(&limit) {
            return Ok(Self(limit));
        }
        let message = format!("{limit} is not between 1 and {PAGE_ROWS_MAX} (PAGE_ROWS_MAX)");
        Err(D::Error::custom(message))
    }
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageCursor(pub(crate) Cursor);

impl<'de> Deserialize<'de> for PageCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// The page that a query asks for.
pub(crate) fn page(cursor: Option<PageCursor>, limit: Limit) -> PageRequest {
    PageRequest { after: cursor.map(|cursor| cursor.0), limit: limit.0 }
}

/// The query of a list without filters.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Where the page begins: `next_cursor` of the one before.
    #[param(value_type = Option<String>)]
    pub(crate) cursor: Option<PageCursor>,
    /// How many, 1 to 200; 50 where absent.
    #[serde(default)]
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200)]
    pub(crate) limit: Limit,
}

impl PageQuery {
    pub(crate) fn page(&self) -> PageRequest {
        page(self.cursor, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use flux_model::ExecutionStatus;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        status: Option<ExecutionStatus>,
        limit: Option<usize>,
    }

    fn check(query: &str, expected: Result<(Option<ExecutionStatus>, Option<usize>), &str>) {
        let read = parse::<Filter>(query).map(|filter| (filter.status, filter.limit));
        match (read, expected) {
            (Ok(read), Ok(expected)) => assert_eq!(read, expected, "{query}"),
            (Err(problem), Err(detail)) => {
                assert!(problem.detail().contains(detail), "{query}: {}", problem.detail());
            }
            (read, _) => panic!("{query}: {read:?}"),
        }
    }

    #[test]
    fn query_strings_are_typed() {
        check("", Ok((None, None)));
        check("status=failed&limit=7", Ok((Some(ExecutionStatus::Failed), Some(7))));
        check("status=fialed", Err("status: unknown variant"));
        check("limit=-1", Err("limit: invalid digit"));
        check("limt=1", Err("limt: there is no field `limt`; write `limit`"));
        check("limit=1&limit=2", Err("duplicate field"));
    }

    #[test]
    fn pages_have_bounds_and_sound_cursors() {
        let read = |query: &str| parse::<PageQuery>(query).map(|query| query.page());
        assert_eq!(read("").unwrap(), PageRequest::first(50));
        assert_eq!(read("limit=200").unwrap(), PageRequest::first(200));
        let over = read("limit=201").unwrap_err();
        assert!(over.detail().contains("limit: 201 is not between 1 and 200 (PAGE_ROWS_MAX)"), "{over:?}");
        assert!(read("limit=0").is_err());
        assert!(read("cursor=nonsense").unwrap_err().detail().contains("is not a cursor"));
        let cursor = Cursor(7);
        assert_eq!(read(&format!("cursor={cursor}")).unwrap().after, Some(cursor));
    }
}
