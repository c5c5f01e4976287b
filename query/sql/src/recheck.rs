//! The second net: reads the emitted text afresh and compares.
//!
//! Three checks that share nothing with the binder. The text, lowered again, is the bound tree. The
//! text, printed by the parser's own printer and read again, is the same to the parser. A scan of
//! tokens finds no relation name but governed names, each once, and names that the text defines.

use std::collections::BTreeSet;

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

use crate::{
    bind::governed_name,
    dialect,
    error::{SqlError, SqlErrorKind},
    ir::{Position, Query},
    limits::GOVERNED_PARSER_DEPTH_MAX,
    parse::{self, EMITTED, Kind},
};

/// Refuses a text that does not say exactly what was bound.
pub(crate) fn recheck(text: &str, bound: &Query, table_count: usize) -> Result<(), SqlError> {
    let tokens = parse::tokens(EMITTED, text).map_err(|error| unreadable(&error))?;
    relations_are_governed(&tokens, table_count)?;
    let read =
        |tokens| parse::parse_in(dialect::parser(EMITTED), tokens, GOVERNED_PARSER_DEPTH_MAX);
    let once = read(tokens).map_err(|error| unreadable(&error))?;
    let statement = parse::lowered(EMITTED, &once, Position::default(), false)
        .map_err(|error| unreadable(&error))?;
    if !matches!(&statement.kind, Kind::Query(query) if query == bound) {
        return Err(disagreement("the governed text is not the bound statement"));
    }
    let printed = once.to_string();
    if printed == text {
        // What was read is what would be read.
        return Ok(());
    }
    let twice = parse::tokens(EMITTED, &printed)
        .and_then(read)
        .map_err(|_| disagreement("the parser cannot read its own print"))?;
    if once != twice {
        return Err(disagreement("the governed text has two readings"));
    }
    Ok(())
}

fn disagreement(message: &str) -> SqlError {
    SqlError::new(SqlErrorKind::Recheck, message, Position::default())
        .with_hint("nothing was run; report the statement's shape")
}

/// A text that is larger than the caller's may be, and fail by a limit that his did not.
fn unreadable(error: &SqlError) -> SqlError {
    if error.kind == SqlErrorKind::TooLarge {
        return SqlError::new(error.kind, error.message.clone(), Position::default())
            .with_hint("write a shorter list, or join a query in its place");
    }
    disagreement(&format!(
        "the governed text cannot be read: {}",
        error.message
    ))
}

/// Scans for the names behind FROM, JOIN and commas of a FROM list.
fn relations_are_governed(tokens: &[TokenWithSpan], table_count: usize) -> Result<(), SqlError> {
    let tokens: Vec<&Token> = tokens
        .iter()
        .map(|token| &token.token)
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    let defined = defined_names(&tokens);
    let expected: BTreeSet<String> = (0..table_count).map(governed_name).collect();
    let mut seen = BTreeSet::new();
    for name in relation_names(&tokens)? {
        if expected.contains(&name) {
            if !seen.insert(name) {
                return Err(disagreement("a governed table occurs twice in the text"));
            }
        } else if !defined.contains(&name) {
            return Err(disagreement(
                "the text names a relation that is not governed",
            ));
        }
    }
    if seen == expected {
        Ok(())
    } else {
        Err(disagreement("a governed table is missing in the text"))
    }
}

/// Names in the form `"name" AS (SELECT|WITH|VALUES|(` behind WITH or a comma.
fn defined_names(tokens: &[&Token]) -> BTreeSet<String> {
    tokens
        .windows(4)
        .filter_map(|window| match window {
            [before, Token::Word(name), second, Token::LParen]
                if name.quote_style == Some('"')
                    && parse::is_keyword(second, Keyword::AS)
                    && (**before == Token::Comma
                        || parse::is_keyword(before, Keyword::WITH)
                        || parse::is_keyword(before, Keyword::RECURSIVE)) =>
            {
                Some(name.value.clone())
            }
            _ => None,
        })
        .collect()
}

/// What is open at one level of parentheses.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    /// A FROM list: a name may follow a comma or JOIN.
    From,
    /// Parentheses in relation position: a join, or a query whose own FROM will say so.
    Nested,
    /// Anything else.
    Other,
}

/// The relation names of the text, each a single quoted word.
fn relation_names(tokens: &[&Token]) -> Result<Vec<String>, SqlError> {
    let mut names = Vec::new();
    let mut levels = vec![Level::Other];
    let mut expects_relation = false;
    // EXTRACT(field FROM x) and IS DISTINCT FROM have a FROM of their own.
    let mut field_from = false;
    let mut previous: Option<&Token> = None;
    for token in tokens {
        let level = levels.last().copied().unwrap_or(Level::Other);
        match token {
            Token::LParen => {
                field_from =
                    previous.is_some_and(|token| parse::is_keyword(token, Keyword::EXTRACT));
                levels.push(if expects_relation {
                    Level::Nested
                } else {
                    Level::Other
                });
            }
            Token::RParen => {
                levels.pop();
                expects_relation = false;
            }
            Token::Comma => expects_relation = level == Level::From,
            // The query behind it is the relation.
            Token::Word(_) if expects_relation && parse::is_keyword(token, Keyword::LATERAL) => {}
            Token::Word(word) if expects_relation => {
                let opens_query = parse::is_keyword(token, Keyword::SELECT)
                    || parse::is_keyword(token, Keyword::WITH)
                    || parse::is_keyword(token, Keyword::VALUES);
                expects_relation = false;
                if opens_query && level == Level::Nested {
                    set_last(&mut levels, Level::Other);
                } else if word.quote_style == Some('"') {
                    names.push(word.value.clone());
                } else {
                    return Err(disagreement("a relation of the text has no quoted name"));
                }
            }
            Token::Word(_) => {
                if parse::is_keyword(token, Keyword::FROM) {
                    let is_distinct_from =
                        previous.is_some_and(|token| parse::is_keyword(token, Keyword::DISTINCT));
                    if field_from {
                        field_from = false;
                    } else if !is_distinct_from {
                        set_last(&mut levels, Level::From);
                        expects_relation = true;
                    }
                } else if parse::is_keyword(token, Keyword::JOIN) {
                    expects_relation = true;
                } else if ends_from(token) && level == Level::From {
                    set_last(&mut levels, Level::Other);
                }
            }
            _ => {}
        }
        previous = Some(token);
    }
    Ok(names)
}

fn set_last(levels: &mut [Level], level: Level) {
    if let Some(last) = levels.last_mut() {
        *last = level;
    }
}

/// The clauses behind a FROM list.
fn ends_from(token: &Token) -> bool {
    [
        Keyword::WHERE,
        Keyword::GROUP,
        Keyword::HAVING,
        Keyword::QUALIFY,
        Keyword::ORDER,
        Keyword::LIMIT,
        Keyword::OFFSET,
        Keyword::UNION,
        Keyword::INTERSECT,
        Keyword::EXCEPT,
    ]
    .into_iter()
    .any(|keyword| parse::is_keyword(token, keyword))
}

#[cfg(test)]
mod tests;
