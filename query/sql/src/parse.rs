//! From text to a statement of the allow-list.

use sqlparser::{
    ast,
    dialect::Dialect as ParserDialect,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Token, TokenWithSpan, Tokenizer, TokenizerError},
};

use crate::{
    change::Change,
    dialect::{self, Dialect},
    error::{SqlError, SqlErrorKind},
    ir::{Ident, Position, Query},
    limits::{self, GOVERNED_PARSER_DEPTH_MAX, PARSER_DEPTH_MAX, STATEMENT_BYTES_MAX},
    lower::Lowering,
};

/// The dialect of what we emit, whatever the caller's.
pub(crate) const EMITTED: Dialect = Dialect::DataFusion;

/// One statement that may be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it does.
    pub kind: Kind,
    /// The base tables that it reads, one per occurrence: the index here is `occurrence` of
    /// [`crate::ir::Relation::Table`]. In the order of the text, but FROM before the select list.
    pub tables: Vec<TableName>,
}

/// What a statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answers rows.
    Query(Query),
    /// CREATE TABLE .. AS.
    CreateTableAs {
        /// The new table.
        target: TableName,
        /// Its content.
        query: Query,
    },
    /// CREATE VIEW.
    CreateView {
        /// The view.
        target: TableName,
        /// Whether one that is there is replaced.
        is_replacing: bool,
        /// Whose rights count behind it.
        security: Security,
        /// Names of its columns; those of the query, if empty.
        columns: Vec<Ident>,
        /// Its content.
        query: Query,
    },
    /// DROP VIEW.
    DropView {
        /// The view.
        target: TableName,
    },
    /// INSERT INTO .. SELECT or VALUES.
    Insert {
        /// The table written.
        target: TableName,
        /// The columns written; all, if empty.
        columns: Vec<Ident>,
        /// The rows.
        query: Query,
        /// RETURNING: a SELECT from the target, which stands for the rows written.
        returning: Option<Box<Statement>>,
    },
    /// UPDATE or DELETE.
    Change(Change),
    /// EXPLAIN: the plan.
    Explain(Query),
    /// EXPLAIN POLICY: what would be enforced.
    ExplainPolicy(Query),
    /// EXPLAIN or EXPLAIN POLICY of a write.
    ExplainWrite(Box<Statement>, Explained),
    /// SHOW TABLES.
    ShowTables,
}

/// Whose rights count behind a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Those of who reads it.
    Invoker,
    /// Those of who makes it.
    Definer,
}

/// What is told of a write that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Explained {
    /// The governed statement.
    Statement,
    /// What would be enforced.
    Policy,
}

impl Kind {
    /// The one query inside, if there is one.
    pub fn query(&self) -> Option<&Query> {
        match self {
            Self::Query(query)
            | Self::CreateTableAs { query, .. }
            | Self::CreateView { query, .. }
            | Self::Insert { query, .. }
            | Self::Explain(query)
            | Self::ExplainPolicy(query) => Some(query),
            Self::DropView { .. } | Self::Change(_) | Self::ExplainWrite(..) | Self::ShowTables => {
                None
            }
        }
    }
}

impl Statement {
    /// RETURNING, if there is one.
    pub fn returning(&self) -> Option<&Statement> {
        match &self.kind {
            Kind::Insert { returning, .. } => returning.as_deref(),
            Kind::Change(change) => change.returning.as_deref(),
            Kind::Query(_)
            | Kind::CreateTableAs { .. }
            | Kind::CreateView { .. }
            | Kind::DropView { .. }
            | Kind::Explain(_)
            | Kind::ExplainPolicy(_)
            | Kind::ExplainWrite(..)
            | Kind::ShowTables => None,
        }
    }

    /// All names of tables in it, those of the steps of a change and of the target included; that of
    /// RETURNING is the target's.
    pub fn names(&self) -> Vec<&TableName> {
        let mut names: Vec<&TableName> = self.tables.iter().collect();
        match &self.kind {
            Kind::Insert { target, .. } | Kind::DropView { target } => names.push(target),
            Kind::Change(change) => {
                names.push(&change.target);
                names.extend(change.steps.iter().flat_map(|step| step.rows.names()));
            }
            Kind::ExplainWrite(write, _) => names.extend(write.names()),
            Kind::Query(_)
            | Kind::CreateTableAs { .. }
            | Kind::CreateView { .. }
            | Kind::Explain(_)
            | Kind::ExplainPolicy(_)
            | Kind::ShowTables => {}
        }
        names
    }
}

/// A table as the caller wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableName {
    /// One to three parts.
    pub parts: Vec<Ident>,
    /// Where.
    pub position: Position,
}

impl TableName {
    /// The name with points, for messages.
    pub fn display(&self) -> String {
        dotted(&self.parts)
    }
}

/// Parts with points between them, for messages.
pub(crate) fn dotted(parts: &[Ident]) -> String {
    let parts: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
    parts.join(".")
}

/// Reads one statement.
///
/// # Errors
/// Everything that is not exactly one statement of the allow-list, within the limits of
/// [`crate::limits`], in syntax that the governed tree has a place for. Nothing is ignored.
pub fn parse(dialect: Dialect, sql: &str) -> Result<Statement, SqlError> {
    limits::on_large_stack(|| parse_here(dialect, sql, PARSER_DEPTH_MAX))
}

