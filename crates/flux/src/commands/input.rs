//! JSON that is given on the command line: as text, as `@file`, or as `-` for standard input.

use std::io::Read;

use serde_json::Value;

use crate::error::CommandError;

/// Reads the JSON that `given` means; `option` names where it was given.
pub(crate) fn json(option: &str, given: &str) -> Result<Value, CommandError> {
    let text = text(option, given)?;
    serde_json::from_str(&text).map_err(|error| {
        let hint = "give JSON, `@file` or `-` for standard input; a text needs its quotes: '\"text\"'";
        CommandError::usage(format!("{option}: not JSON: {error}")).hint(hint)
    })
}

/// Reads the text that `given` means.
fn text(option: &str, given: &str) -> Result<String, CommandError> {
    let unreadable = |what: &str, error: std::io::Error| {
        CommandError::usage(format!("{option}: {what} cannot be read: {error}"))
    };
    match (given, given.strip_prefix('@')) {
        ("-", _) => std::io::read_to_string(std::io::stdin().lock().take(INPUT_BYTES_MAX))
            .map_err(|error| unreadable("standard input", error)),
        (_, Some(path)) => std::fs::read_to_string(path).map_err(|error| unreadable(path, error)),
        (text, None) => Ok(text.to_owned()),
    }
}

/// Bytes that are read from standard input: more than any server takes.
const INPUT_BYTES_MAX: u64 = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_from_the_argument_and_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input.json");
        std::fs::write(&path, "[1, 2]").unwrap();
        assert_eq!(json("--input", r#"{"a":1}"#).unwrap(), serde_json::json!({"a": 1}));
        assert_eq!(json("--input", &format!("@{}", path.display())).unwrap(), serde_json::json!([1, 2]));
    }

    fn check_refused(given: &str, message: &str) {
        let CommandError::Usage { message: found, .. } = json("--input", given).unwrap_err() else {
            panic!("{given} is a usage error");
        };
        assert!(found.contains(message), "{found}");
    }

    #[test]
    fn what_cannot_be_read_is_a_usage_error_that_names_the_option() {
        check_refused("hello", "--input: not JSON");
        check_refused("@/no/such/file", "--input: /no/such/file cannot be read");
    }
}
