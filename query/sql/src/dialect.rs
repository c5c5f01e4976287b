//! What the caller's dialect decides: signs and quotes, folding of names, names of functions.
//!
//! A text is read in one dialect, once. The tree is the same for all, and so is what is emitted and
//! read again. What a construct would mean otherwise there than in the engine is lowered to an equal
//! expression, or refused: here for tokens, in `lower` for what has become a tree.

mod ansi;
pub(crate) mod function;
mod mysql;

use sqlparser::{
    dialect::{self as parser, GenericDialect, PostgreSqlDialect},
    tokenizer::{Token, TokenWithSpan, Whitespace},
};

pub use dataos_model::query::Dialect;

use self::{ansi::Ansi, mysql::MySql};
use crate::{
    error::SqlError,
    ir::{Ident, Matching},
    limits,
};

/// How the parser is told.
pub(crate) fn parser(dialect: Dialect) -> &'static dyn parser::Dialect {
    match dialect {
        Dialect::Ansi => &Ansi,
        Dialect::Postgres => &PostgreSqlDialect {},
        Dialect::MySql => &MySql,
        Dialect::DataFusion => &GenericDialect {},
    }
}

/// The sign around names that are no plain words.
pub(crate) fn quote(dialect: Dialect) -> char {
    match dialect {
        Dialect::Ansi | Dialect::Postgres | Dialect::DataFusion => '"',
        Dialect::MySql => '`',
    }
}

/// The hint to whoever quoted a name otherwise, or not at all.
pub(crate) fn quote_hint(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Ansi | Dialect::Postgres | Dialect::DataFusion => {
            "put names with other signs than a-z, 0-9 and _ in double quotes"
        }
        Dialect::MySql => "put names with other signs than a-z, 0-9 and _ in backticks",
    }
}

/// A name as it is folded, and what it matches.
pub(crate) fn folded(dialect: Dialect, value: &str, is_quoted: bool) -> (String, Matching) {
    match dialect {
        Dialect::Postgres | Dialect::DataFusion if is_quoted => (value.to_owned(), Matching::Exact),
        Dialect::Postgres => (value.to_ascii_lowercase(), Matching::Exact),
        Dialect::DataFusion => (value.to_ascii_lowercase(), Matching::ExactFirst),
        Dialect::Ansi | Dialect::MySql => (value.to_owned(), Matching::AnyCase),
    }
}

/// The same name as part of a table's.
pub(crate) fn of_table(dialect: Dialect, name: Ident) -> Ident {
    match dialect {
        Dialect::Postgres | Dialect::DataFusion => name,
        Dialect::Ansi => Ident {
            value: name.value.to_ascii_lowercase(),
            ..name
        },
        // Tables are files there, whose spelling counts; that of a catalog with one spelling need not.
        Dialect::MySql => Ident {
            matching: Matching::ExactFirst,
            ..name
        },
    }
}

/// Refuses tokens that say something else there than they do here.
pub(crate) fn check(dialect: Dialect, tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    match dialect {
        Dialect::DataFusion => Ok(()),
        Dialect::MySql => tokens.iter().try_for_each(not_executable),
        Dialect::Ansi | Dialect::Postgres => tokens.windows(3).try_for_each(not_escaped_name),
    }
}

/// MySQL runs what is in `/*! .. */`, MariaDB what is in `/*M! .. */`, both by their versions.
fn not_executable(token: &TokenWithSpan) -> Result<(), SqlError> {
    let Token::Whitespace(Whitespace::MultiLineComment(text)) = &token.token else {
        return Ok(());
    };
    if text.starts_with('!') || text.starts_with("M!") {
        let at = limits::position(token);
        return Err(SqlError::unsupported("a comment that is executed", at)
            .with_hint("write the statement for one version, without /*! */"));
    }
    Ok(())
}

/// `U&"\0061"` is a name with escapes there; the parser reads `U & "\0061"`.
fn not_escaped_name(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let [first, ampersand, name] = tokens else {
        return Ok(());
    };
    let is_prefix = matches!(&first.token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("u"));
    let is_name = matches!(&name.token, Token::Word(word) if word.quote_style.is_some());
    if is_prefix && ampersand.token == Token::Ampersand && is_name {
        let at = limits::position(first);
        return Err(SqlError::unsupported("a name with escapes, U&\"..\",", at)
            .with_hint("write the letters themselves in double quotes"));
    }
    Ok(())
}
