//! From the parser's tree to ours: what is not translated here is refused with its place.
//!
//! No wildcard arm and no `..` over a struct that is translated: when the parser learns new syntax,
//! this module stops compiling, and the policy is not bypassed.
#![deny(clippy::wildcard_enum_match_arm)]

use std::fmt;

use sqlparser::{ast, tokenizer::Span};
use unicode_normalization::is_nfc;

use crate::{
    dialect::{self, Dialect},
    error::{SqlError, SqlErrorKind},
    ir::{Ident, Position},
    limits::{self, IDENTIFIER_LENGTH_MAX, LIST_LENGTH_MAX},
    parse::TableName,
};

mod call;
mod change;
mod expr;
mod group;
mod grouping;
mod list;
mod literal;
mod meaning;
mod merge;
mod mysql;
mod number;
mod operator;
mod pattern;
mod predicate;
mod query;
mod relation;
mod repeated;
mod special;
mod star;
mod statement;
mod tuple;
mod values;
mod view;
mod window;
pub(crate) mod zone;

/// What one pass over a statement carries along.
#[derive(Debug, Default)]
pub(crate) struct Lowering {
    /// The dialect of the text.
    dialect: Dialect,
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
    /// Queries so far.
    query_count: usize,
    /// Whether some function so far changes its answer.
    is_volatile: bool,
    /// Expressions so far, those that are written again each time.
    expressions: usize,
    /// How many of them are written again.
    repeated: usize,
    /// Inside how many that may be written again the lowering is.
    repeating: usize,
    /// Levels of the expression at hand.
    depth: usize,
    /// The last place seen, for parts to which the parser gives none.
    here: Position,
}

impl Lowering {
    /// A pass over a statement of a dialect that starts at `here`.
    pub(crate) fn new(dialect: Dialect, here: Position) -> Self {
        Self {
            dialect,
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
        let is_quoted = match quote_style {
            Some(quote) if *quote == dialect::quote(self.dialect) => true,
            Some(quote) => {
                let what = format!("quoting names with {quote}");
                return Err(SqlError::unsupported(what, position)
                    .with_hint(dialect::quote_hint(self.dialect)));
            }
            None => false,
        };
        if is_quoted {
            readable(value, position)?;
        } else if !is_plain(value) {
            return Err(SqlError::unsupported("this name without quotes", position)
                .with_hint(dialect::quote_hint(self.dialect)));
        }
        let (value, matching) = dialect::folded(self.dialect, value, is_quoted);
        Ok(Ident {
            value,
            matching,
            position,
        })
    }

    /// The parts of a table's name.
    fn table_name(&mut self, name: &ast::ObjectName) -> Result<Vec<Ident>, SqlError> {
        let parts = self.name(name)?.into_iter();
        let dialect = self.dialect;
        Ok(parts.map(|part| dialect::of_table(dialect, part)).collect())
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

/// Whether a name may stand without quotes.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Refuses a quoted name that does not show what it is: one of other letters than it seems to have, or
/// with two spellings that look the same.
fn readable(name: &str, at: Position) -> Result<(), SqlError> {
    if name.is_empty() {
        return Err(SqlError::new(SqlErrorKind::Syntax, "a name is empty", at));
    }
    if !name
        .chars()
        .all(|c| c.is_alphanumeric() || (' '..='~').contains(&c))
    {
        let what = "a name with control, combining or invisible characters";
        return Err(SqlError::unsupported(what, at));
    }
    if !is_nfc(name) {
        let what = "a name that is not in Unicode's normal form C";
        return Err(SqlError::unsupported(what, at)
            .with_hint("write each letter as the one character that it is"));
    }
    Ok(())
}