/// Reads the stored query of a view, which is as we print it: in our own dialect, and maybe with some
/// more parentheses than its author's.
///
/// # Errors
/// As [`parse`], or a statement that is no query.
pub fn parse_view(sql: &str) -> Result<Statement, SqlError> {
    limits::on_large_stack(|| {
        let statement = parse_here(EMITTED, sql, GOVERNED_PARSER_DEPTH_MAX)?;
        match statement.kind {
            Kind::Query(_) => Ok(statement),
            _ => {
                let message = "a view is a query";
                Err(SqlError::new(
                    SqlErrorKind::Invalid,
                    message,
                    Position::default(),
                ))
            }
        }
    })
}

fn parse_here(dialect: Dialect, sql: &str, depth_max: usize) -> Result<Statement, SqlError> {
    let mut tokens = tokens(dialect, sql)?;
    let start = first(&tokens).map_or(Position { line: 1, column: 1 }, limits::position);
    let explains_policy = take_explain_policy(&mut tokens);
    let statement = parse_in(dialect::parser(dialect), tokens, depth_max)?;
    lowered(dialect, &statement, start, explains_policy)
}

/// Lowers a statement of the parser's.
pub(crate) fn lowered(
    dialect: Dialect,
    statement: &ast::Statement,
    start: Position,
    explains_policy: bool,
) -> Result<Statement, SqlError> {
    let mut lowering = Lowering::new(dialect, start);
    let kind = if explains_policy {
        lowering.explained(statement, Explained::Policy)?
    } else {
        lowering.statement(statement)?
    };
    Ok(Statement {
        kind,
        tables: lowering.into_tables(),
    })
}

/// The tokens of a text that is within the limits.
pub(crate) fn tokens(dialect: Dialect, sql: &str) -> Result<Vec<TokenWithSpan>, SqlError> {
    let start = Position { line: 1, column: 1 };
    if sql.len() > STATEMENT_BYTES_MAX {
        return Err(limits::exceeded("bytes", STATEMENT_BYTES_MAX, start));
    }
    for (line, text) in (1..).zip(sql.split('\n')) {
        if let Some((column, _)) = (1..).zip(text.chars()).find(|(_, c)| is_forbidden(*c)) {
            return Err(SqlError::new(
                SqlErrorKind::Syntax,
                "the text has a control or invisible character",
                Position { line, column },
            ));
        }
    }
    let tokens = Tokenizer::new(dialect::parser(dialect), sql)
        .tokenize_with_location()
        .map_err(|TokenizerError { message, location }| {
            let at = Position {
                line: location.line,
                column: location.column,
            };
            SqlError::new(SqlErrorKind::Syntax, message, at)
        })?;
    limits::scan(&tokens)?;
    dialect::check(dialect, &tokens)?;
    Ok(tokens)
}

/// NUL and its kin, byte order mark, zero-width and direction signs: nowhere in a statement.
pub(crate) fn is_forbidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}')
        || matches!(c, '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Parses exactly one statement.
pub(crate) fn parse_in(
    dialect: &dyn ParserDialect,
    tokens: Vec<TokenWithSpan>,
    depth_max: usize,
) -> Result<ast::Statement, SqlError> {
    let mut parser = Parser::new(dialect)
        .with_recursion_limit(depth_max)
        .with_tokens_with_locations(tokens);
    if parser.peek_token().token == Token::EOF {
        let at = Position { line: 1, column: 1 };
        return Err(SqlError::new(
            SqlErrorKind::Syntax,
            "the statement is empty",
            at,
        ));
    }
    let statement = parser
        .parse_statement()
        .map_err(|error| syntax(error, depth_max))?;
    while parser.consume_token(&Token::SemiColon) {}
    let rest = parser.peek_token();
    if rest.token == Token::EOF {
        return Ok(statement);
    }
    let at = limits::position(&rest);
    let follows_semicolon = parser.get_current_token().token == Token::SemiColon;
    Err(if follows_semicolon {
        SqlError::unsupported("more than one statement", at)
    } else {
        SqlError::new(
            SqlErrorKind::Syntax,
            "the text goes on behind the statement",
            at,
        )
    })
}

/// Removes a leading EXPLAIN POLICY, and says whether there was one.
fn take_explain_policy(tokens: &mut Vec<TokenWithSpan>) -> bool {
    let words: Vec<usize> = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| !matches!(token.token, Token::Whitespace(_)))
        .map(|(index, _)| index)
        .take(3)
        .collect();
    let [first, second, third] = words.as_slice() else {
        return false;
    };
    let is_prefix = tokens
        .get(*first)
        .is_some_and(|token| is_word(&token.token, "explain"))
        && tokens
            .get(*second)
            .is_some_and(|token| is_word(&token.token, "policy"));
    if is_prefix {
        tokens.drain(..*third);
    }
    is_prefix
}

fn is_word(token: &Token, text: &str) -> bool {
    matches!(token, Token::Word(word)
        if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

fn first(tokens: &[TokenWithSpan]) -> Option<&TokenWithSpan> {
    tokens
        .iter()
        .find(|token| !matches!(token.token, Token::Whitespace(_)))
}

/// The parser's error; its place is only in the text.
fn syntax(error: ParserError, depth_max: usize) -> SqlError {
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => {
            let start = Position { line: 1, column: 1 };
            return limits::exceeded("nested levels", depth_max, start);
        }
    };
    let Some((text, place)) = message.rsplit_once(" at Line: ") else {
        return SqlError::new(SqlErrorKind::Syntax, message, Position::default());
    };
    let mut numbers = place
        .split(", Column: ")
        .map(|number| number.parse().unwrap_or_default());
    let at = Position {
        line: numbers.next().unwrap_or_default(),
        column: numbers.next().unwrap_or_default(),
    };
    SqlError::new(SqlErrorKind::Syntax, text, at)
}

/// Whether a token is this keyword, unquoted.
pub(crate) fn is_keyword(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.keyword == keyword)
}
