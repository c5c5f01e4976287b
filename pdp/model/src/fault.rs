//! The one error that crosses seams: what happened, where, and what to do next.
//!
//! Rooms keep their own typed errors inside and turn them into a [`Fault`] at the seam; the edge
//! maps [`FaultKind`] to a status in one table.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The situation, independent of any protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FaultKind {
    /// The input is wrong: malformed, unknown key, wrong type.
    Invalid,
    /// No valid credential.
    Unauthenticated,
    /// The policy decision is deny; see [`Fault::reason`].
    Denied,
    /// The named thing does not exist, or the caller may not know that it does.
    NotFound,
    /// The state has moved on, or the thing exists already.
    Conflict,
    /// What a change was conditional on does not hold.
    PreconditionFailed,
    /// A change that must be conditional is not.
    PreconditionRequired,
    /// There is no form of the answer that the caller takes.
    NotAcceptable,
    /// A named bound was exceeded.
    TooLarge,
    /// A dependency (source, store, issuer) is down or refuses.
    Unavailable,
    /// A deadline passed.
    Timeout,
    /// What was asked for is recognised and not supported.
    Unsupported,
    /// Stored data is damaged.
    Damaged,
    /// A bug or an unforeseen failure; the text is for the log, not for the caller.
    Internal,
}

/// A place in a text of the caller's: one-based line and column, and the field if there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// File name, if the text came from a file.
    pub file: Option<String>,
    /// One-based line.
    pub line: Option<u64>,
    /// One-based column, in characters.
    pub column: Option<u64>,
    /// Dotted path of the field, for structured input.
    pub field: Option<String>,
}

/// An error as it crosses a seam.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The situation.
    pub kind: FaultKind,
    /// What happened; safe to show to the caller unless the kind is `Internal`.
    pub message: String,
    /// Stable machine-readable reason, such as `no_permit`; empty if there is none.
    pub reason: String,
    /// Where in the caller's input.
    pub location: Option<Box<Location>>,
    /// What to do next.
    pub hint: Option<String>,
    /// Ids of the policies that the caller may know.
    pub policies: Vec<String>,
}

impl Fault {
    /// A fault of `kind` that says `message`.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            reason: String::new(),
            location: None,
            hint: None,
            policies: Vec::new(),
        }
    }

    /// Input that is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Invalid, message)
    }

    /// A thing that does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(FaultKind::NotFound, message)
    }

    /// A failure that is ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Internal, message)
    }

    /// A dependency that does not answer.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Unavailable, message)
    }

    /// A denial with its reason code.
    pub fn denied(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            ..Self::new(FaultKind::Denied, message)
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a stable reason code.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Adds the place in the caller's input.
    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        self.location = Some(Box::new(location));
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = &self.location {
            write!(f, "{location}")?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if let Some(line) = self.line {
            write!(f, "{line}:{}:", self.column.unwrap_or(1))?;
        }
        if let Some(field) = &self.field {
            write!(f, " field `{field}`:")?;
        }
        f.write_str(" ")
    }
}

impl std::error::Error for Fault {}
