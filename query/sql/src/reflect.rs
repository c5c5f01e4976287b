//! What database clients ask about the database itself: `pg_catalog`, `information_schema`, and functions
//! such as `version()`.
//!
//! Enters: a statement that asks such things and nothing else, and the datasets and columns that the
//! caller may know of. Leaves: rows made of these alone. The statement is not run by any engine: it is
//! walked over tables in memory, in a bounded number of steps, so that neither a source nor a dataset
//! can be reached from it. What the walk does not know is refused by name.

mod condition;
mod eval;
mod from;
mod function;
mod kinds;
mod select;
mod tables;
mod value;
mod window;

use sqlparser::{
    ast,
    dialect::PostgreSqlDialect,
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

use crate::{
    dialect::Dialect,
    error::{SqlError, SqlErrorKind},
    limits::{self, PARSER_DEPTH_MAX},
    parse::{self, is_keyword},
};

pub use kinds::{POSTGRES_KINDS, PostgresKind};
pub use value::Value;

/// Names that are the session's, with or without parentheses.
const SESSION_NAMES: &[&str] = &[
    "version",
    "current_schema",
    "current_schemas",
    "current_database",
    "current_catalog",
    "current_user",
    "session_user",
    "current_role",
    "current_setting",
];

/// A statement about the database itself. Its tree is made where it is walked: it may be too deep for
/// the stack of whoever holds this.
#[derive(Clone, Debug)]
pub struct Question {
    sql: String,
    fingerprint: String,
}

/// A dataset as the caller may know it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Name of the schema: `depot.collection`.
    pub schema: String,
    /// Name of the table.
    pub name: String,
    /// Whether it is a view.
    pub is_view: bool,
    /// Whether the name alone means this dataset.
    pub is_plain: bool,
    /// Its columns, if the caller may know them.
    pub columns: Vec<ShownColumn>,
}

/// A column as the caller may know it.
#[derive(Clone, Debug)]
pub struct ShownColumn {
    /// Its name.
    pub name: String,
    /// Oid of its type in PostgreSQL.
    pub oid: u32,
    /// The type's modifier, or -1.
    pub modifier: i32,
    /// Whether it is never NULL.
    pub is_required: bool,
    /// What is told of it, such as that it is masked.
    pub comment: Option<String>,
}

/// What questions are answered from.
#[derive(Clone, Debug)]
pub struct World {
    /// Who asks.
    pub user: String,
    /// The one database.
    pub database: String,
    /// What `version()` says.
    pub version: String,
    /// Datasets in order.
    pub datasets: Vec<Shown>,
}

/// Rows of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows, each as long as `columns`.
    pub rows: Vec<Vec<Value>>,
}

impl Question {
    /// The question that a statement asks, if it is one.
    ///
    /// # Errors
    /// It is one, and cannot be read.
    pub fn of(dialect: Dialect, sql: &str) -> Result<Option<Self>, SqlError> {
        // In the others these are names like any.
        if !matches!(dialect, Dialect::Postgres | Dialect::DataFusion) {
            return Ok(None);
        }
        limits::on_large_stack(|| {
            if !is_question(&parse::tokens(dialect, sql)?) {
                return Ok(None);
            }
            Ok(Some(Self {
                fingerprint: fingerprint(&query(sql)?.to_string()),
                sql: sql.to_owned(),
            }))
        })
    }

    /// Whether the answer needs columns of datasets, which are dearer to know than names.
    pub fn needs_columns(&self) -> bool {
        let text = self.fingerprint.to_lowercase();
        ["pg_attribute", "columns", "description"]
            .iter()
            .any(|name| text.contains(name))
    }

    /// The question with `?` for each literal, for records.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The answer.
    ///
    /// # Errors
    /// Something that is not known here, by its name, or too much work.
    pub fn answer(&self, world: &World) -> Result<Rows, SqlError> {
        limits::on_large_stack(|| eval::Machine::new(world).answer(&*query(&self.sql)?))
    }
}

fn query(sql: &str) -> Result<Box<ast::Query>, SqlError> {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location();
    let tokens = tokens.map_err(|error| {
        SqlError::new(
            SqlErrorKind::Syntax,
            error.message,
            ir_position(error.location),
        )
    })?;
    limits::scan(&tokens)?;
    match parse::parse_in(&dialect, tokens, PARSER_DEPTH_MAX)? {
        ast::Statement::Query(query) => Ok(query),
        _ => Err(unsupported("a statement other than SELECT over pg_catalog")),
    }
}

fn fingerprint(text: &str) -> String {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize();
    let tokens = tokens.unwrap_or_default().into_iter();
    let shown = tokens.map(|token| match token {
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::NationalStringLiteral(_)
        | Token::DollarQuotedString(_) => "?".to_owned(),
        other => other.to_string(),
    });
    shown.collect()
}

fn ir_position(location: sqlparser::tokenizer::Location) -> crate::ir::Position {
    crate::ir::Position {
        line: location.line,
        column: location.column,
    }
}

/// Whether a statement is about the database itself: it names one of the two schemas or a table of
/// theirs, or it reads no table and calls a function of the session's.
fn is_question(tokens: &[TokenWithSpan]) -> bool {
    let signs: Vec<&Token> = tokens
        .iter()
        .map(|token| &token.token)
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    let is_query = signs.first().is_some_and(|sign| {
        is_keyword(sign, Keyword::SELECT)
            || is_keyword(sign, Keyword::WITH)
            || **sign == Token::LParen
    });
    let reads = signs.iter().any(|sign| is_keyword(sign, Keyword::FROM));
    is_query
        && (0..signs.len()).any(|index| {
            let before = index
                .checked_sub(1)
                .and_then(|index| signs.get(index))
                .copied();
            let (Some(Token::Word(word)), after) = (signs.get(index), signs.get(index + 1)) else {
                return false;
            };
            let name = word.value.to_lowercase();
            let is_first = before != Some(&Token::Period);
            let is_call = after == Some(&&Token::LParen);
            let is_source = before.is_some_and(|sign| {
                is_keyword(sign, Keyword::FROM)
                    || is_keyword(sign, Keyword::JOIN)
                    || *sign == Token::Comma
            });
            let is_schema =
                tables::SCHEMAS.contains(&name.as_str()) && after == Some(&&Token::Period);
            let is_cast = before == Some(&Token::DoubleColon) && name.starts_with("reg");
            let is_session = SESSION_NAMES.contains(&name.as_str()) && word.quote_style.is_none();
            is_first
                && (is_schema
                    || (is_source && tables::is_system(&name))
                    || (!reads && (is_cast || is_session || (is_call && name.starts_with("pg_")))))
        })
}

/// Refused, by name.
pub(crate) fn unsupported(what: impl std::fmt::Display) -> SqlError {
    SqlError::unsupported(what, crate::ir::Position::default()).with_hint(
        "pg_catalog and information_schema answer what common clients ask; see docs/postgres.md",
    )
}

#[cfg(test)]
mod tests;
