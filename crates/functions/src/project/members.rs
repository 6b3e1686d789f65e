//! The members of one entry of `functions` in `flux.json`: what they may be, and what to say if
//! they are something else.

use std::collections::BTreeMap;

use flux_model::diagnostic::nearest;
use flux_model::limits::{DURATION_MS_MAX, RETRY_ATTEMPTS_MAX};
use serde_json::{Map, Value};

use super::{Auth, Cors, Credentials, Durability, Function, Mode, NAME_CHARS_MAX, RateLimit, Retry};
use crate::error::ProjectFault;

/// The longest a function may run, in milliseconds: one day.
const TIMEOUT_MS_MAX: u64 = 24 * 3600 * 1000;
/// The most memory a process may be given, in MiB.
const MEMORY_MB_MAX: u64 = 16 * 1024;
/// The least memory a process can live with, in MiB.
const MEMORY_MB_MIN: u64 = 64;
/// Characters of a route.
const ROUTE_CHARS_MAX: usize = 512;
const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const MEMBERS: &[&str] = &[
    "route",
    "method",
    "auth",
    "async",
    "durable",
    "timeout_ms",
    "memory_mb",
    "retry",
    "cors",
    "rate_limit",
];

/// The entries by function name.
pub(super) fn declared<'a>(
    member: Option<&'a Value>,
    faults: &mut Vec<ProjectFault>,
) -> BTreeMap<&'a str, &'a Value> {
    match member {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(Value::Object(entries)) => entries.iter().map(|(name, entry)| (name.as_str(), entry)).collect(),
        Some(other) => {
            faults.push(fault(
                "functions",
                format!("an object by function name is expected, not {}", kind(other)),
                None,
            ));
            BTreeMap::new()
        }
    }
}

/// Why a function cannot have this name.
pub(super) fn refuse_name(name: &str) -> Option<String> {
    let is_word = name.chars().next().is_some_and(|first| first.is_ascii_alphabetic())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-');
    if !is_word {
        return Some(format!(
            "`{name}` is no name of a function: letters, digits, `_` and `-`, a letter first"
        ));
    }
    (name.len() > NAME_CHARS_MAX)
        .then(|| format!("the name has {} characters, at most {NAME_CHARS_MAX} (NAME_CHARS_MAX)", name.len()))
}

/// The function `name` as its entry says.
pub(super) fn function(
    name: &str,
    file: &str,
    entry: Option<&Value>,
    faults: &mut Vec<ProjectFault>,
) -> Function {
    let empty = Map::new();
    let place = format!("functions.{name}");
    let entry = match entry {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(entry)) => entry,
        Some(other) => {
            faults.push(fault(&place, format!("an object is expected, not {}", kind(other)), None));
            &empty
        }
    };
    let mut reader = Reader { place, entry, faults };
    reader.refuse_unknown(MEMBERS);
    Function {
        name: name.to_owned(),
        file: file.to_owned(),
        route: reader.route().unwrap_or_else(|| format!("/{name}")),
        method: reader.choice("method", METHODS).unwrap_or("POST").to_owned(),
        auth: match reader.choice("auth", &["required", "none"]) {
            Some("none") => Auth::None,
            Some(_) | None => Auth::Required,
        },
        mode: if reader.flag("async") { Mode::Async } else { Mode::Sync },
        durability: if reader.flag("durable") { Durability::Durable } else { Durability::Batched },
        timeout_ms: reader.whole("timeout_ms", 1, TIMEOUT_MS_MAX),
        memory_mb: reader.whole("memory_mb", MEMORY_MB_MIN, MEMORY_MB_MAX),
        retry: reader.object("retry", &["attempts", "initial_ms", "factor", "max_ms"]).map(|mut retry| {
            Retry {
                attempts: retry
                    .whole("attempts", 1, u64::from(RETRY_ATTEMPTS_MAX))
                    .map_or(3, |attempts| attempts as u32),
                initial_ms: retry.whole("initial_ms", 0, DURATION_MS_MAX).unwrap_or(1_000),
                factor: retry.number("factor", 1.0, 100.0).unwrap_or(2.0),
                max_ms: retry.whole("max_ms", 0, DURATION_MS_MAX).unwrap_or(60_000),
            }
        }),
        cors: reader.cors(),
        rate_limit: reader.object("rate_limit", &["limit", "per_ms", "burst"]).map(|mut rate| {
            let limit = rate.required("limit", 1, 1_000_000_000);
            RateLimit {
                limit,
                per_ms: rate.whole("per_ms", 1, DURATION_MS_MAX).unwrap_or(60_000),
                burst: rate.whole("burst", 1, 1_000_000_000).unwrap_or(limit),
            }
        }),
    }
}

/// Reads members and notes what is wrong with them.
struct Reader<'a> {
    place: String,
    entry: &'a Map<String, Value>,
    faults: &'a mut Vec<ProjectFault>,
}

