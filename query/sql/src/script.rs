//! Texts as database clients send them: several statements in one, and parameters.
//!
//! A parameter never becomes text of the caller's making: it is printed as one literal, and the result
//! is read again to see that it is exactly that literal.

use sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan, Tokenizer},
};

use crate::{
    dialect::{self, Dialect},
    error::{SqlError, SqlErrorKind},
    ir::Position,
    limits,
    parse::{is_keyword, tokens},
};

/// The dialect of these clients.
const DIALECT: Dialect = Dialect::Postgres;
/// Statements in one text.
pub const STATEMENTS_MAX: usize = 64;
/// Parameters of one statement; as many as PostgreSQL's protocol can name is more than a list may hold.
pub const PARAMETERS_MAX: usize = limits::LIST_LENGTH_MAX;
/// Words at the front of a statement that are kept.
const WORDS_MAX: usize = 12;

/// One statement of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its text, from its first sign to the semicolon behind it.
    pub text: String,
    /// Characters of the whole text in front of it.
    pub start: usize,
    /// Its first signs, with words that are not quoted in lower case; text without its quotes.
    pub words: Vec<Word>,
    /// The greatest number of a parameter `$1`, `$2`, ..
    pub parameters: usize,
    /// Whether it has the word RETURNING outside parentheses: a write then answers rows.
    pub has_returning: bool,
}

/// A sign at the front of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A word without quotes, in lower case, or a sign.
    Plain(String),
    /// A name in double quotes, text in single quotes, or a number.
    Value(String),
}

impl Word {
    /// The word, whatever it is.
    pub fn text(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Value(text) => text,
        }
    }
}

/// A parameter's value, to be printed as one literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A number: digits, sign, point and exponent.
    Number(String),
    /// Text, or a value whose type the place tells.
    Text(String),
    /// Text that is a `DATE` or a `TIMESTAMP`.
    Typed(&'static str, String),
}

/// Takes a text apart at its semicolons. Pieces without a sign are left out.
///
/// # Errors
/// A text that cannot be taken apart, or beyond the limits of [`crate::limits`] and this module.
pub fn pieces(sql: &str) -> Result<Vec<Piece>, SqlError> {
    limits::on_large_stack(|| {
        let tokens = tokens(DIALECT, sql)?;
        let offsets = offsets(sql, &tokens);
        let mut pieces = Vec::new();
        let mut open: Option<Open> = None;
        for (token, (byte, character)) in tokens.iter().zip(offsets) {
            match &token.token {
                Token::Whitespace(_) | Token::EOF => {}
                Token::SemiColon => pieces.extend(open.take().map(|open| open.close(sql, byte))),
                sign => open
                    .get_or_insert_with(|| Open::at(byte, character))
                    .add(sign, limits::position(token))?,
            }
            if pieces.len() > STATEMENTS_MAX {
                let at = limits::position(token);
                return Err(limits::exceeded("parts", STATEMENTS_MAX, at));
            }
        }
        pieces.extend(open.map(|open| open.close(sql, sql.len())));
        Ok(pieces)
    })
}

/// A piece whose end is not seen yet.
struct Open {
    byte: usize,
    character: usize,
    words: Vec<Word>,
    parameters: usize,
    parentheses: usize,
    has_returning: bool,
}

impl Open {
    fn at(byte: usize, character: usize) -> Self {
        Self {
            byte,
            character,
            words: Vec::new(),
            parameters: 0,
            parentheses: 0,
            has_returning: false,
        }
    }

    fn add(&mut self, sign: &Token, at: Position) -> Result<(), SqlError> {
        if let Token::Placeholder(name) = sign {
            self.parameters = self.parameters.max(number(name, at)?);
        }
        match sign {
            Token::LParen => self.parentheses += 1,
            Token::RParen => self.parentheses = self.parentheses.saturating_sub(1),
            sign => {
                self.has_returning |= self.parentheses == 0 && is_keyword(sign, Keyword::RETURNING);
            }
        }
        if self.words.len() < WORDS_MAX {
            self.words.push(match sign {
                Token::Word(word) if word.quote_style.is_none() => {
                    Word::Plain(word.value.to_lowercase())
                }
                Token::Word(word) => Word::Value(word.value.clone()),
                Token::SingleQuotedString(text) | Token::Number(text, _) => {
                    Word::Value(text.clone())
                }
                other => Word::Plain(other.to_string()),
            });
        }
        Ok(())
    }

    fn close(self, sql: &str, end: usize) -> Piece {
        Piece {
            text: sql.get(self.byte..end).unwrap_or_default().to_owned(),
            start: self.character,
            words: self.words,
            parameters: self.parameters,
            has_returning: self.has_returning,
        }
    }
}

/// Where each token starts, in bytes and in characters.
fn offsets(sql: &str, tokens: &[TokenWithSpan]) -> Vec<(usize, usize)> {
    let mut offsets = Vec::with_capacity(tokens.len());
    let mut signs = sql.char_indices();
    let (mut byte, mut character) = (0, 0);
    let (mut line, mut column) = (1_u64, 1_u64);
    for token in tokens {
        let start = token.span.start;
        while (line, column) < (start.line, start.column) {
            let Some((_, sign)) = signs.next() else { break };
            byte += sign.len_utf8();
            character += 1;
            (line, column) = match sign {
                '\n' => (line + 1, 1),
                _ => (line, column + 1),
            };
        }
        offsets.push((byte, character));
    }
    offsets
}

