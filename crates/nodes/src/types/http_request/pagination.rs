//! Asking for page after page, until there are no more or a bound is reached.
//!
//! A server says where the next page is, so it could lead anywhere: a link is only followed to the
//! scheme, host and port that the config names. More pages or items than allowed are a failure and
//! never a silently shortened list.

use flux_egress::{Request, Response};
use flux_model::error::Failure;
use flux_model::journal::LogLevel;
use flux_model::limits::{ELEMENTS_MAX, VALUE_BYTES_MAX};
use flux_model::{ErrorCode, Value};
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::config::Config;
use super::judge;
use super::text::written;
use crate::attempt::{Attempt, Sent};

/// Pages that are asked for where the config does not say.
const PAGES_MAX_DEFAULT: u32 = 100;
/// Pages that a config may allow.
const PAGES_MAX: u32 = 1_000;
/// What a masked secret in an answer starts with.
const MASK_START: &str = "[secret:";

/// How to ask for further pages.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Pagination {
    /// The answer holds a link to the next page.
    NextLink {
        /// Where the link is in the body, as a dotted path. The header `Link` with `rel="next"`
        /// where absent.
        #[serde(default)]
        link: Option<String>,
        /// Where the array of items is in the body, as a dotted path. The body itself where absent.
        #[serde(default)]
        items: Option<String>,
        /// How many pages there may be. 100 where absent, at most 1000.
        #[serde(default)]
        pages_max: Option<u32>,
    },
    /// The answer holds a mark that the next request repeats.
    Cursor {
        /// Where the mark is in the body, as a dotted path. The last page has none.
        cursor: String,
        /// The parameter of the URL that repeats it.
        parameter: String,
        /// Where the array of items is in the body, as a dotted path. The body itself where absent.
        #[serde(default)]
        items: Option<String>,
        /// How many pages there may be. 100 where absent, at most 1000.
        #[serde(default)]
        pages_max: Option<u32>,
    },
    /// Pages are numbered; the first empty one is behind the last.
    Page {
        /// The parameter of the URL. `page` where absent.
        #[serde(default)]
        parameter: Option<String>,
        /// The number of the first page. 1 where absent.
        #[serde(default)]
        first: Option<u64>,
        /// Where the array of items is in the body, as a dotted path. The body itself where absent.
        #[serde(default)]
        items: Option<String>,
        /// How many pages there may be. 100 where absent, at most 1000.
        #[serde(default)]
        pages_max: Option<u32>,
    },
    /// Items are numbered; a page with fewer than asked for is the last.
    Offset {
        /// The parameter of the URL that says how many items to skip. `offset` where absent.
        #[serde(default)]
        parameter: Option<String>,
        /// The parameter of the URL that says how many items to give. `limit` where absent.
        #[serde(default)]
        limit_parameter: Option<String>,
        /// How many items to ask for at a time.
        #[schemars(range(min = 1))]
        limit: u64,
        /// Where the array of items is in the body, as a dotted path. The body itself where absent.
        #[serde(default)]
        items: Option<String>,
        /// How many pages there may be. 100 where absent, at most 1000.
        #[serde(default)]
        pages_max: Option<u32>,
    },
}

/// Asks for every page. The answer is the last one with the items of all of them as its body.
pub(super) async fn run(
    pagination: &Pagination,
    config: &Config,
    first: Request,
    attempt: &Attempt<'_>,
) -> Result<Response, Failure> {
    let pages_max = pagination.pages_max()?;
    let mut items: Vec<Value> = Vec::new();
    let mut weight = 0;
    let mut request = pagination.first(&first);
    for page in 1..=pages_max {
        let sent = judge(config, attempt.send(&request).await?)?;
        let found = pagination.items_of(&sent)?;
        weight += found.iter().map(|item| item.weight(VALUE_BYTES_MAX)).sum::<usize>();
        items.extend_from_slice(found);
        check_size(items.len(), weight, sent.call)?;
        let Some(mut next) = pagination.next(&first, &sent, found.len(), items.len())? else {
            attempt.log(LogLevel::Info, format!("{} items on {page} pages", items.len()));
            return Ok(Response { body: Value::array(items), ..sent.response });
        };
        // Each page is a request of its own, and the same one in every attempt.
        next.idempotency_key = first.idempotency_key.as_ref().map(|key| format!("{key}/page-{}", page + 1));
        request = next;
    }
    let message = format!(
        "there are more than {pages_max} pages; raise `pagination.pages_max` (at most {PAGES_MAX}) or narrow the request"
    );
    Err(Failure::permanent(ErrorCode::EgressLimit, message))
}

