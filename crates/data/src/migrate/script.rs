//! A script divided into its statements, with the line that each begins at. It knows strings, comments,
//! dollar quotes and the bodies of triggers, and nothing else of SQL: what a statement means is the
//! database's business.

/// One statement of a script, without the semicolon at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub sql: &'a str,
    /// The line of its first letter, from 1.
    pub line: u32,
}

/// The statements of a script. Comments and empty statements are left out.
pub(super) fn parts(script: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut scanner = Scanner { text: script, at: 0 };
    while let Some(start) = scanner.begin() {
        let end = scanner.end_of_statement(start);
        let line = script[..start].matches('\n').count() + 1;
        let sql = script[start..end].trim_end();
        if !sql.is_empty() {
            parts.push(Part { sql, line: u32::try_from(line).unwrap_or(u32::MAX) });
        }
    }
    parts
}

impl Part<'_> {
    /// The first words, in upper case, without what is between them.
    pub(super) fn words(&self, count: usize) -> Vec<String> {
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let words = self.sql.split(|letter: char| !is_part(letter)).filter(|word| !word.is_empty());
        words.take(count).map(str::to_uppercase).collect()
    }

    /// The line of a place in it, counted in bytes.
    pub(super) fn line_at(&self, offset: usize) -> u32 {
        let before = self.sql.get(..offset).unwrap_or_default();
        self.line + u32::try_from(before.matches('\n').count()).unwrap_or(0)
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    /// Passes white space, comments and empty statements; where the next statement begins.
    fn begin(&mut self) -> Option<usize> {
        loop {
            let rest = self.text.get(self.at..)?;
            let first = rest.chars().next()?;
            if first.is_whitespace() || first == ';' || first == '\u{feff}' {
                self.at += first.len_utf8();
            } else if let Some(length) = comment(rest) {
                self.at += length;
            } else {
                return Some(self.at);
            }
        }
    }

    /// Passes the statement; where it ends. The semicolon is passed as well.
    fn end_of_statement(&mut self, start: usize) -> usize {
        let body = Body::of(self.text.get(start..).unwrap_or_default());
        let mut words = Words::default();
        while let Some(rest) = self.text.get(self.at..).filter(|rest| !rest.is_empty()) {
            if let Some(length) = comment(rest).or_else(|| quoted(rest)) {
                self.at += length;
                words.other();
                continue;
            }
            let letter = rest.chars().next().unwrap_or(';');
            if letter == ';' && !words.is_inside(body) {
                let end = self.at;
                self.at += 1;
                return end;
            }
            words.letter(letter);
            self.at += letter.len_utf8();
        }
        self.at
    }
}

/// What may hold semicolons that do not end the statement.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    /// Nothing.
    None,
    /// A trigger of SQLite, which ends with `END` after a semicolon.
    Trigger,
    /// A function of PostgreSQL with `BEGIN ATOMIC … END`.
    Routine,
}

impl Body {
    fn of(statement: &str) -> Self {
        let head: Vec<String> = statement.split_whitespace().take(6).map(str::to_uppercase).collect();
        let has = |word: &str| head.iter().any(|found| found == word);
        match head.first().map(String::as_str) {
            Some("CREATE") if has("TRIGGER") => Self::Trigger,
            Some("CREATE") if has("FUNCTION") || has("PROCEDURE") => Self::Routine,
            Some(_) | None => Self::None,
        }
    }
}

/// The words of a statement so far, as far as they tell whether a semicolon ends it.
#[derive(Default)]
struct Words {
    word: String,
    /// Whether `BEGIN` (of a trigger) or `BEGIN ATOMIC` was passed.
    begun: bool,
    last: String,
    /// Blocks that end with `END`: `CASE` counts as well.
    depth: usize,
}

impl Words {
    fn letter(&mut self, letter: char) {
        if letter.is_alphanumeric() || letter == '_' {
            self.word.extend(letter.to_uppercase());
        } else {
            self.end_word();
        }
    }

