//! What is wrong with a policy text, where, and how it is told across the seam.

use std::fmt;

use dataos_model::fault::{Fault, FaultKind, Location};
use miette::Diagnostic;

use crate::scan::position;

/// A problem with one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file or source.
    pub source: String,
    /// One-based line and column; `None` if the text as a whole is meant.
    pub position: Option<(u64, u64)>,
    /// What.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of a whole file or source.
    pub(crate) fn whole(source: &str, message: impl Into<String>) -> Self {
        Self {
            source: source.to_owned(),
            position: None,
            message: message.into(),
            hint: None,
        }
    }

    /// A problem at a byte offset of `text`.
    pub(crate) fn at(source: &str, text: &str, at: usize, message: impl Into<String>) -> Self {
        Self {
            position: Some(position(text, at)),
            ..Self::whole(source, message)
        }
    }

    /// One of Cedar's own, in a part of `text` that starts at `start`.
    pub(crate) fn diagnosed(
        source: &str,
        text: &str,
        start: usize,
        error: &dyn Diagnostic,
    ) -> Self {
        let label = error.labels().and_then(|mut labels| labels.next());
        let offset = label.as_ref().map_or(0, |label| label.offset());
        let mut message = error.to_string();
        if let Some(words) = label.as_ref().and_then(|label| label.label()) {
            message = format!("{message} ({words})");
        }
        let hint = error.help().map(|help| help.to_string());
        Self {
            hint,
            ..Self::at(source, text, start + offset, message)
        }
    }

    /// The same with what to do.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let (line, column) = problem.position.unzip();
        let location = Location {
            file: Some(problem.source),
            line,
            column,
            field: None,
        };
        let mut fault =
            Fault::new(FaultKind::Invalid, problem.message).with_reason("policy_invalid");
        fault.hint = problem.hint;
        fault.at(location)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Fault::from(self.clone()).fmt(f)
    }
}
