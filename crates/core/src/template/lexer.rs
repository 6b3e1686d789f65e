//! Words and signs of an expression, from `{{` to the `}}` that closes it.
//!
//! Knows strings and braces, so that `}}` within either does not end the expression. Says nothing
//! about how the tokens may be combined.

use serde_json::Number;

use super::error::TemplateError;

/// A token and the byte at which it starts in the template.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lexed {
    pub(crate) token: Token,
    pub(crate) at: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// A name or a word such as `and`.
    Name(String),
    /// A string literal, unescaped.
    Text(String),
    Number(Number),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// Longest first, so that `//` is not read as `/` `/`.
const SIGNS: [&str; 23] = [
    "**", "//", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "~", "|", ".", ",", ":", "(", ")",
    "[", "]", "{",
];

/// What people write who think of another language, and what to write here.
const FOREIGN: [(&str, &str); 12] = [
    ("===", "compare with `==`"),
    ("!==", "compare with `!=`"),
    ("&&", "write `and`"),
    ("||", "write `or`"),
    ("??", "write `default(value, fallback)`"),
    ("?.", "write `.`: a path that leads nowhere gives null"),
    ("?", "write `a if condition else b`"),
    ("=>", "there are no functions of your own; see `map`, `filter`, `find`"),
    ("=", "compare with `==`; there are no assignments"),
    ("!", "write `not`"),
    ("$", "roots are written without `$`: `input.name`"),
    ("`", "write strings in single or double quotes and join them with `~`"),
];

/// Reads the expression that starts at byte `start`, behind its `{{`. Gives its tokens and the
/// first byte behind the closing `}}`.
pub(crate) fn lex(source: &str, start: usize) -> Result<(Vec<Lexed>, usize), TemplateError> {
    let mut lexer = Lexer { source, at: start, braces: 0, tokens: Vec::new() };
    while let Some(first) = lexer.rest().chars().next() {
        if first.is_ascii_whitespace() {
            lexer.at += 1;
        } else if first == '}' {
            if lexer.close(start)? {
                return Ok((lexer.tokens, lexer.at));
            }
        } else {
            lexer.token(first)?;
        }
    }
    Err(unclosed(source, start))
}

/// "at character n" for people: counted from 1.
pub(crate) fn position(source: &str, at: usize) -> String {
    format!("at character {}", source.get(..at).unwrap_or(source).chars().count() + 1)
}

fn unclosed(source: &str, start: usize) -> TemplateError {
    TemplateError::syntax(format!("`{{{{` {} is never closed by `}}}}`", position(source, start - 2)))
        .suggest("to write two braces as text: `{{ \"{{\" }}`")
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    braces: usize,
    tokens: Vec<Lexed>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn push(&mut self, token: Token, bytes: usize) {
        self.tokens.push(Lexed { token, at: self.at });
        self.at += bytes;
    }

    /// A `}`: of an object, or of the end of the expression, which gives `true`.
    fn close(&mut self, start: usize) -> Result<bool, TemplateError> {
        if self.braces > 0 {
            self.braces -= 1;
            self.push(Token::Sign("}"), 1);
            return Ok(false);
        }
        if self.rest().starts_with("}}") {
            self.at += 2;
            return Ok(true);
        }
        Err(self
            .unexpected('}', self.at)
            .suggest(format!("close {} with `}}}}`", position(self.source, start - 2))))
    }

    fn token(&mut self, first: char) -> Result<(), TemplateError> {
        if first == '"' || first == '\'' {
            return self.text(first);
        }
        if first.is_ascii_digit() {
            return self.number();
        }
        if first.is_alphabetic() || first == '_' {
            let rest = self.rest();
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            self.push(Token::Name(rest[..end].to_owned()), end);
            return Ok(());
        }
        if let Some((sign, hint)) = FOREIGN.iter().find(|(sign, _)| self.rest().starts_with(sign))
            && !["==", "!="].iter().any(|own| sign.len() < 2 && self.rest().starts_with(own))
        {
            return Err(TemplateError::syntax(format!(
                "`{sign}` {} is not known",
                position(self.source, self.at)
            ))
            .suggest(*hint));
        }
        let Some(sign) = SIGNS.iter().find(|sign| self.rest().starts_with(**sign)) else {
            return Err(self.unexpected(first, self.at));
        };
        self.braces += usize::from(*sign == "{");
        self.push(Token::Sign(sign), sign.len());
        Ok(())
    }

    fn number(&mut self) -> Result<(), TemplateError> {
        let rest = self.rest();
        let digits =
            |from: usize| rest[from..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - from);
        let mut end = digits(0);
        if rest[end..].starts_with('.') && rest[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
            end += 1 + digits(end + 1);
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            let exponent = digits(end + 1 + sign);
            if exponent > 0 {
                end += 1 + sign + exponent;
            }
        }
        let written = &rest[..end];
        if let Some(next) = rest[end..].chars().next().filter(|c| c.is_alphanumeric() || *c == '_') {
            return Err(self.unexpected(next, self.at + end));
        }
        let number = parse_number(written).ok_or_else(|| {
            TemplateError::syntax(format!(
                "`{written}` {} is not a number that fits 64 bits",
                position(self.source, self.at)
            ))
        })?;
        self.push(Token::Number(number), end);
        Ok(())
    }

    fn text(&mut self, quote: char) -> Result<(), TemplateError> {
        let mut text = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            if c == quote {
                self.push(Token::Text(text), offset + 1);
                return Ok(());
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            let escaped = chars.next().map(|(_, escaped)| escaped);
            match escaped {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some(same @ ('\\' | '"' | '\'' | '/')) => text.push(same),
                Some('u') => {
                    let code: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                    let c = (code.len() == 4 && code.chars().all(|c| c.is_ascii_hexdigit()))
                        .then(|| u32::from_str_radix(&code, 16).ok().and_then(char::from_u32))
                        .flatten();
                    text.push(c.ok_or_else(|| self.bad_escape(offset))?);
                }
                Some(_) | None => return Err(self.bad_escape(offset)),
            }
        }
        Err(TemplateError::syntax(format!("the string {} is never closed", position(self.source, self.at))))
    }

    fn bad_escape(&self, offset: usize) -> TemplateError {
        TemplateError::syntax(format!("unknown escape {}", position(self.source, self.at + offset)))
            .suggest("known are \\n \\t \\r \\\\ \\\" \\' \\/ and \\u with four hexadecimal digits")
    }

    fn unexpected(&self, c: char, at: usize) -> TemplateError {
        let code = u32::from(c);
        let shown = if c.is_ascii_graphic() { format!("`{c}`") } else { format!("character U+{code:04X}") };
        TemplateError::syntax(format!("unexpected {shown} {}", position(self.source, at)))
    }
}

fn parse_number(written: &str) -> Option<Number> {
    if written.bytes().all(|digit| digit.is_ascii_digit()) {
        return written.parse::<u64>().ok().map(Number::from);
    }
    written.parse::<f64>().ok().and_then(Number::from_f64)
}