impl<'a> Reader<'a> {
    fn refuse_unknown(&mut self, known: &[&str]) {
        for name in self.entry.keys().filter(|name| !known.contains(&name.as_str())) {
            let near = nearest(name, known.iter().copied());
            let way_out = near.map_or_else(
                || format!("known members are {}", known.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            let place = format!("{}.{name}", self.place);
            self.faults.push(fault(&place, format!("there is no member `{name}`"), Some(way_out)));
        }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.entry.get(name).filter(|value| !value.is_null())
    }

    fn refuse(&mut self, name: &str, expected: &str, found: &Value) {
        let place = format!("{}.{name}", self.place);
        self.faults.push(fault(&place, format!("{expected} is expected, not {}", shown(found)), None));
    }

    fn flag(&mut self, name: &str) -> bool {
        match self.get(name) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                self.refuse(name, "true or false", other);
                false
            }
        }
    }

    fn whole(&mut self, name: &str, min: u64, max: u64) -> Option<u64> {
        let value = self.get(name)?;
        let number = value.as_u64().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.refuse(name, &format!("a whole number from {min} to {max}"), value);
        }
        number
    }

    fn required(&mut self, name: &str, min: u64, max: u64) -> u64 {
        if self.get(name).is_none() {
            self.refuse(name, &format!("a whole number from {min} to {max}"), &Value::Null);
        }
        self.whole(name, min, max).unwrap_or(min)
    }

    fn number(&mut self, name: &str, min: f64, max: f64) -> Option<f64> {
        let value = self.get(name)?;
        let number = value.as_f64().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.refuse(name, &format!("a number from {min} to {max}"), value);
        }
        number
    }

    fn choice(&mut self, name: &str, known: &[&'static str]) -> Option<&'static str> {
        let value = self.get(name)?;
        let given = value.as_str().unwrap_or_default();
        let found = known.iter().find(|known| **known == given).copied();
        if found.is_none() {
            let near = nearest(&given.to_ascii_uppercase(), known.iter().copied())
                .or_else(|| nearest(given, known.iter().copied()));
            let place = format!("{}.{name}", self.place);
            let message = format!("one of {} is expected, not {}", known.join(", "), shown(value));
            self.faults.push(fault(&place, message, near.map(|near| format!("did you mean `{near}`?"))));
        }
        found
    }

    fn route(&mut self) -> Option<String> {
        let value = self.get("route")?;
        let route = value.as_str().filter(|route| is_route(route));
        if route.is_none() {
            let expected = format!(
                "a path of at most {ROUTE_CHARS_MAX} characters such as `/orders/{{id}}`, without query, with whole \
                 parts in braces,"
            );
            self.refuse("route", &expected, value);
        }
        route.map(str::to_owned)
    }

    fn texts(&mut self, name: &str) -> Vec<String> {
        let Some(value) = self.get(name) else { return Vec::new() };
        let texts: Option<Vec<String>> = match value {
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        };
        if texts.is_none() {
            self.refuse(name, "a list of texts", value);
        }
        texts.unwrap_or_default()
    }

    fn object<'b>(&'b mut self, name: &str, known: &[&str]) -> Option<Reader<'b>> {
        let value = self.get(name)?;
        let Value::Object(entry) = value else {
            self.refuse(name, "an object", value);
            return None;
        };
        let mut reader = Reader { place: format!("{}.{name}", self.place), entry, faults: self.faults };
        reader.refuse_unknown(known);
        Some(reader)
    }

    fn cors(&mut self) -> Option<Cors> {
        if let Some(allowed) = self.get("cors")?.as_bool() {
            return allowed.then(Cors::any);
        }
        let mut cors = self.object("cors", &["origins", "headers", "expose", "credentials", "max_age_s"])?;
        let origins = cors.texts("origins");
        let credentials = if cors.flag("credentials") { Credentials::Allowed } else { Credentials::Omitted };
        if credentials == Credentials::Allowed && origins.iter().any(|origin| origin == "*") {
            let place = format!("{}.credentials", cors.place);
            let message = "credentials cannot be allowed for every origin (`*`)".to_owned();
            cors.faults.push(fault(&place, message, Some("list the origins".to_owned())));
        }
        Some(Cors {
            origins,
            headers: cors.texts("headers"),
            expose: cors.texts("expose"),
            credentials,
            max_age_s: cors.whole("max_age_s", 0, 86_400).unwrap_or(600),
        })
    }
}

impl Cors {
    /// Every origin, without credentials: `"cors": true`.
    fn any() -> Self {
        Self {
            origins: vec!["*".to_owned()],
            headers: vec!["*".to_owned()],
            expose: Vec::new(),
            credentials: Credentials::Omitted,
            max_age_s: 600,
        }
    }
}

fn is_route(route: &str) -> bool {
    route.len() <= ROUTE_CHARS_MAX
        && route.strip_prefix('/').is_some_and(|rest| rest.is_empty() || rest.split('/').all(is_route_part))
}

fn is_route_part(part: &str) -> bool {
    let name = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(part);
    !name.is_empty()
        && name != "."
        && name != ".."
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.~".contains(letter))
}

fn fault(place: &str, message: String, suggestion: Option<String>) -> ProjectFault {
    ProjectFault { place: format!("flux.json: {place}"), message, suggestion, code_frame: None }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Characters of a wrong value that are shown.
const SHOWN_CHARS_MAX: usize = 80;

fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text;
    }
    text.chars().take(SHOWN_CHARS_MAX).chain(['…']).collect()
}