    fn other(&mut self) {
        self.end_word();
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.word);
        match word.as_str() {
            "BEGIN" => {
                self.begun = true;
                self.depth += 1;
            }
            "CASE" => self.depth += 1,
            "END" => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.last = word;
    }

    fn is_inside(&mut self, body: Body) -> bool {
        self.end_word();
        match body {
            Body::None => false,
            Body::Trigger | Body::Routine => self.begun && self.depth > 0,
        }
    }
}

/// The length of the comment that a text begins with. Those of PostgreSQL nest.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("--") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(at)
}

/// The length of the string, quoted name or dollar-quoted text that a text begins with.
fn quoted(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    match first {
        '\'' | '"' | '`' => Some(closing(text, first, 1)),
        'E' | 'e' if text[1..].starts_with('\'') => Some(escaped(text)),
        '$' => dollar(text),
        _ => None,
    }
}

/// Up to the closing quote; a doubled one is a letter.
fn closing(text: &str, quote: char, from: usize) -> usize {
    let mut letters = text.char_indices().skip_while(|(at, _)| *at < from).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == quote && letters.next_if(|(_, next)| *next == quote).is_none() {
            return at + quote.len_utf8();
        }
    }
    text.len()
}

/// A string of PostgreSQL in which a backslash takes the next letter literally.
fn escaped(text: &str) -> usize {
    let mut letters = text.char_indices().skip(2);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
            }
            '\'' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn dollar(text: &str) -> Option<usize> {
    let end = text[1..].find('$')? + 2;
    let tag = &text[..end];
    let is_tag = tag[1..tag.len() - 1].chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    let starts_with_digit = tag[1..].starts_with(|letter: char| letter.is_ascii_digit());
    if !is_tag || starts_with_digit {
        return None;
    }
    Some(text[end..].find(tag).map_or(text.len(), |at| end + at + tag.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, expected: &[(&str, u32)]) {
        let found: Vec<(&str, u32)> = parts(script).into_iter().map(|part| (part.sql, part.line)).collect();
        assert_eq!(found, expected, "{script}");
    }

    #[test]
    fn statements_are_told_apart_with_their_lines() {
        check("", &[]);
        check("-- nothing\n/* at /* all */ */ ;;", &[]);
        check("A;\n\n-- b\nB", &[("A", 1), ("B", 4)]);
        check("A ';' \"a;\" `;` ; B", &[("A ';' \"a;\" `;`", 1), ("B", 1)]);
        check("A 'it''s;'; B", &[("A 'it''s;'", 1), ("B", 1)]);
        check("A E'\\';'; B", &[("A E'\\';'", 1), ("B", 1)]);
        check("DO $$ a; b $$; B", &[("DO $$ a; b $$", 1), ("B", 1)]);
        check("DO $x$ $$; $x$; B", &[("DO $x$ $$; $x$", 1), ("B", 1)]);
        check("A $1; B", &[("A $1", 1), ("B", 1)]);
        check("A 'open; B", &[("A 'open; B", 1)]);
        check("ä; ö", &[("ä", 1), ("ö", 1)]);
    }

    #[test]
    fn bodies_hold_semicolons() {
        let trigger = "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN\nUPDATE b SET c = CASE WHEN 1 THEN 2 END; DELETE FROM d;\nEND";
        check(&format!("{trigger};\nB"), &[(trigger, 1), ("B", 4)]);
        let routine = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END";
        check(&format!("{routine}; B"), &[(routine, 1), ("B", 1)]);
        check(
            "CREATE TRIGGER t EXECUTE FUNCTION f(); B",
            &[("CREATE TRIGGER t EXECUTE FUNCTION f()", 1), ("B", 1)],
        );
        check("BEGIN; A; END; B", &[("BEGIN", 1), ("A", 1), ("END", 1), ("B", 1)]);
    }

    #[test]
    fn lines_within_a_statement_count_on() {
        let part = parts("\nA\nB\nC")[0];
        assert_eq!((part.line_at(0), part.line_at(2), part.line_at(99)), (2, 3, 2));
        assert_eq!(part.words(2), ["A", "B"]);
    }
}
