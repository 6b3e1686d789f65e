//! Licence expressions as manifests write them (SPDX, annex D): `OR`, `AND`, `WITH`, parentheses, and
//! the old `/` for `OR`.

/// Whether the terms of `expression` can be met with licences of `allowed` alone. An exception is
/// part of its licence: `Apache-2.0 WITH LLVM-exception` must be allowed as such.
///
/// # Errors
/// What is wrong with the expression.
pub(crate) fn is_satisfied(expression: &str, allowed: &[&str]) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut reader = Reader { tokens: spaced.split_whitespace().peekable(), allowed };
    let satisfied = reader.alternatives()?;
    match reader.tokens.next() {
        None => Ok(satisfied),
        Some(rest) => Err(format!("`{rest}` is not expected in `{expression}`")),
    }
}

struct Reader<'a, Tokens: Iterator<Item = &'a str>> {
    tokens: std::iter::Peekable<Tokens>,
    allowed: &'a [&'a str],
}

impl<'a, Tokens: Iterator<Item = &'a str>> Reader<'a, Tokens> {
    fn alternatives(&mut self) -> Result<bool, String> {
        let mut satisfied = self.conjunction()?;
        while self.tokens.next_if_eq(&"OR").is_some() {
            satisfied |= self.conjunction()?;
        }
        Ok(satisfied)
    }

    fn conjunction(&mut self) -> Result<bool, String> {
        let mut satisfied = self.term()?;
        while self.tokens.next_if_eq(&"AND").is_some() {
            satisfied &= self.term()?;
        }
        Ok(satisfied)
    }

    fn term(&mut self) -> Result<bool, String> {
        match self.tokens.next() {
            Some("(") => {
                let satisfied = self.alternatives()?;
                self.tokens.next_if_eq(&")").map(|_| satisfied).ok_or_else(|| "`)` is missing".to_owned())
            }
            Some(word @ (")" | "OR" | "AND" | "WITH")) => {
                Err(format!("`{word}` where a licence is expected"))
            }
            Some(licence) => self.licence(licence),
            None => Err("a licence is missing at the end".to_owned()),
        }
    }

    fn licence(&mut self, name: &str) -> Result<bool, String> {
        if self.tokens.next_if_eq(&"WITH").is_none() {
            return Ok(self.allowed.contains(&name));
        }
        let exception = self.tokens.next().ok_or("an exception is missing after `WITH`")?;
        Ok(self.allowed.contains(&format!("{name} WITH {exception}").as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expected: Option<bool>) {
        let allowed = ["MIT", "ISC", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];
        assert_eq!(is_satisfied(expression, &allowed).ok(), expected, "{expression}");
    }

    #[test]
    fn expressions_are_evaluated() {
        check("MIT", Some(true));
        check("GPL-3.0-only", Some(false));
        check("GPL-3.0-only OR MIT", Some(true));
        check("GPL-3.0-only/MIT", Some(true));
        check("GPL-3.0-only AND MIT", Some(false));
        check("MIT AND (GPL-3.0-only OR ISC)", Some(true));
        check("(MIT OR Apache-2.0) AND GPL-3.0-only", Some(false));
        check("MIT OR GPL-3.0-only AND GPL-2.0-only", Some(true));
        check("Apache-2.0 WITH LLVM-exception", Some(true));
        check("MIT WITH LLVM-exception", Some(false));
    }

    #[test]
    fn malformed_expressions_are_errors() {
        for wrong in ["", "MIT OR", "(MIT", "MIT)", "OR MIT", "MIT ISC", "MIT WITH"] {
            check(wrong, None);
        }
    }
}
