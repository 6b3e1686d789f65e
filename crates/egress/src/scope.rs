//! Secret tokens: what stands for a secret between a rendered config and the wire.
//!
//! A scope belongs to one attempt. It replaces every secret reference in a config by a token with
//! an unguessable number, so that executors read typed configs with ordinary strings; only a call
//! through [`crate::Egress`] with the same scope turns the tokens into plaintext. The number is
//! drawn after all user data is in the config, so no data can hold a token of its own making, and
//! no token leaves the process: a request with a token in a place that is not resolved is refused.
//! Only bodies that are files or exact bytes are not looked at.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use flux_model::Value;
use flux_model::value::{Object, SecretPart};

/// What every token starts with. Letters and digits only, lower case: a token survives URL
/// parsing, percent encoding and host normalisation unchanged.
const TOKEN_PREFIX: &str = "fluxsecret";
/// Bytes of the random number.
const NONCE_BYTES: usize = 16;
/// Digits of the number by which a token is noticed, even if its end was cut off.
const PROBE_DIGITS: usize = 8;
/// Hexadecimal digits of the position in the list of names.
const INDEX_DIGITS: usize = 4;
/// Different secrets that one config may refer to.
pub(crate) const SECRETS_MAX: usize = 1_000;

/// The secrets that one config refers to, by token.
#[derive(Clone, Default)]
pub struct SecretScope {
    /// What every token of this scope starts with; empty if there are no secrets.
    marker: Arc<str>,
    names: Vec<Arc<str>>,
}

/// A scope could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Randomness,
    /// The config refers to too many different secrets.
    #[error("the config refers to more than SECRETS_MAX = {SECRETS_MAX} different secrets")]
    TooMany,
}

/// A part of a text that may hold tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// Text as it is.
    Text(&'t str),
    /// A secret, by its position in the scope.
    Secret(usize),
    /// Something that starts like a token and is none: an executor cut one apart.
    Broken,
}

impl SecretScope {
    /// A scope without secrets.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Replaces every secret reference in `config` by a token.
    ///
    /// # Errors
    /// [`ScopeError`] if there are no random bytes or too many different secrets.
    pub fn open(config: &Value) -> Result<(Self, Value), ScopeError> {
        if !config.holds_secret() {
            return Ok((Self::empty(), config.clone()));
        }
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| ScopeError::Randomness)?;
        let marker = format!("{TOKEN_PREFIX}{}", hex::encode(nonce));
        let mut scope = Self { marker: Arc::from(marker), names: Vec::new() };
        let opened = scope.replace(config)?;
        Ok((scope, opened))
    }

    /// `text` with every token shown as `[secret:name]`, for messages and logs.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !self.mentions(text) {
            return Cow::Borrowed(text);
        }
        let mut shown = String::with_capacity(text.len());
        for piece in self.pieces(text) {
            match piece {
                Piece::Text(text) => shown.push_str(text),
                Piece::Secret(index) => shown.push_str(&masked_name(self.name(index))),
                Piece::Broken => shown.push_str("[secret]"),
            }
        }
        Cow::Owned(shown)
    }

    /// `value` with every token in its texts and member names shown as `[secret:name]`.
    pub fn mask_value(&self, value: &Value) -> Value {
        let masked =
            self.try_map(value, &mut |text| Ok::<_, std::convert::Infallible>(self.mask(text).into()));
        match masked {
            Ok(masked) => masked,
            Err(never) => match never {},
        }
    }

    /// Whether `text` holds a token, whole or broken.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        !self.names.is_empty() && text.contains(self.probe())
    }

    /// The part of the marker that is searched for.
    fn probe(&self) -> &str {
        &self.marker[..self.marker.len().min(TOKEN_PREFIX.len() + PROBE_DIGITS)]
    }

    /// Whether there are no secrets in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// How many different secrets there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The name of the secret at `index`.
    pub(crate) fn name(&self, index: usize) -> &str {
        self.names.get(index).map_or("", |name| name)
    }

    /// The parts of `text`, in order.
    pub(crate) fn pieces<'t>(&self, text: &'t str) -> Vec<Piece<'t>> {
        if !self.mentions(text) {
            return vec![Piece::Text(text)];
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(self.probe()) {
            if at > 0 {
                pieces.push(Piece::Text(&rest[..at]));
            }
            match self.token(&rest[at..]) {
                Some((index, after)) => {
                    pieces.push(Piece::Secret(index));
                    rest = after;
                }
                None => {
                    pieces.push(Piece::Broken);
                    let token = &rest[at..];
                    let cut = token.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(token.len());
                    rest = &token[cut..];
                }
            }
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest));
        }
        pieces
    }

    /// The token that `text` starts with, and what follows it.
    fn token<'t>(&self, text: &'t str) -> Option<(usize, &'t str)> {
        let (digits, after) = text.strip_prefix(&*self.marker)?.split_at_checked(INDEX_DIGITS)?;
        let index = usize::from_str_radix(digits, 16).ok().filter(|index| *index < self.names.len())?;
        Some((index, after))
    }

    /// `value` with `change` applied to its texts and member names that hold tokens.
    pub(crate) fn try_map<E>(
        &self,
        value: &Value,
        change: &mut impl FnMut(&str) -> Result<Arc<str>, E>,
    ) -> Result<Value, E> {
        Ok(match value {
            Value::Text(text) if self.mentions(text) => Value::Text(change(text)?),
            Value::Array(items) => {
                let items: Result<Vec<_>, E> = items.iter().map(|item| self.try_map(item, change)).collect();
                Value::Array(Arc::new(items?))
            }
            Value::Object(members) => {
                let mut changed = Object::with_capacity(members.len());
                for (name, member) in members.iter() {
                    let name = if self.mentions(name) { change(name)? } else { name.clone() };
                    changed.insert(name, self.try_map(member, change)?);
                }
                Value::Object(Arc::new(changed))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Secret(_) => {
                value.clone()
            }
        })
    }

    fn replace(&mut self, value: &Value) -> Result<Value, ScopeError> {
        Ok(match value {
            Value::Secret(parts) => Value::text(self.tokens(parts)?),
            Value::Array(items) if value.holds_secret() => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.replace(item)).collect();
                Value::array(items?)
            }
            Value::Object(members) if value.holds_secret() => {
                let mut opened = Object::with_capacity(members.len());
                for (name, member) in members.iter() {
                    opened.insert(name.clone(), self.replace(member)?);
                }
                Value::Object(Arc::new(opened))
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::Array(_)
            | Value::Object(_) => value.clone(),
        })
    }

    fn tokens(&mut self, parts: &[SecretPart]) -> Result<String, ScopeError> {
        let mut text = String::new();
        for part in parts {
            match part {
                SecretPart::Text(literal) => text.push_str(literal),
                SecretPart::Secret(name) => {
                    let index = self.index_of(name)?;
                    text.push_str(&format!("{}{index:0INDEX_DIGITS$x}", self.marker));
                }
            }
        }
        Ok(text)
    }

    fn index_of(&mut self, name: &Arc<str>) -> Result<usize, ScopeError> {
        if let Some(index) = self.names.iter().position(|known| known == name) {
            return Ok(index);
        }
        if self.names.len() == SECRETS_MAX {
            return Err(ScopeError::TooMany);
        }
        self.names.push(name.clone());
        Ok(self.names.len() - 1)
    }
}