impl Pagination {
    fn pages_max(&self) -> Result<u32, Failure> {
        let (Self::NextLink { pages_max, .. }
        | Self::Cursor { pages_max, .. }
        | Self::Page { pages_max, .. }
        | Self::Offset { pages_max, .. }) = self;
        match pages_max.unwrap_or(PAGES_MAX_DEFAULT) {
            given @ 1..=PAGES_MAX => Ok(given),
            given => {
                let message =
                    format!("config.pagination.pages_max is {given}; it is between 1 and {PAGES_MAX}");
                Err(Failure::permanent(ErrorCode::NodeConfig, message))
            }
        }
    }

    /// The request for the first page.
    fn first(&self, request: &Request) -> Request {
        match self {
            Self::NextLink { .. } | Self::Cursor { .. } => request.clone(),
            Self::Page { parameter, first, .. } => {
                with(request, &[(name(parameter, "page"), first.unwrap_or(1).to_string())])
            }
            Self::Offset { .. } => self.skipping(request, 0),
        }
    }

    /// The request for the page after `sent`, which had `count` items, `total` with the earlier
    /// ones; `None` after the last.
    fn next(
        &self,
        first: &Request,
        sent: &Sent,
        count: usize,
        total: usize,
    ) -> Result<Option<Request>, Failure> {
        let body = &sent.response.body;
        Ok(match self {
            Self::NextLink { link, .. } => {
                let link = match link {
                    Some(path) => at(body, path).and_then(written),
                    None => sent.response.header("link").and_then(next_in_header),
                };
                link.filter(|link| !link.is_empty()).map(|link| follow(first, sent, &link)).transpose()?
            }
            Self::Cursor { cursor, parameter, .. } => {
                let mark =
                    at(body, cursor).and_then(written).filter(|mark| !mark.is_empty() && mark != "false");
                mark.map(|mark| with(first, &[(parameter, mark)]))
            }
            Self::Page { .. } if count == 0 => None,
            Self::Page { parameter, first: start, .. } => {
                let number = start.unwrap_or(1) + u64::from(sent.call) + 1;
                Some(with(first, &[(name(parameter, "page"), number.to_string())]))
            }
            Self::Offset { limit, .. } if count == 0 || (count as u64) < *limit => None,
            Self::Offset { .. } => Some(self.skipping(first, total)),
        })
    }

    fn skipping(&self, request: &Request, skip: usize) -> Request {
        match self {
            Self::Offset { parameter, limit_parameter, limit, .. } => with(
                request,
                &[
                    (name(parameter, "offset"), skip.to_string()),
                    (name(limit_parameter, "limit"), limit.to_string()),
                ],
            ),
            Self::NextLink { .. } | Self::Cursor { .. } | Self::Page { .. } => request.clone(),
        }
    }

    fn items_of<'s>(&self, sent: &'s Sent) -> Result<&'s [Value], Failure> {
        let (Self::NextLink { items, .. }
        | Self::Cursor { items, .. }
        | Self::Page { items, .. }
        | Self::Offset { items, .. }) = self;
        let place = items.as_deref().unwrap_or_default();
        let found = if place.is_empty() { Some(&sent.response.body) } else { at(&sent.response.body, place) };
        found.and_then(Value::as_array).ok_or_else(|| {
            let given = found.map_or("nothing", Value::type_name);
            let path = if place.is_empty() { String::new() } else { format!(".{place}") };
            let message = format!(
                "the answer has no array of items at `body{path}` but {given}; say where it is with `pagination.items`"
            );
            Failure { call: Some(sent.call), ..Failure::permanent(ErrorCode::HttpResponse, message) }
        })
    }
}

fn check_size(count: usize, weight: usize, call: u32) -> Result<(), Failure> {
    let message = if count > ELEMENTS_MAX {
        format!("the pages hold {count} items or more; at most {ELEMENTS_MAX} are allowed (ELEMENTS_MAX)")
    } else if weight > VALUE_BYTES_MAX {
        format!(
            "the pages hold {weight} bytes or more; at most {VALUE_BYTES_MAX} are allowed (VALUE_BYTES_MAX)"
        )
    } else {
        return Ok(());
    };
    Err(Failure { call: Some(call), ..Failure::permanent(ErrorCode::EgressLimit, message) })
}

fn name<'a>(given: &'a Option<String>, default: &'a str) -> &'a str {
    given.as_deref().unwrap_or(default)
}

