//! The one error of this room: what is wrong, where in the caller's text, what to write instead.

use std::fmt;

use dataos_model::fault::{Fault, FaultKind, Location};

use crate::ir::Position;

/// The situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SqlErrorKind {
    /// The text is not SQL, or has an impossible value.
    Syntax,
    /// Recognised, and not on the allow-list.
    Unsupported,
    /// A named limit was exceeded.
    TooLarge,
    /// A table, column or function that does not exist, or that the caller may not know of.
    Unknown,
    /// A name with more than one meaning.
    Ambiguous,
    /// A write that the caller's view of the table does not allow.
    Denied,
    /// More than aggregates of a table that leaves in aggregates alone.
    AggregateOnly,
    /// A sound reference at an impossible place, or a wrong number of columns.
    Invalid,
    /// The emitted text does not say what was bound: a bug, caught before anything ran.
    Recheck,
}

/// Why a statement is refused. Line and column are one-based; zero if the place is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    /// The situation.
    pub kind: SqlErrorKind,
    /// What is wrong; holds names and keywords of the caller's, never literals.
    pub message: String,
    /// One-based line.
    pub line: u64,
    /// One-based column, in characters.
    pub column: u64,
    /// What to write instead.
    pub hint: Option<String>,
}

impl SqlError {
    /// An error at a place.
    pub fn new(kind: SqlErrorKind, message: impl Into<String>, at: Position) -> Self {
        Self {
            kind,
            message: message.into(),
            line: at.line,
            column: at.column,
            hint: None,
        }
    }

    /// Syntax or option that is recognised and refused.
    pub fn unsupported(what: impl fmt::Display, at: Position) -> Self {
        Self::new(
            SqlErrorKind::Unsupported,
            format!("{what} is not supported"),
            at,
        )
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.line > 0 {
            write!(f, " (line {}, column {})", self.line, self.column)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SqlError {}

impl From<SqlError> for Fault {
    fn from(error: SqlError) -> Self {
        let (kind, reason) = match error.kind {
            SqlErrorKind::Syntax => (FaultKind::Invalid, "sql_syntax"),
            SqlErrorKind::Unsupported => (FaultKind::Unsupported, "sql_unsupported"),
            SqlErrorKind::TooLarge => (FaultKind::TooLarge, "sql_too_large"),
            SqlErrorKind::Unknown => (FaultKind::NotFound, "sql_unknown_name"),
            SqlErrorKind::Ambiguous => (FaultKind::Invalid, "sql_ambiguous_name"),
            SqlErrorKind::Invalid => (FaultKind::Invalid, "sql_invalid"),
            SqlErrorKind::Denied => (FaultKind::Denied, "masked_write"),
            SqlErrorKind::AggregateOnly => (FaultKind::Denied, "min_group"),
            SqlErrorKind::Recheck => (FaultKind::Internal, "sql_recheck"),
        };
        let mut fault = Self::new(kind, error.message).with_reason(reason);
        fault.hint = error.hint;
        if error.line > 0 {
            fault = fault.at(Location {
                line: Some(error.line),
                column: Some(error.column),
                ..Location::default()
            });
        }
        fault
    }
}
