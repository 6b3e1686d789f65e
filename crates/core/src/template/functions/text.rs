//! Functions over texts. Lengths and positions count characters, not bytes.

use std::sync::Arc;

use flux_model::value::Value;

use super::{Call, Doc, Function, Manner, array};
use crate::template::error::TemplateError;
use crate::template::meter::{MEMBER_BYTES, check_output};

pub(super) const TABLE: &[Function] = &[
    Function::new("upper", "text", Doc("In capital letters.", "upper(\"ada\")", "\"ADA\""), |call| {
        Ok(Value::text(call.text(0)?.to_uppercase()))
    }),
    Function::new("lower", "text", Doc("In small letters.", "\"Ada\" | lower", "\"ada\""), |call| {
        Ok(Value::text(call.text(0)?.to_lowercase()))
    }),
    Function::new(
        "capitalize",
        "text",
        Doc("The first letter as capital, the rest small.", "capitalize(\"aDA\")", "\"Ada\""),
        |call| Ok(Value::text(capitalized(&call.text(0)?))),
    ),
    Function::new(
        "title",
        "text",
        Doc("Each word capitalized.", "title(\"ada lovelace\")", "\"Ada Lovelace\""),
        |call| {
            Ok(Value::text(
                call.text(0)?.split_inclusive(char::is_whitespace).map(capitalized).collect::<String>(),
            ))
        },
    ),
    Function::new(
        "trim",
        "text, characters?",
        Doc("Without white space, or these characters, at both ends.", "trim(\"  ada \")", "\"ada\""),
        trim,
    ),
    Function::new(
        "replace",
        "text, from, to",
        Doc(
            "Every occurrence of one text replaced by another.",
            "replace(\"a-b-c\", \"-\", \"+\")",
            "\"a+b+c\"",
        ),
        replace,
    ),
    Function::new(
        "split",
        "text, separator, limit?",
        Doc(
            "The pieces between the separators, at most `limit` of them.",
            "split(\"a,b,c\", \",\")",
            "[\"a\",\"b\",\"c\"]",
        ),
        split,
    ),
    Function::new(
        "join",
        "items, separator?",
        Doc("The elements of an array as one text.", "[1, 2, 3] | join(\", \")", "\"1, 2, 3\""),
        join,
    ),
    Function::new(
        "concat",
        "values…",
        Doc("Texts or arrays one behind the other.", "concat(\"a\", 1)", "\"a1\""),
        concat,
    )
    .treating(Manner::Total),
    Function::new(
        "slice",
        "value, from, to?",
        Doc(
            "Part of a text or array; `to` is not included, negative positions count from the end.",
            "slice(\"invoice-17\", -2)",
            "\"17\"",
        ),
        slice,
    ),
    Function::new(
        "len",
        "value",
        Doc("Characters of a text, elements of an array, members of an object.", "len(\"größe\")", "5"),
        length,
    ),
    Function::new(
        "starts_with",
        "text, start",
        Doc("Whether the text starts so.", "starts_with(\"invoice\", \"in\")", "true"),
        |call| Ok(Value::Bool(call.text(0)?.starts_with(&*call.text(1)?))),
    ),
    Function::new(
        "ends_with",
        "text, end",
        Doc("Whether the text ends so.", "ends_with(\"a.pdf\", \".pdf\")", "true"),
        |call| Ok(Value::Bool(call.text(0)?.ends_with(&*call.text(1)?))),
    ),
    Function::new(
        "truncate",
        "text, length, end?",
        Doc(
            "At most so many characters; what is cut off is marked by `end`, `…` where not given.",
            "truncate(\"a long story\", 7)",
            "\"a long…\"",
        ),
        truncate,
    ),
    Function::new(
        "pad_start",
        "text, length, fill?",
        Doc(
            "Filled up at the start to so many characters, with spaces where not given.",
            "pad_start(7, 3, \"0\")",
            "\"007\"",
        ),
        |call| pad(call, |fill, text| format!("{fill}{text}")),
    ),
    Function::new(
        "pad_end",
        "text, length, fill?",
        Doc("Filled up at the end to so many characters.", "pad_end(\"ab\", 4, \".\")", "\"ab..\""),
        |call| pad(call, |fill, text| format!("{text}{fill}")),
    ),
    Function::new(
        "repeat",
        "text, count",
        Doc("The text so many times.", "repeat(\"ab\", 3)", "\"ababab\""),
        |call| {
            let text = call.text(0)?;
            let count = call.count(1)?;
            check_output(text.len().saturating_mul(count))?;
            Ok(Value::text(text.repeat(count)))
        },
    ),
];

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars.flat_map(char::to_lowercase)).collect()
    })
}

