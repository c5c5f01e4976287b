//! Named bounds of one statement, and the scan that keeps them before the parser sees a token.
//!
//! The parser bounds its own recursion, but builds `1+1+1..` as a tree as deep as it is long, and
//! such a tree overflows the stack when it is dropped. So the scan bounds the length of any chain,
//! and everything that touches the parser's tree runs on a stack of its own.

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

use crate::{
    error::{SqlError, SqlErrorKind},
    ir::Position,
};

/// Bytes of a statement.
pub const STATEMENT_BYTES_MAX: usize = 256 * 1024;
/// Parentheses, brackets and braces open at a time.
pub const PARENTHESES_DEPTH_MAX: usize = 48;
/// Recursion of the parser over the caller's text.
pub const PARSER_DEPTH_MAX: usize = 64;
/// Recursion of a parser over the governed text, which may have some more parentheses than the
/// caller's; the engine's own parser must be given at least this.
pub const GOVERNED_PARSER_DEPTH_MAX: usize = 256;
/// Operators, keywords and other signs in a row without a comma, at one level of parentheses.
pub const CHAIN_LENGTH_MAX: usize = 2_000;
/// Levels of an expression after chains of one operator are flattened; subqueries count on.
pub const EXPRESSION_DEPTH_MAX: usize = 128;
/// Bytes of the stack on which a statement is read and printed; touched only as far as needed.
pub const STACK_BYTES: usize = 32 * 1024 * 1024;
/// Items of any list: IN, VALUES, select list, arguments.
pub const LIST_LENGTH_MAX: usize = 10_000;
/// Most expressions that are written again where what one means takes it more than once.
pub const REPEATED_EXPRESSIONS_MAX: usize = 50_000;
/// Set operations in one statement.
pub const SET_OPERATIONS_MAX: usize = 64;
/// Base tables and WITH references in one statement.
pub const RELATIONS_MAX: usize = 128;
/// Base tables after each WITH reference is replaced by its query, as the engine does.
pub const EXPANDED_RELATIONS_MAX: usize = 512;
/// WHENs of one MERGE: each is a query over both sides.
pub const MERGE_CLAUSES_MAX: usize = 16;
/// Uses of windows by name in one statement: each is written out.
pub const NAMED_WINDOW_USES_MAX: usize = 100;
/// Sets of keys of one ROLLUP, CUBE or GROUPING SETS, after CUBE is written out.
pub const GROUPING_SETS_MAX: usize = 256;
/// Output columns of any one query, after stars are expanded.
pub const OUTPUT_COLUMNS_MAX: usize = 4_096;
/// Sources of all output columns of a statement together, while lineage is derived.
pub const FLOW_SOURCES_MAX: usize = 1_000_000;
/// Lineage edges of one write.
pub const LINEAGE_EDGES_MAX: usize = 100_000;
/// Characters of an identifier.
pub const IDENTIFIER_LENGTH_MAX: usize = 255;

/// Runs `work` on a stack that is large enough for any statement within the limits: here, if so much of
/// this thread's is left, else on one of its own, whose pages cost more than to read a short statement.
pub(crate) fn on_large_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK_BYTES, STACK_BYTES, work)
}

/// An error that names the limit.
pub(crate) fn exceeded(what: &str, limit: usize, at: Position) -> SqlError {
    SqlError::new(
        SqlErrorKind::TooLarge,
        format!("the statement has too many {what}: at most {limit} are allowed"),
        at,
    )
}

/// Refuses a token stream whose tree would be too deep or too wide.
pub(crate) fn scan(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let mut chains = vec![0_usize];
    for token in tokens {
        let at = position(token);
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                if chains.len() > PARENTHESES_DEPTH_MAX {
                    return Err(exceeded("nested parentheses", PARENTHESES_DEPTH_MAX, at));
                }
                bump(&mut chains, at)?;
                chains.push(0);
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                // An unbalanced closing sign is the parser's to refuse.
                if chains.len() > 1 {
                    chains.pop();
                }
            }
            Token::Comma | Token::SemiColon => {
                if let Some(chain) = chains.last_mut() {
                    *chain = 0;
                }
            }
            token if is_operand(token) => {}
            _ => bump(&mut chains, at)?,
        }
    }
    Ok(())
}

/// The place of a token.
pub(crate) fn position(token: &TokenWithSpan) -> Position {
    Position {
        line: token.span.start.line,
        column: token.span.start.column,
    }
}

fn bump(chains: &mut [usize], at: Position) -> Result<(), SqlError> {
    if let Some(chain) = chains.last_mut() {
        *chain = chain.saturating_add(1);
        if *chain > CHAIN_LENGTH_MAX {
            return Err(
                exceeded("operators in one expression", CHAIN_LENGTH_MAX, at)
                    .with_hint("write a long list of alternatives as `x IN (..)`"),
            );
        }
    }
    Ok(())
}

/// Names, literals, points and white space: they do not deepen a tree.
fn is_operand(token: &Token) -> bool {
    matches!(
        token,
        Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Period
            | Token::EOF
    ) || matches!(token, Token::Word(word) if word.keyword == Keyword::NoKeyword)
}
