//! The annotation grammar `operator(key = literal, ...)` of `@mask`, `@obligation`.
//!
//! Literals: integers, decimals, `true`, `false`, text in single quotes (a quote is doubled), lists
//! in brackets. No nesting of lists.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// A literal of an annotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub enum Literal {
    /// An integer.
    Integer(i64),
    /// A decimal number, as written.
    Decimal(String),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
    /// A flat list.
    List(Vec<Literal>),
}

bounded!(Literal);

/// A parsed annotation: an operator with named parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The operator, `[a-z][a-z0-9_]*`.
    pub operator: String,
    /// Its parameters by name.
    pub parameters: BTreeMap<String, Literal>,
}

/// An annotation that does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("annotation `{text}`, character {position}: {problem}")]
pub struct AnnotationError {
    /// The whole text.
    pub text: String,
    /// One-based character position.
    pub position: usize,
    /// What is wrong.
    pub problem: String,
}

/// Longest annotation, in bytes.
pub const ANNOTATION_BYTES_MAX: usize = 4096;

impl Call {
    /// Parses `operator` or `operator(key = literal, ...)`.
    ///
    /// # Errors
    /// Anything else, a parameter given twice, or a text above [`ANNOTATION_BYTES_MAX`].
    pub fn parse(text: &str) -> Result<Self, AnnotationError> {
        let mut parser = Parser {
            text,
            rest: text.chars().collect(),
            at: 0,
        };
        if text.len() > ANNOTATION_BYTES_MAX {
            return Err(parser.error(format!("longer than {ANNOTATION_BYTES_MAX} bytes")));
        }
        let operator = parser.name()?;
        let mut parameters = BTreeMap::new();
        if parser.accept('(') && !parser.accept(')') {
            loop {
                let key = parser.name()?;
                parser.expect('=')?;
                let literal = parser.literal(true)?;
                if parameters.insert(key.clone(), literal).is_some() {
                    return Err(parser.error(format!("parameter `{key}` given twice")));
                }
                if parser.accept(')') {
                    break;
                }
                parser.expect(',')?;
            }
        }
        parser.end()?;
        Ok(Self {
            operator,
            parameters,
        })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.operator)?;
        f.write_str("(")?;
        for (index, (key, literal)) in self.parameters.iter().enumerate() {
            write!(f, "{}{key} = {literal}", if index > 0 { ", " } else { "" })?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Decimal(text) => f.write_str(text),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: Vec<char>,
    at: usize,
}

impl Parser<'_> {
    fn error(&self, problem: impl Into<String>) -> AnnotationError {
        AnnotationError {
            text: self.text.chars().take(200).collect(),
            position: self.at + 1,
            problem: problem.into(),
        }
    }

    fn peek(&mut self) -> Option<char> {
        while self.rest.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        self.rest.get(self.at).copied()
    }

    fn accept(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), AnnotationError> {
        if self.accept(wanted) {
            Ok(())
        } else {
            Err(self.error(format!("expected `{wanted}`")))
        }
    }

    fn end(&mut self) -> Result<(), AnnotationError> {
        match self.peek() {
            None => Ok(()),
            Some(c) => Err(self.error(format!("unexpected `{c}`"))),
        }
    }

    fn name(&mut self) -> Result<String, AnnotationError> {
        self.peek();
        let name = self.run(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if name.starts_with(|c: char| c.is_ascii_lowercase()) {
            Ok(name)
        } else {
            Err(self.error("expected a name of lower-case letters, digits and `_`"))
        }
    }

    fn run(&mut self, accepts: impl Fn(char) -> bool) -> String {
        let tail = self.rest.get(self.at..).unwrap_or_default();
        let run: String = tail.iter().copied().take_while(|c| accepts(*c)).collect();
        self.at += run.chars().count();
        run
    }

    fn literal(&mut self, is_list_allowed: bool) -> Result<Literal, AnnotationError> {
        match self.peek() {
            Some('\'') => self.text_literal(),
            Some('[') if is_list_allowed => self.list(),
            Some(c) if c == '-' || c.is_ascii_digit() => self.number(),
            _ => match self.run(|c| c.is_ascii_alphabetic()).as_str() {
                "true" => Ok(Literal::Bool(true)),
                "false" => Ok(Literal::Bool(false)),
                _ => Err(self.error("expected a number, true, false, 'text' or [list]")),
            },
        }
    }

    fn text_literal(&mut self) -> Result<Literal, AnnotationError> {
        self.expect('\'')?;
        let mut text = String::new();
        loop {
            match self.rest.get(self.at) {
                None => return Err(self.error("text without closing quote")),
                Some('\'') if self.rest.get(self.at + 1) == Some(&'\'') => {
                    text.push('\'');
                    self.at += 2;
                }
                Some('\'') => {
                    self.at += 1;
                    return Ok(Literal::Text(text));
                }
                Some(c) => {
                    text.push(*c);
                    self.at += 1;
                }
            }
        }
    }

    fn list(&mut self) -> Result<Literal, AnnotationError> {
        self.expect('[')?;
        let mut items = Vec::new();
        if self.accept(']') {
            return Ok(Literal::List(items));
        }
        loop {
            items.push(self.literal(false)?);
            if self.accept(']') {
                return Ok(Literal::List(items));
            }
            self.expect(',')?;
        }
    }

    fn number(&mut self) -> Result<Literal, AnnotationError> {
        let sign = if self.accept('-') { "-" } else { "" };
        let digits = self.run(|c| c.is_ascii_digit() || c == '.');
        let text = format!("{sign}{digits}");
        let is_decimal =
            digits.matches('.').count() == 1 && !digits.starts_with('.') && !digits.ends_with('.');
        if is_decimal {
            return Ok(Literal::Decimal(text));
        }
        text.parse()
            .map(Literal::Integer)
            .map_err(|_| self.error("not a 64-bit integer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match Call::parse(text) {
            Ok(call) => call.to_string(),
            Err(error) => format!("{}: {}", error.position, error.problem),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn parses_and_prints() {
        check("null", "null()");
        check("null()", "null()");
        check(
            "partial(first=2, fill = '*')",
            "partial(fill = '*', first = 2)",
        );
        check(
            "redact(replacement = 'it''s')",
            "redact(replacement = 'it''s')",
        );
        check(
            "bucket_number(buckets = [10, 20.5])",
            "bucket_number(buckets = [10, 20.5])",
        );
    }

    #[test]
    fn refuses_with_position() {
        check(
            "",
            "1: expected a name of lower-case letters, digits and `_`",
        );
        check("a(b = 1, b = 2)", "15: parameter `b` given twice");
        check(
            "a(b = [[1]])",
            "8: expected a number, true, false, 'text' or [list]",
        );
        check("a(b = 'x)", "10: text without closing quote");
        check("a(b = 99999999999999999999)", "27: not a 64-bit integer");
        check("a) x", "2: unexpected `)`");
    }
}
