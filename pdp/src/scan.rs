//! A byte scan in front of Cedar's parser: splits a text into policies and refuses what the parser
//! would recurse into too deeply. It knows strings, comments, brackets and `;`, nothing of the grammar.

use std::fmt;

/// Deepest nesting of brackets in one policy.
pub const NESTING_MAX: usize = 100;
/// Most operator characters in one policy; chains such as `a && b && c` nest without brackets, and
/// checking them takes Cedar time that grows with the square of their length.
pub const OPERATORS_PER_POLICY_MAX: usize = 1_000;
/// Longest policy, in bytes.
pub const POLICY_BYTES_MAX: usize = 256 * 1024;
/// Longest file or applied text, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most policies in one set.
pub const POLICIES_MAX: usize = 1_000_000;

/// One policy in its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement<'a> {
    /// From the end of the one before to its `;`, with comments.
    pub text: &'a str,
    /// Byte offset of `text`.
    pub start: usize,
    /// Byte offset of the first character that is no comment or white space.
    pub head: usize,
    /// One-based line of `head`.
    pub line: u64,
}

/// A text that is not handed to the parser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Byte offset.
    pub at: usize,
    /// Which bound.
    pub problem: Bound,
}

/// A bound that a text exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Nesting,
    Operators,
    PolicyBytes,
    TextBytes,
    Policies,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nesting => write!(f, "brackets nested deeper than {NESTING_MAX} (NESTING_MAX)"),
            Self::Operators => write!(
                f,
                "more than {OPERATORS_PER_POLICY_MAX} operators in one policy \
                 (OPERATORS_PER_POLICY_MAX)"
            ),
            Self::PolicyBytes => {
                write!(
                    f,
                    "a policy longer than {POLICY_BYTES_MAX} bytes (POLICY_BYTES_MAX)"
                )
            }
            Self::TextBytes => {
                write!(
                    f,
                    "a text longer than {TEXT_BYTES_MAX} bytes (TEXT_BYTES_MAX)"
                )
            }
            Self::Policies => write!(f, "more than {POLICIES_MAX} policies (POLICIES_MAX)"),
        }
    }
}

/// The policies of a text, in order.
pub(crate) fn statements(text: &str) -> Result<Vec<Statement<'_>>, Refused> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Refused {
            at: 0,
            problem: Bound::TextBytes,
        });
    }
    let mut scanner = Scanner::default();
    let mut found: Vec<Statement<'_>> = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        if !scanner.step(at, byte)? {
            continue;
        }
        let statement = scanner.finish_statement(text, at);
        if found.len() == POLICIES_MAX {
            return Err(Refused {
                at: statement.head,
                problem: Bound::Policies,
            });
        }
        found.push(statement);
    }
    // What follows the last `;` is no policy; the parser says what is missing.
    if scanner.head.is_some() {
        found.push(scanner.finish_statement(text, text.len()));
    }
    Ok(found)
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Code,
    Text,
    Escape,
    Slash,
    Comment,
}

#[derive(Default)]
struct Scanner {
    place: Place,
    start: usize,
    head: Option<usize>,
    newlines: u64,
    head_newlines: u64,
    depth: usize,
    operators: usize,
    word: usize,
    is_word_if: bool,
}

impl Scanner {
    /// Whether `byte` ends a policy.
    fn step(&mut self, at: usize, byte: u8) -> Result<bool, Refused> {
        self.newlines += u64::from(byte == b'\n');
        match (self.place, byte) {
            (Place::Text, b'\\') => self.place = Place::Escape,
            (Place::Text, b'"') => self.place = Place::Code,
            (Place::Escape, _) => self.place = Place::Text,
            (Place::Comment, b'\n') => self.place = Place::Code,
            (Place::Text | Place::Comment, _) => {}
            (Place::Slash, b'/') => {
                // The first slash was taken for code; it opened a comment.
                self.place = Place::Comment;
                if self.head == at.checked_sub(1) {
                    self.head = None;
                }
            }
            (Place::Code | Place::Slash, _) => return self.code(at, byte),
        }
        Ok(false)
    }

    fn code(&mut self, at: usize, byte: u8) -> Result<bool, Refused> {
        self.place = match byte {
            b'"' => Place::Text,
            b'/' => Place::Slash,
            _ => Place::Code,
        };
        if !byte.is_ascii_whitespace() && self.head.is_none() {
            self.head = Some(at);
            self.head_newlines = self.newlines;
        }
        self.count(byte);
        match byte {
            b'(' | b'[' | b'{' => self.depth += 1,
            b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        let head = self.head.unwrap_or(at);
        for (is_over, problem, at) in [
            (self.depth > NESTING_MAX, Bound::Nesting, at),
            (
                self.operators > OPERATORS_PER_POLICY_MAX,
                Bound::Operators,
                at,
            ),
            (
                at.saturating_sub(self.start) > POLICY_BYTES_MAX,
                Bound::PolicyBytes,
                head,
            ),
        ] {
            if is_over {
                return Err(Refused { at, problem });
            }
        }
        Ok(byte == b';')
    }

    /// Counts operator characters, and the word `if`, which nests through `else if`.
    fn count(&mut self, byte: u8) {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            self.is_word_if = match (self.word, byte) {
                (0, b'i') => true,
                (1, b'f') => self.is_word_if,
                _ => false,
            };
            self.word += 1;
            return;
        }
        let is_if = self.is_word_if && self.word == 2;
        let is_operator = matches!(
            byte,
            b'&' | b'|' | b'+' | b'-' | b'*' | b'!' | b'.' | b'<' | b'>' | b'='
        );
        self.operators += usize::from(is_if) + usize::from(is_operator);
        self.word = 0;
        self.is_word_if = false;
    }

    fn finish_statement<'a>(&mut self, text: &'a str, at: usize) -> Statement<'a> {
        let statement = Statement {
            text: text
                .get(self.start..text.len().min(at + 1))
                .unwrap_or_default(),
            start: self.start,
            head: self.head.unwrap_or(self.start),
            line: self.head_newlines + 1,
        };
        *self = Self {
            start: at + 1,
            newlines: self.newlines,
            ..Self::default()
        };
        statement
    }
}

/// One-based line and column, in characters, of a byte offset.
pub(crate) fn position(text: &str, offset: usize) -> (u64, u64) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (line as u64, column as u64)
}

#[cfg(test)]
mod tests;
