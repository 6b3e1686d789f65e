//! From tokens to an expression tree whose every name, argument count and use of a secret has been
//! checked, and whose depth is bounded.
//!
//! The grammar is deliberately closed: there are no methods, no assignments, no statements and no
//! way to call anything that is not in the function table.

use flux_model::limits;
use flux_model::value::Value;

use super::error::TemplateError;
use super::expression::{Expr, Missing, Node, check_secrets};
use super::functions::{self, operator};
use super::hints;
use super::lexer::{Lexed, Token, position};
use super::path::{Path, Segment};

/// The root under which secrets are named.
pub(crate) const SECRETS: &str = "secrets";

/// Words that cannot be roots or node keys.
const RESERVED: [&str; 14] =
    ["and", "or", "not", "in", "is", "if", "else", "true", "True", "false", "False", "null", "none", "None"];

/// Whether `word` has a meaning in expressions, so that nothing can be called that.
pub fn is_reserved_word(word: &str) -> bool {
    RESERVED.contains(&word)
}

/// An expression, and the paths it names: secrets last.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) root: Node,
    pub(crate) paths: Vec<Path>,
}

/// Parses the tokens of one expression; `end` is the byte behind it, for messages.
pub(crate) fn parse(source: &str, tokens: Vec<Lexed>, end: usize) -> Result<Parsed, TemplateError> {
    let mut parser =
        Parser { source, tokens, next: 0, end, nesting: 0, paths: Vec::new(), secrets: Vec::new() };
    let root = parser.expression()?;
    if let Some(token) = parser.peek() {
        return Err(parser.error_at(parser.next, format!("unexpected {}", describe(token))));
    }
    check_secrets(&root)?;
    let mut paths = parser.paths;
    paths.append(&mut parser.secrets);
    Ok(Parsed { root, paths })
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Lexed>,
    next: usize,
    end: usize,
    nesting: usize,
    paths: Vec<Path>,
    secrets: Vec<Path>,
}

/// How tightly binary operators bind. Comparisons do not chain; `**` groups to the right.
const OR: u8 = 1;
const AND: u8 = 2;
const COMPARE: u8 = 3;
const POWER: u8 = 7;

fn binding(token: &Token) -> Option<(u8, &str)> {
    match token {
        Token::Name(word) => match word.as_str() {
            "or" => Some((OR, "or")),
            "and" => Some((AND, "and")),
            "in" => Some((COMPARE, "in")),
            "not" => Some((COMPARE, "not in")),
            _ => None,
        },
        Token::Sign(sign) => match *sign {
            "==" | "!=" | "<" | "<=" | ">" | ">=" => Some((COMPARE, sign)),
            "+" | "-" => Some((4, sign)),
            "~" => Some((5, sign)),
            "*" | "/" | "//" | "%" => Some((6, sign)),
            "**" => Some((POWER, sign)),
            _ => None,
        },
        Token::Text(_) | Token::Number(_) => None,
    }
}

