//! What can go wrong with a store.

use dataos_model::fault::{Fault, FaultKind};

/// A store that cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[error("{store} store: {place} {problem}")]
pub struct StoreError {
    pub(crate) store: &'static str,
    /// The file, or the database without its password.
    pub(crate) place: String,
    pub(crate) problem: Problem,
}

/// The situation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("has format {found}, this program knows up to {known}")]
    Newer { found: i64, known: i64 },
    #[error("is of another program")]
    Foreign,
    #[error("is damaged: {0}")]
    Damaged(String),
    #[error("is in use by another process")]
    InUse,
    #[error("has been used by another process since this one lost its connection")]
    Superseded,
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("failed: {0}")]
    Failed(String),
}

impl Problem {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Newer { .. } => FaultKind::Unsupported,
            Self::Foreign | Self::Damaged(_) => FaultKind::Damaged,
            Self::InUse => FaultKind::Conflict,
            Self::Superseded | Self::Unreachable(_) | Self::Failed(_) => FaultKind::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "newer_format",
            Self::Foreign => "foreign_file",
            Self::Damaged(_) => "damaged",
            Self::InUse => "in_use",
            Self::Superseded => "superseded",
            Self::Unreachable(_) => "unreachable",
            Self::Failed(_) => "store_failed",
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "start the newer program that wrote it; nothing was changed",
            Self::Foreign => "use another data directory or database; nothing was changed",
            Self::Damaged(_) => "restore it from a backup; nothing was changed",
            Self::InUse => "stop the other process, or use another data directory or database",
            Self::Superseded => "stop the other process, then restart this one",
            Self::Unreachable(_) => {
                "check that the server runs, and host, port, database, user, password and sslmode"
            }
            Self::Failed(_) => "check space and permissions of the disk or database",
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::new(error.problem.kind(), error.to_string())
            .with_reason(format!("{}_{}", error.store, error.problem.reason()))
            .with_hint(error.problem.hint())
    }
}