/// The number of `$1`.
fn number(name: &str, at: Position) -> Result<usize, SqlError> {
    let number = name
        .strip_prefix('$')
        .and_then(|digits| digits.parse().ok());
    match number {
        Some(number) if number > PARAMETERS_MAX => {
            Err(limits::exceeded("parameters", PARAMETERS_MAX, at))
        }
        Some(number) if number > 0 => Ok(number),
        _ => Err(
            SqlError::new(SqlErrorKind::Syntax, format!("a parameter `{name}`"), at)
                .with_hint("parameters are $1, $2, .."),
        ),
    }
}

/// The statement with a literal in place of each parameter.
///
/// # Errors
/// A parameter without a value, or a result that is too long.
pub fn filled(sql: &str, parameters: &[Parameter]) -> Result<String, SqlError> {
    limits::on_large_stack(|| {
        let tokens = tokens(DIALECT, sql)?;
        let mut text = String::with_capacity(sql.len());
        let mut done = 0;
        for (token, (byte, _)) in tokens.iter().zip(offsets(sql, &tokens)) {
            let Token::Placeholder(name) = &token.token else {
                continue;
            };
            let at = limits::position(token);
            let index = number(name, at)?;
            let parameter = parameters.get(index - 1).ok_or_else(|| {
                SqlError::new(SqlErrorKind::Invalid, format!("`{name}` has no value"), at)
            })?;
            text.push_str(sql.get(done..byte).unwrap_or_default());
            text.push_str(&literal(parameter, at)?);
            done = byte + name.len();
            if text.len() > limits::STATEMENT_BYTES_MAX {
                let max = limits::STATEMENT_BYTES_MAX;
                return Err(limits::exceeded("bytes with its parameters", max, at));
            }
        }
        text.push_str(sql.get(done..).unwrap_or_default());
        Ok(text)
    })
}

/// One literal, in a form that stands anywhere; read again, it is that literal and nothing else.
fn literal(parameter: &Parameter, at: Position) -> Result<String, SqlError> {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let (printed, wanted) = match parameter {
        Parameter::Null => return Ok(" NULL ".to_owned()),
        Parameter::Bool(true) => return Ok(" TRUE ".to_owned()),
        Parameter::Bool(false) => return Ok(" FALSE ".to_owned()),
        Parameter::Number(digits) => {
            let bare = digits.strip_prefix('-').unwrap_or(digits);
            (bare.to_owned(), Token::Number(bare.to_owned(), false))
        }
        Parameter::Text(text) | Parameter::Typed(_, text) => {
            (quoted(text), Token::SingleQuotedString(text.clone()))
        }
    };
    let read = Tokenizer::new(dialect::parser(DIALECT), &printed).tokenize();
    if read.ok().as_deref() != Some(&[wanted]) {
        return Err(SqlError::new(
            SqlErrorKind::Syntax,
            "a parameter has a value that cannot be written as a literal",
            at,
        ));
    }
    Ok(match parameter {
        Parameter::Typed(name, _) => format!(" {name} {printed} "),
        Parameter::Number(digits) if digits.starts_with('-') => format!("(-{printed})"),
        _ => format!(" {printed} "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_apart_where_its_semicolons_are_signs() {
        let text = "-- first; not\nSELECT ';' AS \"a;b\" /* ; */; ;\n  Begin Work;select 'é', $2";
        let pieces = pieces(text).unwrap();
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "SELECT ';' AS \"a;b\" /* ; */",
                "Begin Work",
                "select 'é', $2"
            ]
        );
        for piece in &pieces {
            let there: String = text.chars().skip(piece.start).collect();
            assert!(there.starts_with(&piece.text));
        }
        let words: Vec<&str> = pieces[1].words.iter().map(Word::text).collect();
        assert_eq!(words, ["begin", "work"]);
        assert_eq!(
            [0, 0, 2],
            [0, 1, 2].map(|index: usize| pieces[index].parameters)
        );
        assert!(super::pieces(&"x;".repeat(STATEMENTS_MAX + 1)).is_err());
    }

    #[test]
    fn parameters_become_literals_and_nothing_else() {
        let text = |text: &str| Parameter::Text(text.to_owned());
        let number = |text: &str| Parameter::Number(text.to_owned());
        let filled = |sql, parameters: &[Parameter]| filled(sql, parameters);
        assert_eq!(
            filled(
                "select $2, '$1', $1 -- $1\n, x-$3",
                &[text("o'x\\'; --"), Parameter::Null, number("-5")]
            )
            .unwrap(),
            "select  NULL , '$1',  'o''x\\''; --'  -- $1\n, x-(-5)"
        );
        for parameter in [text("a\0b"), text("\u{202e}")] {
            // The signs that no statement may hold are refused when the statement is read.
            let statement = filled("select $1", &[parameter]).unwrap();
            assert!(crate::parse(DIALECT, &statement).is_err());
        }
        for wrong in ["1 or 1=1", "", "1;", "0x10", "--", "NaN"] {
            assert!(filled("select $1", &[number(wrong)]).is_err(), "{wrong}");
        }
        assert!(filled("select $2", &[Parameter::Null]).is_err());
        assert!(filled("select $0", &[Parameter::Null]).is_err());
    }
}