fn trim(call: &Call<'_>) -> Result<Value, TemplateError> {
    let text = call.text(0)?;
    if !call.has(1) {
        return Ok(Value::text(text.trim()));
    }
    let characters = call.text(1)?;
    call.meter().read(text.len().saturating_mul(characters.len()))?;
    Ok(Value::text(text.trim_matches(|c| characters.contains(c))))
}

fn replace(call: &Call<'_>) -> Result<Value, TemplateError> {
    let (text, from, to) = (call.text(0)?, call.text(1)?, call.text(2)?);
    if from.is_empty() {
        return Err(call.error("`from` is empty; there is nothing to look for"));
    }
    let found = text.matches(&*from).count();
    check_output((text.len() - found * from.len()).saturating_add(found.saturating_mul(to.len())))?;
    Ok(Value::text(text.replace(&*from, &to)))
}

fn split(call: &Call<'_>) -> Result<Value, TemplateError> {
    let (text, separator) = (call.text(0)?, call.text(1)?);
    if separator.is_empty() {
        return Err(call.error("`separator` is empty"));
    }
    let limit = if call.has(2) { call.count(2)?.max(1) } else { usize::MAX };
    let mut pieces = Vec::new();
    for piece in text.splitn(limit, &*separator) {
        call.meter().steps(1)?;
        call.meter().made(piece.len() + MEMBER_BYTES)?;
        pieces.push(Value::text(piece));
    }
    Ok(Value::array(pieces))
}

fn join(call: &Call<'_>) -> Result<Value, TemplateError> {
    let separator = call.text_or(1, "")?;
    let mut joined = call.builder();
    for (number, item) in call.elements(0)?.iter().enumerate() {
        joined.push(if number == 0 { "" } else { &separator })?;
        joined.push_value(item)?;
    }
    Ok(joined.value())
}

fn concat(call: &Call<'_>) -> Result<Value, TemplateError> {
    if call.args.iter().any(|arg| arg.as_array().is_some()) {
        return array::concat_arrays(call);
    }
    let mut joined = call.builder();
    call.args.iter().try_for_each(|part| joined.push_value(part))?;
    Ok(joined.value())
}

/// The part of a text or array between two positions; also what `value[from:to]` means.
pub(super) fn slice(call: &Call<'_>) -> Result<Value, TemplateError> {
    match call.value(0) {
        Value::Null => Ok(Value::Null),
        Value::Text(text) => {
            let (from, count) = range(call, text.chars().count())?;
            Ok(Value::text(text.chars().skip(from).take(count).collect::<String>()))
        }
        Value::Array(items) => {
            let (from, count) = range(call, items.len())?;
            call.meter().steps(count)?;
            Ok(Value::array(items[from..from + count].to_vec()))
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) | Value::Secret(_) => {
            Err(call.wrong_type(0, "a string or an array"))
        }
    }
}

fn range(call: &Call<'_>, length: usize) -> Result<(usize, usize), TemplateError> {
    let position = |index: i64| {
        let distance = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
        if index < 0 { length.saturating_sub(distance) } else { distance.min(length) }
    };
    let from = position(call.integer_or(1, 0)?);
    let to = if call.has(2) { position(call.integer(2)?) } else { length };
    Ok((from, to.saturating_sub(from)))
}

fn length(call: &Call<'_>) -> Result<Value, TemplateError> {
    let length = match call.value(0) {
        Value::Text(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Secret(_) => {
            return Err(call.wrong_type(0, "a string, an array or an object"));
        }
    };
    Ok(Value::from(length as u64))
}

fn truncate(call: &Call<'_>) -> Result<Value, TemplateError> {
    let (text, length) = (call.text(0)?, call.count(1)?);
    if text.chars().count() <= length {
        return Ok(Value::text(text));
    }
    let end = call.text_or(2, "…")?;
    let kept = length.saturating_sub(end.chars().count());
    Ok(Value::text(text.chars().take(kept).chain(end.chars()).take(length).collect::<String>()))
}

fn pad(call: &Call<'_>, place: fn(&str, &str) -> String) -> Result<Value, TemplateError> {
    let (text, length) = (call.text(0)?, call.count(1)?);
    let fill = call.text_or(2, " ")?;
    if fill.is_empty() {
        return Err(call.error("`fill` is empty"));
    }
    let missing = length.saturating_sub(text.chars().count());
    check_output(missing.saturating_mul(4).saturating_add(text.len()))?;
    let fill: String = fill.chars().cycle().take(missing).collect();
    Ok(Value::Text(Arc::from(place(&fill, &text))))
}