/// What a secret looks like wherever people can see it.
pub(crate) fn masked_name(name: &str) -> String {
    format!("[secret:{name}]")
}

impl fmt::Debug for SecretScope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SecretScope").field("names", &self.names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret_text(parts: &[&str]) -> Value {
        let parts = parts.iter().map(|part| match part.strip_prefix('$') {
            Some(name) => SecretPart::Secret(name.into()),
            None => SecretPart::Text((*part).into()),
        });
        Value::Secret(Arc::new(parts.collect()))
    }

    #[test]
    fn references_become_tokens_and_are_shown_by_name() {
        let config = Value::object([
            ("url", Value::from("https://a.example")),
            (
                "headers",
                Value::array(vec![secret_text(&["Bearer ", "$api"]), secret_text(&["$api", "-", "$other"])]),
            ),
        ]);
        let (scope, opened) = SecretScope::open(&config).unwrap();
        assert!(!opened.holds_secret());
        let texts = opened.get("headers").unwrap();
        let first = texts.at(0).unwrap().as_str().unwrap();
        assert!(first.starts_with("Bearer fluxsecret") && first.len() == 7 + 10 + 32 + 4, "{first}");
        assert!(first[7..].bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        assert_eq!(scope.mask(first), "Bearer [secret:api]");
        let shown = scope.mask_value(&opened).to_json();
        assert_eq!(
            shown,
            r#"{"url":"https://a.example","headers":["Bearer [secret:api]","[secret:api]-[secret:other]"]}"#
        );
        assert!(!format!("{scope:?}").contains(&*scope.marker));
    }

    #[test]
    fn tokens_of_other_scopes_and_guesses_mean_nothing() {
        let (one, _) = SecretScope::open(&Value::secret("a")).unwrap();
        let (_, other) = SecretScope::open(&Value::secret("a")).unwrap();
        let other = other.as_str().unwrap();
        assert_eq!(one.pieces(other), [Piece::Text(other)]);
        let guess = format!("fluxsecret{}0000", "0".repeat(32));
        assert_eq!(one.pieces(&guess), [Piece::Text(&guess)]);
        assert_eq!(SecretScope::empty().pieces(other), [Piece::Text(other)]);
    }

    #[test]
    fn a_token_cut_apart_is_broken_and_still_masked() {
        let (scope, token) = SecretScope::open(&Value::secret("a")).unwrap();
        let token = token.as_str().unwrap();
        for length in [TOKEN_PREFIX.len() + PROBE_DIGITS, 30, token.len() - 1] {
            let cut = format!("a {} b", &token[..length]);
            assert_eq!(scope.pieces(&cut), [Piece::Text("a "), Piece::Broken, Piece::Text(" b")]);
            assert_eq!(scope.mask(&cut), "a [secret] b");
        }
        let beyond = format!("{}0001", &*scope.marker);
        assert_eq!(scope.pieces(&beyond), [Piece::Broken]);
    }

    #[test]
    fn a_config_without_secrets_is_shared_and_too_many_are_refused() {
        let config = Value::object([("a", Value::from("b"))]);
        let (scope, opened) = SecretScope::open(&config).unwrap();
        assert!(scope.is_empty() && opened == config);
        let many = (0..=SECRETS_MAX).map(|index| Value::secret(&index.to_string())).collect();
        assert_eq!(SecretScope::open(&Value::array(many)).unwrap_err(), ScopeError::TooMany);
    }
}
