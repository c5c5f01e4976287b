//! From the parser's tree to ours: what is not translated here is refused with its place.
//!
//! No wildcard arm and no `..` over a struct that is translated: when the parser learns new syntax,
//! this module stops compiling, and the policy is not bypassed.
#![deny(clippy::wildcard_enum_match_arm)]

use std::fmt;

use sqlparser::{ast, tokenizer::Span};

use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{Ident, Position},
    limits::{self, IDENTIFIER_LENGTH_MAX, LIST_LENGTH_MAX},
    parse::TableName,
};

mod call;
mod change;
mod expr;
mod group;
mod literal;
mod merge;
mod operator;
mod predicate;
mod query;
mod relation;
mod special;
mod star;
mod statement;
mod view;
mod window;

/// What one pass over a statement carries along.
#[derive(Debug, Default)]
pub(crate) struct Lowering {
    /// Names that WITH defines, innermost last.
    ctes: Vec<Ident>,
    /// Base tables so far.
    tables: Vec<TableName>,
    /// Relations so far, WITH references included.
    relations: usize,
    /// Set operations so far.
    set_operations: usize,
    /// Windows that the SELECT at hand names.
    windows: Vec<window::NamedWindow>,
    /// Uses of such names so far.
    window_uses: usize,
    /// Whether some function so far changes its answer.
    is_volatile: bool,
    /// Levels of the expression at hand.
    depth: usize,
    /// The last place seen, for parts to which the parser gives none.
    here: Position,
}

impl Lowering {
    /// A pass over a statement that starts at `here`.
    pub(crate) fn new(here: Position) -> Self {
        Self {
            here,
            ..Self::default()
        }
    }

    /// The base tables met, in order.
    pub(crate) fn into_tables(self) -> Vec<TableName> {
        self.tables
    }

    /// The place of a span; the last known place if it is empty.
    fn at(&mut self, span: Span) -> Position {
        if span.start.line > 0 {
            self.here = Position {
                line: span.start.line,
                column: span.start.column,
            };
        }
        self.here
    }

    /// A refusal of something recognised.
    fn refuse(&mut self, what: impl fmt::Display, span: Span) -> SqlError {
        SqlError::unsupported(what, self.at(span))
    }

    /// Refuses `what` if it is there; the parts that are rarely present are checked by this.
    fn absent(&mut self, is_present: bool, what: &str) -> Result<(), SqlError> {
        if is_present {
            Err(self.refuse(what, Span::empty()))
        } else {
            Ok(())
        }
    }

    /// Refuses `what` at its place, if it has one.
    fn absent_at(&mut self, span: Option<Span>, what: &str) -> Result<(), SqlError> {
        span.map_or(Ok(()), |span| Err(self.refuse(what, span)))
    }

    /// An identifier in the one allowed spelling.
    fn ident(&mut self, ident: &ast::Ident) -> Result<Ident, SqlError> {
        let ast::Ident {
            value,
            quote_style,
            span,
        } = ident;
        let position = self.at(*span);
        if value.len() > IDENTIFIER_LENGTH_MAX {
            return Err(limits::exceeded(
                "bytes in a name",
                IDENTIFIER_LENGTH_MAX,
                position,
            ));
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_readable = |c: char| c.is_alphanumeric() || (' '..='~').contains(&c);
        match quote_style {
            None if value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && value.chars().all(is_plain) =>
            {
                Ok(Ident {
                    value: value.to_ascii_lowercase(),
                    is_quoted: false,
                    position,
                })
            }
            None => Err(SqlError::unsupported("this name without quotes", position)
                .with_hint("put names with other signs than a-z, 0-9 and _ in double quotes")),
            Some('"') if value.is_empty() => Err(SqlError::new(
                SqlErrorKind::Syntax,
                "a name is empty",
                position,
            )),
            Some('"') if value.chars().all(is_readable) => Ok(Ident {
                value: value.clone(),
                is_quoted: true,
                position,
            }),
            Some('"') => Err(SqlError::unsupported(
                "a name with control, combining or invisible characters",
                position,
            )),
            Some(quote) => Err(SqlError::unsupported(
                format!("quoting names with {quote}"),
                position,
            )
            .with_hint("quote names with double quotes")),
        }
    }

    /// The parts of a dotted name.
    fn name(&mut self, name: &ast::ObjectName) -> Result<Vec<Ident>, SqlError> {
        let ast::ObjectName(parts) = name;
        let mut idents = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                ast::ObjectNamePart::Identifier(ident) => idents.push(self.ident(ident)?),
                ast::ObjectNamePart::Function(function) => {
                    return Err(self.refuse("a function as a name", function.name.span));
                }
            }
        }
        Ok(idents)
    }

    /// Lowers each item of a list of bounded length.
    fn list<A, B>(
        &mut self,
        items: &[A],
        mut lower: impl FnMut(&mut Self, &A) -> Result<B, SqlError>,
    ) -> Result<Vec<B>, SqlError> {
        if items.len() > LIST_LENGTH_MAX {
            return Err(limits::exceeded(
                "items in a list",
                LIST_LENGTH_MAX,
                self.here,
            ));
        }
        items.iter().map(|item| lower(self, item)).collect()
    }

    /// Lowers what an option holds.
    fn optional<A, B>(
        &mut self,
        item: Option<&A>,
        lower: impl FnOnce(&mut Self, &A) -> Result<B, SqlError>,
    ) -> Result<Option<B>, SqlError> {
        item.map(|item| lower(self, item)).transpose()
    }
}