/// The request with these parameters, in place of what its own of the same names say.
fn with(request: &Request, parameters: &[(&str, String)]) -> Request {
    let replaced = |name: &str| parameters.iter().any(|(given, _)| *given == name);
    let mut request = request.clone();
    if let Ok(mut url) = Url::parse(&request.url) {
        drop_parameters(&mut url, |name, _| replaced(name));
        request.url = url.into();
    }
    request.query.retain(|(name, _)| !replaced(name));
    request.query.extend(parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    request
}

/// The request for a link that the answer gave. The link is complete, so the parameters of the
/// config are not added again, except where the answer shows a secret among them masked.
fn follow(first: &Request, sent: &Sent, link: &str) -> Result<Request, Failure> {
    let refuse = |code, message| Err(Failure { call: Some(sent.call), ..Failure::permanent(code, message) });
    let Some(mut url) = Url::parse(&sent.response.url).and_then(|base| base.join(link)).ok() else {
        return refuse(ErrorCode::HttpResponse, format!("the link to the next page, `{link}`, is not a URL"));
    };
    let home = Url::parse(&first.url).map(|home| home.origin());
    if home.as_ref() != Ok(&url.origin()) {
        let there = url.origin().ascii_serialization();
        let here = home.map_or_else(|_| first.url.clone(), |home| home.ascii_serialization());
        let message = format!("the link to the next page leads from {here} to {there}; it is not followed");
        return refuse(ErrorCode::EgressRefused, message);
    }
    if url.path().contains(MASK_START) {
        let message =
            "the link to the next page repeats a secret in its path; such a link cannot be followed";
        return refuse(ErrorCode::HttpResponse, message.to_owned());
    }
    let masked = |value: &str| value.contains(MASK_START);
    let pairs = url.query_pairs().filter(|(_, value)| masked(value));
    let lost: Vec<String> = pairs.map(|(name, _)| name.into_owned()).collect();
    let own = match &first.auth {
        flux_egress::Auth::Query { name, .. } => Some(name.as_str()),
        flux_egress::Auth::None
        | flux_egress::Auth::Bearer { .. }
        | flux_egress::Auth::Basic { .. }
        | flux_egress::Auth::Header { .. } => None,
    };
    drop_parameters(&mut url, |name, value| masked(value) || own == Some(name));
    let query = first.query.iter().filter(|(name, _)| lost.contains(name)).cloned().collect();
    Ok(Request { url: url.into(), query, ..first.clone() })
}

/// Leaves the URL as it is written unless there is something to drop.
fn drop_parameters(url: &mut Url, unwanted: impl Fn(&str, &str) -> bool) {
    let (dropped, kept): (Vec<_>, Vec<_>) =
        url.query_pairs().into_owned().partition(|(name, value)| unwanted(name, value));
    if !dropped.is_empty() {
        url.query_pairs_mut().clear().extend_pairs(kept);
    }
}

/// The target of `rel="next"` in a `Link` header (RFC 8288).
fn next_in_header(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, after) = after.split_once('>')?;
        let parameters = after.split_once('<').map_or(after, |(before, _)| before);
        let is_next =
            parameters.split([';', ',']).filter_map(|one| one.split_once('=')).any(|(name, value)| {
                let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
                name.trim().eq_ignore_ascii_case("rel")
                    && relations.any(|one| one.eq_ignore_ascii_case("next"))
            });
        if is_next {
            return Some(target.to_owned());
        }
        rest = after;
    }
    None
}

/// The value at a dotted path; a number is an index where there is an array.
fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, part| {
        value.get(part).or_else(|| part.parse().ok().and_then(|index| value.at(index)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_headers_are_read() {
        let check = |header: &str, expected: Option<&str>| {
            assert_eq!(next_in_header(header).as_deref(), expected, "{header}");
        };
        check(r#"<https://a/?p=2>; rel="next", <https://a/?p=9>; rel="last""#, Some("https://a/?p=2"));
        check(r#"<https://a/?p=1>; rel="prev", </b,c?p=3>; title="x"; rel=next"#, Some("/b,c?p=3"));
        check(r#"<https://a>; rel="first Next""#, Some("https://a"));
        check(r#"<https://a>; rel="nexty""#, None);
        check("<https://a", None);
        check("", None);
    }

    #[test]
    fn paths_lead_through_objects_and_arrays() {
        let value = Value::from_json(br#"{"a":[{"b":1}],"0":2}"#).unwrap();
        assert_eq!(at(&value, "a.0.b"), Some(&Value::from(1i64)));
        assert_eq!(at(&value, "0"), Some(&Value::from(2i64)));
        assert_eq!(at(&value, "a.b"), None);
    }
}