impl Parser<'_> {
    /// `a if condition else b`, or anything simpler.
    fn expression(&mut self) -> Result<Node, TemplateError> {
        self.enter()?;
        let mut node = self.binary(OR)?;
        if self.take_word("if") {
            let condition = Box::new(self.binary(OR)?);
            let otherwise =
                if self.take_word("else") { self.expression()? } else { Node::constant(Value::Null) };
            node = self.node(Expr::If { condition, then: Box::new(node), otherwise: Box::new(otherwise) })?;
        }
        self.nesting -= 1;
        Ok(node)
    }

    fn binary(&mut self, tightest: u8) -> Result<Node, TemplateError> {
        let mut left = self.prefix(tightest)?;
        let mut compared = false;
        while let Some((level, sign)) = self.peek().and_then(binding).filter(|(level, _)| *level >= tightest)
        {
            let sign = sign.to_owned();
            if level == COMPARE && std::mem::replace(&mut compared, true) {
                return Err(self
                    .error_at(self.next, "comparisons cannot be chained".to_owned())
                    .suggest("join them with `and`: `a < b and b < c`"));
            }
            self.next += 1;
            if sign == "not in" && !self.take_word("in") {
                return Err(self.error_at(self.next, "expected `in` after `not`".to_owned()));
            }
            let right = if level == POWER { self.power()? } else { self.binary(level + 1)? };
            left = self.join(&sign, left, right)?;
        }
        Ok(left)
    }

    /// The right side of `**`, which groups to the right, or what a `-` negates.
    fn power(&mut self) -> Result<Node, TemplateError> {
        self.enter()?;
        let node = self.binary(POWER)?;
        self.nesting -= 1;
        Ok(node)
    }

    fn join(&mut self, sign: &str, mut left: Node, right: Node) -> Result<Node, TemplateError> {
        match sign {
            // A long `a ~ b ~ c` is one call, not a deep tree.
            "~" => {
                let mut parts = Vec::new();
                if let Expr::Call(function, joined) = &mut left.kind
                    && function.name == "~"
                {
                    parts.append(joined);
                } else {
                    parts.push(left);
                }
                parts.push(right);
                self.check_items(parts.len())?;
                self.node(Expr::Call(operator("~"), parts))
            }
            "or" => {
                foresee(&mut left);
                self.node(Expr::Or(Box::new(left), Box::new(right)))
            }
            "and" => self.node(Expr::And(Box::new(left), Box::new(right))),
            "not in" => {
                let found = self.node(Expr::Call(operator("in"), vec![left, right]))?;
                self.node(Expr::Not(Box::new(found)))
            }
            sign => self.node(Expr::Call(operator(sign), vec![left, right])),
        }
    }

    fn prefix(&mut self, tightest: u8) -> Result<Node, TemplateError> {
        if tightest <= COMPARE && self.take_word("not") {
            self.enter()?;
            let operand = self.binary(COMPARE)?;
            self.nesting -= 1;
            return self.node(Expr::Not(Box::new(operand)));
        }
        if !self.take_sign("-") {
            let primary = self.primary()?;
            return self.postfix(primary);
        }
        let power = self.tokens.get(self.next + 1).is_some_and(|after| after.token == Token::Sign("**"));
        if let Some(Token::Number(number)) = self.peek().filter(|_| !power) {
            let negative = functions::negative(number)
                .ok_or_else(|| self.error_at(self.next, format!("-{number} does not fit 64 bits")))?;
            self.next += 1;
            return self.postfix(Start::Node(Node::constant(negative)));
        }
        let operand = self.power()?;
        self.node(Expr::Call(operator("negate"), vec![operand]))
    }

    fn primary(&mut self) -> Result<Start, TemplateError> {
        let at = self.next;
        let Some(token) = self.peek().cloned() else {
            return Err(self.error_at(at, "an expression is missing".to_owned()));
        };
        self.next += 1;
        Ok(Start::Node(match token {
            Token::Text(text) => Node::constant(Value::text(text)),
            Token::Number(number) => Node::constant(Value::Number(number)),
            Token::Sign("(") => {
                let node = self.expression()?;
                self.expect(")")?;
                node
            }
            Token::Sign("[") => {
                let items = self.list("]")?;
                self.node(Expr::Call(operator("array"), items))?
            }
            Token::Sign("{") => self.object()?,
            Token::Sign(sign) => return Err(self.error_at(at, format!("unexpected `{sign}`"))),
            Token::Name(name) => match name.as_str() {
                "true" | "True" => Node::constant(Value::Bool(true)),
                "false" | "False" => Node::constant(Value::Bool(false)),
                "null" | "none" | "None" => Node::constant(Value::Null),
                word if is_reserved_word(word) => {
                    return Err(self.error_at(at, format!("unexpected `{word}`")));
                }
                _ if self.take_sign("(") => self.call(at, &name, Vec::new())?,
                _ => return Ok(Start::Path(Path { root: name.into(), segments: Vec::new() })),
            },
        }))
    }

    /// `.name`, `[index]`, `[from:to]` and `| filter`, as long as there are any.
    fn postfix(&mut self, mut start: Start) -> Result<Node, TemplateError> {
        loop {
            if self.take_sign(".") {
                let at = self.next;
                let Some(Token::Name(name)) = self.peek().cloned() else {
                    return Err(self
                        .error_at(at, "a member name is missing after `.`".to_owned())
                        .suggest("write other names as `[\"two words\"]` and elements as `[0]`"));
                };
                self.next += 1;
                if self.peek() == Some(&Token::Sign("(")) {
                    let message = format!("values have no methods, so `.{name}(` means nothing");
                    return Err(self.error_at(at, message).suggest(hints::instead_of_method(&name)));
                }
                start = self.member(start, Segment::Key(name.into()))?;
            } else if self.take_sign("[") {
                start = self.subscript(start)?;
            } else if self.take_sign("|") {
                let at = self.next;
                let Some(Token::Name(name)) = self.peek().cloned() else {
                    return Err(self.error_at(at, "a function name is missing after `|`".to_owned()));
                };
                self.next += 1;
                let first = self.finish(start)?;
                let applied = if self.take_sign("(") {
                    self.call(at, &name, vec![first])?
                } else {
                    self.apply(at, &name, vec![first])?
                };
                start = Start::Node(applied);
            } else if self.peek() == Some(&Token::Sign("(")) {
                return Err(self.error_at(self.next, "only functions can be called".to_owned()));
            } else {
                return self.finish(start);
            }
        }
    }

    fn member(&mut self, start: Start, segment: Segment) -> Result<Start, TemplateError> {
        match start {
            Start::Path(mut path) => {
                path.segments.push(segment);
                Ok(Start::Path(path))
            }
            Start::Node(node) => {
                let key = match segment {
                    Segment::Key(name) => Value::Text(name),
                    Segment::Index(index) => Value::from(index),
                };
                Ok(Start::Node(self.node(Expr::Call(operator("[]"), vec![node, Node::constant(key)]))?))
            }
        }
    }

    fn subscript(&mut self, start: Start) -> Result<Start, TemplateError> {
        if self.take_sign(":") {
            return self.slice(start, Node::constant(Value::from(0_i64)));
        }
        let index = self.expression()?;
        if self.take_sign(":") {
            return self.slice(start, index);
        }
        self.expect("]")?;
        if let Expr::Constant(Value::Text(name)) = &index.kind {
            return self.member(start, Segment::Key(name.clone()));
        }
        if let Expr::Constant(Value::Number(number)) = &index.kind
            && let Some(index) = number.as_i64()
        {
            return self.member(start, Segment::Index(index));
        }
        let of = self.finish(start)?;
        Ok(Start::Node(self.node(Expr::Call(operator("[]"), vec![of, index]))?))
    }

    fn slice(&mut self, start: Start, from: Node) -> Result<Start, TemplateError> {
        let to = if self.peek() == Some(&Token::Sign("]")) {
            Node::constant(Value::Null)
        } else {
            self.expression()?
        };
        self.expect("]")?;
        let of = self.finish(start)?;
        Ok(Start::Node(self.node(Expr::Call(operator("[:]"), vec![of, from, to]))?))
    }

    /// A path that is complete: noted, or turned into a secret.
    fn finish(&mut self, start: Start) -> Result<Node, TemplateError> {
        let path = match start {
            Start::Node(node) => return Ok(node),
            Start::Path(path) => path,
        };
        if &*path.root != SECRETS {
            self.paths.push(path.clone());
            return Ok(Node::new(Expr::Path(path, Missing::Reported)));
        }
        let [Segment::Key(name)] = path.segments.as_slice() else {
            return Err(TemplateError::syntax(format!("`{path}` does not name a secret"))
                .suggest("name one secret: `secrets.NAME`"));
        };
        let secret = Node::constant(Value::secret(name));
        self.secrets.push(path);
        Ok(secret)
    }

    /// A call behind its `(`.
    fn call(&mut self, at: usize, name: &str, mut args: Vec<Node>) -> Result<Node, TemplateError> {
        args.extend(self.list(")")?);
        self.apply(at, name, args)
    }

    fn apply(&mut self, at: usize, name: &str, mut args: Vec<Node>) -> Result<Node, TemplateError> {
        let Some(function) = functions::find(name) else {
            let mut error = self.error_at(at, format!("there is no function `{name}`"));
            error.suggestion = hints::function_for(name).map(|near| format!("did you mean `{near}`?"));
            return Err(error);
        };
        function.check_count(args.len()).map_err(|message| self.error_at(at, message))?;
        if function.foresees_missing()
            && let Some(first) = args.first_mut()
        {
            foresee(first);
        }
        self.node(Expr::Call(function, args))
    }

    fn list(&mut self, close: &'static str) -> Result<Vec<Node>, TemplateError> {
        let mut items = Vec::new();
        while !self.take_sign(close) {
            if !items.is_empty() {
                self.expect(",")?;
                if self.take_sign(close) {
                    break;
                }
            }
            items.push(self.expression()?);
            self.check_items(items.len())?;
        }
        Ok(items)
    }

    fn object(&mut self) -> Result<Node, TemplateError> {
        let mut members = Vec::new();
        while !self.take_sign("}") {
            if !members.is_empty() {
                self.expect(",")?;
                if self.take_sign("}") {
                    break;
                }
            }
            let at = self.next;
            let name = match self.peek().cloned() {
                Some(Token::Text(text)) => text,
                Some(Token::Name(name)) => name,
                _ => return Err(self.error_at(at, "a member name is missing".to_owned())),
            };
            self.next += 1;
            self.expect(":")?;
            members.push(Node::constant(Value::text(name)));
            members.push(self.expression()?);
            self.check_items(members.len() / 2)?;
        }
        self.node(Expr::Call(operator("object"), members))
    }
}

/// A primary that may still grow into a longer path.
enum Start {
    Path(Path),
    Node(Node),
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|lexed| &lexed.token)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.next += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Name(next)) if next == word);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), TemplateError> {
        if self.take_sign(sign) {
            return Ok(());
        }
        let found = self.peek().map_or_else(|| "the end".to_owned(), describe);
        Err(self.error_at(self.next, format!("expected `{sign}`, found {found}")))
    }

    fn enter(&mut self) -> Result<(), TemplateError> {
        self.nesting += 1;
        self.check_depth(self.nesting)
    }

    fn node(&self, kind: Expr) -> Result<Node, TemplateError> {
        let node = Node::new(kind);
        self.check_depth(node.depth)?;
        Ok(node)
    }

    fn check_depth(&self, depth: usize) -> Result<(), TemplateError> {
        let max = limits::TEMPLATE_DEPTH_MAX;
        if depth <= max {
            return Ok(());
        }
        Err(self
            .error_at(
                self.next,
                format!("the expression nests deeper than {max} levels (TEMPLATE_DEPTH_MAX)"),
            )
            .suggest("split it over several fields or `data.set` nodes"))
    }

    fn check_items(&self, count: usize) -> Result<(), TemplateError> {
        let max = limits::TEMPLATE_ITEMS_MAX;
        if count <= max {
            return Ok(());
        }
        let message = format!("more than {max} elements are written out in one place (TEMPLATE_ITEMS_MAX)");
        Err(self.error_at(self.next, message))
    }

    fn error_at(&self, token: usize, message: String) -> TemplateError {
        let at = self.tokens.get(token).map_or(self.end, |lexed| lexed.at);
        TemplateError::syntax(format!("{message} {}", position(self.source, at)))
    }
}

/// Notes that the expression says what happens if a path leads nowhere.
fn foresee(node: &mut Node) {
    if let Expr::Path(_, missing) = &mut node.kind {
        *missing = Missing::Foreseen;
    }
}

fn describe(token: &Token) -> String {
    match token {
        Token::Name(name) => format!("`{name}`"),
        Token::Text(_) => "a string".to_owned(),
        Token::Number(number) => format!("`{number}`"),
        Token::Sign(sign) => format!("`{sign}`"),
    }
}
